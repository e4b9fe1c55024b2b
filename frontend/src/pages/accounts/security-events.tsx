import { Badge, Text } from '@mantine/core';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { CursorTable, useCursorList } from '../../ui/cursor-list';
import type { Column } from '../../ui/data-table';
import { FilterBar, FilterChoice, FilterDate, FilterText } from '../../ui/filter-bar';
import { LazyJson } from '../../ui/lazy-json';
import { Page } from '../../ui/page';
import { Empty } from '../../ui/states';
import { Optional, Time } from '../../ui/text';

type Event = Schema<'SecurityEventEntry'>;

/** The kinds that have a text. Newer servers may add others, which are shown by their name. */
const KINDS = [
    'login_succeeded',
    'login_failed',
    'logged_out',
    'sessions_ended',
    'refresh_token_reused',
    'access_token_issued',
    'password_changed',
    'account_created',
    'account_role_changed',
    'account_disabled',
    'account_enabled',
    'account_deleted',
    'api_key_created',
    'api_key_changed',
    'api_key_first_used',
    'api_key_revoked',
    'api_key_deleted',
    'contact_changed',
    'log_level_changed',
    'dead_letters_replayed',
    'dead_letters_skipped',
    'consumer_replayed',
    'webhook_endpoint_created',
    'webhook_endpoint_changed',
    'webhook_endpoint_disabled',
    'webhook_endpoint_enabled',
    'webhook_endpoint_deleted',
    'webhook_endpoint_secret_rotated',
    'webhooks_repeated',
    'webhook_tested',
] as const;
type Kind = (typeof KINDS)[number];

/** Kinds that can be a sign of an attack. */
const SUSPICIOUS: ReadonlySet<string> = new Set<Kind>(['login_failed', 'refresh_token_reused']);

/** Sign-ins, and changes of accounts and API keys. */
export function SecurityEventsPage() {
    const { t } = useTranslation();
    const [kind, setKind] = useState<Kind>();
    const [actor, setActor] = useState<string>();
    const [subject, setSubject] = useState<string>();
    const [from, setFrom] = useState<string>();
    const [to, setTo] = useState<string>();
    const filters = { kind, actor, subject, from, to };
    const list = useCursorList({
        queryKey: ['security-events', filters],
        load: (page) =>
            unwrap(api.GET('/api/v1/admin/security-events', { params: { query: { ...page, ...filters } } })),
    });
    const columns = useColumns();
    return (
        <Page title={t('security_events.title')} subtitle={t('security_events.hint')}>
            <FilterBar>
                <FilterChoice
                    label={t('live.event')}
                    value={kind}
                    choices={KINDS.map((each) => [each, t(`security_events.kind_${each}`)])}
                    onChange={setKind}
                />
                <FilterText label={t('security_events.actor')} onChange={setActor} />
                <FilterText label={t('security_events.subject')} onChange={setSubject} />
                <FilterDate label={t('record.from')} value={from} onChange={setFrom} />
                <FilterDate label={t('record.to')} value={to} onChange={setTo} />
            </FilterBar>
            <CursorTable
                list={list}
                rows={({ events }) => events}
                label={t('security_events.title')}
                columns={columns}
                rowId={({ id }) => id}
                empty={<Empty title={t('live.none')} hint={t('record.change_filters')} />}
            />
        </Page>
    );
}

function useColumns(): Column<Event>[] {
    const { t, i18n } = useTranslation();
    return useMemo(() => {
        const name = (kind: string) => {
            const key = `security_events.kind_${kind}`;
            return i18n.exists(key) ? t(key as 'security_events.kind_login_failed') : kind;
        };
        return [
            {
                id: 'time',
                header: t('live.time'),
                cell: ({ row }) => (
                    <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                        <Time time={row.original.occurred_at} seconds />
                    </Text>
                ),
            },
            {
                id: 'kind',
                header: t('live.event'),
                cell: ({ row: { original } }) => (
                    <Badge color={SUSPICIOUS.has(original.kind) ? 'red' : 'blue'}>{name(original.kind)}</Badge>
                ),
            },
            {
                id: 'actor',
                header: t('security_events.actor'),
                cell: ({ row: { original } }) => (
                    <>
                        <Text size="sm" className="wrap-anywhere" component="div" translate="no">
                            <Optional value={original.actor} />
                        </Text>
                        {original.address && (
                            <Text size="xs" c="dimmed" ff="monospace">
                                {original.address}
                            </Text>
                        )}
                    </>
                ),
            },
            {
                id: 'subject',
                header: t('security_events.subject'),
                cell: ({ row: { original } }) => (
                    <Text size="sm" className="wrap-anywhere" component="div" translate="no">
                        <Optional value={original.subject} />
                    </Text>
                ),
            },
            {
                id: 'detail',
                header: t('live.data'),
                cell: ({ row: { original } }) => <LazyJson value={original.detail} about={name(original.kind)} />,
            },
        ];
    }, [t, i18n]);
}
