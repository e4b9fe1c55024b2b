// The server is killed and started again while the console is open.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ANALYST, call, eventually, go, settled, signIn, withBrowser } from '../browser.mjs';
import { spanish } from './applicants.mjs';
import { Server } from './server.mjs';

let server;
before(async () => {
    server = await Server.start();
});
after(() => server?.stop());

const create = (name, amount) => call(ANALYST, 'POST', '/api/v1/applications', spanish(name, amount), server.url);

const reaches = ({ id }, status) =>
    eventually(
        `the application becomes ${status}`,
        () => call(ANALYST, 'GET', `/api/v1/applications/${id}`, undefined, server.url),
        (application) => application.status === status,
    );

test('pages survive a crash of the server, reconnect by themselves and miss no change', async () => {
    const reviewed = await create('Elena Ferrer Pons', '25000.00');
    await reaches(reviewed, 'UNDER_REVIEW');
    await withBrowser({ server: server.url }, async ({ page: list, context }) => {
        await signIn(list, ANALYST);
        const row = list.getByRole('row', { name: /Elena Ferrer Pons/ });
        await row.getByText('Under review').waitFor();
        const open = async (path) => {
            const page = await context.newPage();
            await page.goto(path);
            await page.getByText('Live', { exact: true }).waitFor();
            await settled(page);
            return page;
        };
        const detail = await open(`/console/applications/${reviewed.id}`);
        const form = await open('/console/new-application');
        const moved = await open('/console/applications');
        const pages = [list, detail, form, moved];
        for (const page of pages) {
            await page.evaluate(() => {
                globalThis.isSameDocument = true;
            });
        }
        await form.getByLabel(/^Full name/).fill('Not saved yet');
        await form.getByLabel(/^Requested amount/).fill('7500');
        await detail.getByRole('button', { name: 'Approve' }).click();
        await detail.getByLabel(/^Reason/).fill('Not sent yet');

        await server.kill();
        for (const page of pages) await page.getByText('Interrupted', { exact: true }).waitFor();
        await go(moved, '/console/statistics');
        await moved.getByRole('alert').waitFor();

        await server.run();
        // Decided before the pages have connected again, or while they do.
        const decided = await create('Marc Oliva Rius');
        await reaches(decided, 'APPROVED');
        await call(
            ANALYST,
            'PUT',
            `/api/v1/applications/${reviewed.id}/status`,
            { status: 'REJECTED', reason: 'Decided in the meantime' },
            server.url,
        );

        for (const page of pages) await page.getByText('Live', { exact: true }).waitFor();
        await row.getByText('Rejected').waitFor();
        await list.getByText('1 new application').waitFor();
        await list.getByRole('button', { name: 'Show' }).click();
        await list
            .getByRole('row', { name: /Marc Oliva Rius/ })
            .getByText('Approved')
            .waitFor();
        await detail.getByRole('main').getByText('Rejected', { exact: true }).first().waitFor();
        assert.equal(await detail.getByLabel(/^Reason/).inputValue(), 'Not sent yet');
        assert.equal(await form.getByLabel(/^Full name/).inputValue(), 'Not saved yet');
        assert.match(await form.getByLabel(/^Requested amount/).inputValue(), /7.?500/);
        await moved.getByText('By country', { exact: true }).waitFor();
        for (const page of pages) {
            assert.ok(await page.evaluate(() => globalThis.isSameDocument), 'no page is loaded again');
        }
    });
});
