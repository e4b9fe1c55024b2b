import { Button, Kbd, type MantineSize, Modal, Table, Text } from '@mantine/core';
import { useDisclosure, useHotkeys } from '@mantine/hooks';
import { IconKeyboard } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';

/** A shortcut with a modifier key, so that it does not interfere with typing or speech input (WCAG 2.2, 2.1.4). */
export interface Shortcut {
    keys: `Alt+${string}`;
    /** What it does, in the reader's language. */
    name: string;
    /** Undefined if the shortcut has no effect at the moment. */
    run?: (() => unknown) | '' | undefined;
}

const HELP = 'Alt+H';

/** Listens to the shortcuts of a page. The button opens a dialog that lists them. */
export function Shortcuts({ shortcuts, size = 'sm' }: { shortcuts: Shortcut[]; size?: MantineSize }) {
    const { t } = useTranslation();
    const [isOpen, { open, close }] = useDisclosure();
    useHotkeys([
        ...shortcuts.map(
            ({ keys, run }) => [keys, () => run && run(), { usePhysicalKeys: true }] as [string, () => void, object],
        ),
        [HELP, open, { usePhysicalKeys: true }],
    ]);
    return (
        <>
            <Button
                size={size}
                variant="default"
                leftSection={<IconKeyboard size={18} aria-hidden />}
                aria-keyshortcuts={HELP}
                onClick={open}
            >
                {t('shortcuts.title')}
            </Button>
            <Modal
                opened={isOpen}
                onClose={close}
                title={t('shortcuts.title')}
                closeButtonProps={{ 'aria-label': t('action.close') }}
            >
                <Text size="sm" c="dimmed" mb="sm">
                    {t('shortcuts.hint')}
                </Text>
                <Table aria-label={t('shortcuts.title')}>
                    <Table.Tbody>
                        {[...shortcuts, { keys: HELP, name: t('shortcuts.help') }].map(({ keys, name }) => (
                            <Table.Tr key={keys}>
                                <Table.Th scope="row" fw={400}>
                                    {name}
                                </Table.Th>
                                <Table.Td ta="right">
                                    <Kbd>{keys}</Kbd>
                                </Table.Td>
                            </Table.Tr>
                        ))}
                    </Table.Tbody>
                </Table>
            </Modal>
        </>
    );
}
