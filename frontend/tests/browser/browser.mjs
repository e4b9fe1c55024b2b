// A browser for the tests, against the server at AVAL_URL. Every page that a test opens is checked: no error in its
// console, no violation of the content security policy, nothing that axe finds.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

export const SERVER = process.env.AVAL_URL ?? 'http://localhost:8000';
const PASSWORD = process.env.AVAL_PASSWORD ?? '';
const AXE = readFileSync(new URL('../../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
const SCREENSHOTS = new URL('../../screenshots/', import.meta.url).pathname;
const ARGUMENTS = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
];

/** Opens a browser with a new profile, and closes it after `visit`. */
export async function withBrowser(options, visit) {
    const profile = mkdtempSync(join(tmpdir(), 'aval-console-'));
    const context = await chromium.launchPersistentContext(profile, {
        executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
        headless: true,
        args: ARGUMENTS,
        viewport: { width: 1360, height: 900 },
        locale: 'en-GB',
        timezoneId: 'Europe/Madrid',
        reducedMotion: 'reduce',
        ...options,
    });
    context.setDefaultTimeout(30_000);
    const problems = [];
    await context.addInitScript(() => {
        globalThis.violations = [];
        document.addEventListener('securitypolicyviolation', (event) => {
            globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
        });
    });
    const page = context.pages()[0] ?? (await context.newPage());
    page.on('pageerror', (error) => problems.push(`exception: ${error.message}`));
    page.on('console', (message) => {
        // Refused requests are part of some tests.
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
            problems.push(`console: ${message.text()}`);
        }
    });
    page.on('request', (request) => {
        const isOwn = request.url().startsWith(SERVER) || /^(data|blob):/.test(request.url());
        if (!isOwn) problems.push(`request to another host: ${request.url()}`);
    });
    try {
        await visit({ page, context });
        assert.deepEqual(problems, []);
    } finally {
        await context.close();
        rmSync(profile, { recursive: true, force: true });
    }
}

/** Signs in through the form. */
export async function signIn(page, account) {
    await page.goto(SERVER);
    await page.locator('input[autocomplete=username]').fill(account);
    await page.locator('input[autocomplete=current-password]').fill(PASSWORD);
    await page.keyboard.press('Enter');
    await page.waitForURL('**/console/applications');
}

/** Goes to a page without loading the document again, as a link does. */
export async function go(page, path) {
    await page.evaluate((to) => {
        history.pushState({}, '', to);
        dispatchEvent(new PopStateEvent('popstate'));
    }, path);
    await page.locator('h1, [role=alert]').first().waitFor();
    await settled(page);
}

/** Waits until nothing is being loaded. */
export async function settled(page) {
    await page.waitForFunction(
        () => document.querySelector('[role=status][aria-label] .mantine-Skeleton-root') === null,
    );
    await page.waitForFunction(() => document.getAnimations().every((each) => each.playState !== 'running'));
}

/** Checks the page as it is shown, and keeps a screenshot of it. */
export async function inspect(page, name) {
    await settled(page);
    assert.deepEqual(await page.evaluate(() => globalThis.violations), [], `policy violations on ${name}`);
    await page.evaluate(AXE);
    const found = await page.evaluate(async (rules) => {
        const { violations } = await globalThis.axe.run(document, { runOnly: rules });
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(' | ')}`);
    }, RULES);
    assert.deepEqual(found, [], `accessibility of ${name}`);
    const width = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(width[0] <= width[1], `${name} is wider than the window: ${width}`);
    mkdirSync(SCREENSHOTS, { recursive: true });
    await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** A request to the API with a token of its own. */
export async function call(account, method, path, body) {
    const json = { 'content-type': 'application/json' };
    const login = await fetch(`${SERVER}/api/v1/auth/login`, {
        method: 'POST',
        headers: json,
        body: JSON.stringify({ username: account, password: PASSWORD }),
    });
    const { access_token } = await login.json();
    const response = await fetch(`${SERVER}${path}`, {
        method,
        headers: { ...json, authorization: `Bearer ${access_token}` },
        body: body && JSON.stringify(body),
    });
    const answer = await response.json();
    assert.ok(response.ok, `${method} ${path}: ${JSON.stringify(answer)}`);
    return answer;
}
