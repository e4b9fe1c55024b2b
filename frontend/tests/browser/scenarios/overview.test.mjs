// The figures of the overview change while the page is open.

import { test } from 'node:test';
import { ADMIN, call, go, inspect, settled, USER, withAccount } from '../browser.mjs';

const APPLICATION = {
    full_name: 'Elena Prieto Soler',
    requested_amount: '15000.00',
    monthly_income: '3500.00',
    term_months: 36,
};

test('the overview counts a new application without a reload and shows its figures as tables', async () => {
    await withAccount(ADMIN, async ({ page }) => {
        await page.getByText('Live', { exact: true }).waitFor();
        await go(page, '/console/overview?country=IT');
        const row = page.getByRole('row', { name: /^Italy/ });
        await settled(page);
        // Thousands are separated.
        const cell = row.getByRole('cell').nth(1);
        const before = (await row.count()) === 0 ? 0 : Number((await cell.innerText()).replace(/\D/g, ''));
        await call(USER, 'POST', '/api/v1/applications', {
            ...APPLICATION,
            country: 'IT',
            identity_document: 'RSSMRA80A01H501U',
        });
        await page.waitForFunction((count) => {
            const rows = [...document.querySelectorAll('tr')].find((each) => each.innerText.startsWith('Italy'));
            return rows !== undefined && Number(rows.cells[1].innerText.replace(/\D/g, '')) === count + 1;
        }, before);
        await inspect(page, 'overview-italy');
        await page.getByRole('radiogroup', { name: 'View: Applications by day' }).getByText('Table').click();
        await page.getByRole('table', { name: 'Applications by day' }).getByRole('row').nth(30).waitFor();
        await inspect(page, 'overview-table');
    });
});
