// The outage of a bureau, as operators see it: the breaker opens, an operator overrides it, jobs fail and are retried.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ADMIN, ANALYST, call, eventually, go, inspect, withAccount } from '../browser.mjs';
import { spanish } from './applicants.mjs';

/** A job becomes a dead letter after three attempts, each of which ends when its actor has panicked four times. */
const PANICS_PER_JOB = 12;

const fail = (target, failure_count) =>
    call(ADMIN, 'POST', '/api/v1/test/inject-failure', { country: 'ES', target, failure_count });

const create = (name) => call(ANALYST, 'POST', '/api/v1/applications', spanish(name));

const reaches = ({ id }, status) =>
    eventually(
        `an application becomes ${status}`,
        () => call(ANALYST, 'GET', `/api/v1/applications/${id}`),
        (application) => application.status === status,
    );

after(async () => {
    await fail('provider', 0);
    await fail('application_actor', 0);
    await call(ADMIN, 'PUT', '/api/v1/admin/circuits/ES', { mode: 'auto', reason: 'The test has ended' });
});

async function override(page, mode, reason) {
    await page.getByRole('button', { name: 'Change the breaker of Spain' }).click();
    await page.getByRole('menuitem', { name: mode }).click();
    await page
        .getByRole('dialog')
        .getByLabel(/^Reason/)
        .fill(reason);
    await page.getByRole('dialog').getByRole('button', { name: mode }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
}

test('a failing bureau opens its breaker, an operator overrides it, and the applications are decided again', async () => {
    await withAccount(ADMIN, async ({ page }) => {
        await go(page, '/console/circuits');
        const spain = page.getByRole('row', { name: /Spain/ });
        await spain.getByText('Closed').waitFor();
        await fail('provider', 1000);
        const affected = [];
        for (const name of ['Olga Prieto', 'Raúl Sanz', 'Noa Vidal']) affected.push(await create(name));
        await spain.getByText('Open', { exact: true }).waitFor();
        await page
            .getByRole('row', { name: /Portugal/ })
            .getByText('Closed')
            .waitFor();
        await inspect(page, 'circuits-open');
        for (const application of affected) await reaches(application, 'UNDER_REVIEW');
        await go(page, `/console/applications/${affected[0].id}`);
        await page.getByText('The bureau was unavailable').first().waitFor();
        await inspect(page, 'application-without-bureau');

        await fail('provider', 0);
        await go(page, '/console/circuits');
        await override(page, 'Force closed', 'The bureau answers again');
        await spain.getByText('The bureau answers again').waitFor();
        await spain.getByText('Closed', { exact: true }).waitFor();
        await override(page, 'Automatic', 'The outage is over');
        await spain.getByText('The bureau answers again').waitFor({ state: 'detached' });
        await go(page, `/console/applications/${affected[0].id}`);
        await page.getByRole('main').getByText('Approved', { exact: true }).first().waitFor();
        for (const application of affected) await reaches(application, 'APPROVED');
        await go(page, '/console/live');
        await page.getByText('Circuit breaker opened').first().waitFor();
        await page.getByText('Circuit breaker overridden').first().waitFor();
    });
});

test('an operator retries one dead letter, and the others after a dry run', async () => {
    const applications = [];
    await fail('application_actor', 4 * PANICS_PER_JOB);
    for (const name of ['Iker Soto', 'Sara Gil', 'Hugo Vega', 'Lola Mora']) applications.push(await create(name));
    for (const application of applications) await reaches(application, 'UNDER_REVIEW');
    await fail('application_actor', 0);
    await withAccount(ADMIN, async ({ page }) => {
        await go(page, '/console/dead-letters');
        const letters = page.getByRole('row', { name: /panicked/ });
        await letters.nth(3).waitFor();
        assert.equal(await letters.count(), 4);
        await inspect(page, 'dead-letters');

        await letters.first().getByRole('button').click();
        await page.getByRole('button', { name: 'Show arguments and causes' }).click();
        await inspect(page, 'dead-letter');
        await act(page, 'Mark as reviewed', 'Assigned to the engineers');
        await page.getByText('Assigned to the engineers').waitFor();
        await page.keyboard.press('Escape');
        await letters.nth(1).getByRole('button').click();
        await act(page, 'Retry', 'Fixed in the current version');
        await page.keyboard.press('Escape');
        await page.getByText('The job has been queued').waitFor();

        await page.getByRole('button', { name: 'Retry many' }).click();
        const dialog = page.getByRole('dialog', { name: 'Retry many' });
        await dialog.getByLabel('Lane').fill('ES');
        await dialog.getByLabel(/^Reason/).fill('All are fixed');
        await dialog.getByRole('button', { name: 'Count' }).click();
        await dialog.getByText('2 dead letters match').waitFor();
        await inspect(page, 'dead-letters-counted');
        const pending = await call(ADMIN, 'GET', '/api/v1/admin/failed-jobs?status=pending&lane=ES');
        assert.equal(pending.failed_jobs.length, 2, 'a dry run retries nothing');
        await dialog.getByRole('button', { name: 'Retry 2' }).click();
        await page.getByText('2 jobs have been queued').waitFor();
        await letters.getByText('Retried').nth(2).waitFor();
        await letters.getByText('Reviewed').waitFor();
    });
    const statuses = () =>
        Promise.all(applications.map(({ id }) => call(ANALYST, 'GET', `/api/v1/applications/${id}`))).then((all) =>
            all.map(({ status }) => status).toSorted(),
        );
    await eventually('three are decided', statuses, (all) => String(all) === 'APPROVED,APPROVED,APPROVED,UNDER_REVIEW');
});

async function act(page, action, reason) {
    const details = page.getByRole('dialog', { name: 'Dead letter' });
    await details.getByRole('button', { name: action, exact: true }).click();
    const dialog = page.getByRole('dialog').filter({ has: page.getByLabel(/^Reason/) });
    await dialog.getByLabel(/^Reason/).fill(reason);
    await dialog.getByRole('button', { name: action, exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
}
