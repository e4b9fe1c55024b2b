import { Alert, Badge, Card, Group, Title } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import type { CountryCode, CurrencyCode, Schema } from '../../api/types';
import { Details } from '../../ui/details';
import { Amount, Optional } from '../../ui/text';

/** The report of the bureau that the latest decision is based on. */
export function BankingData(props: { report: Schema<'BankingView'>; country: CountryCode; currency: CurrencyCode }) {
    const { t } = useTranslation();
    const { report } = props;
    const money = (amount: string | null) =>
        amount === null ? (
            <Optional value={null} />
        ) : (
            <Amount amount={amount} currency={props.currency} country={props.country} />
        );
    const flag = (value: boolean | null) => (
        <Optional value={value === null ? null : t(value ? 'value.yes' : 'value.no')} />
    );
    return (
        <Card>
            <Group justify="space-between" mb="md">
                <Title order={2} size="h4">
                    {t('banking.title')}
                </Title>
                {report.thin_file && <Badge color="orange">{t('banking.thin_file')}</Badge>}
            </Group>
            {report.fallback && (
                <Alert color="orange" mb="md">
                    {t('banking.fallback')}
                </Alert>
            )}
            <Details
                entries={[
                    [t('banking.provider'), report.provider_name],
                    [t('input.credit_score'), <Optional key="score" value={report.credit_score?.toString()} />],
                    [t('input.monthly_obligations'), money(report.monthly_obligations)],
                    [t('banking.total_debt'), money(report.total_debt)],
                    [t('input.has_defaults'), flag(report.has_defaults)],
                    [
                        t('banking.account_status'),
                        <Optional
                            key="status"
                            value={report.account_status && t(`account_status.${report.account_status}`)}
                        />,
                    ],
                    [t('input.average_monthly_income'), money(report.average_monthly_income)],
                    [t('input.verified'), flag(report.verified)],
                ]}
            />
        </Card>
    );
}
