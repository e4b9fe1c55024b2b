import { Table, Text, Title } from '@mantine/core';
import { lazy } from 'react';
import { useTranslation } from 'react-i18next';
import type { RiskComponent } from '../../api/types';
import { formatScore } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { ChartArea } from '../../ui/chart-area';

const RiskChart = lazy(() => import('./risk-chart'));

/** The components of the risk score, as a chart and as a table. Their points add up to the score. */
export function RiskComponents({ components, score }: { components: RiskComponent[]; score: string }) {
    const { t } = useTranslation();
    const language = useLanguage();
    return (
        <div>
            <Title order={3} size="h5" mb="xs">
                {t('risk_component.title')}
            </Title>
            <ChartArea height={220}>
                <RiskChart components={components} />
            </ChartArea>
            <Table aria-label={t('risk_component.title')} verticalSpacing={6} mt="xs">
                <Table.Thead>
                    <Table.Tr>
                        <Table.Th scope="col">{t('risk_component.component')}</Table.Th>
                        <Table.Th scope="col" ta="right">
                            {t('risk_component.points')}
                        </Table.Th>
                    </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                    {components.map(({ component, points }) => (
                        <Table.Tr key={component}>
                            <Table.Th scope="row" fw={400}>
                                {t(`risk_component.${component}`)}
                            </Table.Th>
                            <Table.Td ta="right" style={{ fontVariantNumeric: 'tabular-nums' }}>
                                {formatScore(points, language)}
                            </Table.Td>
                        </Table.Tr>
                    ))}
                </Table.Tbody>
                <Table.Tfoot>
                    <Table.Tr>
                        <Table.Th scope="row">{t('risk_component.total')}</Table.Th>
                        <Table.Td ta="right">
                            <Text span fw={650} size="sm" style={{ fontVariantNumeric: 'tabular-nums' }}>
                                {formatScore(score, language)}
                            </Text>
                        </Table.Td>
                    </Table.Tr>
                </Table.Tfoot>
            </Table>
        </div>
    );
}
