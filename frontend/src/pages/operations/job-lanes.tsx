import { Badge, Button, Card, Group, Title } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import type { Schema } from '../../api/types';
import { formatDecimal, formatDuration } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { type Column, DataTable } from '../../ui/data-table';
import { useLaneName } from './lane-name';

type Lane = Schema<'LaneStats'>;

export const JOB_STATUS_COLORS: Record<Schema<'JobStatus'>, string> = {
    pending: 'gray',
    processing: 'blue',
    waiting_external: 'orange',
};

/** The lanes with unfinished jobs. The lane with the oldest job is first. */
export function JobLanes({ lanes }: { lanes: Lane[] }) {
    const { t } = useTranslation();
    const columns = useColumns();
    const sorted = useMemo(
        () => lanes.toSorted((one, other) => (other.oldest_age_ms ?? 0) - (one.oldest_age_ms ?? 0)),
        [lanes],
    );
    if (lanes.length === 0) return null;
    return (
        <Card padding={0} component="section" aria-labelledby="job-lanes">
            <Group justify="space-between" p="md" pb="xs">
                <Title order={2} size="h4" id="job-lanes">
                    {t('nav.lanes')}
                </Title>
                <Button component={Link} to="/console/lanes" variant="default" size="xs">
                    {t('job_lanes.manage')}
                </Button>
            </Group>
            <DataTable
                label={t('nav.lanes')}
                columns={columns}
                rows={sorted}
                rowId={({ lane, status }) => `${lane} ${status}`}
            />
        </Card>
    );
}

function useColumns(): Column<Lane>[] {
    const { t } = useTranslation();
    const language = useLanguage();
    const laneName = useLaneName();
    return useMemo(
        () => [
            {
                id: 'lane',
                header: t('jobs.lane'),
                cell: ({ row: { original } }) => (
                    <Group gap="xs">
                        {laneName(original.lane)}
                        {original.paused && <Badge color="orange">{t('lanes.paused')}</Badge>}
                    </Group>
                ),
            },
            {
                id: 'status',
                header: t('application.status'),
                cell: ({ row: { original } }) => (
                    <Badge color={JOB_STATUS_COLORS[original.status]}>{t(`job_status.${original.status}`)}</Badge>
                ),
            },
            {
                id: 'jobs',
                header: t('nav.jobs'),
                meta: { align: 'right' },
                cell: ({ row }) => formatDecimal(row.original.jobs, language),
            },
            {
                id: 'age',
                header: t('job_lanes.oldest'),
                meta: { align: 'right' },
                cell: ({ row: { original } }) =>
                    original.oldest_age_ms === null ? '–' : formatDuration(original.oldest_age_ms, language),
            },
        ],
        [t, language, laneName],
    );
}
