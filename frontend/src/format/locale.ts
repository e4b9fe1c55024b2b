// Formats of amounts, numbers and times. Values of an application are formatted as in its country, so that the amount
// on the screen looks like the amount in the contract. Everything else follows the reader's language and time zone.

import type { CountryCode, CurrencyCode } from '../api/types';

interface Region {
    locale: string;
    timeZone: string;
}

const REGIONS: Record<CountryCode, Region> = {
    ES: { locale: 'es-ES', timeZone: 'Europe/Madrid' },
    PT: { locale: 'pt-PT', timeZone: 'Europe/Lisbon' },
    IT: { locale: 'it-IT', timeZone: 'Europe/Rome' },
    MX: { locale: 'es-MX', timeZone: 'America/Mexico_City' },
    CO: { locale: 'es-CO', timeZone: 'America/Bogota' },
    BR: { locale: 'pt-BR', timeZone: 'America/Sao_Paulo' },
};

/** Caches formatters, because creating one takes far longer than using it. */
function kept<Options, Formatter>(make: new (locale: string, options: Options) => Formatter) {
    const formatters = new Map<string, Formatter>();
    return (locale: string, options: Options): Formatter => {
        const key = JSON.stringify([locale, options]);
        const formatter = formatters.get(key) ?? new make(locale, options);
        formatters.set(key, formatter);
        return formatter;
    };
}

const numberFormat = kept<Intl.NumberFormatOptions, Intl.NumberFormat>(Intl.NumberFormat);
const dateTimeFormat = kept<Intl.DateTimeFormatOptions, Intl.DateTimeFormat>(Intl.DateTimeFormat);
const relativeTimeFormat = kept<Intl.RelativeTimeFormatOptions, Intl.RelativeTimeFormat>(Intl.RelativeTimeFormat);
const displayNames = kept<Intl.DisplayNamesOptions, Intl.DisplayNames>(Intl.DisplayNames);

/** The country in which most readers of a currency expect its format. */
const CURRENCY_LOCALES: Record<CurrencyCode, string> = { EUR: 'es-ES', MXN: 'es-MX', COP: 'es-CO', BRL: 'pt-BR' };

export function localeOf(country: CountryCode): string {
    return REGIONS[country].locale;
}

// `Intl` accepts the exact text of a decimal; a conversion to a number would round it.
type DecimalText = `${number}`;

/** An amount in the format of a country. `amount` is the exact text of a decimal. */
export function formatAmount(amount: string, currency: CurrencyCode, country?: CountryCode): string {
    const locale = country ? localeOf(country) : CURRENCY_LOCALES[currency];
    // Without grouping of four digits, amounts in a column do not line up (es-ES, pt-PT).
    return numberFormat(locale, { style: 'currency', currency, useGrouping: 'always' }).format(amount as DecimalText);
}

/**
 * The reader's language with the region of the browser, which determines the order of dates. `en` alone is American English.
 */
function readerLocale(language: string): string {
    return navigator.languages.find((tag) => tag.startsWith(`${language}-`)) ?? language;
}

/** A risk score in the reader's language. */
export function formatScore(score: string, language: string): string {
    return numberFormat(readerLocale(language), {
        minimumFractionDigits: 2,
        maximumFractionDigits: 2,
    }).format(score as DecimalText);
}

/** A decimal in the reader's language, with at most `digits` decimal places. */
export function formatDecimal(value: string | number, language: string, digits = 2): string {
    return numberFormat(readerLocale(language), { maximumFractionDigits: digits }).format(value as DecimalText);
}

/** A share between 0 and 1 as a percentage. */
export function formatShare(value: string, language: string, digits = 1): string {
    return numberFormat(readerLocale(language), { style: 'percent', maximumFractionDigits: digits }).format(
        value as DecimalText,
    );
}

const TIME: Intl.DateTimeFormatOptions = {
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
    timeZoneName: 'short',
};

/** A time in the format and the time zone of a country, with the zone. */
export function formatTimeIn(country: CountryCode, time: string): string {
    const { locale, timeZone } = REGIONS[country];
    return dateTimeFormat(locale, { ...TIME, timeZone }).format(new Date(time));
}

/** A time in the reader's language, with the zone. The zone is that of the browser if none is given. */
export function formatTime(time: string, language: string, withSeconds = false, timeZone?: string): string {
    return dateTimeFormat(readerLocale(language), {
        ...TIME,
        timeZone,
        ...(withSeconds && { second: '2-digit' }),
    }).format(new Date(time));
}

/** A date without a time, such as `2026-01-31`, in the reader's language. */
export function formatDate(date: string, language: string, style: 'short' | 'day' = 'short'): string {
    const options: Intl.DateTimeFormatOptions =
        style === 'short' ? { dateStyle: 'medium' } : { day: 'numeric', month: 'short' };
    return dateTimeFormat(readerLocale(language), { ...options, timeZone: 'UTC' }).format(
        new Date(`${date}T00:00:00Z`),
    );
}

/** The name of a country in the reader's language. */
export function countryName(country: string, language: string): string {
    return displayNames(language, { type: 'region' }).of(country) ?? country;
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
    ['day', 86_400],
    ['hour', 3600],
    ['minute', 60],
];

/** How long ago a time was, in the reader's language and the largest fitting unit. */
export function formatAge(time: string, now: number, language: string): string {
    const seconds = Math.round((Date.parse(time) - now) / 1000);
    const [unit, length] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? ['second', 1];
    return relativeTimeFormat(readerLocale(language), { numeric: 'auto' }).format(Math.trunc(seconds / length), unit);
}

/** A duration in milliseconds, in the reader's language and the largest fitting unit. */
export function formatDuration(ms: number, language: string): string {
    const seconds = ms / 1000;
    const [unit, length] =
        UNITS.find(([, each]) => seconds >= each) ?? (seconds >= 1 ? ['second', 1] : ['millisecond', 0.001]);
    return numberFormat(readerLocale(language), { style: 'unit', unit, maximumFractionDigits: 0 }).format(
        seconds / length,
    );
}

/** The separators in amounts that are entered for a country. */
export function separators(country: CountryCode): { thousandSeparator: string; decimalSeparator: string } {
    const parts = numberFormat(localeOf(country), { useGrouping: 'always' }).formatToParts(1234567.8);
    const find = (type: Intl.NumberFormatPartTypes) => parts.find((part) => part.type === type)?.value ?? '';
    return { thousandSeparator: find('group'), decimalSeparator: find('decimal') };
}
