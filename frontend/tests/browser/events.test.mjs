// Events that a consumer cannot handle: an operator finds, skips and replays them, and replays the consumer.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ADMIN, call, eventually, go, inspect, settled, withAccount } from './browser.mjs';
import { sql } from './database.mjs';

const CONSUMER = 'webhook_deliveries';
const LETTERS = '/api/v1/admin/events/dead-letters';
const TYPE = 'console.tested.v1';
/** The consumer of webhooks cannot handle an event with more than 20,000 bytes. */
const TOO_LONG = 30_000;

const letters = async () => (await call(ADMIN, 'GET', `${LETTERS}?consumer=${CONSUMER}`)).dead_letters;

/** Writes events that become dead letters, and returns these. */
async function createDeadLetters(count) {
    sql([
        `INSERT INTO outbox (type, subject, data) SELECT '${TYPE}', gen_random_uuid(),
            jsonb_build_object('text', repeat('x', ${TOO_LONG})) FROM generate_series(1, ${count})`,
    ]);
    return eventually('the events are dead letters', letters, (all) => all.length === count);
}

after(() => call(ADMIN, 'POST', `${LETTERS}/skip`, { reason: 'The test has ended' }));

test('an operator skips a dead letter of a consumer, and replays the others after a dry run', async () => {
    const [{ subject }] = await createDeadLetters(3);
    await withAccount(ADMIN, async ({ page }) => {
        await go(page, '/console/events');
        await inspect(page, 'events-failed');
        await page.getByRole('button', { name: `Show the dead letters of ${CONSUMER}: 3` }).click();
        await page.waitForURL(new RegExp(`consumer=${CONSUMER}`));
        await page.getByLabel('Subject').fill(subject);
        await page.keyboard.press('Enter');
        await page.waitForURL(new RegExp(`subject=${subject}`));
        await page.reload();
        const list = page.getByRole('table', { name: 'Dead letters of events' });
        await list.getByText(subject).waitFor();
        assert.equal(await page.getByLabel('Subject').inputValue(), subject);
        assert.equal(await list.getByRole('row').count(), 2);

        await list.getByRole('button', { name: TYPE }).focus();
        await page.keyboard.press('Enter');
        const drawer = page.getByRole('dialog', { name: 'Dead letter of an event' });
        assert.equal(await drawer.getByText('xxx').count(), 0, 'the data is rendered on demand');
        await drawer.getByRole('button', { name: 'Show data' }).click();
        await drawer.getByText('xxx').waitFor();
        await inspect(page, 'event-dead-letter');
        await drawer.getByRole('button', { name: 'Skip' }).click();
        const dialog = page.getByRole('dialog', { name: 'Skip the event' });
        await dialog.getByLabel(/^Reason/).fill('The receiver does not need it');
        await dialog.getByRole('button', { name: 'Skip' }).click();
        await page.getByText('No dead letters').waitFor();

        // The defect is fixed: the events can be handled.
        sql([`UPDATE deferred_events SET data = '{}' WHERE type = '${TYPE}'`]);
        await page.getByLabel('Subject').fill('');
        await page.keyboard.press('Enter');
        await list.getByRole('row').nth(2).waitFor();
        await page.getByRole('button', { name: 'Act on many' }).click();
        const bulk = page.getByRole('dialog', { name: 'Act on many' });
        await bulk.getByLabel(/^Reason/).fill('The defect is fixed');
        await bulk.getByRole('button', { name: 'Count' }).click();
        await bulk.getByText('2 dead letters match').waitFor();
        await inspect(page, 'events-bulk');
        await bulk.getByRole('button', { name: 'Replay 2' }).click();
        await page.getByText('2 events are handled again').waitFor();
        await page.getByText('No dead letters').waitFor();
    });
    assert.deepEqual(await letters(), []);
});

test('an operator replays a consumer from an offset after a warning that effects are repeated', async () => {
    const last = Number(sql(['SELECT last_offset FROM outbox_position']));
    await withAccount(ADMIN, async ({ page }) => {
        await go(page, '/console/events');
        await page.getByRole('button', { name: CONSUMER, exact: true }).click();
        const drawer = page.getByRole('dialog', { name: 'Consumer', exact: true });
        const partitions = drawer.getByRole('table', { name: 'Partitions' });
        assert.equal(await partitions.getByRole('row').count(), 17);
        await inspect(page, 'event-consumer');
        await drawer.getByRole('button', { name: 'Replay from an offset' }).click();
        const dialog = page.getByRole('dialog', { name: `Replay the consumer ${CONSUMER}` });
        await dialog.getByLabel(/^First offset/).fill(String(last + 1_000_000));
        await dialog.getByLabel(/^Reason/).fill('The effects were lost');
        await dialog.getByRole('button', { name: 'Count' }).click();
        await dialog.getByRole('alert').waitFor();
        await dialog.getByLabel(/^First offset/).fill(String(last));
        await dialog.getByRole('button', { name: 'Count' }).click();
        await dialog.getByText(/effects are repeated/).waitFor();
        await inspect(page, 'event-consumer-replay');
        await dialog.getByRole('button', { name: 'Repeat the effects' }).click();
        await page.getByText(/handled again/).waitFor();
        await settled(page);
    });
    const { events } = await call(ADMIN, 'GET', '/api/v1/admin/security-events?kind=consumer_replayed');
    assert.equal(events[0].actor, ADMIN);
});
