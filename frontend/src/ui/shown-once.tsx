import { Alert, Button, Code, CopyButton, Group, Stack } from '@mantine/core';
import { IconCheck, IconCopy } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';

/** A secret that the server shows only once, with a button that copies it. */
export function ShownOnce(props: { title: string; hint: string; secret: string; onDone: () => void }) {
    const { t } = useTranslation();
    return (
        <Stack>
            <Alert color="orange" title={props.title}>
                {props.hint}
            </Alert>
            <Code block translate="no">
                {props.secret}
            </Code>
            <Group justify="flex-end">
                <CopyButton value={props.secret}>
                    {({ copied, copy }) => (
                        <Button
                            variant="default"
                            onClick={copy}
                            leftSection={
                                copied ? <IconCheck size={16} aria-hidden /> : <IconCopy size={16} aria-hidden />
                            }
                        >
                            {copied ? t('action.copied') : t('action.copy')}
                        </Button>
                    )}
                </CopyButton>
                <Button onClick={props.onDone}>{t('action.close')}</Button>
            </Group>
        </Stack>
    );
}
