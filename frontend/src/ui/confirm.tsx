import { Text } from '@mantine/core';
import { modals } from '@mantine/modals';
import i18next from 'i18next';

/** Asks before an action that is hard to undo. */
export function confirmAction(action: {
    title: string;
    hint: string;
    confirm: string;
    isDestructive?: boolean;
    onConfirm: () => void;
}): void {
    modals.openConfirmModal({
        title: action.title,
        children: <Text size="sm">{action.hint}</Text>,
        labels: { confirm: action.confirm, cancel: i18next.t('action.cancel') },
        confirmProps: action.isDestructive ? { color: 'red' } : {},
        closeButtonProps: { 'aria-label': i18next.t('action.close') },
        onConfirm: action.onConfirm,
    });
}
