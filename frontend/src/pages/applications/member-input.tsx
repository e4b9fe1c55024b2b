import { NativeSelect, NumberInput, Text, Textarea, TextInput } from '@mantine/core';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Schema } from '../../api/types';
import { separators } from '../../format/locale';
import { useChoiceLabel, useMemberLabel } from './members';

type Member = Schema<'MemberDescription'>;

/** Texts longer than this have several lines. */
const LONG_TEXT = 200;

/** The input for a member of `country_specific_data`, by the kind and the bounds that the country declares. */
export function MemberInput(props: {
    member: Member;
    country: Schema<'CountryDescription'>;
    value: string;
    error: ReactNode;
    onChange: (value: string) => void;
}) {
    const { t } = useTranslation();
    const label = useMemberLabel();
    const choice = useChoiceLabel();
    const { member, country, value, error, onChange } = props;
    const common = { label: label(member.name, member.description), value, error, autoComplete: 'off' };
    const onText = (event: { currentTarget: { value: string } }) => onChange(event.currentTarget.value);
    const none = { value: '', label: t('create.not_stated') };
    switch (member.kind) {
        case 'choice':
            return (
                <NativeSelect
                    {...common}
                    data={[none, ...member.bounds.split(', ').map((each) => ({ value: each, label: choice(each) }))]}
                    onChange={onText}
                />
            );
        case 'flag':
            return (
                <NativeSelect
                    {...common}
                    data={[none, { value: 'true', label: t('value.yes') }, { value: 'false', label: t('value.no') }]}
                    onChange={onText}
                />
            );
        case 'date':
            return <TextInput {...common} type="date" onChange={onText} />;
        case 'email':
            return <TextInput {...common} type="email" onChange={onText} />;
        case 'amount':
        case 'integer': {
            const isAmount = member.kind === 'amount';
            return (
                <NumberInput
                    {...common}
                    {...(isAmount ? { ...separators(country.code), decimalScale: 2 } : { allowDecimal: false })}
                    allowNegative={false}
                    hideControls
                    onValueChange={(entered) => onChange(entered.value)}
                    {...(isAmount && {
                        rightSection: (
                            <Text size="xs" c="dimmed">
                                {country.currency}
                            </Text>
                        ),
                        rightSectionWidth: 56,
                    })}
                />
            );
        }
        case 'text':
        case 'code': {
            const longest = Number(/(\d+) (?:characters|letters)/.exec(member.bounds)?.[1]);
            const maxLength = Number.isNaN(longest) ? {} : { maxLength: longest };
            return longest > LONG_TEXT ? (
                <Textarea {...common} {...maxLength} autosize minRows={2} onChange={onText} />
            ) : (
                <TextInput {...common} {...maxLength} onChange={onText} />
            );
        }
    }
}
