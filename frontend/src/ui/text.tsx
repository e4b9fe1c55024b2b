import { Text, Tooltip } from '@mantine/core';
import type { CountryCode, CurrencyCode } from '../api/types';
import { countryName, formatAmount, formatTime, formatTimeIn } from '../format/locale';
import { useTimeZone } from '../format/time-zone';
import { useLanguage } from '../i18n/i18n';

/** An amount with its currency, in the format of its country. */
export function Amount(props: { amount: string; currency: CurrencyCode; country?: CountryCode }) {
    return <span translate="no">{formatAmount(props.amount, props.currency, props.country)}</span>;
}

/** A time with its zone: in the zone of a country, or in the reader's. The exact time in UTC is a tooltip. */
export function Time(props: { time: string; country?: CountryCode; seconds?: boolean }) {
    const language = useLanguage();
    const timeZone = useTimeZone();
    const { time, country } = props;
    return (
        <Tooltip label={time} events={{ hover: true, focus: true, touch: true }}>
            <time dateTime={time}>
                {country ? formatTimeIn(country, time) : formatTime(time, language, props.seconds, timeZone)}
            </time>
        </Tooltip>
    );
}

export function Country({ code }: { code: string }) {
    const language = useLanguage();
    return <>{countryName(code, language)}</>;
}

/** An optional value; a dash stands for its absence. */
export function Optional({ value }: { value: string | null | undefined }) {
    return value ? (
        <span className="wrap-anywhere">{value}</span>
    ) : (
        <Text span c="dimmed">
            –
        </Text>
    );
}
