import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, test, vi } from 'vitest';
import { BulkDialog } from '../../src/pages/applications/bulk-dialog';
import { problem, type Received, serve, show } from './render';

const TARGET = { filter: { country: 'ES' as const } };
const SKIPPED = [
    { application_id: '01890a5d-ac96-774b-bcce-b302099a8057', code: 'illegal_transition' },
    { application_id: '01890a5d-ac96-774b-bcce-b302099a8058', code: 'illegal_transition' },
    { application_id: '01890a5d-ac96-774b-bcce-b302099a8059', code: 'assigned_to_another' },
];

const isDryRun = ({ body }: Received) => (body as { dry_run: boolean }).dry_run;

/** A server on which 12 applications match and 9 can change. `change` responds to the real run. */
function server(change: () => { status: number; body: unknown }): Received[] {
    return serve((received) =>
        isDryRun(received)
            ? { status: 200, body: { matched: 12, changeable: 9, changed: 0, skipped: SKIPPED, remaining: 9 } }
            : change(),
    );
}

async function open(onClose: (hasChanged: boolean) => void = () => {}) {
    await show(() => <BulkDialog target={TARGET} onClose={onClose} />);
    const user = userEvent.setup();
    await user.click(await screen.findByLabelText(/^Reason/));
    await user.paste('Discontinued');
    await user.click(screen.getByRole('button', { name: 'Count' }));
    await screen.findByText('9 of 12 applications would change. Nothing has changed yet.');
    return user;
}

test('a bulk change is counted first, and then made for exactly the number that was counted', async () => {
    const done = { matched: 12, changeable: 9, changed: 9, skipped: SKIPPED, remaining: 0 };
    const received = server(() => ({ status: 200, body: done }));
    const onClose = vi.fn();
    const user = await open(onClose);
    expect(screen.getByText('2 × This change is not possible in the current status.')).toBeDefined();
    expect(received.map(isDryRun)).toEqual([true]);

    await user.click(screen.getByRole('button', { name: 'Change 9 applications' }));
    await screen.findByText('9 applications changed');
    expect(received.at(-1)?.body).toEqual({
        filter: { country: 'ES' },
        status: 'REJECTED',
        reason: 'Discontinued',
        dry_run: false,
        expected_count: 12,
    });
    expect(screen.queryByRole('button', { name: /^(Count|Change)/ })).toBeNull();
    await user.click(screen.getAllByRole('button', { name: 'Close' }).at(-1) as HTMLElement);
    expect(onClose).toHaveBeenCalledWith(true);
});

test('a count is valid only for the status and the reason that it was made for', async () => {
    const received = server(() => problem(500, 'internal_error'));
    const user = await open();
    await user.selectOptions(screen.getByLabelText('New status'), 'APPROVED');
    await user.click(await screen.findByRole('button', { name: 'Count' }));
    await screen.findByText(/9 of 12 applications would change/);
    expect(received.map(isDryRun)).toEqual([true, true]);
    expect(received.at(-1)?.body).toMatchObject({ status: 'APPROVED' });
});

test('if the number of matching applications has changed, nothing changes and the applications are counted again', async () => {
    const received = server(() => problem(409, 'count_changed', { matched: 13 }));
    const user = await open();
    await user.click(screen.getByRole('button', { name: 'Change 9 applications' }));
    await screen.findByText(/The number of matching applications has changed. No application was changed/);
    await user.click(screen.getByRole('button', { name: 'Count' }));
    await screen.findByText(/9 of 12 applications would change/);
    expect(received.map(isDryRun)).toEqual([true, false, true]);
});

test('a change that is too large for one request is counted again before it continues', async () => {
    const part = { matched: 1500, changeable: 1500, changed: 1000, skipped: [], remaining: 500 };
    const received = server(() => ({ status: 200, body: part }));
    const user = await open();
    await user.click(screen.getByRole('button', { name: 'Change 9 applications' }));
    await screen.findByText('500 applications remain. Count again to continue.');
    await user.click(screen.getByRole('button', { name: 'Count' }));
    await waitFor(() => expect(received.map(isDryRun)).toEqual([true, false, true]));
    await screen.findByRole('button', { name: 'Change 9 applications' });
});
