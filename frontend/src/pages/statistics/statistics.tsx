import { Card, Group, Stack, Table, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { lazy } from 'react';
import { useTranslation } from 'react-i18next';
import { countryStatisticsQuery, statisticsQuery } from '../../api/queries';
import type { CountryCode, Schema } from '../../api/types';
import { formatDecimal, formatScore, formatShare } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { ChartArea } from '../../ui/chart-area';
import { CountrySelect } from '../../ui/country-select';
import { Figures } from '../../ui/figures';
import { Page } from '../../ui/page';
import { Empty, QueryView } from '../../ui/states';
import { Amount, Country, Time } from '../../ui/text';

// The chart library is larger than the rest of the page.
const Charts = lazy(() => import('./charts'));

export function StatisticsPage() {
    const { t } = useTranslation();
    const navigate = useNavigate();
    const { country } = useSearch({ from: '/console/statistics' });
    return (
        <Page
            title={t('statistics.title')}
            actions={
                <CountrySelect
                    value={country}
                    onChange={(chosen) => void navigate({ to: '/console/statistics', search: { country: chosen } })}
                />
            }
        >
            {country === undefined ? <AllCountries /> : <OneCountry code={country} />}
        </Page>
    );
}

function AllCountries() {
    const { t } = useTranslation();
    const query = useQuery(statisticsQuery());
    return (
        <QueryView
            query={query}
            isEmpty={({ total }) => total === 0}
            empty={<Empty title={t('statistics.none')} hint={t('statistics.none_hint')} />}
        >
            {(data) => (
                <Stack gap="lg">
                    <DecidedFigures totals={data} />
                    <ChartArea height={260}>
                        <Charts days={data.days} totals={data.countries} />
                    </ChartArea>
                    <Totals countries={data.countries} />
                    <AsOf time={data.as_of} />
                </Stack>
            )}
        </QueryView>
    );
}

function OneCountry({ code }: { code: CountryCode }) {
    const { t } = useTranslation();
    const query = useQuery(countryStatisticsQuery(code));
    return (
        <QueryView
            query={query}
            isEmpty={({ total }) => total === 0}
            empty={<Empty title={t('statistics.none')} hint={t('statistics.none_hint')} />}
        >
            {(data) => (
                <Stack gap="lg">
                    <DecidedFigures totals={data} />
                    <ChartArea height={260}>
                        <Charts days={data.days} totals={[data]} />
                    </ChartArea>
                    <Totals countries={[data]} />
                    <AsOf time={data.as_of} />
                </Stack>
            )}
        </QueryView>
    );
}

function AsOf({ time }: { time: string }) {
    const { t } = useTranslation();
    return (
        <Text size="xs" c="dimmed" ta="right">
            {t('statistics.as_of')} <Time time={time} seconds />
        </Text>
    );
}

function DecidedFigures({ totals }: { totals: Schema<'Decided'> }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const waiting = (totals.by_status as Record<string, number>)['UNDER_REVIEW'] ?? 0;
    return (
        <Figures
            figures={[
                [t('statistics.total'), formatDecimal(totals.total, language)],
                [t('statistics.decided'), formatDecimal(totals.decided, language)],
                [
                    t('statistics.approval_rate'),
                    totals.approval_rate === null ? '–' : formatShare(totals.approval_rate, language),
                ],
                [t('statistics.under_review'), formatDecimal(waiting, language)],
            ]}
        />
    );
}

function Totals({ countries }: { countries: Schema<'CountryTotals'>[] }) {
    const { t } = useTranslation();
    const language = useLanguage();
    return (
        <Card>
            <Title order={2} size="h4" mb="md">
                {t('statistics.by_country')}
            </Title>
            <Table.ScrollContainer
                minWidth={680}
                type="native"
                tabIndex={0}
                role="region"
                aria-label={t('statistics.by_country')}
            >
                <Table aria-label={t('statistics.by_country')} style={{ fontVariantNumeric: 'tabular-nums' }}>
                    <Table.Thead>
                        <Table.Tr>
                            <Table.Th scope="col">{t('application.country')}</Table.Th>
                            {[
                                'statistics.total',
                                'statistics.approval_rate',
                                'statistics.average_risk',
                                'statistics.requested',
                                'statistics.approved_amount',
                            ].map((label) => (
                                <Table.Th key={label} scope="col" ta="right">
                                    {t(label as 'statistics.total')}
                                </Table.Th>
                            ))}
                        </Table.Tr>
                    </Table.Thead>
                    <Table.Tbody>
                        {countries.map((each) => (
                            <Table.Tr key={each.country}>
                                <Table.Td>
                                    <Group gap="xs">
                                        <Country code={each.country} />
                                    </Group>
                                </Table.Td>
                                <Table.Td ta="right">{formatDecimal(each.total, language)}</Table.Td>
                                <Table.Td ta="right">
                                    {each.approval_rate === null ? '–' : formatShare(each.approval_rate, language)}
                                </Table.Td>
                                <Table.Td ta="right">
                                    {each.risk.average === null ? '–' : formatScore(each.risk.average, language)}
                                </Table.Td>
                                <Table.Td ta="right">
                                    <Amount
                                        amount={each.requested_amount}
                                        currency={each.currency}
                                        country={each.country}
                                    />
                                </Table.Td>
                                <Table.Td ta="right">
                                    <Amount
                                        amount={each.approved_amount}
                                        currency={each.currency}
                                        country={each.country}
                                    />
                                </Table.Td>
                            </Table.Tr>
                        ))}
                    </Table.Tbody>
                </Table>
            </Table.ScrollContainer>
        </Card>
    );
}
