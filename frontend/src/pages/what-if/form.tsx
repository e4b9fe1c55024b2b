import { Button, Card, Checkbox, Fieldset, Group, NativeSelect, Stack } from '@mantine/core';
import { IconArrowBackUp } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';
import type { CountryCode, Schema } from '../../api/types';
import { countryName, formatAmount } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { FigureInput } from './figure-input';
import { ACCOUNT_STATUSES, type Figures, type Reported, SCORE_RANGE } from './figures';

type Country = Schema<'CountryDescription'>;

/** Steps between the two ends of a slider for amounts. */
const STEPS = 200;

/** The figures of the case. Every change takes effect without a button. */
export function FigureForm(props: {
    country: Country;
    figures: Figures;
    ends: { amount: number; income: number };
    /** The countries to choose from; the case of an application stays in its country. */
    choice?: { countries: Country[]; onChange: (code: CountryCode) => void } | undefined;
    isChanged: boolean;
    onChange: (figures: Figures) => void;
    onReset: () => void;
}) {
    const { t } = useTranslation();
    const language = useLanguage();
    const { country, figures, ends, choice } = props;
    const set = (change: Partial<Figures>) => props.onChange({ ...figures, ...change });
    const { min, max } = country.limits.term_months;
    const required = (value: string) => (Number(value) > 0 ? undefined : t('field.required'));
    const money = (end: number) => ({
        country: country.code,
        unit: country.currency,
        decimals: 2,
        min: 0,
        max: end,
        step: end / STEPS,
        format: (value: number) => formatAmount(String(value), country.currency, country.code),
    });
    const plain = { country: country.code, format: String };

    return (
        <Card>
            <Stack gap="lg">
                {choice && (
                    <NativeSelect
                        label={t('application.country')}
                        value={country.code}
                        data={choice.countries.map(({ code }) => ({ value: code, label: countryName(code, language) }))}
                        onChange={(event) => {
                            const chosen = choice.countries.find(({ code }) => code === event.currentTarget.value);
                            if (chosen) choice.onChange(chosen.code);
                        }}
                    />
                )}
                <Fieldset legend={t('application.request')}>
                    <Stack gap="md">
                        <FigureInput
                            {...money(ends.amount)}
                            label={t('application.requested_amount')}
                            value={figures.requested_amount}
                            error={required(figures.requested_amount)}
                            onChange={(requested_amount) => set({ requested_amount })}
                        />
                        <FigureInput
                            {...money(ends.income)}
                            label={t('application.monthly_income')}
                            value={figures.monthly_income}
                            error={required(figures.monthly_income)}
                            onChange={(monthly_income) => set({ monthly_income })}
                        />
                        <FigureInput
                            {...plain}
                            label={t('application.term')}
                            value={String(figures.term_months)}
                            min={min}
                            max={max}
                            step={1}
                            format={(count) => t('application.months', { count })}
                            onChange={(text) => set({ term_months: Number(text) })}
                        />
                        <Checkbox
                            label={t('what_if.applied_elsewhere')}
                            checked={figures.applied_elsewhere}
                            onChange={(event) => set({ applied_elsewhere: event.currentTarget.checked })}
                        />
                    </Stack>
                </Fieldset>
                <BureauFigures figures={figures} set={set} money={money(ends.income)} plain={plain} />
                <Group justify="flex-end">
                    <Button
                        variant="default"
                        leftSection={<IconArrowBackUp size={16} aria-hidden />}
                        disabled={!props.isChanged}
                        onClick={props.onReset}
                    >
                        {t('what_if.reset')}
                    </Button>
                </Group>
            </Stack>
        </Card>
    );
}

type InputProps = Parameters<typeof FigureInput>[0];

function BureauFigures(props: {
    figures: Figures;
    set: (change: Partial<Figures>) => void;
    money: Omit<InputProps, 'label' | 'value' | 'onChange'>;
    plain: Pick<InputProps, 'country' | 'format'>;
}) {
    const { t } = useTranslation();
    const { figures, set, money, plain } = props;
    const placeholder = t('value.not_reported');
    const unknown = { value: '', label: placeholder };
    const flags = [unknown, { value: 'true', label: t('value.yes') }, { value: 'false', label: t('value.no') }];
    return (
        <Fieldset legend={t('banking.title')}>
            <Stack gap="md">
                <FigureInput
                    {...plain}
                    {...SCORE_RANGE}
                    label={t('input.credit_score')}
                    value={String(figures.credit_score)}
                    step={1}
                    placeholder={placeholder}
                    onChange={(text) => set({ credit_score: text === '' ? '' : Number(text) })}
                />
                <FigureInput
                    {...money}
                    label={t('input.monthly_obligations')}
                    value={figures.monthly_obligations}
                    placeholder={placeholder}
                    onChange={(monthly_obligations) => set({ monthly_obligations })}
                />
                <FigureInput
                    {...money}
                    label={t('input.average_monthly_income')}
                    value={figures.average_monthly_income}
                    placeholder={placeholder}
                    onChange={(average_monthly_income) => set({ average_monthly_income })}
                />
                <NativeSelect
                    label={t('input.has_defaults')}
                    value={figures.has_defaults}
                    data={flags}
                    onChange={(event) => set({ has_defaults: event.currentTarget.value as Reported })}
                />
                <NativeSelect
                    label={t('input.verified')}
                    value={figures.verified}
                    data={flags}
                    onChange={(event) => set({ verified: event.currentTarget.value as Reported })}
                />
                <NativeSelect
                    label={t('banking.account_status')}
                    value={figures.account_status}
                    data={[
                        unknown,
                        ...ACCOUNT_STATUSES.map((value) => ({ value, label: t(`account_status.${value}`) })),
                    ]}
                    onChange={(event) =>
                        set({
                            account_status: ACCOUNT_STATUSES.find((each) => each === event.currentTarget.value) ?? '',
                        })
                    }
                />
                <Checkbox
                    label={t('banking.thin_file')}
                    checked={figures.thin_file}
                    onChange={(event) => set({ thin_file: event.currentTarget.checked })}
                />
            </Stack>
        </Fieldset>
    );
}
