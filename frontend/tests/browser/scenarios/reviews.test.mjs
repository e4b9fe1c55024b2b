import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ADMIN, ANALYST, call, eventually, go, inspect, settled, USER, withAccount } from '../browser.mjs';

// A different document in each run, because an account can have only one open application for a document.
let number = 30_000_000 + (Math.floor(Date.now() / 1000) % 40_000_000);

/** A Spanish document that no other application has. */
function nextDocument() {
    number += 1;
    return `${number}${'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}`;
}

/**
 * Creates an application whose amount needs a review, and waits until it is under review. The bureau decides against some
 * documents; another one is used then.
 */
async function createReview(full_name, requested_amount = '26000.00') {
    for (;;) {
        const { id } = await call(USER, 'POST', '/api/v1/applications', {
            country: 'ES',
            full_name,
            identity_document: nextDocument(),
            requested_amount,
            monthly_income: '6500.00',
            term_months: 60,
        });
        const { status } = await eventually(
            `the decision on ${full_name}`,
            () => call(USER, 'GET', `/api/v1/applications/${id}/status`),
            (read) => !['PENDING', 'VALIDATING'].includes(read.status),
        );
        if (status === 'UNDER_REVIEW') return id;
        // Otherwise it would be counted with the others.
        await call(ADMIN, 'DELETE', `/api/v1/applications/${id}`);
    }
}

const isLive = (page) => page.getByText('Live', { exact: true }).waitFor();

test('two analysts see each other assign, and decide the queue with the keyboard', async () => {
    const first = await createReview('Irene Vidal Soto');
    await createReview('Jaime Ortega Ruiz');
    await withAccount(ANALYST, async ({ page }) => {
        await go(page, '/console/reviews');
        await isLive(page);
        const irene = page.getByRole('row', { name: /Irene Vidal Soto/ });
        const jaime = page.getByRole('row', { name: /Jaime Ortega Ruiz/ });
        await irene.getByText('The amount requires a review').waitFor();
        await inspect(page, 'reviews');

        await call(ADMIN, 'PUT', `/api/v1/applications/${first}/assignment`);
        await irene.waitFor({ state: 'detached' });
        await page.getByRole('tab', { name: 'Assigned to others' }).click();
        await irene.getByText(`Assigned to ${ADMIN}`).waitFor();
        await irene.getByRole('timer').waitFor();
        assert.equal(await irene.getByRole('button').count(), 0);
        await inspect(page, 'reviews-others');

        await page.getByRole('tab', { name: 'Unassigned' }).click();
        await jaime.waitFor();
        await jaime.getByRole('link').focus();
        await page.keyboard.press('Alt+m');
        await page.getByText('The application is assigned to you').waitFor();
        await page.getByRole('tab', { name: 'Assigned to me' }).click();
        await jaime.getByText('Assigned to you').waitFor();
        await jaime.getByRole('link').focus();
        await page.keyboard.press('Alt+r');
        const dialog = page.getByRole('dialog');
        await dialog.getByLabel(/^Reason/).fill('The income is not sufficient');
        await inspect(page, 'reviews-reject');
        await dialog.getByRole('button', { name: 'Reject' }).click();
        await page.getByText('The application is rejected').waitFor();
        await jaime.waitFor({ state: 'detached' });

        await page.keyboard.press('Alt+h');
        await page.getByRole('dialog').getByText('Assign next').waitFor();
        await inspect(page, 'reviews-shortcuts');
    });
});

test('a decision on an application of another analyst is refused with the name of the analyst', async () => {
    const id = await createReview('Laura Molina Prats');
    await call(ADMIN, 'PUT', `/api/v1/applications/${id}/assignment`);
    await withAccount(ANALYST, async ({ page }) => {
        await go(page, `/console/applications/${id}`);
        await page.getByText(`Assigned to ${ADMIN}`).waitFor();
        await page.getByRole('button', { name: 'Approve' }).click();
        await page
            .getByRole('dialog')
            .getByLabel(/^Reason/)
            .fill('Approved by mistake');
        await page.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();
        await page.getByText(`${ADMIN} is reviewing this application until`).waitFor();
        await inspect(page, 'application-of-another');
    });
    const { status } = await call(ANALYST, 'GET', `/api/v1/applications/${id}/status`);
    assert.equal(status, 'UNDER_REVIEW');
});

test('an open dialog shows what another analyst has decided meanwhile', async () => {
    const id = await createReview('Marta Gil Campos');
    await withAccount(ANALYST, async ({ page }) => {
        await go(page, `/console/applications/${id}`);
        await isLive(page);
        await page.getByRole('button', { name: 'Approve' }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByLabel(/^Reason/).fill('Income confirmed');
        await call(ADMIN, 'PUT', `/api/v1/applications/${id}/status`, {
            status: 'REJECTED',
            reason: 'Withdrawn by phone',
        });
        await dialog.getByText('Withdrawn by phone').waitFor();
        await dialog.getByText('The status is now: Rejected. Your change is no longer possible.').waitFor();
        assert.ok(await dialog.getByRole('button', { name: 'Approve' }).isDisabled());
        await inspect(page, 'approve-outdated');
    });
});

test('the next and the previous application follow the list, and lead back to its filters', async () => {
    await withAccount(ANALYST, async ({ page }) => {
        await page.getByLabel('Country').selectOption('ES');
        await page.waitForURL(/country=ES/);
        await settled(page);
        const links = page.getByRole('table').getByRole('link');
        await links.nth(1).waitFor();
        const [first, second] = await links.allTextContents();
        await links.first().click();
        await page.getByRole('heading', { level: 1, name: first }).waitFor();
        assert.ok(await page.getByRole('button', { name: 'Previous application' }).isDisabled());
        await page.keyboard.press('Alt+j');
        await page.getByRole('heading', { level: 1, name: second }).waitFor();
        await page.getByRole('main').getByRole('link', { name: 'Applications' }).click();
        await page.waitForURL(/applications\?country=ES/);
    });
});

test('an administrator undoes a deletion, and an analyst is asked first', async () => {
    const id = await createReview('Nuria Serra Font');
    await withAccount(ADMIN, async ({ page }) => {
        await go(page, `/console/applications/${id}`);
        await page.getByRole('button', { name: 'More actions' }).click();
        await page.getByRole('menuitem', { name: 'Delete application' }).click();
        await page.getByRole('button', { name: 'Undo' }).click();
        await page.getByText('The application is restored').waitFor();
        await go(page, `/console/applications/${id}`);
        await page.getByRole('heading', { level: 1, name: 'Nuria Serra Font' }).waitFor();
    });
    await withAccount(ANALYST, async ({ page }) => {
        await go(page, `/console/applications/${id}`);
        await page.getByRole('button', { name: 'More actions' }).click();
        await page.getByRole('menuitem', { name: 'Delete application' }).click();
        await page.getByText('Only an administrator can restore it.').waitFor();
        await inspect(page, 'delete-application');
        await page.getByRole('dialog').getByRole('button', { name: 'Delete application' }).click();
        await page.getByText('The application is deleted').waitFor();
        assert.equal(await page.getByRole('button', { name: 'Undo' }).count(), 0);
    });
});

test('a deletion is refused and explained if the application has just been changed', async () => {
    const id = await createReview('Berta Roca Sanz');
    await withAccount(ADMIN, async ({ page }) => {
        await go(page, `/console/applications/${id}`);
        await page.route(`**/api/v1/applications/${id}`, async (route) => {
            if (route.request().method() === 'DELETE') {
                await call(ADMIN, 'PUT', `/api/v1/applications/${id}/status`, {
                    status: 'REJECTED',
                    reason: 'Withdrawn by letter',
                });
            }
            await route.continue();
        });
        await page.getByRole('button', { name: 'More actions' }).click();
        await page.getByRole('menuitem', { name: 'Delete application' }).click();
        const dialog = page.getByRole('dialog', { name: 'The application has changed' });
        await dialog.getByText('Withdrawn by letter').waitFor();
        await inspect(page, 'deletion-refused');
    });
    const { status } = await call(ADMIN, 'GET', `/api/v1/applications/${id}/status`);
    assert.equal(status, 'REJECTED');
});

test('changes of an application are tried without storing anything', async () => {
    const id = await createReview('Óscar Pardo Leal');
    const before = await call(ANALYST, 'GET', `/api/v1/applications/${id}`);
    await withAccount(ANALYST, async ({ page }) => {
        await go(page, `/console/applications/${id}`);
        await page.getByRole('table', { name: 'Composition of the risk score' }).waitFor();
        await page.getByRole('button', { name: 'More actions' }).click();
        await page.getByRole('menuitem', { name: 'Try changes' }).click();
        await page.getByRole('heading', { level: 1, name: 'What if' }).waitFor();
        const outcome = page
            .getByRole('main')
            .getByRole('status')
            .filter({ hasText: /^(Approved|Under review|Rejected)$/ });
        await outcome.getByText('Under review').waitFor();
        await inspect(page, 'what-if');
        await page.getByRole('textbox', { name: 'Requested amount' }).fill('5000');
        await page.getByText('The amount requires a review').waitFor({ state: 'detached' });
        const score = page.getByRole('slider', { name: 'Credit score' });
        await score.focus();
        await score.press('Home');
        await page.getByText('The credit score is too low').waitFor();
        await inspect(page, 'what-if-changed');
    });
    const after = await call(ANALYST, 'GET', `/api/v1/applications/${id}`);
    assert.equal(after.version, before.version);
});

test('all applications that match are counted and then changed together', async () => {
    const amounts = ['31001.00', '31002.00', '31003.00'];
    for (const [index, amount] of amounts.entries()) await createReview(`Pilar Bulk ${'ABC'[index]}`, amount);
    await withAccount(ANALYST, async ({ page }) => {
        await page.getByLabel('Amount from').fill('31001');
        await page.keyboard.press('Enter');
        await page.getByLabel('Amount to').fill('31003');
        await page.keyboard.press('Enter');
        await page.waitForURL(/max_amount/);
        await page.getByText('3 applications', { exact: true }).waitFor();
        await page.getByLabel('Select the application of Pilar Bulk A').check();
        await page.getByRole('button', { name: 'Select all 3 matching applications' }).click();
        await page.getByText('3 applications selected').waitFor();
        await inspect(page, 'applications-selected');
        await page.getByRole('button', { name: 'Change the status…' }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByLabel(/^Reason/).fill('The product was discontinued');
        await dialog.getByRole('button', { name: 'Count' }).click();
        await dialog.getByText('3 of 3 applications would change. Nothing has changed yet.').waitFor();
        await inspect(page, 'bulk-status');
        await dialog.getByRole('button', { name: 'Change 3 applications' }).click();
        await dialog.getByText('3 applications changed').waitFor();
        await dialog.getByRole('button', { name: 'Close' }).last().click();
        await page
            .getByRole('row', { name: /Pilar Bulk B/ })
            .getByText('Rejected')
            .waitFor();
    });
});

test('filters are saved as a view, and never with a document', async () => {
    await withAccount(ANALYST, async ({ page }) => {
        await page.getByLabel('Country').selectOption('ES');
        await page.getByLabel('Status').selectOption('REJECTED');
        await page.waitForURL(/status=REJECTED/);
        const views = page.getByRole('button', { name: 'Saved views' });
        for (const attempt of ['first', 'second']) {
            await views.click();
            await page.getByRole('button', { name: 'Save the current filters' }).click();
            await page.getByRole('dialog').getByLabel(/^Name/).fill('Rejected in Spain');
            await page.getByRole('dialog').getByRole('button', { name: 'Save', exact: true }).click();
            if (attempt === 'first') await page.getByText('The view is saved').waitFor();
        }
        await page.getByText('You already have a view with this name.').waitFor();
        await inspect(page, 'save-view');
        await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();

        await page.getByRole('button', { name: 'Clear filters' }).click();
        await page.waitForURL((url) => !url.search.includes('status'));
        await views.click();
        await page.getByRole('button', { name: 'Rejected in Spain', exact: true }).click();
        await page.waitForURL(/status=REJECTED/);
        assert.equal(await page.getByLabel('Status').inputValue(), 'REJECTED');

        await page.getByLabel('Document or identifier').fill('12345678Z');
        await page.keyboard.press('Enter');
        await page.getByRole('button', { name: 'Export CSV' }).and(page.locator(':disabled')).waitFor();
        await views.click();
        await page.getByText('A document cannot be saved in a view').waitFor();
        await inspect(page, 'saved-views');
        await page.getByRole('button', { name: 'Delete the view Rejected in Spain' }).click();
        await page.getByRole('dialog').getByRole('button', { name: 'Delete view' }).click();
        await views.click();
        await page.getByText('No saved views yet').waitFor();
    });
});

test('an identifier opens its application whatever the filters are', async () => {
    const id = await createReview('Raquel Nieto Bravo');
    await withAccount(ANALYST, async ({ page }) => {
        await go(page, '/console/applications?country=BR&status=CANCELLED&to=2020-01-01');
        await page.getByText('No applications match').waitFor();
        await page.getByLabel('Document or identifier').fill(id);
        await page.keyboard.press('Enter');
        await page.getByRole('heading', { level: 1, name: 'Raquel Nieto Bravo' }).waitFor();
    });
});
