import { Button, Group, Stack } from '@mantine/core';
import { IconLogout } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { confirmAction } from '../../ui/confirm';
import { DetailsDrawer } from '../../ui/details-drawer';
import { notifyError, notifySuccess } from '../../ui/errors';
import { SessionTable } from '../../ui/session-table';
import { Empty, QueryView } from '../../ui/states';

type User = Schema<'UserView'>;

/** The sessions of a user. Closed if there is no user. */
export function UserSessions({ user, onClose }: { user: User | undefined; onClose: () => void }) {
    const { t } = useTranslation();
    return (
        <DetailsDrawer
            title={user && t('sessions.title_of', { account: user.username })}
            opened={user}
            onClose={onClose}
            size="xl"
        >
            {(opened) => <Sessions user={opened} />}
        </DetailsDrawer>
    );
}

function Sessions({ user }: { user: User }) {
    const { t } = useTranslation();
    const queryClient = useQueryClient();
    const queryKey = ['users', 'sessions', user.id];
    const params = { path: { id: user.id } };
    const query = useQuery({
        queryKey,
        queryFn: () => unwrap(api.GET('/api/v1/users/{id}/sessions', { params })),
    });
    const endAll = useMutation({
        mutationFn: () => unwrap(api.DELETE('/api/v1/users/{id}/sessions', { params })),
        onSuccess: () => {
            notifySuccess(t('sessions.all_ended'));
            return queryClient.invalidateQueries({ queryKey });
        },
        onError: notifyError,
    });
    return (
        <QueryView
            query={query}
            isEmpty={({ items }) => items.length === 0}
            empty={<Empty title={t('sessions.none')} hint={t('sessions.none_hint')} />}
        >
            {({ items }) => (
                <Stack>
                    <Group justify="flex-end">
                        <Button
                            color="red"
                            leftSection={<IconLogout size={16} aria-hidden />}
                            loading={endAll.isPending}
                            onClick={() =>
                                confirmAction({
                                    title: t('sessions.end_all_of', { account: user.username }),
                                    hint: t('sessions.end_all_hint'),
                                    confirm: t('sessions.end_all'),
                                    isDestructive: true,
                                    onConfirm: () => endAll.mutate(),
                                })
                            }
                        >
                            {t('sessions.end_all')}
                        </Button>
                    </Group>
                    <SessionTable sessions={items} />
                </Stack>
            )}
        </QueryView>
    );
}
