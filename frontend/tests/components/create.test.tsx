import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';
import { CreatePage } from '../../src/pages/applications/create';
import { type Received, serve, show } from './render';

const limits = {
    requested_amount: { min: '0.01', max: '9999999999.99' },
    monthly_income: { min: '0.01', max: '9999999999.99' },
    term_months: { min: 6, max: 84, default: 36 },
    reference_annual_rate: '0.08',
};
const country = (code: string, currency: string, kind: string, sample: string, member: string) => ({
    code,
    currency,
    name: code,
    provider: 'Bureau',
    limits,
    document: { kinds: [kind], description: '', format: '', sample },
    country_specific_data: [
        {
            name: member,
            kind: 'text',
            bounds: '1 to 60 characters',
            personal: false,
            description: 'Described by the API',
        },
    ],
    rules: [],
    rules_version: 'x',
});
const COUNTRIES = {
    countries: [
        country('ES', 'EUR', 'DNI', '12345678Z', 'province'),
        country('BR', 'BRL', 'CPF', '12345678909', 'not_translated'),
    ],
};
const ID = '01890a5d-ac96-774b-bcce-b302099a8057';

const problem = (code: string, more: object) => ({ type: `/problems/${code}`, title: '', detail: '', code, ...more });

/** A server that returns the countries, and the result of `create` for a new application. */
function server(create: () => { status: number; body: unknown }): Received[] {
    return serve(({ path }) => {
        if (path === '/api/v1/countries') return { status: 200, body: COUNTRIES };
        if (path.endsWith('/document-checks')) {
            return { status: 200, body: { valid: false, kind: null, normalized: null, reasons: ['bad_check_digit'] } };
        }
        return create();
    });
}

async function fill() {
    const user = userEvent.setup();
    await user.click(await screen.findByLabelText(/^Full name/));
    // Each key renders the form again. Only the fields that are checked while they are typed need that.
    await user.paste('Ana García López');
    await user.type(screen.getByLabelText(/^Identity document/), '12345678A');
    await user.type(screen.getByLabelText(/^Requested amount/), '15000,50');
    await user.type(screen.getByLabelText(/^Monthly income/), '3500');
    return user;
}

test('the form follows the country', async () => {
    server(() => ({ status: 500, body: {} }));
    await show(CreatePage);
    expect(await screen.findByLabelText(/Identity document \(DNI\)/)).toBeDefined();
    await userEvent.setup().selectOptions(screen.getByLabelText(/^Country/), 'BR');
    expect(screen.getByLabelText(/Identity document \(CPF\)/)).toBeDefined();
    expect(screen.getAllByText('BRL')).toHaveLength(2);
    expect(screen.getByLabelText('Described by the API')).toBeDefined();
});

test('a document is checked by the server while it is typed', async () => {
    const received = server(() => ({ status: 500, body: {} }));
    await show(CreatePage);
    await fill();
    expect(await screen.findByText(/check character is wrong/)).toBeDefined();
    const checks = received.filter(({ path }) => path.endsWith('/document-checks'));
    expect(checks.at(-1)?.body).toEqual({ identity_document: '12345678A' });
});

test('amounts are sent as the exact text, and invalid values are marked in place', async () => {
    const errors = [{ pointer: '/requested_amount', code: 'out_of_range', detail: '' }];
    const received = server(() => ({ status: 422, body: problem('validation_failed', { status: 422, errors }) }));
    await show(CreatePage);
    const user = await fill();
    await user.click(screen.getByRole('button', { name: 'Create application' }));
    expect(await screen.findByText('Outside the allowed range')).toBeDefined();
    const sent = received.find(({ path }) => path === '/api/v1/applications');
    expect(sent?.body).toMatchObject({
        country: 'ES',
        requested_amount: '15000.50',
        monthly_income: '3500',
        term_months: 36,
    });
});

test('the same content is sent with the same key, and other content with another one', async () => {
    const received = server(() => ({ status: 503, body: problem('unavailable', { status: 503 }) }));
    await show(CreatePage);
    const user = await fill();
    const submit = screen.getByRole('button', { name: 'Create application' });
    const creations = () => received.filter(({ path }) => path === '/api/v1/applications');
    for (const count of [1, 2]) {
        await user.click(submit);
        await waitFor(() => expect(creations()).toHaveLength(count));
        await screen.findByRole('alert');
    }
    await user.type(screen.getByLabelText(/^Full name/), ' Ruiz');
    await user.click(submit);
    await waitFor(() => expect(creations()).toHaveLength(3));
    const [first, second, third] = creations().map(({ key }) => key);
    expect(first).toMatch(/^[0-9a-f-]{36}$/);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
});

test('a duplicate is explained with a link to the open application', async () => {
    server(() => ({ status: 409, body: problem('duplicate_application', { status: 409, application_id: ID }) }));
    await show(CreatePage);
    const user = await fill();
    await user.click(screen.getByRole('button', { name: 'Create application' }));
    const link = await screen.findByRole('link', { name: 'Open the existing application' });
    expect(link.getAttribute('href')).toBe(`/console/applications/${ID}`);
});
