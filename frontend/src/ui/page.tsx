import { Group, Stack, Text, Title } from '@mantine/core';
import { useDocumentTitle } from '@mantine/hooks';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';

/** A page with its heading. The heading is also the title of the window. */
export function Page(props: { title: string; subtitle?: ReactNode; actions?: ReactNode; children: ReactNode }) {
    const { t } = useTranslation();
    useDocumentTitle(`${props.title} · ${t('app.name')}`);
    return (
        <Stack gap="lg">
            <Group justify="space-between" align="flex-start" gap="md">
                <Stack gap={2} miw={0}>
                    <Title order={1} size="h2" className="wrap-anywhere">
                        {props.title}
                    </Title>
                    {props.subtitle && (
                        <Text c="dimmed" component="div">
                            {props.subtitle}
                        </Text>
                    )}
                </Stack>
                {props.actions && <Group gap="sm">{props.actions}</Group>}
            </Group>
            {props.children}
        </Stack>
    );
}
