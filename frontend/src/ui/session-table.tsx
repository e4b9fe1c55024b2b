import { Badge, Button, Group, Text, VisuallyHidden } from '@mantine/core';
import { useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import type { SessionView } from '../api/types';
import { type Column, DataTable } from './data-table';
import { Optional, Time } from './text';

/** The sessions of an account, with a button to end each if `onEnd` is given. It must be stable between renders. */
export function SessionTable(props: { sessions: SessionView[]; onEnd?: (session: SessionView) => void }) {
    const { t } = useTranslation();
    const { onEnd } = props;
    const columns = useMemo<Column<SessionView>[]>(
        () => [
            {
                id: 'device',
                header: t('sessions.device'),
                cell: ({ row: { original } }) => (
                    <>
                        <Group gap="xs">
                            <Text size="sm" lineClamp={2} className="wrap-anywhere" translate="no">
                                <Optional value={original.user_agent} />
                            </Text>
                            {original.current && <Badge color="green">{t('sessions.current')}</Badge>}
                        </Group>
                        {original.address && (
                            <Text size="xs" c="dimmed" ff="monospace">
                                {original.address}
                            </Text>
                        )}
                    </>
                ),
            },
            {
                id: 'created',
                header: t('sessions.created'),
                cell: ({ row }) => <Moment time={row.original.created_at} />,
            },
            {
                id: 'used',
                header: t('api_keys.last_used'),
                cell: ({ row }) => <Moment time={row.original.last_used_at} />,
            },
            {
                id: 'expires',
                header: t('api_keys.expires'),
                cell: ({ row }) => <Moment time={row.original.expires_at} />,
            },
            ...(onEnd === undefined
                ? []
                : [
                      {
                          id: 'actions',
                          header: () => <VisuallyHidden>{t('action.column')}</VisuallyHidden>,
                          meta: { align: 'right' },
                          cell: ({ row: { original } }) => (
                              <Button size="xs" variant="default" onClick={() => onEnd(original)}>
                                  {t('sessions.end')}
                              </Button>
                          ),
                      } satisfies Column<SessionView>,
                  ]),
        ],
        [t, onEnd],
    );
    return <DataTable label={t('sessions.title')} columns={columns} rows={props.sessions} rowId={({ id }) => id} />;
}

function Moment({ time }: { time: string }) {
    return (
        <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
            <Time time={time} />
        </Text>
    );
}
