import { Anchor, Badge, Stack, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { type Schema, WEBHOOK_STATUSES } from '../../api/types';
import { CursorTable, useCursorList } from '../../ui/cursor-list';
import type { Column } from '../../ui/data-table';
import { Details } from '../../ui/details';
import { DetailsDrawer } from '../../ui/details-drawer';
import { FilterBar, FilterChoice, FilterText, isUuid } from '../../ui/filter-bar';
import { LazyJson } from '../../ui/lazy-json';
import { OpenButton } from '../../ui/open-button';
import { Page } from '../../ui/page';
import { Empty } from '../../ui/states';
import { Country, Optional, Time } from '../../ui/text';

type Event = Schema<'WebhookEventView'>;
type Status = Schema<'WebhookStatus'>;

const STATUS_COLORS: Record<Status, string> = { received: 'blue', applied: 'green', ignored: 'gray', failed: 'red' };

/** The webhooks that bureaus have sent. */
export function WebhookEventsPage() {
    const { t } = useTranslation();
    const [status, setStatus] = useState<Status>();
    const [provider, setProvider] = useState<string>();
    const [application_id, setApplication] = useState<string>();
    const [opened, setOpened] = useState<Event>();
    const filters = { status, provider, application_id };
    const list = useCursorList({
        queryKey: ['webhook-events', filters],
        load: (page) => unwrap(api.GET('/api/v1/admin/webhook-events', { params: { query: { ...page, ...filters } } })),
        refetchInterval: 15_000,
    });
    const columns = useColumns(setOpened);
    return (
        <Page title={t('webhook_events.title')} subtitle={t('webhook_events.hint')}>
            <FilterBar>
                <FilterChoice
                    label={t('application.status')}
                    value={status}
                    choices={WEBHOOK_STATUSES.map((each) => [each, t(`webhook_events.status_${each}`)])}
                    onChange={setStatus}
                />
                <FilterText label={t('banking.provider')} onChange={setProvider} />
                <FilterText label={t('record.application_id')} isValid={isUuid} onChange={setApplication} />
            </FilterBar>
            <CursorTable
                list={list}
                rows={({ events }) => events}
                label={t('webhook_events.title')}
                columns={columns}
                rowId={({ id }) => id}
                empty={<Empty title={t('webhook_events.none')} hint={t('webhook_events.none_hint')} />}
            />
            <DetailsDrawer title={t('webhook_events.details')} opened={opened} onClose={() => setOpened(undefined)}>
                {(event) => <EventDetails event={event} />}
            </DetailsDrawer>
        </Page>
    );
}

function useColumns(open: (event: Event) => void): Column<Event>[] {
    const { t } = useTranslation();
    return useMemo(
        () => [
            {
                id: 'provider',
                header: t('banking.provider'),
                cell: ({ row: { original } }) => (
                    <OpenButton name={original.provider} onOpen={() => open(original)}>
                        <Text size="xs" c="dimmed" className="wrap-anywhere" ff="monospace">
                            {original.provider_reference}
                        </Text>
                    </OpenButton>
                ),
            },
            {
                id: 'country',
                header: t('application.country'),
                cell: ({ row }) => <Country code={row.original.country} />,
            },
            {
                id: 'outcome',
                header: t('webhook_events.outcome'),
                cell: ({ row }) => t(`webhook_events.outcome_${row.original.outcome}`),
            },
            {
                id: 'status',
                header: t('application.status'),
                cell: ({ row }) => <EventStatus event={row.original} />,
            },
            {
                id: 'attempts',
                header: t('jobs.attempts'),
                meta: { align: 'right' },
                cell: ({ row }) => row.original.attempts,
            },
            {
                id: 'received',
                header: t('webhook_events.received_at'),
                meta: { align: 'right' },
                cell: ({ row }) => (
                    <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                        <Time time={row.original.received_at} seconds />
                    </Text>
                ),
            },
        ],
        [t, open],
    );
}

function EventStatus({ event }: { event: Event }) {
    const { t } = useTranslation();
    return (
        <Stack gap={2} align="flex-start">
            <Badge color={STATUS_COLORS[event.status]}>{t(`webhook_events.status_${event.status}`)}</Badge>
            {event.error_type && (
                <Text size="xs" c="dimmed">
                    {event.error_type}
                </Text>
            )}
        </Stack>
    );
}

function EventDetails({ event }: { event: Event }) {
    const { t } = useTranslation();
    const time = (value: string | null) => (value === null ? <Optional value={null} /> : <Time time={value} seconds />);
    return (
        <Stack>
            <EventStatus event={event} />
            {event.error_message && (
                <Text size="sm" className="wrap-anywhere">
                    {event.error_message}
                </Text>
            )}
            <Details
                entries={[
                    [t('banking.provider'), event.provider],
                    [t('webhook_events.reference'), event.provider_reference],
                    [t('webhook_events.outcome'), t(`webhook_events.outcome_${event.outcome}`)],
                    [t('webhook_events.occurred_at'), time(event.occurred_at)],
                    [t('webhook_events.received_at'), time(event.received_at)],
                    [t('webhook_events.settled_at'), time(event.settled_at)],
                    [t('webhook_events.next_attempt_at'), time(event.next_attempt_at)],
                    [t('jobs.attempts'), event.attempts],
                    [
                        t('application.request'),
                        <Anchor
                            key="application"
                            component={Link}
                            to={`/console/applications/${event.application_id}`}
                            size="sm"
                        >
                            {t('dead_letters.open_application')}
                        </Anchor>,
                    ],
                    [t('state.request_id'), <Optional key="request" value={event.request_id} />],
                ]}
            />
            <div>
                <LazyJson value={event} about={t('webhook_events.details')} />
            </div>
        </Stack>
    );
}
