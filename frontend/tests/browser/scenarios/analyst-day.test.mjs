// An analyst's day: applications of all countries are created, decided, and one of them is reviewed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ANALYST, call, eventually, go, inspect, settled, withAccount } from '../browser.mjs';
import { APPLICANTS } from './applicants.mjs';

async function create(page, { name, full_name, identity_document, amount, income = '6000' }) {
    await go(page, '/console/new-application');
    await page.getByLabel(/^Country/).selectOption({ label: name });
    await page.getByLabel(/^Full name/).fill(full_name);
    await page.getByLabel(/^Identity document/).fill(identity_document);
    await page.getByLabel(/^Requested amount/).fill(amount);
    await page.getByLabel(/^Monthly income/).fill(income);
    await page.getByRole('button', { name: 'Create application' }).click();
    await page.getByRole('heading', { level: 1, name: full_name }).waitFor();
}

test('an analyst creates an application of each country and follows its decision', async () => {
    await withAccount(ANALYST, async ({ page }) => {
        await page.evaluate(() => {
            globalThis.isSameDocument = true;
        });
        for (const applicant of APPLICANTS) {
            await create(page, applicant);
            const expected = applicant.country === 'ES' ? 'Under review' : 'Approved';
            await page.getByRole('main').getByText(expected, { exact: true }).first().waitFor();
            await page
                .getByText(/ of 100$/)
                .first()
                .waitFor();
        }
        assert.ok(await page.evaluate(() => globalThis.isSameDocument), 'the decisions arrive without a reload');
        await go(page, '/console/applications');
        for (const { full_name, country } of APPLICANTS) {
            const row = page.getByRole('row', { name: new RegExp(full_name) });
            await row.getByText(country === 'ES' ? 'Under review' : 'Approved').waitFor();
        }
        await inspect(page, 'list-of-six-countries');
    });
});

test('an analyst rejects an application with a reason, which its history shows', async () => {
    const [{ full_name }] = APPLICANTS;
    await withAccount(ANALYST, async ({ page }) => {
        await page.getByLabel('Status').selectOption('UNDER_REVIEW');
        await page.waitForURL(/status=UNDER_REVIEW/);
        await settled(page);
        await page.getByRole('link', { name: full_name }).click();
        await page.getByRole('heading', { level: 1, name: full_name }).waitFor();
        await page.getByRole('button', { name: 'Reject' }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByRole('button', { name: 'Reject' }).click();
        await dialog.getByText('Required').waitFor();
        await dialog.getByLabel(/^Reason/).fill('The purpose of the loan is not plausible');
        await inspect(page, 'reject');
        await dialog.getByRole('button', { name: 'Reject' }).click();
        await page.getByText('The application is rejected').waitFor();
        await page.getByText('The purpose of the loan is not plausible').waitFor();
        await page.getByText(`By ${ANALYST}`).first().waitFor();
        await page.getByRole('button', { name: 'Reject' }).waitFor({ state: 'detached' });
        // The server may return a cached list for a moment.
        await eventually(
            'the list without the application',
            () => call(ANALYST, 'GET', '/api/v1/applications?status=UNDER_REVIEW'),
            ({ applications }) => applications.every((listed) => listed.full_name !== full_name),
        );
        await page.goBack();
        await page.getByLabel('Status').waitFor();
        await page.getByRole('link', { name: full_name }).waitFor({ state: 'detached' });
    });
});
