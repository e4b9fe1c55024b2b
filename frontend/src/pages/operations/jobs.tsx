import { Anchor, Badge, Group, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { JOB_STATUSES, type Schema } from '../../api/types';
import { formatDecimal } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { CursorTable, useCursorList } from '../../ui/cursor-list';
import type { Column } from '../../ui/data-table';
import { Figures } from '../../ui/figures';
import { FilterBar, FilterChoice } from '../../ui/filter-bar';
import { Page } from '../../ui/page';
import { Empty, QueryView } from '../../ui/states';
import { Time } from '../../ui/text';
import { JOB_STATUS_COLORS, JobLanes } from './job-lanes';
import { urgency } from './job-urgency';
import { useLaneName } from './lane-name';

type Job = Schema<'JobView'>;
type JobStatus = Schema<'JobStatus'>;

/** Unfinished jobs, the oldest first, so that jobs that are stuck or slow are on the first page. */
export function JobsPage() {
    const { t } = useTranslation();
    const laneName = useLaneName();
    const [status, setStatus] = useState<JobStatus>();
    const [lane, setLane] = useState<string>();
    const stats = useQuery({
        queryKey: ['job-stats'],
        queryFn: () => unwrap(api.GET('/api/v1/admin/jobs/stats')),
        refetchInterval: 5000,
    });
    const lanes = useQuery({
        queryKey: ['lanes'],
        queryFn: () => unwrap(api.GET('/api/v1/admin/jobs/lanes')),
    });
    const filters = { status, lane, sort: 'created_at' as const };
    const list = useCursorList({
        queryKey: ['jobs', filters],
        load: (page) => unwrap(api.GET('/api/v1/admin/jobs', { params: { query: { ...page, ...filters } } })),
        refetchInterval: 5000,
    });
    const columns = useColumns(list.query.dataUpdatedAt);
    return (
        <Page title={t('nav.jobs')} subtitle={t('jobs.hint')}>
            <QueryView query={stats} lines={2}>
                {(data) => (
                    <Stack gap="lg">
                        <JobFigures stats={data} />
                        <JobLanes lanes={data.lanes} />
                    </Stack>
                )}
            </QueryView>
            <FilterBar>
                <FilterChoice
                    label={t('application.status')}
                    value={status}
                    choices={JOB_STATUSES.map((each) => [each, t(`job_status.${each}`)])}
                    onChange={setStatus}
                />
                <FilterChoice
                    label={t('jobs.lane')}
                    value={lane}
                    choices={(lanes.data?.lanes ?? []).map((each) => [each.lane, laneName(each.lane)])}
                    onChange={setLane}
                />
            </FilterBar>
            <CursorTable
                list={list}
                rows={({ jobs }) => jobs}
                label={t('nav.jobs')}
                columns={columns}
                rowId={({ id }) => id}
                empty={<Empty title={t('jobs.none')} hint={t('jobs.none_hint')} />}
            />
        </Page>
    );
}

function JobFigures({ stats }: { stats: Schema<'JobStats'> }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const pending = stats.dead_letters.find((each) => each.status === 'pending')?.jobs ?? 0;
    const depth = formatDecimal(stats.depth, language);
    return (
        <Figures
            figures={[
                [t('jobs.depth'), stats.depth >= stats.counted_up_to ? `≥ ${depth}` : depth],
                [t('jobs.running'), formatDecimal(stats.running_here, language)],
                [t('jobs.slots'), formatDecimal(stats.pool_size, language)],
                [t('jobs.dead_letters'), formatDecimal(pending, language)],
            ]}
        />
    );
}

function useColumns(now: number): Column<Job>[] {
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
                cell: ({ row: { original } }) => <Status job={original} now={now} />,
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
        [t, laneName, now],
    );
}

function Status({ job, now }: { job: Job; now: number }) {
    const { t } = useTranslation();
    const urgent = urgency(job, now);
    return (
        <Group gap={4}>
            <Badge color={JOB_STATUS_COLORS[job.status]}>{t(`job_status.${job.status}`)}</Badge>
            {urgent && <Badge color={urgent === 'stuck' ? 'red' : 'orange'}>{t(`job_lanes.${urgent}`)}</Badge>}
        </Group>
    );
}
