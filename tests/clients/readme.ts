// Calls the API with the types that openapi-typescript generates from the OpenAPI document, without casts or `any`.

import createClient from 'openapi-fetch';
import type { components, paths } from './schema.js';

type Application = components['schemas']['ApplicationView'];

function environment(name: string): string {
    const value = process.env[name];
    if (value === undefined) throw new Error(`${name} is not set`);
    return value;
}

function check(condition: boolean, what: string): asserts condition {
    if (!condition) throw new Error(what);
}

const baseUrl = environment('AVAL_URL');
const login = createClient<paths>({ baseUrl });
const { data: tokens } = await login.POST('/api/v1/auth/login', {
    body: { username: environment('AVAL_USER'), password: environment('AVAL_PASSWORD') },
});
check(tokens !== undefined && tokens.token_type === 'Bearer', 'log-in');
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${tokens.access_token}` } });

const { data: me } = await client.GET('/api/v1/auth/me');
check(me?.role === 'admin' && me.valid_until !== null, 'own account');

const { data: countries } = await client.GET('/api/v1/countries');
const spain = countries?.countries.find((country) => country.code === 'ES');
check(spain !== undefined && spain.currency === 'EUR', 'Spain');
check(spain.rules.some((rule) => rule.kind === 'reject' && rule.threshold !== null), 'rules');

const { data: verdict } = await client.POST('/api/v1/countries/{code}/document-checks', {
    params: { path: { code: 'ES' } },
    body: { identity_document: '12345678-Z' },
});
check(verdict?.valid === true && verdict.normalized === '12345678Z', 'document');

const { data: evaluation } = await client.POST('/api/v1/countries/{code}/evaluations', {
    params: { path: { code: 'ES' } },
    body: {
        requested_amount: '15000.00',
        monthly_income: 3500,
        banking_data: { account_status: 'active', credit_score: 720, monthly_obligations: '300.00', has_defaults: false },
    },
});
check(evaluation?.status === 'APPROVED', 'evaluation');

const made = await client.POST('/api/v1/applications', {
    params: { header: { 'Idempotency-Key': '8e03978e-40d5-43e8-bc93-6894a57f9324' } },
    body: {
        country: 'ES',
        full_name: 'Ana García López',
        identity_document: '12345678Z',
        requested_amount: '15000.00',
        monthly_income: '3500.00',
        country_specific_data: { employer: 'García', years_employed: 2 },
    },
});
check(made.response.status === 201 && made.data !== undefined, 'creation');
const id: string = made.data.id;
const employer: unknown = made.data.country_specific_data['employer'];
check(employer === 'García' && made.data.risk_score === null && made.data.banking_data === null, 'created application');

async function waitUntilDecided(): Promise<Application> {
    for (let attempt = 0; attempt < 300; attempt += 1) {
        const { data } = await client.GET('/api/v1/applications/{id}', { params: { path: { id } } });
        check(data !== undefined, 'application');
        if (data.status !== 'PENDING' && data.status !== 'VALIDATING') return data;
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error('not decided');
}
const application = await waitUntilDecided();
check(application.status === 'APPROVED' && application.risk_band === 'low', 'decision');
check(application.banking_data?.account_status === 'active', 'bureau report');

const { data: decision } = await client.GET('/api/v1/applications/{id}/decision', { params: { path: { id } } });
check(decision !== undefined && !decision.reasons.includes('DTI_TOO_HIGH'), 'reasons');
const { data: audit } = await client.GET('/api/v1/applications/{id}/audit', { params: { path: { id } } });
check(audit?.entries[0]?.action === 'created' && audit.entries[0].old_status === null, 'audit');
const { data: status } = await client.GET('/api/v1/applications/{id}/status', { params: { path: { id } } });
check(status?.status === 'APPROVED' && !status.allowed.includes('PENDING'), 'status');

const changed = await client.PATCH('/api/v1/applications/{id}', {
    params: { path: { id }, header: { 'If-Match': `"v${application.version}"` } },
    body: { country_specific_data: { years_employed: null, monthly_rent: '700.00' } },
});
check(changed.data !== undefined && !('years_employed' in changed.data.country_specific_data), 'merge patch');
const stale = await client.PATCH('/api/v1/applications/{id}', {
    params: { path: { id }, header: { 'If-Match': '"v1"' } },
    body: { status: 'CANCELLED', reason: 'Withdrawn by the applicant' },
});
check(stale.error?.code === 'precondition_failed', 'a stale change');

const { data: list } = await client.GET('/api/v1/applications', {
    params: { query: { country: 'ES', status: 'APPROVED', page_size: 5, sort: '-created_at' } },
});
check(list !== undefined && list.next_cursor === null && list.applications[0]?.id === id, 'list');
const { data: found } = await client.POST('/api/v1/applications/search', {
    body: { country: 'ES', identity_document: '12345678Z' },
});
check(found?.applications.length === 1, 'search');
const { data: csv } = await client.GET('/api/v1/applications/export.csv', { parseAs: 'text' });
check(csv !== undefined && csv.includes('****678Z'), 'export');

const refused = await client.POST('/api/v1/applications', {
    body: { country: 'ES', full_name: '', identity_document: '12345678A', requested_amount: 0, monthly_income: 1 },
});
check(refused.error?.code === 'validation_failed', 'a refusal');
const codes = (refused.error.errors ?? []).map((error) => `${error.pointer} ${error.code}`);
check(codes.includes('/identity_document bad_check_digit') && codes.includes('/requested_amount not_positive'), `${codes}`);

const { data: key } = await client.POST('/api/v1/api-keys', {
    body: {
        name: 'typescript-client',
        role: 'user',
        scopes: ['applications:read', 'metrics:read'],
        limits: { requests_per_minute: 6000 },
    },
});
check(key?.key !== undefined && key.expires_at === null && key.limits.requests_per_minute === 6000, 'key');
const machine = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key.key}` } });
const { data: keyAccount } = await machine.GET('/api/v1/auth/me');
check(keyAccount?.credential === 'api_key' && keyAccount.scopes?.includes('metrics:read') === true, 'a key as a bearer token');

const { data: ticket } = await client.POST('/api/v1/ws/tickets');
check(ticket !== undefined && ticket.ticket.length > 0, 'ticket');
const { data: statistics } = await client.GET('/api/v1/stats');
check(statistics !== undefined && statistics.countries.length > 0, 'statistics');
const { data: jobs } = await client.GET('/api/v1/admin/jobs/stats');
check(jobs !== undefined && jobs.depth >= 0, 'jobs');
const { data: circuits } = await client.GET('/api/v1/admin/circuits');
check(circuits?.circuits.every((circuit) => circuit.here?.state === 'closed') === true, 'circuits');
const { data: armed } = await client.POST('/api/v1/test/inject-failure', { body: { country: 'ES', failure_count: 0 } });
check(armed?.target === 'provider', 'fault injection');
const { data: health } = await client.GET('/health/detailed');
check(health !== undefined && health.database.answers, 'health');

const { response: deleted } = await client.DELETE('/api/v1/applications/{id}', { params: { path: { id } } });
check(deleted.status === 204, 'deletion');
const { data: restored } = await client.POST('/api/v1/applications/{id}/restore', { params: { path: { id } } });
check(restored?.id === id, 'restoration');
const { response: ended } = await client.POST('/api/v1/auth/logout');
check(ended.status === 204, 'log-out');
console.log('TypeScript: every call succeeded');
