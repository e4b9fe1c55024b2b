import { Card, SegmentedControl, Stack, Text, Title } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { lazy, useCallback, useEffect, useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { countriesQuery, statisticsQuery } from '../../api/queries';
import type { CountryCode, DailyFigures } from '../../api/types';
import { formatDecimal, formatShare } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { onUpdates } from '../../live/connection';
import { isAtLeast } from '../../session/roles';
import { useSession } from '../../session/session';
import { ChartArea } from '../../ui/chart-area';
import { CountrySelect } from '../../ui/country-select';
import { type Column, DataTable } from '../../ui/data-table';
import { Figures } from '../../ui/figures';
import { Page } from '../../ui/page';
import { Empty, QueryView } from '../../ui/states';
import { Amount, Country, Optional } from '../../ui/text';
import { approvalRate, byCountry, type CountryFigures, period, total } from './daily';
import { QueueFigures } from './queue';

// The chart library is larger than the rest of the page.
const Charts = lazy(() => import('./charts'));

const PERIODS = ['7', '30', '90'] as const;

/** The delay between an update and the reload, in milliseconds. The server publishes a change before it counts it. */
const RELOAD_MS = 2000;

/** The applications created and decided in a period, by country and day. Admins also see the queue. */
export function OverviewPage() {
    const { t } = useTranslation();
    const navigate = useNavigate();
    const session = useSession();
    const { country, days = '30' } = useSearch({ from: '/console/overview' });
    useLiveStatistics();
    return (
        <Page
            title={t('overview.title')}
            subtitle={t('overview.hint')}
            actions={
                <>
                    <SegmentedControl
                        aria-label={t('overview.period')}
                        value={days}
                        data={PERIODS.map((each) => ({ value: each, label: t(`overview.days_${each}`) }))}
                        onChange={(chosen) =>
                            void navigate({
                                to: '/console/overview',
                                search: { country, days: PERIODS.find((each) => each === chosen) },
                            })
                        }
                    />
                    <CountrySelect
                        value={country}
                        onChange={(chosen) =>
                            void navigate({ to: '/console/overview', search: { country: chosen, days } })
                        }
                    />
                </>
            }
        >
            {session && isAtLeast(session.role, 'admin') && <QueueFigures />}
            <Activity country={country} days={Number(days)} />
        </Page>
    );
}

/** Loads the statistics again after applications have changed, at most once every {@link RELOAD_MS}. */
function useLiveStatistics(): void {
    const queryClient = useQueryClient();
    useEffect(() => {
        let timer: ReturnType<typeof setTimeout> | undefined;
        const reload = () => {
            timer = undefined;
            void queryClient.invalidateQueries({ queryKey: ['statistics'] });
        };
        const stop = onUpdates(() => {
            timer ??= setTimeout(reload, RELOAD_MS);
        });
        return () => {
            clearTimeout(timer);
            stop();
        };
    }, [queryClient]);
}

function Activity({ country, days }: { country: CountryCode | undefined; days: number }) {
    const { t } = useTranslation();
    const query = useQuery({
        queryKey: ['statistics', 'daily', country, days],
        queryFn: () =>
            unwrap(api.GET('/api/v1/stats/daily', { params: { query: { ...period(days, Date.now()), country } } })),
        refetchInterval: 60_000,
    });
    return (
        <QueryView
            query={query}
            isEmpty={({ items }) => items.every(({ created, decided }) => created + decided === 0)}
            empty={
                <Card>
                    <Empty title={t('overview.none')} hint={t('overview.none_hint')} />
                </Card>
            }
        >
            {({ items }) => <Content items={items} country={country} />}
        </QueryView>
    );
}

function Content({ items, country }: { items: DailyFigures[]; country: CountryCode | undefined }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const countries = useQuery(countriesQuery());
    const statistics = useQuery(statisticsQuery());
    const currencyOf = useCallback(
        (code: CountryCode) => countries.data?.find((each) => each.code === code)?.currency,
        [countries.data],
    );
    const counts = total(items);
    const rate = approvalRate(counts);
    const risks = (statistics.data?.countries ?? []).filter(
        (each) => country === undefined || each.country === country,
    );
    return (
        <Stack gap="lg">
            <Figures
                figures={[
                    [t('overview.created'), formatDecimal(counts.created, language)],
                    [t('overview.decided'), formatDecimal(counts.decided, language)],
                    [t('statistics.approval_rate'), rate === undefined ? '–' : formatShare(rate, language)],
                    [t('overview.under_review'), formatDecimal(counts.under_review, language)],
                ]}
            />
            <ChartArea height={320}>
                <Charts items={items} risks={risks} currencyOf={currencyOf} />
            </ChartArea>
            <ByCountry figures={byCountry(items)} currencyOf={currencyOf} />
            <Text size="xs" c="dimmed" ta="right">
                {t('overview.utc')}
            </Text>
        </Stack>
    );
}

function ByCountry(props: {
    figures: CountryFigures[];
    currencyOf: (country: CountryCode) => Parameters<typeof Amount>[0]['currency'] | undefined;
}) {
    const { t } = useTranslation();
    const language = useLanguage();
    const { currencyOf } = props;
    const columns = useMemo<Column<CountryFigures>[]>(() => {
        const amount = (country: CountryCode, value: string) => {
            const currency = currencyOf(country);
            return currency ? (
                <Amount amount={value} currency={currency} country={country} />
            ) : (
                <Optional value={null} />
            );
        };
        const number = (value: number) => formatDecimal(value, language);
        const right = { align: 'right' } as const;
        return [
            {
                id: 'country',
                header: t('application.country'),
                cell: ({ row }) => <Country code={row.original.country} />,
            },
            {
                id: 'created',
                header: t('overview.created'),
                meta: right,
                cell: ({ row }) => number(row.original.created),
            },
            {
                id: 'decided',
                header: t('overview.decided'),
                meta: right,
                cell: ({ row }) => number(row.original.decided),
            },
            {
                id: 'rate',
                header: t('statistics.approval_rate'),
                meta: right,
                cell: ({ row }) => {
                    const rate = approvalRate(row.original);
                    return rate === undefined ? '–' : formatShare(rate, language);
                },
            },
            {
                id: 'requested',
                header: t('statistics.requested'),
                meta: right,
                cell: ({ row: { original } }) => amount(original.country, original.amount_requested),
            },
            {
                id: 'approved',
                header: t('statistics.approved_amount'),
                meta: right,
                cell: ({ row: { original } }) => amount(original.country, original.amount_approved),
            },
        ];
    }, [t, language, currencyOf]);
    return (
        <Card padding={0}>
            <Title order={2} size="h4" p="md" pb="xs">
                {t('statistics.by_country')}
            </Title>
            <DataTable
                label={t('statistics.by_country')}
                columns={columns}
                rows={props.figures}
                rowId={({ country }) => country}
            />
        </Card>
    );
}
