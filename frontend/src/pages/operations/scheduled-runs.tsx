import { Badge, Stack, Text } from '@mantine/core';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { RUN_OUTCOMES, type Schema } from '../../api/types';
import { formatDuration } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { CursorTable, useCursorList } from '../../ui/cursor-list';
import type { Column } from '../../ui/data-table';
import { FilterBar, FilterChoice } from '../../ui/filter-bar';
import { LazyJson } from '../../ui/lazy-json';
import { Empty } from '../../ui/states';
import { Time } from '../../ui/text';

type Run = Schema<'RunView'>;
type Outcome = Schema<'Outcome'>;

export const OUTCOME_COLORS: Record<Outcome, string> = {
    requested: 'gray',
    running: 'blue',
    completed: 'green',
    failed: 'red',
    abandoned: 'orange',
};

/** The runs of scheduled tasks, newest first. */
export function ScheduledRuns({ tasks }: { tasks: string[] }) {
    const { t } = useTranslation();
    const [task, setTask] = useState<string>();
    const [outcome, setOutcome] = useState<Outcome>();
    const filters = { task, outcome };
    const list = useCursorList({
        queryKey: ['scheduled-runs', filters],
        load: (page) => unwrap(api.GET('/api/v1/admin/scheduled-runs', { params: { query: { ...page, ...filters } } })),
        refetchInterval: 5000,
    });
    const columns = useColumns();
    return (
        <>
            <FilterBar>
                <FilterChoice
                    label={t('jobs.task')}
                    value={task}
                    choices={tasks.map((each) => [each, each])}
                    onChange={setTask}
                />
                <FilterChoice
                    label={t('schedule.outcome')}
                    value={outcome}
                    choices={RUN_OUTCOMES.map((each) => [each, t(`schedule.outcome_${each}`)])}
                    onChange={setOutcome}
                />
            </FilterBar>
            <CursorTable
                list={list}
                rows={({ runs }) => runs}
                label={t('schedule.runs')}
                columns={columns}
                rowId={({ id }) => id}
                empty={<Empty title={t('schedule.no_runs')} hint={t('schedule.no_runs_hint')} />}
            />
        </>
    );
}

function useColumns(): Column<Run>[] {
    const { t } = useTranslation();
    const language = useLanguage();
    return useMemo(
        () => [
            {
                id: 'task',
                header: t('jobs.task'),
                cell: ({ row: { original } }) => (
                    <>
                        <Text size="sm" fw={600}>
                            {original.task}
                        </Text>
                        <Text size="xs" c="dimmed">
                            {original.requested_by === null
                                ? t(`schedule.cause_${original.cause}`)
                                : t('audit.by', { account: original.requested_by })}
                        </Text>
                    </>
                ),
            },
            {
                id: 'outcome',
                header: t('schedule.outcome'),
                cell: ({ row: { original } }) => (
                    <Stack gap={2} align="flex-start">
                        <Badge color={OUTCOME_COLORS[original.outcome]}>
                            {t(`schedule.outcome_${original.outcome}`)}
                        </Badge>
                        {original.error_message && (
                            <Text size="xs" className="wrap-anywhere">
                                {original.error_message}
                            </Text>
                        )}
                    </Stack>
                ),
            },
            {
                id: 'started',
                header: t('schedule.started_at'),
                cell: ({ row: { original } }) => (
                    <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                        <Time time={original.started_at ?? original.due_at} seconds />
                    </Text>
                ),
            },
            {
                id: 'duration',
                header: t('schedule.duration'),
                meta: { align: 'right' },
                cell: ({ row: { original } }) => {
                    const ms = durationMs(original);
                    return ms === undefined ? '–' : formatDuration(ms, language);
                },
            },
            {
                id: 'detail',
                header: t('schedule.detail'),
                cell: ({ row: { original } }) => <LazyJson value={original.detail} about={original.task} />,
            },
        ],
        [t, language],
    );
}

/** How long a finished run took, in milliseconds. */
function durationMs({ started_at, finished_at }: Run): number | undefined {
    if (started_at === null || finished_at === null) return undefined;
    return Date.parse(finished_at) - Date.parse(started_at);
}
