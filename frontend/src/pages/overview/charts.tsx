import '@mantine/charts/styles.css';

import { BarChart, LineChart } from '@mantine/charts';
import { NativeSelect, SimpleGrid } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { type CountryCode, type CurrencyCode, type DailyFigures, RISK_BANDS, type Schema } from '../../api/types';
import { countryName, formatAmount, formatDate, formatDecimal, formatShare } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { RISK_COLORS, STATUS_COLORS } from '../../theme';
import { ChartCard } from './chart-card';
import { amountsByDay, approvalRate, byDay } from './daily';

const HEIGHT = 260;

/** What the charts of a page have in common. */
const COMMON = {
    h: HEIGHT,
    withLegend: true,
    legendProps: { verticalAlign: 'bottom' as const },
    role: 'img',
};
const LINE = { ...COMMON, curveType: 'linear' as const, withDots: false, lineProps: { isAnimationActive: false } };

interface Props {
    items: DailyFigures[];
    risks: Schema<'CountryTotals'>[];
    currencyOf: (country: CountryCode) => CurrencyCode | undefined;
}

/** Applications, approval rate and amounts by day, and risk by country. */
export default function OverviewCharts({ items, risks, currencyOf }: Props) {
    return (
        <SimpleGrid cols={{ base: 1, xl: 2 }}>
            <Activity items={items} />
            <ApprovalRate items={items} />
            <Amounts items={items} currencyOf={currencyOf} />
            <Risk risks={risks} />
        </SimpleGrid>
    );
}

const SERIES = [
    { name: 'created', color: 'cyan.7' },
    { name: 'approved', color: `${STATUS_COLORS.APPROVED}.7` },
    { name: 'rejected', color: `${STATUS_COLORS.REJECTED}.7` },
    { name: 'under_review', color: `${STATUS_COLORS.UNDER_REVIEW}.7` },
] as const;

function Activity({ items }: { items: DailyFigures[] }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const days = byDay(items);
    const title = t('overview.activity');
    const number = (value: number) => formatDecimal(value, language);
    return (
        <ChartCard
            title={title}
            table={{
                head: [t('overview.day'), ...SERIES.map(({ name }) => t(`overview.${name}`))],
                rows: days.map((day) => [
                    formatDate(day.date, language),
                    ...SERIES.map(({ name }) => number(day[name])),
                ]),
            }}
        >
            <LineChart
                {...LINE}
                data={days.map((day) => ({ ...day, date: formatDate(day.date, language, 'day') }))}
                dataKey="date"
                aria-label={title}
                valueFormatter={number}
                yAxisProps={{ allowDecimals: false }}
                series={SERIES.map((each) => ({ ...each, label: t(`overview.${each.name}`) }))}
            />
        </ChartCard>
    );
}

function ApprovalRate({ items }: { items: DailyFigures[] }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const days = byDay(items);
    const title = t('overview.approval_rate_by_day');
    return (
        <ChartCard
            title={title}
            table={{
                head: [t('overview.day'), t('overview.decided'), t('statistics.approval_rate')],
                rows: days.map((day) => {
                    const rate = approvalRate(day);
                    return [
                        formatDate(day.date, language),
                        formatDecimal(day.decided, language),
                        rate === undefined ? '–' : formatShare(rate, language),
                    ];
                }),
            }}
        >
            <LineChart
                {...LINE}
                connectNulls
                withDots
                data={days.map((day) => {
                    const rate = approvalRate(day);
                    return {
                        date: formatDate(day.date, language, 'day'),
                        rate: rate === undefined ? null : Number(rate),
                    };
                })}
                dataKey="date"
                aria-label={title}
                valueFormatter={(value) => formatShare(String(value), language)}
                yAxisProps={{ domain: [0, 1] }}
                series={[{ name: 'rate', color: 'cyan.7', label: t('statistics.approval_rate') }]}
            />
        </ChartCard>
    );
}

/** Amounts of one currency, because amounts in different currencies cannot be compared. */
function Amounts({ items, currencyOf }: Omit<Props, 'risks'>) {
    const { t } = useTranslation();
    const language = useLanguage();
    const currencies = [...new Set(items.map(({ country }) => currencyOf(country)))].filter(
        (each) => each !== undefined,
    );
    const [chosen, setChosen] = useState<CurrencyCode>();
    const currency = currencies.find((each) => each === chosen) ?? currencies[0];
    if (currency === undefined) return null;
    const days = amountsByDay(items, currency, currencyOf);
    const title = t('overview.amounts_by_day');
    const money = (amount: string) => formatAmount(amount, currency);
    return (
        <ChartCard
            title={title}
            actions={
                currencies.length > 1 && (
                    <NativeSelect
                        size="xs"
                        aria-label={t('overview.currency')}
                        value={currency}
                        data={currencies}
                        onChange={(event) => setChosen(currencies.find((each) => each === event.currentTarget.value))}
                    />
                )
            }
            table={{
                head: [t('overview.day'), t('statistics.requested'), t('statistics.approved_amount')],
                rows: days.map((day) => [formatDate(day.date, language), money(day.requested), money(day.approved)]),
            }}
        >
            <BarChart
                {...COMMON}
                data={days.map((day) => ({
                    date: formatDate(day.date, language, 'day'),
                    requested: Number(day.requested),
                    approved: Number(day.approved),
                }))}
                dataKey="date"
                aria-label={title}
                valueFormatter={(value) => money(String(value))}
                yAxisProps={{ tickFormatter: (value: number) => formatDecimal(value, language, 0), width: 80 }}
                barProps={{ isAnimationActive: false }}
                series={[
                    { name: 'requested', color: 'gray.6', label: t('statistics.requested') },
                    { name: 'approved', color: `${STATUS_COLORS.APPROVED}.7`, label: t('statistics.approved_amount') },
                ]}
            />
        </ChartCard>
    );
}

const BANDS = [...RISK_BANDS, 'unknown'] as const;

function Risk({ risks }: { risks: Props['risks'] }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const title = t('overview.risk');
    const number = (value: number) => formatDecimal(value, language);
    return (
        <ChartCard
            title={title}
            table={{
                head: [t('application.country'), ...BANDS.map((band) => t(`risk.${band}`))],
                rows: risks.map(({ country, risk }) => [
                    countryName(country, language),
                    ...BANDS.map((band) => number(risk[band])),
                ]),
            }}
        >
            <BarChart
                {...COMMON}
                type="stacked"
                data={risks.map(({ country, risk }) => ({ ...risk, country: countryName(country, language) }))}
                dataKey="country"
                aria-label={title}
                valueFormatter={number}
                yAxisProps={{ allowDecimals: false }}
                barProps={{ isAnimationActive: false }}
                series={BANDS.map((band) => ({
                    name: band,
                    label: t(`risk.${band}`),
                    color: band === 'unknown' ? 'gray.5' : `${RISK_COLORS[band]}.6`,
                }))}
            />
        </ChartCard>
    );
}
