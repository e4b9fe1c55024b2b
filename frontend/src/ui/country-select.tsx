import { NativeSelect } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { countriesQuery } from '../api/queries';
import type { CountryCode } from '../api/types';
import { countryName } from '../format/locale';
import { useLanguage } from '../i18n/i18n';

interface Props {
    value: CountryCode | undefined;
    onChange: (country: CountryCode | undefined) => void;
}

/** Chooses one country or all, without a visible label. */
export function CountrySelect(props: Props) {
    const { t } = useTranslation();
    return <Select {...props} all={t('statistics.all_countries')} aria-label={t('application.country')} />;
}

/** The same select with a visible label, for use among other filters. */
export function CountryFilter(props: Props) {
    const { t } = useTranslation();
    return <Select {...props} all={t('filter.all')} label={t('application.country')} />;
}

function Select({ value, onChange, all, ...names }: Props & { all: string; label?: string; 'aria-label'?: string }) {
    const language = useLanguage();
    const codes = (useQuery(countriesQuery()).data ?? []).map(({ code }) => code);
    return (
        <NativeSelect
            {...names}
            value={value ?? ''}
            data={[
                { value: '', label: all },
                ...codes.map((code) => ({ value: code, label: countryName(code, language) })),
            ]}
            onChange={(event) => onChange(codes.find((code) => code === event.currentTarget.value))}
        />
    );
}
