import { ModalsProvider } from '@mantine/modals';
import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';
import { SchedulePage } from '../../src/pages/operations/schedule';
import { type Received, serve, show } from './render';

const RUN = {
    id: '01890a5d-ac96-774b-bcce-b302099a8057',
    task: 'expire_webhooks',
    cause: 'request',
    due_at: '2026-01-31T12:00:00.000000Z',
    outcome: 'requested',
    started_at: null,
    finished_at: null,
    detail: {},
    error_type: null,
    error_message: null,
    instance: null,
    requested_by: 'admin',
};
const TASK = {
    task: 'expire_webhooks',
    cron: '0 3 * * *',
    missed: 'run',
    next_due_at: '2026-02-01T03:00:00.000000Z',
    last_success_at: null,
    last_run: null,
};
const RUN_PATH = '/api/v1/admin/schedule/expire_webhooks/run';

function server(): Received[] {
    return serve(({ path }) => {
        if (path === RUN_PATH) return { status: 202, body: RUN };
        if (path === '/api/v1/admin/schedule') return { status: 200, body: { time_zone: 'UTC', tasks: [TASK] } };
        return { status: 200, body: { runs: [], next_cursor: null, page_size: 20 } };
    });
}

const Page = () => (
    <ModalsProvider>
        <SchedulePage />
    </ModalsProvider>
);

async function openConfirmation() {
    const user = userEvent.setup();
    await user.click(await screen.findByRole('button', { name: 'Run now: expire_webhooks' }));
    const dialog = await screen.findByRole('dialog', { name: 'Run now: expire_webhooks' });
    return { user, dialog };
}

test('a task runs only after a confirmation', async () => {
    const received = server();
    await show(Page);
    const { user, dialog } = await openConfirmation();
    const requests = () => received.filter(({ path }) => path === RUN_PATH);
    expect(requests()).toHaveLength(0);
    await user.click(within(dialog).getByRole('button', { name: 'Run now' }));
    await waitFor(() => expect(requests()).toHaveLength(1));
    expect(requests()[0]?.method).toBe('POST');
    await screen.findByText('The run has been requested');
});

test('a cancelled confirmation runs nothing', async () => {
    const received = server();
    await show(Page);
    const { user, dialog } = await openConfirmation();
    await user.click(within(dialog).getByRole('button', { name: 'Cancel' }));
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    expect(received.filter(({ method }) => method !== 'GET')).toEqual([]);
});

test('the schedule names its time zone, and an empty list of runs says so', async () => {
    server();
    await show(Page);
    await screen.findByText(/time zone UTC/);
    await screen.findByText('No runs');
});
