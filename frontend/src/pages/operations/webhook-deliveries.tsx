import { Badge, Button, Group, Stack, Text, Title } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { DELIVERY_STATUSES, type Schema } from '../../api/types';
import { formatDuration } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { CursorTable, useCursorList } from '../../ui/cursor-list';
import type { Column } from '../../ui/data-table';
import { notifyError, notifySuccess } from '../../ui/errors';
import { FilterBar, FilterChoice, FilterText } from '../../ui/filter-bar';
import { LazyJson } from '../../ui/lazy-json';
import { OpenButton } from '../../ui/open-button';
import { Empty, QueryView } from '../../ui/states';
import { Time } from '../../ui/text';

type Delivery = Schema<'WebhookDeliveryView'>;
type Attempt = Schema<'WebhookAttemptView'>;
type Status = Schema<'WebhookDeliveryStatus'>;

const STATUS_COLORS: Record<Status, string> = {
    waiting: 'blue',
    pending: 'blue',
    delivered: 'green',
    dead: 'red',
    skipped: 'gray',
};

/** The deliveries to an endpoint, and the attempts of the selected one. */
export function Deliveries({ endpoint }: { endpoint: string }) {
    const { t } = useTranslation();
    const [status, setStatus] = useState<Status>();
    const [event_type, setEventType] = useState<string>();
    const [selected, setSelected] = useState<string>();
    const filters = { status, event_type };
    const list = useCursorList({
        queryKey: ['webhook-endpoints', endpoint, 'deliveries', filters],
        load: (page) =>
            unwrap(
                api.GET('/api/v1/webhook-endpoints/{id}/deliveries', {
                    params: { path: { id: endpoint }, query: { ...page, ...filters } },
                }),
            ),
        refetchInterval: 5_000,
    });
    const columns = useColumns(setSelected);
    return (
        <Stack>
            <Title order={3} size="h4">
                {t('webhook_endpoints.deliveries')}
            </Title>
            <FilterBar>
                <FilterChoice
                    label={t('application.status')}
                    value={status}
                    choices={DELIVERY_STATUSES.map((each) => [each, t(`webhook_endpoints.status_${each}`)])}
                    onChange={setStatus}
                />
                <FilterText label={t('webhook_endpoints.event')} onChange={setEventType} />
            </FilterBar>
            <CursorTable
                list={list}
                rows={({ deliveries }) => deliveries}
                label={t('webhook_endpoints.deliveries')}
                columns={columns}
                rowId={({ id }) => id}
                empty={
                    <Empty
                        title={t('webhook_endpoints.no_deliveries')}
                        hint={t('webhook_endpoints.no_deliveries_hint')}
                    />
                }
            />
            {selected && <SelectedDelivery key={selected} endpoint={endpoint} id={selected} />}
        </Stack>
    );
}

function useColumns(select: (id: string) => void): Column<Delivery>[] {
    const { t } = useTranslation();
    return useMemo(
        () => [
            {
                id: 'event',
                header: t('webhook_endpoints.event'),
                cell: ({ row: { original } }) => (
                    <OpenButton name={original.event_type} onOpen={() => select(original.id)} />
                ),
            },
            {
                id: 'status',
                header: t('application.status'),
                cell: ({ row }) => <DeliveryStatus delivery={row.original} />,
            },
            {
                id: 'attempts',
                header: t('jobs.attempts'),
                meta: { align: 'right' },
                cell: ({ row }) => row.original.attempts,
            },
            {
                id: 'created',
                header: t('webhook_endpoints.created_at'),
                meta: { align: 'right' },
                cell: ({ row }) => (
                    <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                        <Time time={row.original.created_at} seconds />
                    </Text>
                ),
            },
        ],
        [t, select],
    );
}

function DeliveryStatus({ delivery }: { delivery: Delivery }) {
    const { t } = useTranslation();
    return (
        <Stack gap={2} align="flex-start">
            <Badge color={STATUS_COLORS[delivery.status]}>{t(`webhook_endpoints.status_${delivery.status}`)}</Badge>
            {delivery.next_attempt_at && (
                <Text size="xs" c="dimmed">
                    {t('webhook_endpoints.next_attempt_at')}: <Time time={delivery.next_attempt_at} seconds />
                </Text>
            )}
        </Stack>
    );
}

/** The attempts of a delivery, its event, and the button that sends it again. */
function SelectedDelivery({ endpoint, id }: { endpoint: string; id: string }) {
    const { t } = useTranslation();
    const queryClient = useQueryClient();
    const delivery = useQuery({
        queryKey: ['webhook-endpoints', endpoint, 'delivery', id],
        queryFn: () => unwrap(api.GET('/api/v1/webhook-deliveries/{id}', { params: { path: { id } } })),
    });
    const list = useCursorList({
        queryKey: ['webhook-endpoints', endpoint, 'attempts', id],
        load: (page) =>
            unwrap(
                api.GET('/api/v1/webhook-endpoints/{id}/attempts', {
                    params: { path: { id: endpoint }, query: { ...page, delivery_id: id } },
                }),
            ),
        refetchInterval: 5_000,
    });
    const resend = useMutation({
        mutationFn: () => unwrap(api.POST('/api/v1/webhook-deliveries/{id}/resend', { params: { path: { id } } })),
        onSuccess: () => {
            notifySuccess(t('webhook_endpoints.resent'));
            return queryClient.invalidateQueries({ queryKey: ['webhook-endpoints', endpoint] });
        },
        onError: notifyError,
    });
    const columns = useAttemptColumns();
    return (
        <Stack>
            <Group justify="space-between">
                <Title order={3} size="h4">
                    {t('webhook_endpoints.attempts')}
                </Title>
                <Button size="xs" variant="default" loading={resend.isPending} onClick={() => resend.mutate()}>
                    {t('webhook_endpoints.resend')}
                </Button>
            </Group>
            <CursorTable
                list={list}
                rows={({ attempts }) => attempts}
                label={t('webhook_endpoints.attempts')}
                columns={columns}
                rowId={({ id }) => id}
                empty={<Empty title={t('webhook_endpoints.no_attempts')} />}
            />
            <QueryView query={delivery}>
                {({ event }) => <LazyJson value={event} about={t('webhook_endpoints.event')} />}
            </QueryView>
        </Stack>
    );
}

function useAttemptColumns(): Column<Attempt>[] {
    const { t } = useTranslation();
    const language = useLanguage();
    return useMemo(
        () => [
            {
                id: 'result',
                header: t('webhook_endpoints.result'),
                cell: ({ row: { original } }) => (
                    <>
                        <Text size="sm" fw={600}>
                            {t(`webhook_endpoints.result_${original.result}`)}
                            {original.status_code !== null && ` (${original.status_code})`}
                        </Text>
                        {original.error && (
                            <Text size="xs" c="dimmed" className="wrap-anywhere">
                                {original.error}
                            </Text>
                        )}
                    </>
                ),
            },
            {
                id: 'response',
                header: t('webhook_endpoints.response'),
                cell: ({ row: { original } }) => (
                    <Text size="xs" ff="monospace" className="wrap-anywhere" lineClamp={4}>
                        {original.response}
                    </Text>
                ),
            },
            {
                id: 'duration',
                header: t('webhook_endpoints.duration'),
                meta: { align: 'right' },
                cell: ({ row }) => formatDuration(row.original.duration_ms, language),
            },
            {
                id: 'time',
                header: t('webhook_endpoints.attempted_at'),
                meta: { align: 'right' },
                cell: ({ row }) => (
                    <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                        <Time time={row.original.attempted_at} seconds />
                    </Text>
                ),
            },
        ],
        [t, language],
    );
}
