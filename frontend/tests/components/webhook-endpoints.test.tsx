import { ModalsProvider } from '@mantine/modals';
import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';
import { WebhookEndpointsPage } from '../../src/pages/operations/webhook-endpoints';
import { type Received, serve, show } from './render';

const ID = '01890a5d-ac96-774b-bcce-b302099a8057';
const DELIVERY = '01890a5d-ac96-774b-bcce-b302099a8058';
const ENDPOINT = {
    id: ID,
    url: 'https://example.com/hook',
    description: 'Core banking',
    event_types: ['application.*'],
    countries: [],
    ordered: false,
    enabled: true,
    disabled_at: null,
    disabled_reason: null,
    failing_since: null,
    created_by: 'admin',
    created_at: '2026-01-31T12:00:00.000000Z',
    updated_at: '2026-01-31T12:00:00.000000Z',
};
const SECRETS = [{ algorithm: 'v1', public_key: null, created_at: '2026-01-31T12:00:00.000000Z', expires_at: null }];
const SENT = {
    id: DELIVERY,
    endpoint_id: ID,
    webhook_id: ID,
    event_type: 'application.created.v1',
    subject: ID,
    status: 'dead',
    attempts: 8,
    last_result: 'refused',
    created_at: '2026-01-31T12:00:00.000000Z',
    finished_at: '2026-02-01T12:00:00.000000Z',
    next_attempt_at: null,
};
const ATTEMPT = {
    id: ID,
    delivery_id: DELIVERY,
    result: 'refused',
    status_code: 503,
    duration_ms: 120,
    response: 'maintenance',
    error: null,
    attempted_at: '2026-01-31T12:00:00.000000Z',
};

function server(): Received[] {
    return serve(({ method, path }) => {
        const page = { page_size: 20, next_cursor: null };
        if (path.endsWith('/recover')) return { status: 200, body: { deliveries: 3, more: false, dry_run: true } };
        if (path.endsWith('/resend')) return { status: 200, body: { ...SENT, status: 'pending', event: {} } };
        if (path.endsWith('/deliveries')) return { status: 200, body: { ...page, deliveries: [SENT] } };
        if (path.endsWith('/attempts')) return { status: 200, body: { ...page, attempts: [ATTEMPT] } };
        if (path.endsWith(DELIVERY)) return { status: 200, body: { ...SENT, event: { type: SENT.event_type } } };
        if (path.endsWith(ID)) return { status: 200, body: { ...ENDPOINT, secrets: SECRETS } };
        if (method === 'POST')
            return { status: 201, body: { ...ENDPOINT, secrets: SECRETS, secret: 'whsec_c2VjcmV0' } };
        return { status: 200, body: { ...page, endpoints: [ENDPOINT] } };
    });
}

const Page = () => (
    <ModalsProvider>
        <WebhookEndpointsPage />
    </ModalsProvider>
);

test('a new endpoint shows its secret once', async () => {
    const received = server();
    await show(Page);
    const user = userEvent.setup();
    await user.click(await screen.findByText('Create endpoint'));
    const dialog = await screen.findByRole('dialog', { name: 'Create endpoint' });
    await user.click(within(dialog).getByLabelText(/URL/));
    await user.paste('https://example.com/hook');
    await user.click(within(dialog).getByLabelText('Spain'));
    await user.click(within(dialog).getByText('Create endpoint', { selector: 'button *' }));
    await within(dialog).findByText('whsec_c2VjcmV0');
    expect(received.find(({ method }) => method === 'POST')?.body).toMatchObject({
        url: 'https://example.com/hook',
        event_types: ['application.*'],
        countries: ['ES'],
        algorithm: 'v1',
    });
    await user.click(within(dialog).getByText('Close'));
    await waitFor(() => expect(screen.queryByText('whsec_c2VjcmV0')).toBeNull());
});

test('the attempts of a delivery are shown, and it can be sent again', async () => {
    const received = server();
    await show(Page);
    const user = userEvent.setup();
    await user.click(await screen.findByText('https://example.com/hook'));
    const drawer = await screen.findByRole('dialog', { name: 'Webhook endpoint' });
    await user.click(await within(drawer).findByText('application.created.v1'));
    await within(drawer).findByText('maintenance');
    within(drawer).getByText(/Refused.*503/);
    await user.click(within(drawer).getByText('Send again'));
    await waitFor(() => expect(received.some(({ path }) => path.endsWith('/resend'))).toBe(true));
});

test('deliveries are recovered only after they were counted', async () => {
    const received = server();
    await show(Page);
    const user = userEvent.setup();
    await user.click(await screen.findByText('https://example.com/hook'));
    await user.click(await screen.findByText('Recover deliveries'));
    const dialog = await screen.findByRole('dialog', { name: 'Recover deliveries' });
    const requests = () => received.filter(({ path }) => path.endsWith('/recover')).map(({ body }) => body);
    await user.click(within(dialog).getByText('Count'));
    await within(dialog).findByText('3 deliveries were not delivered');
    expect(requests()).toMatchObject([{ dry_run: true }]);
    await user.click(within(dialog).getByText('Send again'));
    await waitFor(() => expect(requests()).toMatchObject([{ dry_run: true }, { dry_run: false }]));
});
