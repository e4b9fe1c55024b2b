import { Badge, Button, Card, Group, Menu, Stack, Text, VisuallyHidden } from '@mantine/core';
import { IconChevronDown } from '@tabler/icons-react';
import { queryOptions, useQuery, useQueryClient } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { countryName, formatDecimal, formatDuration } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { useOperationsRefresh } from '../../live/use-operations-refresh';
import { type Column, DataTable } from '../../ui/data-table';
import { notifySuccess } from '../../ui/errors';
import { Page } from '../../ui/page';
import { ReasonDialog, type ReasonRequest } from '../../ui/reason-dialog';
import { QueryView } from '../../ui/states';
import { Country, Time } from '../../ui/text';
import { CircuitHistory } from './circuit-history';

type Circuit = Schema<'CircuitView'>;
type Mode = Schema<'CircuitModeName'>;

const MODES: Mode[] = ['auto', 'forced_open', 'forced_closed'];
const STATE_COLORS: Record<Schema<'CircuitState'>, string> = { closed: 'green', open: 'red', half_open: 'orange' };

const circuitsQuery = () =>
    queryOptions({
        queryKey: ['circuits', 'list'],
        queryFn: () => unwrap(api.GET('/api/v1/admin/circuits')),
        refetchInterval: 5000,
    });

export function CircuitsPage() {
    const { t } = useTranslation();
    const language = useLanguage();
    const queryClient = useQueryClient();
    const query = useQuery(circuitsQuery());
    const [request, setRequest] = useState<ReasonRequest>();
    useOperationsRefresh('circuit.', 'circuits');

    const columns = useMemo<Column<Circuit>[]>(() => {
        const override = (circuit: Circuit, mode: Mode) =>
            setRequest({
                title: t(`circuits.${mode}_title`, { country: countryName(circuit.country, language) }),
                hint: t(`circuits.${mode}_hint`),
                confirm: t(`circuits.mode_${mode}`),
                ...(mode === 'forced_open' && { color: 'red' }),
                withExpiry: mode !== 'auto',
                submit: async ({ reason, expires_at }) => {
                    await unwrap(
                        api.PUT('/api/v1/admin/circuits/{code}', {
                            params: { path: { code: circuit.country } },
                            body: { mode, reason, ...(expires_at && { expires_at }) },
                        }),
                    );
                    notifySuccess(t('circuits.saved'));
                    await queryClient.invalidateQueries({ queryKey: ['circuits'] });
                },
            });
        return [
            {
                id: 'bureau',
                header: t('banking.provider'),
                cell: ({ row: { original } }) => (
                    <>
                        <Text size="sm" fw={600}>
                            <Country code={original.country} />
                        </Text>
                        <Text size="xs" c="dimmed">
                            {original.provider}
                        </Text>
                    </>
                ),
            },
            {
                id: 'state',
                header: t('circuits.state'),
                cell: ({ row: { original } }) => <State circuit={original} />,
            },
            {
                id: 'calls',
                header: t('circuits.calls'),
                meta: { align: 'right' },
                cell: ({ row: { original } }) =>
                    original.here &&
                    t('circuits.calls_detail', {
                        calls: formatDecimal(original.here.calls, language),
                        failures: formatDecimal(original.here.failures, language),
                        slow: formatDecimal(original.here.slow, language),
                    }),
            },
            {
                id: 'load',
                header: t('circuits.load'),
                meta: { align: 'right' },
                cell: ({ row: { original } }) =>
                    original.here &&
                    t('circuits.load_detail', {
                        running: formatDecimal(original.here.in_flight, language),
                        queued: formatDecimal(original.here.queued, language),
                    }),
            },
            {
                id: 'override',
                header: t('circuits.override'),
                cell: ({ row: { original } }) => <Override circuit={original} />,
            },
            {
                id: 'actions',
                header: () => <VisuallyHidden>{t('action.column')}</VisuallyHidden>,
                meta: { align: 'right' },
                cell: ({ row: { original } }) => (
                    <Menu position="bottom-end">
                        <Menu.Target>
                            <Button
                                size="xs"
                                variant="default"
                                rightSection={<IconChevronDown size={14} aria-hidden />}
                                aria-label={t('circuits.change_of', {
                                    country: countryName(original.country, language),
                                })}
                            >
                                {t('circuits.change')}
                            </Button>
                        </Menu.Target>
                        <Menu.Dropdown>
                            {MODES.filter((mode) => mode !== (original.override?.mode ?? 'auto')).map((mode) => (
                                <Menu.Item key={mode} onClick={() => override(original, mode)}>
                                    {t(`circuits.mode_${mode}`)}
                                </Menu.Item>
                            ))}
                        </Menu.Dropdown>
                    </Menu>
                ),
            },
        ];
    }, [t, language, queryClient]);

    return (
        <Page title={t('nav.circuits')} subtitle={t('circuits.hint')}>
            <Card padding={0}>
                <QueryView query={query}>
                    {(data) => (
                        <DataTable
                            label={t('nav.circuits')}
                            columns={columns}
                            rows={data.circuits}
                            rowId={({ country }) => country}
                        />
                    )}
                </QueryView>
            </Card>
            {query.data && (
                <Text size="xs" c="dimmed" className="wrap-anywhere">
                    {t('operate.instance', { instance: query.data.instance })}
                </Text>
            )}
            <CircuitHistory />
            <ReasonDialog request={request} onClose={() => setRequest(undefined)} />
        </Page>
    );
}

function State({ circuit }: { circuit: Circuit }) {
    const { t } = useTranslation();
    const language = useLanguage();
    if (circuit.here === null) return <Text c="dimmed">–</Text>;
    const { state, not_closed_for_ms } = circuit.here;
    return (
        <Stack gap={2} align="flex-start">
            <Badge color={STATE_COLORS[state]}>{t(`circuits.state_${state}`)}</Badge>
            {state !== 'closed' && (
                <Text size="xs" c="dimmed">
                    {t('circuits.since', { duration: formatDuration(not_closed_for_ms, language) })}
                </Text>
            )}
        </Stack>
    );
}

function Override({ circuit }: { circuit: Circuit }) {
    const { t } = useTranslation();
    const { override } = circuit;
    if (override === null) return <Text c="dimmed">–</Text>;
    return (
        <Stack gap={2}>
            <Group gap="xs">
                <Badge color={override.mode === 'forced_open' ? 'red' : 'blue'}>
                    {t(`circuits.mode_${override.mode}`)}
                </Badge>
            </Group>
            <Text size="xs" className="wrap-anywhere">
                {override.reason}
            </Text>
            <Text size="xs" c="dimmed">
                {t('audit.by', { account: override.set_by })}
                {override.expires_at && (
                    <>
                        {' · '}
                        {t('operate.until')} <Time time={override.expires_at} />
                    </>
                )}
            </Text>
        </Stack>
    );
}
