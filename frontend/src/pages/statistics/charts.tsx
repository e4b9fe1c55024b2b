import '@mantine/charts/styles.css';

import { BarChart } from '@mantine/charts';
import { Card, SimpleGrid, Title } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { RISK_BANDS, type Schema } from '../../api/types';
import { countryName, formatDate, formatDecimal } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { RISK_COLORS, STATUS_COLORS } from '../../theme';

const OUTCOMES = [
    ['approved', 'APPROVED'],
    ['rejected', 'REJECTED'],
    ['cancelled', 'CANCELLED'],
] as const;

/** Final outcomes by day, and applications by country and risk. The table below the charts has the figures. */
export default function Charts(props: { days: Schema<'Period'>[]; totals: Schema<'CountryTotals'>[] }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const format = (value: number) => formatDecimal(value, language);
    const days = props.days.map((day) => ({ ...day, period: formatDate(day.period, language, 'day') }));
    const risks = props.totals.map(({ country, risk }) => ({ ...risk, country: countryName(country, language) }));
    const common = {
        h: 280,
        type: 'stacked' as const,
        withLegend: true,
        // Lists the series in the order of the bars instead of by name.
        legendProps: { verticalAlign: 'bottom' as const, itemSorter: null },
        valueFormatter: format,
        yAxisProps: { allowDecimals: false },
        barProps: { isAnimationActive: false },
    };
    return (
        <SimpleGrid cols={{ base: 1, xl: 2 }}>
            <Card>
                <Title order={2} size="h4" mb="md">
                    {t('statistics.by_day')}
                </Title>
                <BarChart
                    {...common}
                    data={days}
                    dataKey="period"
                    role="img"
                    aria-label={t('statistics.by_day')}
                    series={OUTCOMES.map(([name, status]) => ({
                        name,
                        label: t(`status.${status}`),
                        color: `${STATUS_COLORS[status]}.6`,
                    }))}
                />
            </Card>
            <Card>
                <Title order={2} size="h4" mb="md">
                    {t('statistics.by_risk')}
                </Title>
                <BarChart
                    {...common}
                    data={risks}
                    dataKey="country"
                    role="img"
                    aria-label={t('statistics.by_risk')}
                    series={[
                        ...RISK_BANDS.map((band) => ({
                            name: band,
                            label: t(`risk.${band}`),
                            color: `${RISK_COLORS[band]}.6`,
                        })),
                        { name: 'unknown', label: t('risk.unknown'), color: 'gray.5' },
                    ]}
                />
            </Card>
        </SimpleGrid>
    );
}
