import { expect, test } from 'vitest';
import { formatAge, formatAmount, formatDuration, formatShare, formatTimeIn, separators } from '../src/format/locale';

/** Spaces in formats are non-breaking. */
const plain = (text: string) => text.replaceAll(/\s/gu, ' ');

test('an amount has the format of its country', () => {
    expect(plain(formatAmount('1234.50', 'EUR', 'ES'))).toBe('1.234,50 €');
    expect(plain(formatAmount('1234.50', 'EUR', 'PT'))).toBe('1 234,50 €');
    expect(plain(formatAmount('1234.50', 'MXN', 'MX'))).toBe('$1,234.50');
    expect(plain(formatAmount('1234.50', 'BRL', 'BR'))).toBe('R$ 1.234,50');
});

test('the largest amount is shown exactly', () => {
    expect(plain(formatAmount('9999999999.99', 'EUR', 'IT'))).toBe('9.999.999.999,99 €');
});

test('a time is in the zone of its country and names the zone', () => {
    const time = '2026-01-31T23:30:00.000000Z';
    expect(formatTimeIn('ES', time)).toBe('01/02/2026, 00:30 CET');
    expect(formatTimeIn('MX', time)).toContain('31/01/2026, 17:30');
    expect(formatTimeIn('BR', time)).toContain('31/01/2026, 20:30');
});

test('shares, ages and durations follow the language of the reader', () => {
    expect(plain(formatShare('0.3659', 'es'))).toBe('36,6 %');
    expect(formatAge('2026-01-31T10:00:00Z', Date.parse('2026-01-31T13:30:00Z'), 'es')).toBe('hace 3 horas');
    expect(formatDuration(90_000, 'en')).toBe('2 min');
});

test('typed amounts have the separators of the country', () => {
    expect(separators('ES')).toEqual({ thousandSeparator: '.', decimalSeparator: ',' });
    expect(separators('MX')).toEqual({ thousandSeparator: ',', decimalSeparator: '.' });
});
