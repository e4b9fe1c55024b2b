import { expect, test } from 'vitest';
import type { ListedApplication } from '../src/api/types';
import { applyUpdate, riskBand } from '../src/live/use-live';

const ROW: ListedApplication = {
    id: '01890a5d-ac96-774b-bcce-b302099a8057',
    country: 'ES',
    full_name: 'Ana García López',
    identity_document: '****678Z',
    requested_amount: '15000.00',
    monthly_income: '3500.00',
    term_months: 36,
    currency: 'EUR',
    status: 'PENDING',
    risk_score: null,
    risk_band: null,
    version: 1,
    created_at: '2026-01-31T12:00:00.000000Z',
    updated_at: '2026-01-31T12:00:00.000000Z',
};

const update = (updated_at: string) => ({
    id: ROW.id,
    country: ROW.country,
    status: 'APPROVED' as const,
    previous_status: 'VALIDATING' as const,
    risk_score: '25.96',
    updated_at,
});

test('an update changes the status, the score and the risk band of its row', () => {
    const row = applyUpdate(ROW, update('2026-01-31T12:00:00.100000Z'));
    expect(row).toMatchObject({ status: 'APPROVED', risk_score: '25.96', risk_band: 'low', full_name: ROW.full_name });
});

test('an update that is older than the row changes nothing', () => {
    expect(applyUpdate(ROW, update('2026-01-31T11:59:59.000000Z'))).toBe(ROW);
});

test('risk bands have the limits of the specification', () => {
    const bands = ['0.00', '29.99', '30.00', '49.99', '50.00', '69.99', '70.00', '100.00'].map(riskBand);
    expect(bands).toEqual(['low', 'low', 'medium', 'medium', 'high', 'high', 'critical', 'critical']);
    expect(riskBand(null)).toBeNull();
});
