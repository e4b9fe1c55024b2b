import { Button, Group, Stack, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { formatDecimal } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { Details } from '../../ui/details';
import { notifySuccess } from '../../ui/errors';
import { LazyJson } from '../../ui/lazy-json';
import { ReasonDialog, type ReasonRequest } from '../../ui/reason-dialog';
import { QueryView } from '../../ui/states';
import { Optional, Time } from '../../ui/text';

type Letter = Schema<'EventDeadLetterDetailsView'>;

const ACTIONS = ['replay', 'skip'] as const;

/** A dead letter with its error and its event. `onDone` is called when it was replayed or skipped, and so no longer exists. */
export function EventDeadLetterDetails({ id, onDone }: { id: string; onDone: () => void }) {
    const { t } = useTranslation();
    const query = useQuery({
        queryKey: ['events', 'dead-letters', 'one', id],
        queryFn: () => unwrap(api.GET('/api/v1/admin/events/dead-letters/{id}', { params: { path: { id } } })),
    });
    return (
        <QueryView query={query}>
            {(letter) => (
                <Stack>
                    <Actions id={id} onDone={onDone} />
                    <div>
                        <Text fw={600}>
                            <Optional value={letter.error_type} />
                        </Text>
                        <Text size="sm" className="wrap-anywhere" style={{ whiteSpace: 'pre-line' }}>
                            {letter.error_message}
                        </Text>
                    </div>
                    <Facts letter={letter} />
                    <div>
                        <LazyJson value={letter.data} about={t('live.data')} />
                    </div>
                </Stack>
            )}
        </QueryView>
    );
}

function Actions({ id, onDone }: { id: string; onDone: () => void }) {
    const { t } = useTranslation();
    const queryClient = useQueryClient();
    const [request, setRequest] = useState<ReasonRequest>();
    const act = (action: (typeof ACTIONS)[number]) =>
        setRequest({
            title: t(`events.one_${action}_title`),
            hint: t(`events.one_${action}_hint`),
            confirm: t(`events.${action}`),
            submit: async ({ reason }) => {
                const options = { params: { path: { id } }, body: { reason } };
                const send = {
                    replay: () => api.POST('/api/v1/admin/events/dead-letters/{id}/replay', options),
                    skip: () => api.POST('/api/v1/admin/events/dead-letters/{id}/skip', options),
                };
                await unwrap(send[action]());
                notifySuccess(t(`events.one_${action}_done`));
                onDone();
                await queryClient.invalidateQueries({ queryKey: ['events'] });
            },
        });
    return (
        <Group>
            {ACTIONS.map((action) => (
                <Button
                    key={action}
                    size="xs"
                    variant={action === 'replay' ? 'filled' : 'default'}
                    onClick={() => act(action)}
                >
                    {t(`events.${action}`)}
                </Button>
            ))}
            <ReasonDialog request={request} onClose={() => setRequest(undefined)} />
        </Group>
    );
}

function Facts({ letter }: { letter: Letter }) {
    const { t } = useTranslation();
    const language = useLanguage();
    return (
        <Details
            entries={[
                [t('events.consumer'), letter.consumer],
                [t('events.event_type'), letter.event_type],
                [t('events.event_id'), letter.event_id],
                [t('events.subject'), letter.subject],
                [t('events.offset'), formatDecimal(letter.offset, language)],
                [t('events.written_at'), <Time key="written" time={letter.time} seconds />],
                [
                    t('dead_letters.failed_at'),
                    letter.dead_since === null ? (
                        <Optional key="dead" value={null} />
                    ) : (
                        <Time key="dead" time={letter.dead_since} seconds />
                    ),
                ],
                [t('jobs.attempts'), letter.attempts],
                [t('events.blocks'), t(letter.blocks_subject ? 'value.yes' : 'value.no')],
                [t('state.request_id'), <Optional key="request" value={letter.request_id} />],
            ]}
        />
    );
}
