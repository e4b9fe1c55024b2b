import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';
import { EventsPage } from '../../src/pages/operations/events';
import { problem, type Received, serve, show } from './render';

const ID = '01890a5d-ac96-774b-bcce-b302099a8057';
const CONSUMER = {
    name: 'webhook_deliveries',
    registered: true,
    position: 4711,
    pending: 1200,
    lag_seconds: 90,
    deferred: 2,
    oldest_deferred_seconds: 30,
    dead_letters: 1,
    partitions: [
        { partition: 0, position: 4711, owner: 'instance-a' },
        { partition: 1, position: 5900, owner: null },
    ],
};
const LETTER = {
    id: ID,
    consumer: 'webhook_deliveries',
    event_id: ID,
    event_type: 'application.created.v1',
    subject: ID,
    offset: 4711,
    time: '2026-01-31T12:00:00.000000Z',
    request_id: null,
    attempts: 5,
    error_type: 'panicked',
    error_message: 'the handler panicked',
    blocks_subject: true,
    dead_since: '2026-01-31T12:05:00.000000Z',
};

function server(): Received[] {
    return serve(({ method, path, body }) => {
        if (path.endsWith('/consumers')) return { status: 200, body: { consumers: [CONSUMER] } };
        if (path.includes('/consumers/')) {
            const { from_offset, dry_run } = body as { from_offset: number; dry_run: boolean };
            if (from_offset > 5900)
                return problem(422, 'validation_failed', {
                    errors: [{ pointer: '/from_offset', code: 'out_of_range' }],
                });
            return { status: 200, body: { events: 3, handled: dry_run ? null : 2, dry_run } };
        }
        if (method === 'POST') return { status: 200, body: { matched: 2, changed: 2, more: false, dry_run: true } };
        if (path.endsWith(ID)) return { status: 200, body: { ...LETTER, data: { country: 'ES' } } };
        return { status: 200, body: { page_size: 20, next_cursor: null, dead_letters: [LETTER] } };
    });
}

const sent = (received: Received[], path: string) =>
    received.filter((each) => each.method === 'POST' && each.path.endsWith(path)).map(({ body }) => body);

async function open(name: string): Promise<HTMLElement> {
    await userEvent.click(await screen.findByText(name, { selector: 'button *' }));
    return screen.findByRole('dialog');
}

async function write(label: RegExp, text: string): Promise<void> {
    const field = screen.getByLabelText(label);
    await userEvent.clear(field);
    await userEvent.click(field);
    await userEvent.paste(text);
}

test('a consumer is replayed only after the events were counted, and with a warning', async () => {
    const received = server();
    await show(EventsPage, '/console/events');
    await screen.findByText('1,200');
    screen.getByText('1 of 2');
    const drawer = await open('webhook_deliveries');
    within(drawer).getByText('instance-a');
    await userEvent.click(within(drawer).getByText('Replay from an offset'));
    await screen.findByText('Replay the consumer webhook_deliveries');
    await write(/First offset/, '0');
    await write(/Reason/, 'Lost effects');
    await userEvent.click(screen.getByText('Count'));
    await screen.findByText('Not valid');
    await write(/First offset/, '9000');
    await userEvent.click(screen.getByText('Count'));
    await screen.findByText('Outside the allowed range');
    await write(/First offset/, '4000');
    await userEvent.click(screen.getByText('Count'));
    await screen.findByText(/3 events have been published.*effects are repeated/);
    await userEvent.click(screen.getByText('Repeat the effects'));
    await screen.findByText('2 events are handled again');
    expect(sent(received, '/webhook_deliveries/replay')).toMatchObject([
        { from_offset: 9000, dry_run: true },
        { from_offset: 4000, dry_run: true },
        { from_offset: 4000, dry_run: false, reason: 'Lost effects' },
    ]);
});

test('an action on many dead letters has the filters of the address and is counted again if it changes', async () => {
    const received = server();
    await show(EventsPage, '/console/events?error_type=panicked');
    await screen.findByDisplayValue('panicked');
    await userEvent.click(screen.getByText('Act on many'));
    await screen.findByRole('dialog', { name: 'Act on many' });
    await write(/Reason/, 'Not needed');
    await userEvent.click(screen.getByText('Count'));
    await screen.findByText('Replay 2');
    await userEvent.selectOptions(screen.getByLabelText('Action'), 'Skip');
    await userEvent.click(await screen.findByText('Count'));
    await userEvent.click(await screen.findByText('Skip 2'));
    await screen.findByText('2 events have been skipped');
    const body = { error_type: 'panicked', reason: 'Not needed' };
    expect(sent(received, '/dead-letters/replay')).toMatchObject([{ ...body, dry_run: true }]);
    expect(sent(received, '/dead-letters/skip')).toMatchObject([
        { ...body, dry_run: true },
        { ...body, dry_run: false },
    ]);
});

test('a dead letter shows its error, and its data on demand, and is replayed with a reason', async () => {
    const received = server();
    await show(EventsPage, '/console/events');
    const drawer = await open('application.created.v1');
    await within(drawer).findByText('the handler panicked');
    expect(within(drawer).queryByText(/"country"/)).toBeNull();
    await userEvent.click(within(drawer).getByText('Show data'));
    within(drawer).getByText(/"country"/);
    await userEvent.click(within(drawer).getByText('Replay'));
    await screen.findByText('Replay the event');
    await write(/Reason/, 'Fixed');
    await userEvent.click(screen.getAllByText('Replay').at(-1) as HTMLElement);
    await waitFor(() => expect(sent(received, `/${ID}/replay`)).toEqual([{ reason: 'Fixed' }]));
});
