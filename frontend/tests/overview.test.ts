import { expect, test } from 'vitest';
import type { Schema } from '../src/api/types';
import { isDecision } from '../src/live/throughput';
import { urgency } from '../src/pages/operations/job-urgency';
import { addAmounts, amountsByDay, approvalRate, byCountry, byDay, period, total } from '../src/pages/overview/daily';

const day = (date: string, country: 'ES' | 'IT' | 'MX', more: object = {}) => ({
    date,
    country,
    created: 2,
    decided: 1,
    approved: 1,
    rejected: 0,
    under_review: 0,
    amount_requested: '100.10',
    amount_approved: '50.05',
    ...more,
});
const ITEMS = [
    day('2026-01-02', 'ES', { approved: 0, rejected: 1 }),
    day('2026-01-01', 'ES'),
    day('2026-01-01', 'IT'),
    day('2026-01-01', 'MX', { amount_requested: '9999999999999999.99' }),
];
const CURRENCIES = { ES: 'EUR', IT: 'EUR', MX: 'MXN', PT: 'EUR', CO: 'COP', BR: 'BRL' } as const;

test('amounts are added exactly', () => {
    expect(addAmounts('0.10', '0.20')).toBe('0.30');
    expect(addAmounts('0', '0.05')).toBe('0.05');
    expect(addAmounts('9999999999999999.99', '0.01')).toBe('10000000000000000.00');
});

test('figures are summed by day and by country', () => {
    expect(total(ITEMS)).toMatchObject({ created: 8, decided: 4, approved: 3, rejected: 1 });
    expect(byDay(ITEMS).map(({ date, created }) => [date, created])).toEqual([
        ['2026-01-01', 6],
        ['2026-01-02', 2],
    ]);
    const spain = byCountry(ITEMS).find(({ country }) => country === 'ES');
    expect(spain).toMatchObject({ created: 4, amount_requested: '200.20', amount_approved: '100.10' });
});

test('amounts by day contain one currency', () => {
    expect(amountsByDay(ITEMS, 'EUR', (country) => CURRENCIES[country])).toEqual([
        { date: '2026-01-01', requested: '200.20', approved: '100.10' },
        { date: '2026-01-02', requested: '100.10', approved: '50.05' },
    ]);
});

test('the approval rate counts decided applications only', () => {
    expect(approvalRate(total(ITEMS))).toBe('0.7500');
    expect(approvalRate(total([]))).toBeUndefined();
});

test('a period of days ends today, in UTC', () => {
    expect(period(7, Date.parse('2026-03-03T23:59:00Z'))).toEqual({ from: '2026-02-25', to: '2026-03-03' });
    expect(period(1, Date.parse('2026-03-03T00:00:00Z'))).toEqual({ from: '2026-03-03', to: '2026-03-03' });
});

test('only results of an evaluation count as decisions', () => {
    const update = (previous_status: string | null) =>
        ({ type: 'application_update', data: { previous_status, status: 'APPROVED' } }) as never;
    expect(isDecision(update('VALIDATING'))).toBe(true);
    expect(isDecision(update('UNDER_REVIEW'))).toBe(false);
    expect(isDecision({ type: 'gap' })).toBe(false);
});

test('a job is stuck without a lease and slow if it has been due for long', () => {
    const now = Date.parse('2026-01-31T12:00:00Z');
    const job = (more: Partial<Schema<'JobView'>>) =>
        urgency(
            { status: 'pending', run_at: '2026-01-31T11:59:50Z', leased_until: null, ...more } as Schema<'JobView'>,
            now,
        );
    expect(job({})).toBeUndefined();
    expect(job({ run_at: '2026-01-31T11:58:00Z' })).toBe('slow');
    expect(job({ run_at: '2026-01-31T12:10:00Z' })).toBeUndefined();
    expect(job({ status: 'processing', leased_until: '2026-01-31T11:59:59Z' })).toBe('stuck');
    expect(job({ status: 'processing', leased_until: '2026-01-31T12:00:30Z' })).toBeUndefined();
    expect(job({ status: 'waiting_external', run_at: '2026-01-30T12:00:00Z' })).toBeUndefined();
});
