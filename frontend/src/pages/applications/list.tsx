import { Alert, Anchor, Button, Card, Group, Text } from '@mantine/core';
import { IconDownload, IconFilePlus, IconRefresh } from '@tabler/icons-react';
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback, useEffect, useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { type DocumentFilter, keys, type ListQuery, listQuery, totalQuery } from '../../api/queries';
import type { BulkTarget, ListedApplication } from '../../api/types';
import { formatDecimal } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { useLiveList } from '../../live/use-live';
import { isAtLeast } from '../../session/roles';
import { useSession } from '../../session/session';
import { Risk, StatusBadge } from '../../ui/badges';
import { CursorPager } from '../../ui/cursor-pager';
import { type Column, DataTable } from '../../ui/data-table';
import { notifyError } from '../../ui/errors';
import { Page } from '../../ui/page';
import { Empty, QueryView } from '../../ui/states';
import { Amount, Country, Time } from '../../ui/text';
import { Filters } from './filters';
import { keepReadingOrder } from './reading-order';
import { SavedViews } from './saved-views';
import { SelectionBar, useSelection, useSelectionColumn } from './selection';

const PAGE_SIZE = 20;
const ROUTE = '/console/applications';
const NO_ROWS: ListedApplication[] = [];

export function ApplicationsPage() {
    const { t } = useTranslation();
    const language = useLanguage();
    const navigate = useNavigate();
    const queryClient = useQueryClient();
    const { trail = [], ...filters } = useSearch({ from: ROUTE });
    // A document is personal data. It must not be in the address, which the browser keeps in its history.
    const [document, setDocument] = useState<DocumentFilter>();

    const filterText = JSON.stringify(filters);
    const trailText = JSON.stringify(trail);
    const cursor = trail.at(-1);
    const query = useMemo<ListQuery>(
        () => ({ ...(JSON.parse(filterText) as ListQuery), page_size: PAGE_SIZE, ...(cursor && { cursor }) }),
        [filterText, cursor],
    );
    const options = listQuery(query, document);
    const page = useQuery({ ...options, placeholderData: keepPreviousData });
    const total = useQuery({ ...totalQuery(query), enabled: document === undefined });
    const keyText = JSON.stringify(options.queryKey);
    const live = useLiveList(useMemo(() => JSON.parse(keyText) as unknown[], [keyText]));
    const { reset } = live;
    useEffect(reset, [reset, keyText]);

    const filterValue = useMemo(() => JSON.parse(filterText) as ListQuery, [filterText]);
    const change = useCallback(
        (changed: ListQuery) => void navigate({ to: ROUTE, search: { ...changed, trail: undefined } }),
        [navigate],
    );
    const rows = page.data?.applications ?? NO_ROWS;
    useEffect(() => {
        const search = { ...(JSON.parse(filterText) as object), trail: JSON.parse(trailText) as string[] };
        keepReadingOrder({ ids: rows.map(({ id }) => id), list: 'applications', search });
    }, [rows, filterText, trailText]);

    const session = useSession();
    const isStaff = session !== undefined && isAtLeast(session.role, 'analyst');
    const selection = useSelection(JSON.stringify([filterText, document]));
    const selectionColumn = useSelectionColumn(rows, selection);
    const dataColumns = useColumns();
    const columns = useMemo(
        () => (isStaff ? [selectionColumn, ...dataColumns] : dataColumns),
        [isStaff, selectionColumn, dataColumns],
    );
    const showNew = () => {
        live.reset();
        void navigate({ to: ROUTE, search: { ...filters, trail: undefined } });
        void queryClient.invalidateQueries({ queryKey: keys.applications });
    };

    return (
        <Page
            title={t('applications.title')}
            subtitle={
                total.data &&
                t(total.data.isExact ? 'applications.total' : 'applications.total_at_least', {
                    count: total.data.total,
                    number: formatDecimal(total.data.total, language),
                })
            }
            actions={
                <>
                    <SavedViews
                        page="applications"
                        filters={filters}
                        hasDocument={document !== undefined}
                        onApply={(saved) => {
                            setDocument(undefined);
                            void navigate({ to: ROUTE, search: saved });
                        }}
                    />
                    <Export filters={filters} hasDocument={document !== undefined} />
                    <Button
                        component={Link}
                        to="/console/new-application"
                        leftSection={<IconFilePlus size={18} aria-hidden />}
                    >
                        {t('nav.create')}
                    </Button>
                </>
            }
        >
            <Filters value={filterValue} document={document} onDocument={setDocument} onChange={change} />
            {isStaff && (
                <SelectionBar
                    state={selection}
                    filter={document === undefined ? bulkFilter(filters) : undefined}
                    total={total.data}
                />
            )}
            <Card padding={0}>
                <div role="status">
                    {live.created > 0 && (
                        <Alert color="cyan" variant="light" radius={0} icon={<IconRefresh aria-hidden />}>
                            <Group justify="space-between">
                                <Text size="sm">
                                    {t('applications.created_meanwhile', {
                                        count: live.created,
                                        number: formatDecimal(live.created, language),
                                    })}
                                </Text>
                                <Button size="xs" variant="default" onClick={showNew}>
                                    {t('applications.show_new')}
                                </Button>
                            </Group>
                        </Alert>
                    )}
                </div>
                <QueryView
                    query={page}
                    lines={10}
                    isEmpty={(data) => data.applications.length === 0}
                    empty={<Empty title={t('applications.none')} hint={t('applications.none_hint')} />}
                >
                    {(data) => (
                        <DataTable
                            label={t('applications.title')}
                            columns={columns}
                            rows={data.applications}
                            rowId={(row) => row.id}
                            changed={live.changed}
                        />
                    )}
                </QueryView>
            </Card>
            <CursorPager
                trail={trail}
                next={page.data?.next_cursor}
                onChange={(changed) => void navigate({ to: ROUTE, search: { ...filters, trail: changed } })}
            />
        </Page>
    );
}

function useColumns(): Column<ListedApplication>[] {
    const { t } = useTranslation();
    return useMemo(
        () => [
            {
                id: 'applicant',
                header: t('application.applicant'),
                cell: ({ row: { original } }) => (
                    <>
                        <Anchor
                            component={Link}
                            to={`${ROUTE}/${original.id}`}
                            fw={600}
                            size="sm"
                            className="wrap-anywhere"
                            display="block"
                            miw={180}
                        >
                            {original.full_name}
                        </Anchor>
                        <Text size="xs" c="dimmed" ff="monospace">
                            {original.identity_document}
                        </Text>
                    </>
                ),
            },
            {
                id: 'country',
                header: t('application.country'),
                cell: ({ row }) => <Country code={row.original.country} />,
            },
            {
                id: 'amount',
                header: t('application.requested_amount'),
                meta: { align: 'right' },
                cell: ({ row: { original } }) => (
                    <Text size="sm" style={{ whiteSpace: 'nowrap', fontVariantNumeric: 'tabular-nums' }}>
                        <Amount
                            amount={original.requested_amount}
                            currency={original.currency}
                            country={original.country}
                        />
                    </Text>
                ),
            },
            {
                id: 'status',
                header: t('application.status'),
                cell: ({ row }) => <StatusBadge status={row.original.status} />,
            },
            {
                id: 'risk',
                header: t('application.risk'),
                meta: { align: 'right' },
                cell: ({ row: { original } }) => <Risk score={original.risk_score} band={original.risk_band} />,
            },
            {
                id: 'created',
                header: t('application.created_at'),
                meta: { align: 'right' },
                cell: ({ row: { original } }) => (
                    <Text size="sm" style={{ whiteSpace: 'nowrap', fontVariantNumeric: 'tabular-nums' }}>
                        <Time time={original.created_at} country={original.country} />
                    </Text>
                ),
            },
        ],
        [t],
    );
}

/** The filters without the order, which does not matter for a bulk change. */
function bulkFilter({ country, status, risk_band, min_amount, max_amount, from, to }: ListQuery): BulkTarget['filter'] {
    return { country, status, risk_band, min_amount, max_amount, from, to };
}

/** Downloads the filtered applications as CSV. A document cannot be a filter of an export, so the button is disabled then. */
function Export({ filters, hasDocument }: { filters: ListQuery; hasDocument: boolean }) {
    const { t } = useTranslation();
    const download = useMutation({
        mutationFn: async () => {
            const content = await unwrap(
                api.GET('/api/v1/applications/export.csv', { params: { query: filters }, parseAs: 'blob' }),
            );
            const link = document.createElement('a');
            link.href = URL.createObjectURL(content);
            link.download = 'applications.csv';
            link.click();
            URL.revokeObjectURL(link.href);
        },
        onError: notifyError,
    });
    return (
        <Button
            variant="default"
            leftSection={<IconDownload size={18} aria-hidden />}
            loading={download.isPending}
            disabled={hasDocument}
            title={hasDocument ? t('saved_view.no_export') : undefined}
            onClick={() => download.mutate()}
        >
            {t('applications.export')}
        </Button>
    );
}
