// Sums of the daily statistics. Amounts are added exactly, and only within one currency.

import type { CountryCode, CurrencyCode, DailyFigures } from '../../api/types';

interface Counts {
    created: number;
    decided: number;
    approved: number;
    rejected: number;
    under_review: number;
}

export interface Day extends Counts {
    date: string;
}

export interface CountryFigures extends Counts {
    country: CountryCode;
    amount_requested: string;
    amount_approved: string;
}

export interface DayAmounts {
    date: string;
    requested: string;
    approved: string;
}

const NOTHING: Counts = { created: 0, decided: 0, approved: 0, rejected: 0, under_review: 0 };

function add(one: Counts, other: Counts): Counts {
    return {
        created: one.created + other.created,
        decided: one.decided + other.decided,
        approved: one.approved + other.approved,
        rejected: one.rejected + other.rejected,
        under_review: one.under_review + other.under_review,
    };
}

/** The sum of two decimals with at most two decimal places. A JavaScript number cannot represent every amount. */
export function addAmounts(one: string, other: string): string {
    const cents = (amount: string) => {
        const [whole = '0', fraction = ''] = amount.split('.');
        return BigInt(whole + fraction.padEnd(2, '0').slice(0, 2));
    };
    const sum = (cents(one) + cents(other)).toString().padStart(3, '0');
    return `${sum.slice(0, -2)}.${sum.slice(-2)}`;
}

function groups<Item, Key>(items: Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
    const all = new Map<Key, Item[]>();
    for (const item of items) {
        const key = keyOf(item);
        all.set(key, [...(all.get(key) ?? []), item]);
    }
    return all;
}

/** The counts of all countries together. */
export function total(items: DailyFigures[]): Counts {
    return items.reduce(add, NOTHING);
}

/** The counts by day, oldest first. */
export function byDay(items: DailyFigures[]): Day[] {
    const days = groups(items, ({ date }) => date);
    return [...days]
        .map(([date, figures]) => ({ date, ...total(figures) }))
        .sort((one, other) => one.date.localeCompare(other.date));
}

/** The counts and amounts by country. */
export function byCountry(items: DailyFigures[]): CountryFigures[] {
    return [...groups(items, ({ country }) => country)].map(([country, figures]) => ({
        country,
        ...total(figures),
        amount_requested: figures.map((each) => each.amount_requested).reduce(addAmounts, '0'),
        amount_approved: figures.map((each) => each.amount_approved).reduce(addAmounts, '0'),
    }));
}

/** The amounts in one currency by day, oldest first. */
export function amountsByDay(
    items: DailyFigures[],
    currency: CurrencyCode,
    currencyOf: (country: CountryCode) => CurrencyCode | undefined,
): DayAmounts[] {
    const days = groups(
        items.filter(({ country }) => currencyOf(country) === currency),
        ({ date }) => date,
    );
    return [...days]
        .map(([date, figures]) => ({
            date,
            requested: figures.map((each) => each.amount_requested).reduce(addAmounts, '0'),
            approved: figures.map((each) => each.amount_approved).reduce(addAmounts, '0'),
        }))
        .sort((one, other) => one.date.localeCompare(other.date));
}

/** The share of approved among decided applications, with four decimal places; undefined if none has been decided. */
export function approvalRate({ approved, rejected }: Counts): string | undefined {
    const decided = approved + rejected;
    return decided === 0 ? undefined : (approved / decided).toFixed(4);
}

/** The first and the last day of a period that ends today, in UTC like the statistics. `now` is in milliseconds since 1970. */
export function period(days: number, now: number): { from: string; to: string } {
    const day = (time: number) => new Date(time).toISOString().slice(0, 10);
    return { from: day(now - (days - 1) * 86_400_000), to: day(now) };
}
