import { Badge, Button, Card, Stack, Text, VisuallyHidden } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { type Column, DataTable } from '../../ui/data-table';
import { notifySuccess } from '../../ui/errors';
import { Page } from '../../ui/page';
import { ReasonDialog, type ReasonRequest } from '../../ui/reason-dialog';
import { QueryView } from '../../ui/states';
import { Time } from '../../ui/text';
import { useLaneName } from './lane-name';

type Lane = Schema<'LaneView'>;

export function LanesPage() {
    const { t } = useTranslation();
    const laneName = useLaneName();
    const queryClient = useQueryClient();
    const query = useQuery({
        queryKey: ['lanes'],
        queryFn: () => unwrap(api.GET('/api/v1/admin/jobs/lanes')),
        refetchInterval: 5000,
    });
    const [request, setRequest] = useState<ReasonRequest>();

    const columns = useMemo<Column<Lane>[]>(() => {
        const change = ({ lane, paused }: Lane) =>
            setRequest({
                title: t(paused ? 'lanes.resume_title' : 'lanes.pause_title', { lane: laneName(lane) }),
                hint: t(paused ? 'lanes.resume_hint' : 'lanes.pause_hint'),
                confirm: t(paused ? 'lanes.resume' : 'lanes.pause'),
                ...(!paused && { color: 'red' }),
                withExpiry: !paused,
                submit: async ({ reason, expires_at }) => {
                    await unwrap(
                        api.PUT('/api/v1/admin/jobs/lanes/{lane}', {
                            params: { path: { lane } },
                            body: { paused: !paused, reason, ...(expires_at && { expires_at }) },
                        }),
                    );
                    notifySuccess(t('lanes.saved'));
                    await queryClient.invalidateQueries({ queryKey: ['lanes'] });
                },
            });
        return [
            {
                id: 'lane',
                header: t('jobs.lane'),
                cell: ({ row }) => (
                    <Text size="sm" fw={600}>
                        {laneName(row.original.lane)}
                    </Text>
                ),
            },
            {
                id: 'state',
                header: t('lanes.state'),
                cell: ({ row: { original } }) => (
                    <Badge color={original.paused ? 'orange' : 'green'}>
                        {t(original.paused ? 'lanes.paused' : 'lanes.open')}
                    </Badge>
                ),
            },
            {
                id: 'intake',
                header: t('lanes.intake'),
                cell: ({ row: { original } }) => (original.intake ? t(`lanes.intake_${original.intake}`) : '–'),
            },
            {
                id: 'pause',
                header: t('lanes.pause_reason'),
                cell: ({ row: { original } }) =>
                    original.pause === null ? (
                        <Text c="dimmed">–</Text>
                    ) : (
                        <Stack gap={2}>
                            <Text size="sm" className="wrap-anywhere">
                                {original.pause.reason}
                            </Text>
                            <Text size="xs" c="dimmed">
                                {t('audit.by', { account: original.pause.paused_by })}
                                {original.pause.expires_at && (
                                    <>
                                        {' · '}
                                        {t('operate.until')} <Time time={original.pause.expires_at} />
                                    </>
                                )}
                            </Text>
                        </Stack>
                    ),
            },
            {
                id: 'actions',
                header: () => <VisuallyHidden>{t('action.column')}</VisuallyHidden>,
                meta: { align: 'right' },
                cell: ({ row: { original } }) => (
                    <Button size="xs" variant="default" onClick={() => change(original)}>
                        {t(original.paused ? 'lanes.resume' : 'lanes.pause')}
                    </Button>
                ),
            },
        ];
    }, [t, laneName, queryClient]);

    return (
        <Page title={t('nav.lanes')} subtitle={t('lanes.hint')}>
            <Card padding={0}>
                <QueryView query={query}>
                    {(data) => (
                        <DataTable
                            label={t('nav.lanes')}
                            columns={columns}
                            rows={data.lanes}
                            rowId={({ lane }) => lane}
                        />
                    )}
                </QueryView>
            </Card>
            <ReasonDialog request={request} onClose={() => setRequest(undefined)} />
        </Page>
    );
}
