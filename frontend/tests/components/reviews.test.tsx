import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';
import { ReviewsPage } from '../../src/pages/reviews/reviews';
import { listed, problem, type Received, serve, show, signInAs } from './render';

const [FIRST, SECOND] = ['01890a5d-ac96-774b-bcce-b302099a8057', '01890a5d-ac96-774b-bcce-b302099a8058'];
const review = (id: string, name: string, more: object = {}) => ({
    application: listed(id, name),
    waiting_since: new Date(Date.now() - 3 * 3_600_000).toISOString(),
    reasons: ['AMOUNT_NEEDS_REVIEW', 'INCOME_MISMATCH'],
    assignment: null,
    ...more,
});
const QUEUE = [review(FIRST as string, 'Ana García'), review(SECOND as string, 'Luis Pérez')];

/** A server with a queue. `act` responds to requests that change something. */
function server(items: object[], act: (received: Received) => { status: number; body: unknown }): Received[] {
    return serve((received) => {
        if (received.method !== 'GET') return act(received);
        if (received.path === '/api/v1/reviews') return { status: 200, body: { items, next_cursor: null } };
        if (received.path === '/api/v1/countries') return { status: 200, body: { countries: [] } };
        if (received.path.endsWith('/status')) {
            return { status: 200, body: { status: 'UNDER_REVIEW', allowed: ['APPROVED', 'REJECTED'], version: 3 } };
        }
        return { status: 200, body: { items: [] } };
    });
}

async function open(items: object[], act: (received: Received) => { status: number; body: unknown }) {
    await signInAs('ana.lopez', 'analyst');
    const received = server(items, act);
    await show(ReviewsPage, '/console/reviews');
    await screen.findByRole('heading', { level: 1, name: 'Review queue' });
    const user = userEvent.setup();
    return { received, user, press: (key: string) => user.keyboard(`{Alt>}${key}{/Alt}`) };
}

test('the queue shows the main reason and the waiting time of each application', async () => {
    await open(QUEUE, () => problem(500, 'internal_error'));
    const row = await screen.findByRole('row', { name: /Ana García/ });
    expect(within(row).getByText(/^The amount requires a review/)).toBeDefined();
    expect(within(row).getByText('+1 more')).toBeDefined();
    expect(within(row).getByText('3 hr')).toBeDefined();
});

test('shortcuts move through the queue, assign a row and decide it with the version that is shown', async () => {
    const { received, user, press } = await open(QUEUE, () => ({ status: 200, body: {} }));
    await screen.findByRole('row', { name: /Ana García/ });
    await press('m');
    expect(received.filter(({ method }) => method === 'PUT')).toEqual([]);
    await press('j');
    await press('j');
    await waitFor(() => expect(document.activeElement?.textContent).toBe('Luis Pérez'));
    await press('k');
    expect(screen.getByRole('row', { name: /Ana García/ }).getAttribute('aria-current')).toBe('true');
    await press('m');
    await screen.findByText('The application is assigned to you');
    expect(received.find(({ method }) => method === 'PUT')?.path).toBe(`/api/v1/applications/${FIRST}/assignment`);

    await press('r');
    const dialog = await screen.findByRole('dialog');
    await user.type(within(dialog).getByLabelText(/^Reason/), 'Too large{Tab}{Tab}{Tab}');
    await user.click(within(dialog).getByRole('button', { name: 'Reject' }));
    await screen.findByText('The application is rejected');
    const decided = received.find(({ path, method }) => method === 'PUT' && path.endsWith('/status'));
    expect(decided).toMatchObject({ version: '"v3"', body: { status: 'REJECTED', reason: 'Too large' } });
});

test('the next application is assigned and opened with one shortcut', async () => {
    const { received, press } = await open(QUEUE, () => ({ status: 200, body: QUEUE[0] }));
    await press('n');
    expect(await screen.findByText('another page')).toBeDefined();
    expect(received.find(({ path }) => path === '/api/v1/reviews/next')?.body).toEqual({});
});

test('an empty queue and a refused assignment are explained', async () => {
    const expires_at = '2026-01-31T12:15:00.000000Z';
    const { press } = await open(QUEUE, ({ path }) =>
        path.endsWith('/next')
            ? { status: 204, body: undefined }
            : problem(409, 'assigned_to_another', { assigned_to_name: 'luis.perez', expires_at }),
    );
    await screen.findByRole('row', { name: /Ana García/ });
    await press('n');
    await screen.findByText('No application is waiting for an assignment');
    await press('j');
    await press('m');
    await screen.findByText(/luis\.perez is reviewing this application until/);
});

test('an application of another analyst shows who reviews it and cannot be decided', async () => {
    const expires_at = new Date(Date.now() + 5 * 60_000).toISOString();
    const assignment = { assigned_to: SECOND, assigned_to_name: 'luis.perez', assigned_at: expires_at, expires_at };
    const { press, user } = await open([review(FIRST as string, 'Ana García', { assignment })], () =>
        problem(500, 'internal_error'),
    );
    await user.click(screen.getByRole('tab', { name: 'Assigned to others' }));
    const row = await screen.findByRole('row', { name: /Ana García/ });
    expect(within(row).getByText('Assigned to luis.perez')).toBeDefined();
    expect(within(row).getByRole('timer').textContent).toMatch(/^[45]:\d\d left$/);
    expect(within(row).queryByRole('button')).toBeNull();
    await press('j');
    await press('a');
    expect(screen.queryByRole('dialog')).toBeNull();
});

test('a dialog lists every shortcut', async () => {
    const { press } = await open([], () => problem(500, 'internal_error'));
    await screen.findByText('No application is waiting for an analyst');
    await press('h');
    const dialog = await screen.findByRole('dialog');
    const rows = within(dialog)
        .getAllByRole('row')
        .map((row) => row.textContent);
    expect(rows).toContain('Assign nextAlt+N');
    expect(rows).toContain('RejectAlt+R');
    expect(rows).toHaveLength(9);
});
