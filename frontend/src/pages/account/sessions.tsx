import { Button, Card, Group, Text, Title } from '@mantine/core';
import { IconLogout } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useCallback } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { SessionView } from '../../api/types';
import { forgetSession } from '../../session/session';
import { confirmAction } from '../../ui/confirm';
import { notifyError, notifySuccess } from '../../ui/errors';
import { SessionTable } from '../../ui/session-table';
import { QueryView } from '../../ui/states';

const QUERY_KEY = ['own-sessions'];

/** The open sessions of the account. They can be ended individually or all at once. */
export function OwnSessions() {
    const { t } = useTranslation();
    const query = useQuery({
        queryKey: QUERY_KEY,
        queryFn: () => unwrap(api.GET('/api/v1/auth/me/sessions')),
    });
    const end = useEndSession();
    const endAll = useMutation({
        mutationFn: () => unwrap(api.DELETE('/api/v1/auth/me/sessions')),
        onSuccess: forgetSession,
        onError: notifyError,
    });
    return (
        <Card component="section" aria-labelledby="sessions">
            <Group justify="space-between" mb="md">
                <div>
                    <Title order={2} size="h4" id="sessions">
                        {t('sessions.title')}
                    </Title>
                    <Text size="sm" c="dimmed">
                        {t('sessions.hint')}
                    </Text>
                </div>
                <Button
                    variant="default"
                    leftSection={<IconLogout size={16} aria-hidden />}
                    loading={endAll.isPending}
                    onClick={() =>
                        confirmAction({
                            title: t('sessions.end_everywhere'),
                            hint: t('sessions.end_everywhere_hint'),
                            confirm: t('sessions.end_everywhere'),
                            isDestructive: true,
                            onConfirm: () => endAll.mutate(),
                        })
                    }
                >
                    {t('sessions.end_everywhere')}
                </Button>
            </Group>
            <QueryView query={query} lines={3}>
                {({ items }) => <SessionTable sessions={items} onEnd={end} />}
            </QueryView>
        </Card>
    );
}

function useEndSession(): (session: SessionView) => void {
    const { t } = useTranslation();
    const queryClient = useQueryClient();
    const { mutate } = useMutation({
        mutationFn: ({ id }: SessionView) =>
            unwrap(api.DELETE('/api/v1/auth/me/sessions/{id}', { params: { path: { id } } })),
        onSuccess: (_answer, { current }) => {
            if (current) return forgetSession();
            notifySuccess(t('sessions.ended'));
            return queryClient.invalidateQueries({ queryKey: QUERY_KEY });
        },
        onError: notifyError,
    });
    return useCallback(
        (session) =>
            confirmAction({
                title: t('sessions.end_title'),
                hint: t(session.current ? 'sessions.end_current_hint' : 'sessions.end_hint'),
                confirm: t('sessions.end'),
                isDestructive: true,
                onConfirm: () => mutate(session),
            }),
        [t, mutate],
    );
}
