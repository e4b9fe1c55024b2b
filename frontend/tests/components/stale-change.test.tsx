import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';
import type { ListedApplication } from '../../src/api/types';
import { ChangeDialog } from '../../src/pages/applications/change-dialog';
import { listed, problem, type Received, serve, show } from './render';

const ID = '01890a5d-ac96-774b-bcce-b302099a8057';
const APPLICATION = listed(ID, 'Ana García López') as ListedApplication;

const entry = (version: number, reason: string, more: object = {}) => ({
    id: `01890a5d-ac96-774b-bcce-b302099a806${version}`,
    action: 'status_changed',
    changed_by: 'system:worker',
    created_at: '2026-01-31T12:00:00.000000Z',
    old_status: 'VALIDATING',
    new_status: 'UNDER_REVIEW',
    reason,
    request_id: null,
    trace_id: null,
    version,
    ...more,
});
const ENTRIES = [
    entry(3, 'Read before'),
    entry(4, 'Corrected income', {
        action: 'data_changed',
        changed_by: 'luis.perez',
        changes: [{ pointer: '/monthly_income', old: '6000.00', new: '1200.00' }],
    }),
];

/** A server that refuses the version that was read. */
function server(status: object): Received[] {
    return serve(({ method, path, version }) => {
        if (path.endsWith('/audit')) return { status: 200, body: { application_id: ID, entries: ENTRIES } };
        if (method === 'PUT' && version === '"v4"') return { status: 200, body: {} };
        if (method === 'PUT') return problem(412, 'precondition_failed');
        return { status: 200, body: { id: ID, risk_score: '38.22', updated_at: '', ...status } };
    });
}

async function approve() {
    await show(() => <ChangeDialog change="APPROVED" application={APPLICATION} isStaff onClose={() => {}} />);
    const user = userEvent.setup();
    await user.click(await screen.findByLabelText(/^Reason/));
    await user.paste('Income confirmed');
    const button = screen.getByRole('button', { name: 'Approve' });
    await waitFor(() => expect(screen.queryByRole('alert') ?? button).toBeDefined());
    return { user, button };
}

test('a change to an old version shows only what has changed since, and can be made to the current version', async () => {
    const statuses = { status: 'UNDER_REVIEW', allowed: ['APPROVED', 'REJECTED'], version: 3 };
    const received = server(statuses);
    const { user, button } = await approve();
    await user.click(button);
    const alert = await screen.findByRole('alert');
    expect(await within(alert).findByText('Corrected income')).toBeDefined();
    expect(within(alert).getByText('By luis.perez')).toBeDefined();
    expect(within(alert).getByText(/6000.00 → 1200.00/)).toBeDefined();
    expect(within(alert).queryByText('Read before')).toBeNull();
    expect(button.hasAttribute('disabled')).toBe(true);

    statuses.version = 4;
    await waitFor(() => expect(received.filter(({ method }) => method === 'PUT')).toHaveLength(1));
    await user.click(within(alert).getByRole('button', { name: 'Continue with the current version' }));
});

test('a change that is known to be outdated is not sent', async () => {
    const received = server({ status: 'UNDER_REVIEW', allowed: ['APPROVED', 'REJECTED'], version: 4 });
    const { user, button } = await approve();
    const alert = await screen.findByRole('alert');
    expect(button.hasAttribute('disabled')).toBe(true);
    await user.click(await within(alert).findByRole('button', { name: 'Continue with the current version' }));
    await waitFor(() => expect(screen.queryByRole('alert')).toBeNull());
    await user.click(button);
    await waitFor(() => expect(received.filter(({ method }) => method === 'PUT')).toHaveLength(1));
    const sent = received.find(({ method }) => method === 'PUT');
    expect(sent?.version).toBe('"v4"');
    expect(sent?.body).toEqual({ status: 'APPROVED', reason: 'Income confirmed' });
});

test('a change that has become impossible is not offered again', async () => {
    server({ status: 'REJECTED', allowed: [], version: 4 });
    await approve();
    expect(await screen.findByText('The status is now: Rejected. Your change is no longer possible.')).toBeDefined();
    expect(screen.queryByRole('button', { name: 'Continue with the current version' })).toBeNull();
});

test('a change of an application that another account reviews names the account', async () => {
    serve(({ method }) =>
        method === 'PUT'
            ? problem(409, 'assigned_to_another', {
                  assigned_to_name: 'luis.perez',
                  expires_at: '2026-01-31T12:15:00.000000Z',
              })
            : {
                  status: 200,
                  body: {
                      id: ID,
                      status: 'UNDER_REVIEW',
                      allowed: ['APPROVED'],
                      version: 3,
                      risk_score: null,
                      updated_at: '',
                  },
              },
    );
    const { user, button } = await approve();
    await user.click(button);
    expect(await screen.findByText(/luis\.perez is reviewing this application until .*2026/)).toBeDefined();
});
