// Two accounts in two browsers see each other's changes as they happen.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ADMIN, ANALYST, go, settled, signIn, USER, withBrowser } from '../browser.mjs';
import { spanishDocument } from './applicants.mjs';

const NAME = 'Martina Solís Bravo';

async function openByName(page) {
    await page.getByRole('link', { name: NAME }).click();
    await page.getByRole('heading', { level: 1, name: NAME }).waitFor();
    await settled(page);
}

/** Signs in and waits for the live feed. */
async function follow(page, account) {
    await signIn(page, account);
    await page.getByText('Live', { exact: true }).waitFor();
    await settled(page);
}

test('an application of one account appears in the list of another account, and its owner sees the decision', async () => {
    await withBrowser({}, async ({ page: owner }) => {
        await withBrowser({}, async ({ page: analyst }) => {
            await follow(analyst, ANALYST);
            await follow(owner, USER);
            await go(owner, '/console/new-application');
            await owner.getByLabel(/^Full name/).fill(NAME);
            await owner.getByLabel(/^Identity document/).fill(spanishDocument());
            await owner.getByLabel(/^Requested amount/).fill('25000');
            await owner.getByLabel(/^Monthly income/).fill('6000');
            await owner.getByRole('button', { name: 'Create application' }).click();
            await owner.getByRole('heading', { level: 1, name: NAME }).waitFor();
            await owner.getByRole('main').getByText('Under review', { exact: true }).first().waitFor();

            await analyst.getByText('1 new application').waitFor();
            await analyst.getByRole('button', { name: 'Show' }).click();
            await openByName(analyst);
            await withBrowser({}, async ({ page: admin }) => {
                await follow(admin, ADMIN);
                await openByName(admin);
                await admin.getByRole('button', { name: 'Reject' }).click();
                await admin.getByLabel(/^Reason/).fill('Undecided');

                await analyst.getByRole('button', { name: 'Approve' }).click();
                await analyst.getByLabel(/^Reason/).fill('A customer for ten years');
                await analyst.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();

                await owner.getByRole('main').getByText('Approved', { exact: true }).first().waitFor();
                await owner.getByText('A customer for ten years').waitFor();
                const dialog = admin.getByRole('dialog');
                await dialog.getByText('The application has changed').waitFor();
                await dialog.getByText('The status is now: Approved').waitFor();
                assert.ok(await dialog.getByRole('button', { name: 'Reject' }).isDisabled());
                assert.equal(await dialog.getByLabel(/^Reason/).inputValue(), 'Undecided');
            });
            await owner.getByRole('main').getByText('Approved', { exact: true }).first().waitFor();
        });
    });
});
