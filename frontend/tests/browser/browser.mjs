// A browser for the tests, against the server at AVAL_URL. Every page that a test opens is checked: no error in its
// console, no violation of the content security policy, nothing that axe finds.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { chromium } from 'playwright-core';

export const SERVER = process.env.AVAL_URL ?? 'http://localhost:8000';
export const PASSWORD = process.env.AVAL_PASSWORD ?? '';
const AXE = readFileSync(new URL('../../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
/** The rules of axe that depend on the theme, and not only on the elements of a page. */
export const COLOR_RULES = ['color-contrast', 'link-in-text-block'];
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

/** The accounts, which scripts/console.sh creates. */
export const ADMIN = 'admin.console';
export const ANALYST = 'ana.lopez';
export const USER = 'bruno.silva';

let browser;
/** The contexts of signed-in accounts. */
const contexts = new Map();
after(() => browser?.close());

/** A browser context. All contexts of a file share one browser, which takes a second to start. */
async function newContext({ server = SERVER, ...options }) {
    browser ??= await chromium.launch({
        executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
        headless: true,
        args: ARGUMENTS,
    });
    const context = await browser.newContext({
        baseURL: server,
        viewport: { width: 1360, height: 900 },
        locale: 'en-GB',
        timezoneId: 'Europe/Madrid',
        reducedMotion: 'reduce',
        ...options,
    });
    context.setDefaultTimeout(30_000);
    await context.addInitScript(() => {
        globalThis.violations = [];
        document.addEventListener('securitypolicyviolation', (event) => {
            globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
        });
    });
    return context;
}

/** Opens a page with its own cookies and storage, and closes it after `visit`. `options` are those of a browser context. */
export async function withBrowser(options, visit) {
    const context = await newContext(options);
    try {
        await visitPage(context, options.server, visit);
    } finally {
        await context.close();
    }
}

/**
 * Opens a page with an account signed in, and closes it after `visit`. The visits of an account in a file share cookies and
 * storage, because signing in and loading the console anew takes longer than most tests. A test that changes what the
 * browser stores, such as the language, needs `withBrowser`.
 */
export async function withAccount(account, visit) {
    const context = contexts.get(account) ?? (await newContext({}));
    contexts.set(account, context);
    await visitPage(context, SERVER, async (opened) => {
        await opened.page.goto('/');
        const form = opened.page.locator('input[autocomplete=current-password]');
        await form.or(opened.page.locator('main h1')).first().waitFor();
        if (await form.isVisible()) await enterPassword(opened.page, account);
        await visit(opened);
    });
}

async function visitPage(context, server = SERVER, visit) {
    const problems = [];
    const page = await context.newPage();
    page.on('pageerror', (error) => problems.push(`exception: ${error.message}`));
    page.on('console', (message) => {
        // Refused requests are part of some tests.
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
            problems.push(`console: ${message.text()}`);
        }
    });
    page.on('request', (request) => {
        const isOwn = request.url().startsWith(server) || /^(data|blob):/.test(request.url());
        if (!isOwn) problems.push(`request to another host: ${request.url()}`);
    });
    try {
        await visit({ page, context });
        assert.deepEqual(problems, []);
    } finally {
        await page.close();
    }
}

/** Signs in through the form. */
export async function signIn(page, account) {
    await page.goto('/');
    await enterPassword(page, account);
}

async function enterPassword(page, account) {
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
    await page.locator('main').locator('h1, h2, [role=alert]').first().waitFor();
    await settled(page);
}

/** The paths of the pages, from the router of the console. */
export function routes(page) {
    return page.evaluate(() => Object.keys(globalThis.__TSR_ROUTER__.routesByPath));
}

/** Waits until nothing is being loaded or sent. */
export async function settled(page) {
    await page.waitForFunction(() => document.querySelector('button[data-loading]') === null);
    await page.waitForFunction(
        () => document.querySelector('[role=status][aria-label] .mantine-Skeleton-root') === null,
    );
    await page.waitForFunction(() => document.querySelector('[aria-busy=true]') === null);
    await page.waitForFunction(() => document.getAnimations().every((each) => each.playState !== 'running'));
}

/** Checks the page as it is shown, and keeps a screenshot of it. `rules` are tags or rules of axe. */
export async function inspect(page, name, rules = RULES) {
    await settled(page);
    assert.deepEqual(await page.evaluate(() => globalThis.violations), [], `policy violations on ${name}`);
    if (await page.evaluate(() => globalThis.axe === undefined)) await page.evaluate(AXE);
    const found = await page.evaluate(async (runOnly) => {
        const { violations } = await globalThis.axe.run(document, { runOnly });
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(' | ')}`);
    }, rules);
    assert.deepEqual(found, [], `accessibility of ${name}`);
    const width = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(width[0] <= width[1], `${name} is wider than the window: ${width}`);
    mkdirSync(SCREENSHOTS, { recursive: true });
    await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

const tokens = new Map();

async function newToken(account, server) {
    const login = await fetch(`${server}/api/v1/auth/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ username: account, password: PASSWORD }),
    });
    const { access_token: token } = await login.json();
    tokens.set(`${account} ${server}`, token);
    return token;
}

/** A request to the API by an account, without the browser. */
export async function call(account, method, path, body, server = SERVER) {
    const send = (token) =>
        fetch(`${server}${path}`, {
            method,
            headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
            body: body && JSON.stringify(body),
        });
    const known = tokens.get(`${account} ${server}`);
    let response = await send(known ?? (await newToken(account, server)));
    // Some tests end the sessions of an account, which revokes the token.
    if (response.status === 401 && known) response = await send(await newToken(account, server));
    const answer = response.status === 204 ? undefined : await response.json();
    assert.ok(response.ok, `${method} ${path}: ${JSON.stringify(answer)}`);
    return answer;
}

/** Repeats `read` until `holds` accepts its result, for at most 30 seconds. */
export async function eventually(what, read, holds) {
    const deadline = Date.now() + 30_000;
    for (;;) {
        const result = await read();
        if (holds(result)) return result;
        assert.ok(Date.now() < deadline, `${what}: ${JSON.stringify(result)}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
}
