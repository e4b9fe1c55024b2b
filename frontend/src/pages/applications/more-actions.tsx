import { ActionIcon, Button, Group, Menu, Stack, Text } from '@mantine/core';
import { modals } from '@mantine/modals';
import { notifications } from '@mantine/notifications';
import { IconAdjustmentsQuestion, IconDots, IconTrash } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { ApiError } from '../../api/problem';
import { etagOf, keys } from '../../api/queries';
import type { Application, ApplicationStatus } from '../../api/types';
import { isAtLeast } from '../../session/roles';
import { useSession } from '../../session/session';
import { confirmAction } from '../../ui/confirm';
import { notifyError, notifySuccess } from '../../ui/errors';
import { NewerChanges } from './stale-notice';

/** An owner may delete an application with one of these statuses; staff may delete any. */
const DELETABLE: readonly ApplicationStatus[] = ['PENDING', 'REJECTED', 'CANCELLED', 'COMPLETED'];

/** Undoing a deletion is offered for this long, in milliseconds. */
const UNDO_MS = 12_000;

/** The actions "Try changes" and "Delete application". */
export function MoreActions({ application }: { application: Application }) {
    const { t } = useTranslation();
    const session = useSession();
    const remove = useDeletion(application);
    if (session === undefined) return null;
    const isStaff = isAtLeast(session.role, 'analyst');
    const canDelete = isStaff || DELETABLE.includes(application.status);
    if (!isStaff && !canDelete) return null;
    return (
        <Menu position="bottom-end" width={240}>
            <Menu.Target>
                <ActionIcon variant="default" size="lg" aria-label={t('more_actions.label')}>
                    <IconDots size={18} aria-hidden />
                </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
                {isStaff && (
                    <Menu.Item
                        component={Link}
                        to="/console/what-if"
                        search={{ application: application.id } as never}
                        leftSection={<IconAdjustmentsQuestion size={16} aria-hidden />}
                    >
                        {t('what_if.try')}
                    </Menu.Item>
                )}
                {canDelete && (
                    <Menu.Item
                        color="red"
                        leftSection={<IconTrash size={16} aria-hidden />}
                        onClick={() => remove(session.role === 'admin')}
                    >
                        {t('deletion.delete')}
                    </Menu.Item>
                )}
            </Menu.Dropdown>
        </Menu>
    );
}

/** Deletes an application. Without a confirmation if the account can undo the deletion, because it may restore applications. */
function useDeletion(application: Application): (canRestore: boolean) => void {
    const { id, full_name: name, version } = application;
    const { t } = useTranslation();
    const navigate = useNavigate();
    const queryClient = useQueryClient();
    const restore = useMutation({
        mutationFn: () => unwrap(api.POST('/api/v1/applications/{id}/restore', { params: { path: { id } } })),
        onSuccess: () => {
            notifySuccess(t('deletion.restored'));
            return queryClient.invalidateQueries({ queryKey: keys.applications });
        },
        onError: notifyError,
    });
    const remove = useMutation({
        mutationFn: async (canRestore: boolean) => {
            const params = { path: { id }, header: { 'If-Match': etagOf(version) } };
            await unwrap(api.DELETE('/api/v1/applications/{id}', { params }));
            return canRestore;
        },
        onSuccess: async (canRestore) => {
            await navigate({ to: '/console/applications' });
            void queryClient.invalidateQueries({ queryKey: keys.applications, refetchType: 'active' });
            if (canRestore) offerUndo(() => restore.mutate());
            else notifySuccess(t('deletion.done'));
        },
        onError: (error) => {
            if (!(error instanceof ApiError && error.status === 412)) {
                notifyError(error);
                return;
            }
            void queryClient.invalidateQueries({ queryKey: keys.application(id) });
            modals.open({
                title: t('change.stale'),
                closeButtonProps: { 'aria-label': t('action.close') },
                children: (
                    <Stack gap="sm">
                        <Text size="sm">{t('stale.nothing_saved')}</Text>
                        <NewerChanges application={application} since={version} />
                    </Stack>
                ),
            });
        },
    });
    const offerUndo = (undo: () => void) => {
        const shown = notifications.show({
            message: (
                <Group justify="space-between" wrap="nowrap">
                    <Text size="sm">{t('deletion.done')}</Text>
                    <Button
                        size="compact-sm"
                        variant="default"
                        onClick={() => {
                            notifications.hide(shown);
                            undo();
                        }}
                    >
                        {t('deletion.undo')}
                    </Button>
                </Group>
            ),
            autoClose: UNDO_MS,
            closeButtonProps: { 'aria-label': t('action.close') },
        });
    };
    return (canRestore) => {
        if (canRestore) remove.mutate(true);
        else {
            confirmAction({
                title: t('deletion.title', { name }),
                hint: t('deletion.hint'),
                confirm: t('deletion.delete'),
                isDestructive: true,
                onConfirm: () => remove.mutate(false),
            });
        }
    };
}
