import { Anchor, Badge, Button, Code, Divider, Group, ScrollArea, Stack, Text, Timeline, Title } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { Details } from '../../ui/details';
import { notifySuccess } from '../../ui/errors';
import { ReasonDialog, type ReasonRequest } from '../../ui/reason-dialog';
import { QueryView } from '../../ui/states';
import { Optional, Time } from '../../ui/text';
import { useLaneName } from './lane-name';

type Status = Schema<'FailedJobStatus'>;
type Action = Schema<'DeadLetterActionName'>;

export const DEAD_LETTER_COLORS: Record<Status, string> = {
    pending: 'red',
    reviewed: 'orange',
    reprocessed: 'green',
    ignored: 'gray',
};

/** The action that leads to each status. No action leads back to `pending`. */
const ACTIONS: Record<Exclude<Status, 'pending'>, Action> = {
    reprocessed: 'retry',
    reviewed: 'review',
    ignored: 'ignore',
};

/** A dead letter with its error, its history and the actions that are possible now. */
export function DeadLetterDetails({ id }: { id: string }) {
    const query = useQuery({
        queryKey: ['dead-letters', 'one', id],
        queryFn: () => unwrap(api.GET('/api/v1/admin/failed-jobs/{id}', { params: { path: { id } } })),
    });
    return <QueryView query={query}>{(letter) => <Content letter={letter} />}</QueryView>;
}

function Content({ letter }: { letter: Schema<'DeadLetterDetailsView'> }) {
    const { t } = useTranslation();
    const laneName = useLaneName();
    const queryClient = useQueryClient();
    const [request, setRequest] = useState<ReasonRequest>();
    const [isShown, setShown] = useState(false);

    const act = (action: Action) =>
        setRequest({
            title: t(`dead_letters.${action}_title`),
            hint: t(`dead_letters.${action}_hint`),
            confirm: t(`dead_letters.${action}`),
            submit: async ({ reason }) => {
                const options = { params: { path: { id: letter.id } }, body: { reason } };
                const send = {
                    retry: () => api.POST('/api/v1/admin/failed-jobs/{id}/retry', options),
                    ignore: () => api.POST('/api/v1/admin/failed-jobs/{id}/ignore', options),
                    review: () => api.POST('/api/v1/admin/failed-jobs/{id}/review', options),
                };
                await unwrap(send[action]());
                notifySuccess(t(`dead_letters.${action}_done`));
                await queryClient.invalidateQueries({ queryKey: ['dead-letters'] });
            },
        });

    return (
        <Stack>
            <Group>
                <Badge color={DEAD_LETTER_COLORS[letter.status]} size="lg">
                    {t(`failed_job.${letter.status}`)}
                </Badge>
                {letter.next
                    .filter((status) => status !== 'pending')
                    .map((status) => ACTIONS[status])
                    .map((action) => (
                        <Button
                            key={action}
                            size="xs"
                            variant={action === 'retry' ? 'filled' : 'default'}
                            onClick={() => act(action)}
                        >
                            {t(`dead_letters.${action}`)}
                        </Button>
                    ))}
            </Group>
            <div>
                <Text fw={600}>{letter.error_type}</Text>
                <Text size="sm" className="wrap-anywhere">
                    {letter.error_message}
                </Text>
            </div>
            <Details
                entries={[
                    [t('jobs.task'), letter.task],
                    [t('jobs.lane'), laneName(letter.lane)],
                    [t('jobs.attempts'), letter.attempts],
                    [t('dead_letters.failed_at'), <Time key="at" time={letter.created_at} seconds />],
                    [
                        t('application.request'),
                        letter.application_id === null ? (
                            <Optional key="none" value={null} />
                        ) : (
                            <Anchor
                                key="link"
                                component={Link}
                                to={`/console/applications/${letter.application_id}`}
                                size="sm"
                            >
                                {t('dead_letters.open_application')}
                            </Anchor>
                        ),
                    ],
                    [t('state.request_id'), <Optional key="request" value={letter.request_id} />],
                ]}
            />
            <Button variant="default" size="xs" onClick={() => setShown(!isShown)} aria-expanded={isShown}>
                {t(isShown ? 'dead_letters.hide_data' : 'dead_letters.show_data')}
            </Button>
            {/* Rendered on demand, because arguments and causes can be long. */}
            {isShown && (
                <ScrollArea.Autosize mah={320} viewportProps={{ tabIndex: 0 }}>
                    <Code block>{[JSON.stringify(letter.args, null, 2), letter.causes ?? ''].join('\n\n').trim()}</Code>
                </ScrollArea.Autosize>
            )}
            {letter.actions.length > 0 && (
                <>
                    <Divider />
                    <Title order={3} size="h5">
                        {t('audit.title')}
                    </Title>
                    <Timeline bulletSize={16} lineWidth={2} active={letter.actions.length}>
                        {letter.actions.map((action) => (
                            <Timeline.Item key={action.created_at} title={t(`failed_job.${action.new_status}`)}>
                                <Text size="xs" c="dimmed">
                                    {t('audit.by', { account: action.actor })} · <Time time={action.created_at} />
                                </Text>
                                <Text size="sm" className="wrap-anywhere">
                                    {action.reason}
                                </Text>
                            </Timeline.Item>
                        ))}
                    </Timeline>
                </>
            )}
            <ReasonDialog request={request} onClose={() => setRequest(undefined)} />
        </Stack>
    );
}
