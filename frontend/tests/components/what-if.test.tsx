import { fireEvent, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';
import { WhatIfPage } from '../../src/pages/what-if/what-if';
import { listed, problem, type Received, serve, show } from './render';

const ID = '01890a5d-ac96-774b-bcce-b302099a8057';
const COUNTRY = {
    code: 'ES',
    currency: 'EUR',
    name: 'Spain',
    provider: 'Bureau',
    limits: { term_months: { min: 6, max: 84, default: 36 }, reference_annual_rate: '0.08' },
    country_specific_data: [],
    rules: [{ code: 'AMOUNT_NEEDS_REVIEW', kind: 'review', description: '', threshold: '20000.00' }],
    rules_version: 'x',
};

interface Case {
    requested_amount: string;
    banking_data: Record<string, unknown>;
}

/** Amounts above 20,000 need a review. */
function decide({ requested_amount }: Case) {
    const isLarge = Number(requested_amount) > 20_000;
    return {
        status: isLarge ? 'UNDER_REVIEW' : 'APPROVED',
        risk_score: isLarge ? '32.50' : '22.50',
        risk_band: isLarge ? 'medium' : 'low',
        reasons: isLarge ? ['AMOUNT_NEEDS_REVIEW'] : [],
        risk_components: [
            { component: 'credit', points: '12.50' },
            { component: 'affordability', points: '10.00' },
            ...(isLarge ? [{ component: 'review_rules', points: '10.00' }] : []),
        ],
        rules: [],
        rules_version: 'x',
    };
}

const cases = (received: Received[]) =>
    received.filter(({ path }) => path.endsWith('/evaluations')).map(({ body }) => body as Case);

async function open(
    at = '/console/what-if',
    evaluate = (body: Case) => ({ status: 200, body: decide(body) as unknown }),
) {
    const received = serve(({ path, body }) => {
        if (path === '/api/v1/countries') return { status: 200, body: { countries: [COUNTRY] } };
        if (path.endsWith('/evaluations')) return evaluate(body as Case);
        if (path.endsWith('/decision')) return problem(404, 'not_found');
        const banking_data = { credit_score: 612, monthly_obligations: '410.50', has_defaults: null, thin_file: false };
        return {
            status: 200,
            body: { ...listed(ID, 'Ana García'), banking_data, country_specific_data: {}, created_by: 'ana.lopez' },
        };
    });
    await show(WhatIfPage, at);
    return { received, user: userEvent.setup() };
}

test('the decision and the composition of the score follow the figures', async () => {
    const { received, user } = await open();
    await screen.findByText('Approved');
    const amount = screen.getByRole('textbox', { name: 'Requested amount' });
    await user.clear(amount);
    await user.type(amount, '25000,50');
    await screen.findByText('Under review');
    expect(screen.getByText('The amount requires a review')).toBeDefined();
    expect(screen.getByRole('row', { name: 'Violated rules that require a review 10.00' })).toBeDefined();
    expect(screen.getByRole('row', { name: 'Risk score 32.50' })).toBeDefined();
    expect(cases(received).at(-1)?.requested_amount).toBe('25000.50');
    // Not every keystroke is a request.
    expect(cases(received).length).toBeLessThan(6);
});

test('a slider changes its figure with the keyboard', async () => {
    const { received } = await open();
    await screen.findByText('Approved');
    const slider = screen.getByRole('slider', { name: 'Credit score' });
    fireEvent.keyDown(slider, { key: 'ArrowRight' });
    await waitFor(() => expect(cases(received).at(-1)?.banking_data['credit_score']).toBe(701));
});

test('a figure without a value counts as not reported', async () => {
    const { received, user } = await open();
    await screen.findByText('Approved');
    await user.clear(screen.getByRole('textbox', { name: 'Credit score' }));
    await user.selectOptions(screen.getByLabelText('Active defaults'), '');
    await waitFor(() =>
        expect(cases(received).at(-1)?.banking_data).toMatchObject({ credit_score: null, has_defaults: null }),
    );
});

test('the previous decision stays while the next one is loaded, and after a refusal', async () => {
    const refused = problem(422, 'validation_failed', {
        errors: [{ pointer: '/requested_amount', code: 'out_of_range', detail: '' }],
    });
    const { user } = await open('/console/what-if', (body) =>
        Number(body.requested_amount) > 1e9 ? refused : { status: 200, body: decide(body) },
    );
    await screen.findByText('Approved');
    const amount = screen.getByRole('textbox', { name: 'Requested amount' });
    await user.clear(amount);
    await user.type(amount, '9000000000');
    await screen.findByText('Requested amount: Outside the allowed range');
});

test('a case starts from the figures of an application and returns to them', async () => {
    const { received, user } = await open(`/console/what-if?application=${ID}`);
    await screen.findByText('Under review');
    expect(screen.getByRole('link', { name: 'Back to the application of Ana García' })).toBeDefined();
    expect(cases(received)[0]).toMatchObject({
        requested_amount: '25000.00',
        monthly_income: '6000.00',
        term_months: 48,
        banking_data: { credit_score: 612, monthly_obligations: '410.50', has_defaults: null },
    });
    const amount = screen.getByRole('textbox', { name: 'Requested amount' });
    await user.clear(amount);
    await user.type(amount, '1000');
    await screen.findByText('Approved');
    await user.click(screen.getByRole('button', { name: 'Restore the initial figures' }));
    await screen.findByText('Under review');
});
