import { Badge, Button, Card, Stack, Text, Title } from '@mantine/core';
import { IconPlayerPlay } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { confirmAction } from '../../ui/confirm';
import { type Column, DataTable } from '../../ui/data-table';
import { notifyError, notifySuccess } from '../../ui/errors';
import { ActionColumn } from '../../ui/action-column';
import { Page } from '../../ui/page';
import { QueryView } from '../../ui/states';
import { Time } from '../../ui/text';
import { OUTCOME_COLORS, ScheduledRuns } from './scheduled-runs';

type Task = Schema<'ScheduledTask'>;

/** The scheduled tasks with their latest runs, and the history of all runs. */
export function SchedulePage() {
    const { t } = useTranslation();
    const query = useQuery({
        queryKey: ['schedule'],
        queryFn: () => unwrap(api.GET('/api/v1/admin/schedule')),
        refetchInterval: 5000,
    });
    const columns = useColumns();
    return (
        <Page
            title={t('schedule.title')}
            subtitle={query.data ? t('schedule.hint_zone', { zone: query.data.time_zone }) : t('schedule.hint')}
        >
            <Card padding={0}>
                <QueryView query={query}>
                    {({ tasks }) => (
                        <DataTable
                            label={t('schedule.title')}
                            columns={columns}
                            rows={tasks}
                            rowId={({ task }) => task}
                        />
                    )}
                </QueryView>
            </Card>
            <Title order={2} size="h4">
                {t('schedule.runs')}
            </Title>
            <ScheduledRuns tasks={query.data?.tasks.map(({ task }) => task) ?? []} />
        </Page>
    );
}

function useRun(): (task: string) => void {
    const { t } = useTranslation();
    const queryClient = useQueryClient();
    const { mutate } = useMutation({
        mutationFn: (task: string) =>
            unwrap(api.POST('/api/v1/admin/schedule/{task}/run', { params: { path: { task } } })),
        onSuccess: () => {
            notifySuccess(t('schedule.run_requested'));
            return Promise.all(
                [['schedule'], ['scheduled-runs']].map((queryKey) => queryClient.invalidateQueries({ queryKey })),
            );
        },
        onError: notifyError,
    });
    return mutate;
}

function useColumns(): Column<Task>[] {
    const { t } = useTranslation();
    const run = useRun();
    return useMemo(() => {
        const confirm = (task: string) =>
            confirmAction({
                title: t('schedule.run_of', { task }),
                hint: t('schedule.run_hint'),
                confirm: t('schedule.run'),
                onConfirm: () => run(task),
            });
        return [
            {
                id: 'task',
                header: t('jobs.task'),
                cell: ({ row: { original } }) => (
                    <>
                        <Text size="sm" fw={600}>
                            {original.task}
                        </Text>
                        <Text size="xs" c="dimmed" ff="monospace">
                            {isOff(original) ? t('schedule.off') : original.cron}
                        </Text>
                    </>
                ),
            },
            {
                id: 'next',
                header: t('schedule.next_due_at'),
                cell: ({ row }) => <Moment time={row.original.next_due_at} />,
            },
            {
                id: 'last_run',
                header: t('schedule.last_run'),
                cell: ({ row: { original } }) => <LastRun run={original.last_run} />,
            },
            {
                id: 'last_success',
                header: t('schedule.last_success_at'),
                cell: ({ row }) => <Moment time={row.original.last_success_at} />,
            },
            {
                id: 'missed',
                header: t('schedule.missed'),
                cell: ({ row }) => t(`schedule.missed_${row.original.missed}`),
            },
            {
                id: 'actions',
                header: ActionColumn,
                meta: { align: 'right' },
                cell: ({ row: { original } }) => (
                    <Button
                        size="xs"
                        variant="default"
                        leftSection={<IconPlayerPlay size={14} aria-hidden />}
                        aria-label={t('schedule.run_of', { task: original.task })}
                        onClick={() => confirm(original.task)}
                    >
                        {t('schedule.run')}
                    </Button>
                ),
            },
        ];
    }, [t, run]);
}

/** A task whose schedule is off runs only on request. */
function isOff({ cron }: Task): boolean {
    return cron === '' || cron === 'off';
}

function LastRun({ run }: { run: Task['last_run'] }) {
    const { t } = useTranslation();
    if (run === null) return <Text c="dimmed">–</Text>;
    return (
        <Stack gap={2} align="flex-start">
            <Badge color={OUTCOME_COLORS[run.outcome]}>{t(`schedule.outcome_${run.outcome}`)}</Badge>
            <Text size="xs" c="dimmed">
                <Time time={run.finished_at ?? run.started_at ?? run.due_at} />
            </Text>
            {run.error_message && (
                <Text size="xs" className="wrap-anywhere" lineClamp={2}>
                    {run.error_message}
                </Text>
            )}
        </Stack>
    );
}

function Moment({ time }: { time: string | null }) {
    if (time === null) return <Text c="dimmed">–</Text>;
    return (
        <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
            <Time time={time} />
        </Text>
    );
}
