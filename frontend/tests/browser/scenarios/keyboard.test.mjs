// Use of the console without a mouse.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ANALYST, call, eventually, PASSWORD, settled, withBrowser } from '../browser.mjs';
import { spanish } from './applicants.mjs';

const NAME = 'Valeria Nieto Campo';
/** More presses of Tab than the longest way on a page. */
const LONGEST_WAY = 60;

const focused = (page) =>
    page.evaluate(() => {
        const element = document.activeElement;
        const text = element.getAttribute('aria-label') ?? element.textContent;
        // The body has the focus between the last element of the page and the first.
        const isBody = element === document.body;
        return {
            text: isBody ? '' : text.trim(),
            // The button of a date field is drawn by the browser, and so is its focus.
            isVisible: isBody || element.matches(':focus-visible, [type=date]'),
            html: element.outerHTML.slice(0, 200),
        };
    });

/** Presses Tab until the element with the text has the focus. Every element on the way must show its focus. */
async function tabTo(page, text) {
    for (let press = 0; press < LONGEST_WAY; press += 1) {
        await page.keyboard.press('Tab');
        const element = await focused(page);
        assert.ok(element.isVisible, `the focus is not visible on ${element.html}`);
        if (text.test(element.text)) return;
    }
    assert.fail(`${text} cannot be reached`);
}

test('an analyst signs in, opens an application and approves it with the keyboard alone', async () => {
    const { id } = await call(ANALYST, 'POST', '/api/v1/applications', spanish(NAME, '25000.00'));
    await eventually(
        'the application is under review',
        () => call(ANALYST, 'GET', `/api/v1/applications/${id}`),
        ({ status }) => status === 'UNDER_REVIEW',
    );
    await withBrowser({}, async ({ page }) => {
        await page.goto('/');
        await page.getByRole('heading', { level: 1 }).waitFor();
        assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('autocomplete')), 'username');
        await page.keyboard.type(ANALYST);
        await page.keyboard.press('Tab');
        await page.keyboard.type(PASSWORD);
        await page.keyboard.press('Enter');
        await page.waitForURL('**/console/applications');
        await page.getByRole('link', { name: NAME }).waitFor();
        await settled(page);

        await tabTo(page, /^Skip to/);
        await page.keyboard.press('Enter');
        await tabTo(page, new RegExp(`^${NAME}`));
        await page.keyboard.press('Enter');
        await page.getByRole('heading', { level: 1, name: NAME }).waitFor();
        await settled(page);
        await tabTo(page, /^Approve/);
        await page.keyboard.press('Enter');
        await page.getByRole('dialog').waitFor();
        await page.waitForFunction(() => document.activeElement?.tagName === 'TEXTAREA');
        await page.keyboard.type('Checked by telephone');
        await tabTo(page, /^Approve/);
        await page.keyboard.press('Enter');
        await page.getByText('The application is approved').waitFor();
        await page.getByText('Checked by telephone').waitFor();
        await page.waitForFunction(() => document.activeElement !== null);
    });
    const { status } = await call(ANALYST, 'GET', `/api/v1/applications/${id}`);
    assert.equal(status, 'APPROVED');
});

test('a dialog keeps the focus inside, and Escape returns it to the button', async () => {
    const { id } = await call(ANALYST, 'POST', '/api/v1/applications', spanish('Bruno Leal Costa', '25000.00'));
    await withBrowser({}, async ({ page }) => {
        await page.goto('/');
        await page.locator('input[autocomplete=username]').fill(ANALYST);
        await page.locator('input[autocomplete=current-password]').fill(PASSWORD);
        await page.keyboard.press('Enter');
        await page.waitForURL('**/console/applications');
        await page.goto(`/console/applications/${id}`);
        const reject = page.getByRole('button', { name: 'Reject' });
        await reject.focus();
        await page.keyboard.press('Enter');
        // The dialog takes the focus at the end of its animation.
        await page.waitForFunction(() => document.activeElement?.tagName === 'TEXTAREA');
        for (let press = 0; press < 12; press += 1) {
            await page.keyboard.press('Tab');
            assert.ok(await page.evaluate(() => document.activeElement?.closest('[role=dialog]') !== null));
        }
        await page.keyboard.press('Escape');
        await page.getByRole('dialog').waitFor({ state: 'detached' });
        await page.waitForFunction(() => document.activeElement?.textContent?.startsWith('Reject'));
    });
});
