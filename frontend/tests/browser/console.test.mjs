import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
    ADMIN,
    ANALYST,
    call,
    go,
    inspect,
    SERVER,
    settled,
    signIn,
    USER,
    withAccount,
    withBrowser,
} from './browser.mjs';

/** An application that goes to review: the amount is above the limit of Spain. */
const LARGE = {
    country: 'ES',
    full_name: 'María de los Ángeles Fernández-Villaverde y Gutiérrez de la Concha',
    identity_document: '12345678Z',
    requested_amount: '25000.00',
    monthly_income: '6000.00',
    term_months: 48,
};

/** The compressed size of what a page has loaded so far, without headers. */
const loaded = (page) =>
    page.evaluate(() =>
        performance
            .getEntries()
            .filter(({ entryType }) => entryType === 'navigation' || entryType === 'resource')
            .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0),
    );

test('the first load is below 250 kB', async () => {
    await withBrowser({}, async ({ page }) => {
        await page.goto(SERVER, { waitUntil: 'networkidle' });
        const first = await loaded(page);
        await signIn(page, ANALYST);
        await settled(page);
        console.log(
            `loaded: ${Math.round(first / 1000)} kB, with the list ${Math.round((await loaded(page)) / 1000)} kB`,
        );
        assert.ok(first < 250_000, `${first} bytes`);
    });
});

test('an analyst creates an application, reads its decision and approves it', async () => {
    await withBrowser({}, async ({ page }) => {
        await page.goto(SERVER);
        await page.getByRole('heading', { level: 1 }).waitFor();
        await inspect(page, 'sign-in');
        await signIn(page, ANALYST);
        await go(page, '/console/new-application');
        await page.getByLabel(/^Full name/).fill('Lucía Romero Vidal');
        await page.getByLabel(/^Identity document/).fill('12345678A');
        await page.getByText('The check character is wrong').waitFor();
        await inspect(page, 'new-application-invalid');
        await page.getByLabel(/^Identity document/).fill('00000000T');
        await page.getByLabel(/^Requested amount/).fill('25000');
        await page.getByLabel(/^Monthly income/).fill('6000');
        await page.getByLabel(/^Term/).fill('48');
        await page.getByRole('button', { name: 'Create application' }).dblclick();

        await page.getByRole('heading', { level: 1, name: 'Lucía Romero Vidal' }).waitFor();
        // The decision arrives without a reload.
        await page.getByText('The amount requires a review').first().waitFor();
        await inspect(page, 'application-under-review');
        const approve = page.getByRole('button', { name: 'Approve' });
        await approve.waitFor();
        await page.locator('h1').click();
        await page.keyboard.press('Alt+a');
        await page
            .getByRole('dialog')
            .getByLabel(/^Reason/)
            .fill('Income confirmed by the employer');
        await inspect(page, 'approve');
        await page.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();
        await page.getByText('The application is approved').waitFor();
        await page.getByText('Income confirmed by the employer').waitFor();
        await approve.waitFor({ state: 'detached' });
        const { applications } = await call(ANALYST, 'GET', '/api/v1/applications');
        const created = applications.filter(({ full_name }) => full_name === 'Lucía Romero Vidal');
        assert.deepEqual(
            created.map(({ status }) => status),
            ['APPROVED'],
            'a double click creates one application',
        );
    });
});

test('a list announces new applications and marks changed ones', async () => {
    await withAccount(ANALYST, async ({ page }) => {
        await page.getByText('Live', { exact: true }).waitFor();
        await settled(page);
        const { id } = await call(USER, 'POST', '/api/v1/applications', LARGE);
        await page.getByText('1 new application').waitFor();
        await page.getByRole('button', { name: 'Show' }).click();
        const row = page.getByRole('row', { name: /Fernández-Villaverde/ });
        await row.getByText('Under review').waitFor();
        await call(ANALYST, 'PUT', `/api/v1/applications/${id}/status`, { status: 'REJECTED', reason: 'Withdrawn' });
        await row.getByText('Rejected').waitFor();
        assert.match((await row.getAttribute('class')) ?? '', /changed/);
        await inspect(page, 'applications');
    });
});

test('filters are in the address, and a document is not', async () => {
    await withAccount(ANALYST, async ({ page }) => {
        await page.getByLabel('Country').selectOption('ES');
        await page.getByLabel('Status').selectOption('APPROVED');
        await page.waitForURL(/country=ES.*status=APPROVED/);
        await page.reload();
        await page.getByRole('heading', { level: 1, name: 'Applications' }).waitFor();
        assert.equal(await page.getByLabel('Status').inputValue(), 'APPROVED');
        await page.getByLabel('Status').selectOption('');
        await page.getByLabel('Document or identifier').fill(LARGE.identity_document);
        await page.keyboard.press('Enter');
        await page.getByRole('link', { name: /Fernández-Villaverde/ }).waitFor();
        assert.ok(!page.url().includes(LARGE.identity_document), page.url());
        await page.getByLabel('Document or identifier').fill('');
        await page.keyboard.press('Enter');
        await page.getByLabel('Status').selectOption('CANCELLED');
        await page.getByText('No applications match').waitFor();
        await inspect(page, 'applications-empty');
    });
});

test('a session continues after a reload and ends in every tab', async () => {
    await withBrowser({}, async ({ page, context }) => {
        await signIn(page, ANALYST);
        await page.reload();
        await page.getByRole('heading', { level: 1, name: 'Applications' }).waitFor();
        const readable = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }]));
        assert.ok(!readable.includes('eyJ') && !readable.includes('session='), readable);
        const other = await context.newPage();
        await other.goto(`${SERVER}/console/statistics`);
        await other.getByRole('heading', { level: 1, name: 'Statistics' }).waitFor();
        await page.getByRole('button', { name: /^Account / }).click();
        await page.getByRole('menuitem', { name: 'Sign out' }).click();
        await page.waitForURL(/sign-in/);
        await other.waitForURL(/sign-in/);
        await page.reload();
        await page.locator('input[autocomplete=username]').waitFor();
    });
});

test('pages and actions follow the role', async () => {
    await withAccount(USER, async ({ page }) => {
        assert.equal(await page.getByRole('link', { name: 'Circuit breakers' }).count(), 0);
        await go(page, '/console/circuits');
        await page.getByRole('heading', { level: 1, name: 'Applications' }).waitFor();
        const { applications } = await call(USER, 'GET', '/api/v1/applications');
        assert.ok(applications.length > 0);
        await go(page, `/console/applications/${applications[0].id}`);
        assert.equal(await page.getByRole('button', { name: 'Approve' }).count(), 0);
        await go(page, '/console/applications/01890a5d-ac96-774b-bcce-b302099a8057');
        await page.getByText('It does not exist, or your account may not see it.').waitFor();
    });
});

test('an operator forces a breaker and sees it in the live events', async () => {
    await withAccount(ADMIN, async ({ page }) => {
        await page.getByText('Live', { exact: true }).waitFor();
        await go(page, '/console/circuits');
        await page.getByRole('button', { name: 'Change the breaker of Brazil' }).click();
        await page.getByRole('menuitem', { name: 'Force open' }).click();
        await page
            .getByRole('dialog')
            .getByLabel(/^Reason/)
            .fill('Maintenance of the bureau');
        await page.getByRole('dialog').getByRole('button', { name: 'Force open' }).click();
        const row = page.getByRole('row', { name: /Brazil/ });
        await row.getByText('Maintenance of the bureau').waitFor();
        await inspect(page, 'circuits-forced');
        await go(page, '/console/live');
        await page.getByText('Circuit breaker overridden').first().waitFor();
        await page.getByRole('button', { name: 'Show data' }).first().click();
        await inspect(page, 'live-events');
        await call(ADMIN, 'PUT', '/api/v1/admin/circuits/BR', { mode: 'auto', reason: 'Maintenance has ended' });
    });
});
