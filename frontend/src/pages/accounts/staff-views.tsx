import { Anchor, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { type Schema, STAFF_VIEW_ACTIONS } from '../../api/types';
import { CursorTable, useCursorList } from '../../ui/cursor-list';
import type { Column } from '../../ui/data-table';
import { FilterBar, FilterChoice, FilterDate, FilterText, isUuid } from '../../ui/filter-bar';
import { LazyJson } from '../../ui/lazy-json';
import { Page } from '../../ui/page';
import { Empty } from '../../ui/states';
import { Optional, Time } from '../../ui/text';

type View = Schema<'StaffViewEntry'>;
type Action = Schema<'StaffViewAction'>;

/** The audit views: which member of staff has viewed which personal data. */
export function StaffViewsPage() {
    const { t } = useTranslation();
    const [account, setAccount] = useState<string>();
    const [action, setAction] = useState<Action>();
    const [application_id, setApplication] = useState<string>();
    const [from, setFrom] = useState<string>();
    const [to, setTo] = useState<string>();
    const filters = { account, action, application_id, from, to };
    const list = useCursorList({
        queryKey: ['staff-views', filters],
        load: (page) => unwrap(api.GET('/api/v1/admin/staff-views', { params: { query: { ...page, ...filters } } })),
    });
    const columns = useColumns();
    return (
        <Page title={t('staff_views.title')} subtitle={t('staff_views.hint')}>
            <FilterBar>
                <FilterText label={t('staff_views.account')} onChange={setAccount} />
                <FilterChoice
                    label={t('staff_views.action')}
                    value={action}
                    choices={STAFF_VIEW_ACTIONS.map((each) => [each, t(`staff_views.action_${each}`)])}
                    onChange={setAction}
                />
                <FilterText label={t('record.application_id')} isValid={isUuid} onChange={setApplication} />
                <FilterDate label={t('record.from')} value={from} onChange={setFrom} />
                <FilterDate label={t('record.to')} value={to} onChange={setTo} />
            </FilterBar>
            <CursorTable
                list={list}
                rows={({ views }) => views}
                label={t('staff_views.title')}
                columns={columns}
                rowId={({ id }) => id}
                empty={<Empty title={t('staff_views.none')} hint={t('record.change_filters')} />}
            />
        </Page>
    );
}

function useColumns(): Column<View>[] {
    const { t } = useTranslation();
    return useMemo(
        () => [
            {
                id: 'time',
                header: t('live.time'),
                cell: ({ row }) => (
                    <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                        <Time time={row.original.viewed_at} seconds />
                    </Text>
                ),
            },
            {
                id: 'account',
                header: t('staff_views.account'),
                cell: ({ row }) => (
                    <Text size="sm" fw={600} className="wrap-anywhere" translate="no">
                        {row.original.account}
                    </Text>
                ),
            },
            {
                id: 'action',
                header: t('staff_views.action'),
                cell: ({ row }) => t(`staff_views.action_${row.original.action}`),
            },
            {
                id: 'application',
                header: t('application.request'),
                cell: ({ row: { original } }) =>
                    original.application_id === null ? (
                        <Optional value={null} />
                    ) : (
                        <Anchor
                            component={Link}
                            to={`/console/applications/${original.application_id}`}
                            size="xs"
                            ff="monospace"
                        >
                            {original.application_id}
                        </Anchor>
                    ),
            },
            {
                id: 'filter',
                header: t('staff_views.filter'),
                cell: ({ row: { original } }) => (
                    <>
                        <LazyJson value={original.filter} about={t(`staff_views.action_${original.action}`)} />
                        {original.document_index && (
                            <Text size="xs" c="dimmed" ff="monospace" lineClamp={1} title={original.document_index}>
                                {t('staff_views.document', { index: original.document_index.slice(0, 12) })}
                            </Text>
                        )}
                    </>
                ),
            },
        ],
        [t],
    );
}
