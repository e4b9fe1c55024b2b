import '@mantine/charts/styles.css';

import { BarChart } from '@mantine/charts';
import { useTranslation } from 'react-i18next';
import type { RiskComponent } from '../../api/types';
import { formatDecimal } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';

/** One bar for each component of the risk score. The table below the chart has the figures. */
export default function RiskChart({ components }: { components: RiskComponent[] }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const data = components.map(({ component, points }) => ({
        component: t(`risk_component.${component}`),
        points: Number(points),
    }));
    return (
        <BarChart
            h={40 + 36 * components.length}
            data={data}
            dataKey="component"
            orientation="vertical"
            role="img"
            aria-label={t('risk_component.title')}
            yAxisProps={{ width: 150 }}
            valueFormatter={(value) => formatDecimal(value, language)}
            barProps={{ isAnimationActive: false }}
            getBarColor={(value) => (value < 0 ? 'teal.6' : 'cyan.7')}
            series={[{ name: 'points', label: t('risk_component.points'), color: 'cyan.7' }]}
        />
    );
}
