import { Anchor, Badge, Card, Group, NativeSelect, Stack, Text } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { JOB_STATUSES, type Schema } from '../../api/types';
import { formatDecimal } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { CursorPager, type CursorTrail } from '../../ui/cursor-pager';
import { type Column, DataTable } from '../../ui/data-table';
import { Figures } from '../../ui/figures';
import { Page } from '../../ui/page';
import { Empty, QueryView } from '../../ui/states';
import { Time } from '../../ui/text';
import { useLaneName } from './lane-name';

type Job = Schema<'JobView'>;
type JobStatus = Schema<'JobStatus'>;

const STATUS_COLORS: Record<JobStatus, string> = { pending: 'gray', processing: 'blue', waiting_external: 'orange' };
const PAGE_SIZE = 20;

export function JobsPage() {
    const { t } = useTranslation();
    const [status, setStatus] = useState<JobStatus>();
    const [trail, setTrail] = useState<CursorTrail>([]);
    const cursor = trail.at(-1);
    const query = useQuery({
        queryKey: ['jobs', status, cursor],
        queryFn: () =>
            unwrap(
                api.GET('/api/v1/admin/jobs', {
                    params: { query: { page_size: PAGE_SIZE, ...(status && { status }), ...(cursor && { cursor }) } },
                }),
            ),
        placeholderData: keepPreviousData,
        refetchInterval: 5000,
    });
    const columns = useColumns();
    return (
        <Page
            title={t('nav.jobs')}
            subtitle={t('jobs.hint')}
            actions={
                <NativeSelect
                    aria-label={t('application.status')}
                    value={status ?? ''}
                    data={[
                        { value: '', label: t('filter.all') },
                        ...JOB_STATUSES.map((each) => ({ value: each, label: t(`job_status.${each}`) })),
                    ]}
                    onChange={(event) => {
                        setTrail([]);
                        setStatus(JOB_STATUSES.find((each) => each === event.currentTarget.value));
                    }}
                />
            }
        >
            <JobFigures />
            <Card padding={0}>
                <QueryView
                    query={query}
                    isEmpty={({ jobs }) => jobs.length === 0}
                    empty={<Empty title={t('jobs.none')} hint={t('jobs.none_hint')} />}
                >
                    {(data) => (
                        <DataTable label={t('nav.jobs')} columns={columns} rows={data.jobs} rowId={({ id }) => id} />
                    )}
                </QueryView>
            </Card>
            <CursorPager trail={trail} next={query.data?.next_cursor} onChange={setTrail} />
        </Page>
    );
}

function JobFigures() {
    const { t } = useTranslation();
    const language = useLanguage();
    const query = useQuery({
        queryKey: ['job-stats'],
        queryFn: () => unwrap(api.GET('/api/v1/admin/jobs/stats')),
        refetchInterval: 5000,
    });
    return (
        <QueryView query={query} lines={2}>
            {(stats) => {
                const waiting = stats.dead_letters.find((each) => each.status === 'pending')?.jobs ?? 0;
                const depth = formatDecimal(stats.depth, language);
                return (
                    <Figures
                        figures={[
                            [t('jobs.depth'), stats.depth >= stats.counted_up_to ? `≥ ${depth}` : depth],
                            [t('jobs.running'), formatDecimal(stats.running_here, language)],
                            [t('jobs.slots'), formatDecimal(stats.pool_size, language)],
                            [t('jobs.dead_letters'), formatDecimal(waiting, language)],
                        ]}
                    />
                );
            }}
        </QueryView>
    );
}

function useColumns(): Column<Job>[] {
    const { t } = useTranslation();
    const laneName = useLaneName();
    return useMemo(
        () => [
            {
                id: 'task',
                header: t('jobs.task'),
                cell: ({ row: { original } }) => (
                    <Stack gap={0}>
                        <Text size="sm" fw={600}>
                            {original.task}
                        </Text>
                        {original.application_id && (
                            <Anchor
                                component={Link}
                                to={`/console/applications/${original.application_id}`}
                                size="xs"
                                ff="monospace"
                            >
                                {original.application_id}
                            </Anchor>
                        )}
                    </Stack>
                ),
            },
            { id: 'lane', header: t('jobs.lane'), cell: ({ row }) => laneName(row.original.lane) },
            {
                id: 'status',
                header: t('application.status'),
                cell: ({ row: { original } }) => (
                    <Badge color={STATUS_COLORS[original.status]}>{t(`job_status.${original.status}`)}</Badge>
                ),
            },
            {
                id: 'attempts',
                header: t('jobs.attempts'),
                meta: { align: 'right' },
                cell: ({ row }) => row.original.attempts,
            },
            {
                id: 'run_at',
                header: t('jobs.run_at'),
                meta: { align: 'right' },
                cell: ({ row }) => (
                    <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                        <Time time={row.original.run_at} seconds />
                    </Text>
                ),
            },
            {
                id: 'error',
                header: t('jobs.error'),
                cell: ({ row: { original } }) =>
                    original.error_type === null ? (
                        <Text c="dimmed">–</Text>
                    ) : (
                        <Group gap="xs">
                            <Badge color="red">{original.error_type}</Badge>
                            <Text size="xs" className="wrap-anywhere">
                                {original.error_message}
                            </Text>
                        </Group>
                    ),
            },
        ],
        [t, laneName],
    );
}
