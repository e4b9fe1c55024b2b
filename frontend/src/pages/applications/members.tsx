// Names and values of the members of `country_specific_data`. Each country declares its own; a member without a translation
// is shown with the description of the API.

import { Divider } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { countriesQuery } from '../../api/queries';
import type { Application } from '../../api/types';
import { formatAmount, formatDate } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { Details } from '../../ui/details';

export function useMemberLabel(): (name: string, fallback: string) => string {
    const { t, i18n } = useTranslation();
    return (name, fallback) => (i18n.exists(`member.${name}`) ? t(`member.${name}` as 'member.email') : fallback);
}

export function useChoiceLabel(): (choice: string) => string {
    const { t, i18n } = useTranslation();
    return (choice) => (i18n.exists(`choice.${choice}`) ? t(`choice.${choice}` as 'choice.other') : choice);
}

export function MemberValues({ application }: { application: Application }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const label = useMemberLabel();
    const choice = useChoiceLabel();
    const countries = useQuery(countriesQuery());
    const declared = countries.data?.find(({ code }) => code === application.country)?.country_specific_data ?? [];
    const values = Object.entries(application.country_specific_data as Record<string, unknown>);
    if (values.length === 0) return null;
    const show = (name: string, value: unknown) => {
        if (typeof value === 'boolean') return t(value ? 'value.yes' : 'value.no');
        const text = String(value);
        const kind = declared.find((member) => member.name === name)?.kind;
        if (kind === 'amount') return formatAmount(text, application.currency, application.country);
        // A masked date cannot be formatted.
        if (kind === 'date' && /^\d{4}-\d{2}-\d{2}$/.test(text)) return formatDate(text, language);
        return kind === 'choice' ? choice(text) : text;
    };
    return (
        <>
            <Divider my="md" />
            <Details
                entries={values.map(([name, value]) => [
                    label(name, declared.find((member) => member.name === name)?.description ?? name),
                    show(name, value),
                ])}
            />
        </>
    );
}
