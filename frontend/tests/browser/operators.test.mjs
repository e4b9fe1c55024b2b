import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call, go, inspect, settled, signIn, withAccount, withBrowser } from './browser.mjs';

const ANALYST = 'ana.lopez';
const ADMIN = 'admin.console';
const USER = 'bruno.silva';

/** The pages for operators only that this file tests. */
const OPERATORS = ['webhook-events', 'schedule', 'actors', 'log-level', 'staff-views', 'security-events'];

const APPLICATION = {
    country: 'ES',
    full_name: 'Elena Prieto Soler',
    identity_document: '12345678Z',
    requested_amount: '15000.00',
    monthly_income: '3500.00',
    term_months: 36,
};

test('a user opens the account and the overview, and no page of operators', async () => {
    await withAccount(USER, async ({ page }) => {
        await go(page, '/console/account');
        await page.getByRole('heading', { level: 1, name: 'My account' }).waitFor();
        await go(page, '/console/overview');
        await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
        assert.equal(await page.getByText('Age of the oldest waiting job').count(), 0);
        for (const path of OPERATORS) {
            await go(page, `/console/${path}`);
            await page.getByRole('heading', { level: 1, name: 'Applications' }).waitFor();
        }
    });
});

test('settings that are saved in one browser apply in another one at sign-in', async () => {
    try {
        await withBrowser({}, async ({ page }) => {
            await signIn(page, ANALYST);
            await go(page, '/console/account');
            const settings = page.getByRole('region', { name: 'Settings' });
            await settings.getByLabel('Language').selectOption('es');
            await settings.getByRole('combobox', { name: 'Time zone' }).fill('Tokyo');
            await page.getByRole('option', { name: 'Asia/Tokyo' }).click();
            await settings.getByLabel('Theme').selectOption('dark');
            await settings.getByRole('button', { name: 'Save settings' }).click();
            await page.getByRole('heading', { level: 1, name: 'Mi cuenta' }).waitFor();
        });
        await withBrowser({ locale: 'it-IT' }, async ({ page }) => {
            await signIn(page, ANALYST);
            await page.getByRole('heading', { level: 1, name: 'Solicitudes' }).waitFor();
            assert.equal(await page.evaluate(() => document.documentElement.dataset.mantineColorScheme), 'dark');
            await go(page, '/console/account');
            const session = page.getByRole('row', { name: /Esta sesión/ });
            assert.match(await session.innerText(), /GMT\+9/);
        });
    } finally {
        // The other tests read English.
        await call(ANALYST, 'PUT', '/api/v1/auth/me/settings', { language: null, time_zone: null, theme: 'auto' });
    }
});

test('signing out everywhere ends the sessions of other browsers after a confirmation', async () => {
    await withBrowser({}, async ({ page: first }) => {
        await signIn(first, USER);
        await withBrowser({}, async ({ page: second }) => {
            await signIn(second, USER);
            await go(second, '/console/account');
            await second.getByRole('button', { name: 'Sign out everywhere' }).click();
            await second.getByRole('dialog').getByText('All sessions of your account end at once').waitFor();
            await inspect(second, 'sign-out-everywhere');
            await second.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
            await second.getByRole('dialog').waitFor({ state: 'detached' });
            await second.getByRole('button', { name: 'Sign out everywhere' }).click();
            await second.getByRole('dialog').getByRole('button', { name: 'Sign out everywhere' }).click();
            await second.waitForURL(/sign-in/);
        });
        await first.reload();
        await first.waitForURL(/sign-in/);
    });
});

test('a wrong current password is marked, and a new password keeps this browser signed in', async () => {
    const account = 'carla.pereira';
    const [old, next] = [process.env.AVAL_PASSWORD, 'meadow-copper-lattice-58'];
    await call(ADMIN, 'POST', '/api/v1/users', { username: account, password: old, role: 'user' });
    await withAccount(account, async ({ page }) => {
        await go(page, '/console/account');
        const change = async (current, wanted) => {
            await page.getByRole('textbox', { name: 'Current password' }).fill(current);
            await page.getByRole('textbox', { name: 'New password', exact: true }).fill(wanted);
            await page.getByRole('textbox', { name: 'Repeat the new password' }).fill(wanted);
            await page.getByRole('button', { name: 'Change password' }).click();
        };
        await change('not-the-password-1', next);
        await page.getByText('The current password is wrong').waitFor();
        await change(old, next);
        await page.getByText('The password has been changed').waitFor();
        await page.reload();
        await page.getByRole('heading', { level: 1, name: 'My account' }).waitFor();
        await settled(page);
        assert.equal(await page.getByRole('row', { name: /This session/ }).count(), 1);
        assert.equal(await page.getByRole('region', { name: 'Sessions' }).first().getByRole('row').count(), 2);
    });
});

test('an operator runs a scheduled task after a confirmation and sees the run', async () => {
    await withAccount(ADMIN, async ({ page }) => {
        await go(page, '/console/schedule');
        const button = page.getByRole('button', { name: /^Run now: / }).first();
        const task = (await button.getAttribute('aria-label')).replace('Run now: ', '');
        await button.click();
        await inspect(page, 'schedule-confirm');
        await page.getByRole('dialog').getByRole('button', { name: 'Run now' }).click();
        await page.getByText('The run has been requested').waitFor();
        await page.getByLabel('Task', { exact: true }).selectOption(task);
        const run = page.getByRole('row', { name: new RegExp(`${task}.*By admin.console`) }).last();
        await run.getByText('Completed').waitFor();
        await inspect(page, 'schedule-run');
    });
});

test('an operator ends all sessions of a user after a confirmation', async () => {
    await withAccount(ANALYST, async ({ page: theirs }) => {
        await withAccount(ADMIN, async ({ page }) => {
            await go(page, '/console/users');
            await page.getByRole('button', { name: `Change the user ${ANALYST}` }).click();
            await page.getByRole('menuitem', { name: 'Sessions' }).click();
            const drawer = page.getByRole('dialog', { name: `Sessions of ${ANALYST}` });
            await drawer.getByRole('row').nth(1).waitFor();
            await inspect(page, 'user-sessions');
            await drawer.getByRole('button', { name: 'End all sessions' }).click();
            await page
                .getByRole('dialog', { name: `End all sessions of ${ANALYST}?` })
                .getByRole('button', { name: 'End all sessions' })
                .click();
            await drawer.getByText('No sessions').waitFor();
            await go(page, '/console/security-events');
            await page
                .getByRole('row', { name: /Sessions ended/ })
                .first()
                .waitFor();
        });
        await theirs.reload();
        await theirs.waitForURL(/sign-in/);
    });
});

test('an operator changes a log level for a limited time', async () => {
    await withAccount(ADMIN, async ({ page }) => {
        await go(page, '/console/log-level');
        await page.getByRole('button', { name: 'Change log level' }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByLabel('Module').fill('not a module');
        await dialog.getByLabel(/^Reason/).fill('Looking for lost leases');
        await dialog.getByRole('button', { name: 'Change log level' }).click();
        await dialog.getByText('Not a path of modules').waitFor();
        await inspect(page, 'log-level-invalid');
        await dialog.getByLabel('Module').fill('actors::scheduler');
        await dialog.getByRole('button', { name: 'Change log level' }).click();
        await page.getByRole('row', { name: /actors::scheduler.*Looking for lost leases/ }).waitFor();
        await inspect(page, 'log-level-changed');
    });
});

test('the history of a breaker shows overrides with reason and expiry', async () => {
    await call(ADMIN, 'PUT', '/api/v1/admin/circuits/PT', {
        mode: 'forced_open',
        reason: 'The bureau has announced maintenance',
        expires_at: new Date(Date.now() + 3_600_000).toISOString(),
    });
    await withAccount(ADMIN, async ({ page }) => {
        await go(page, '/console/circuits');
        const history = page.getByRole('region', { name: 'History of the breakers' });
        await history.getByText('Portugal: Forced open').waitFor();
        await history.getByText('The bureau has announced maintenance').waitFor();
        await history
            .getByText(/By admin.console.*Until/)
            .first()
            .waitFor();
        await inspect(page, 'circuits-history');
        await history.getByLabel('Country').selectOption('ES');
        await history.getByText('Portugal: Forced open').waitFor({ state: 'detached' });
    });
    await call(ADMIN, 'PUT', '/api/v1/admin/circuits/PT', { mode: 'auto', reason: 'Maintenance has ended' });
});

test('staff views show who has looked at an application', async () => {
    const { id } = await call(USER, 'POST', '/api/v1/applications', APPLICATION);
    await call(ANALYST, 'GET', `/api/v1/applications/${id}`);
    await withAccount(ADMIN, async ({ page }) => {
        await go(page, '/console/staff-views');
        await page.getByLabel('Application identifier').fill('12345678Z');
        await page.getByText('Not valid').waitFor();
        await page.getByLabel('Application identifier').fill(id);
        await page.keyboard.press('Enter');
        await page
            .getByRole('row', { name: new RegExp(`${ANALYST} Application ${id}`) })
            .first()
            .waitFor();
        await inspect(page, 'staff-views-of-application');
    });
});

test('a page that cannot reach the server says so and recovers', async () => {
    await withBrowser({}, async ({ page, context }) => {
        await signIn(page, ADMIN);
        await context.route('**/api/v1/admin/**', (route) => route.abort());
        await go(page, '/console/webhook-events');
        await page.getByText('The server cannot be reached').first().waitFor();
        await inspect(page, 'webhook-events-offline');
        await context.unroute('**/api/v1/admin/**');
        await page.getByRole('button', { name: 'Try again' }).first().click();
        await page.getByText('No webhook events').waitFor();
    });
});
