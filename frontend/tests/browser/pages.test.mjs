// Every page of the router on a desktop and on a phone, each in two languages, light and dark: no finding of axe, no
// violation of the content security policy, nothing wider than the window, no error. New pages are tested
// automatically. A page with a parameter in its path needs an example here.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import {
    ADMIN,
    ANALYST,
    call,
    COLOR_RULES,
    eventually,
    go,
    inspect,
    PASSWORD,
    routes,
    signIn,
    USER,
    withBrowser,
} from './browser.mjs';
import { spanish } from './scenarios/applicants.mjs';

const DESKTOP = { width: 1360, height: 900 };
const PHONE = { width: 390, height: 844 };
const SIGN_IN = '/console/sign-in';
const HOME = '/console/applications';
/** An admin whose language is changed all the time. The other tests read English. */
const VISITOR = 'vera.pages';
/** Paths that only redirect to another page. */
const REDIRECTS = ['/', '/console'];

/** A path for each route with a parameter. */
const examples = { '/console/$': '/console/no-such-page' };

before(async () => {
    await call(ADMIN, 'POST', '/api/v1/users', { username: VISITOR, password: PASSWORD, role: 'admin' });
    const { id } = await call(ANALYST, 'POST', '/api/v1/applications', spanish('Aitana Robles Ferrán', '25000.00'));
    examples['/console/applications/$id'] = `/console/applications/${id}`;
    await call(ADMIN, 'POST', '/api/v1/api-keys', {
        name: 'monthly-reports',
        role: 'user',
        scopes: ['applications:read'],
    });
});

/** The pages for signed-in accounts. */
async function pages(page) {
    const all = (await routes(page)).filter((path) => path !== SIGN_IN && !REDIRECTS.includes(path));
    assert.ok(all.length >= 20, `the router has pages: ${all}`);
    for (const path of all) {
        assert.ok(!path.includes('$') || examples[path], `${path} needs an example of its parameters`);
    }
    return all.map((path) => examples[path] ?? path);
}

function name(path) {
    const known = Object.entries(examples).find(([, example]) => example === path)?.[0] ?? path;
    return known.replace('/console/', '').replace('/$', '-one').replace('$', 'not-found').replaceAll('/', '-');
}

/** Shows the current page in another language and theme without loading it again. */
async function change(page, { language, colorScheme }) {
    await page.emulateMedia({ colorScheme });
    // On a phone, the select is in the navigation, which is closed.
    await page.locator('select').filter({ hasText: 'English' }).first().selectOption(language, { force: true });
    await page.waitForFunction(
        ([lang, scheme]) =>
            document.documentElement.lang === lang && document.documentElement.dataset.mantineColorScheme === scheme,
        [language, colorScheme],
    );
}

// The elements of a page are the same in every language and theme, so all rules of axe run for one of the two looks of a
// page, and the rules for colours for both.
for (const [size, viewport, ...looks] of [
    ['desktop', DESKTOP, { language: 'en', colorScheme: 'light' }, { language: 'it', colorScheme: 'dark' }],
    ['phone', PHONE, { language: 'es', colorScheme: 'dark' }, { language: 'pt', colorScheme: 'light' }],
]) {
    const names = looks.map(({ language, colorScheme }) => `${colorScheme} in ${language}`).join(' and ');
    test(`every page is without defects on a ${size}, ${names}`, async () => {
        let [current, other] = looks;
        const options = { locale: current.language, colorScheme: current.colorScheme, viewport };
        await withBrowser({ ...options, hasTouch: viewport === PHONE }, async ({ page }) => {
            const check = async (path, rules) => {
                assert.deepEqual(await page.getByRole('alert').allTextContents(), [], `errors on ${path}`);
                await inspect(page, `${size}-${current.colorScheme}-${current.language}-${name(path)}`, rules);
            };
            const checkBoth = async (path) => {
                await check(path);
                await change(page, other);
                [current, other] = [other, current];
                await check(path, COLOR_RULES);
            };
            await page.goto(SIGN_IN);
            await page.getByRole('heading', { level: 1 }).waitFor();
            assert.equal(await page.evaluate(() => document.documentElement.lang), current.language);
            await checkBoth(SIGN_IN);
            await signIn(page, VISITOR);
            for (const path of await pages(page)) {
                await go(page, path);
                assert.equal(new URL(page.url()).pathname, path);
                await checkBoth(path);
            }
        });
    });
}

test('the chosen colours and language are kept', async () => {
    await withBrowser({ colorScheme: 'light' }, async ({ page }) => {
        await signIn(page, USER);
        await page.getByRole('button', { name: 'Use the dark theme' }).click();
        await page.getByLabel('Language').first().selectOption('it');
        await page.getByRole('heading', { level: 1, name: 'Richieste' }).waitFor();
        await eventually(
            'the server has both settings',
            () => call(USER, 'GET', '/api/v1/auth/me/settings'),
            ({ theme, language }) => theme === 'dark' && language === 'it',
        );
        await page.reload();
        await page.getByRole('heading', { level: 1, name: 'Richieste' }).waitFor();
        const scheme = await page.evaluate(() => document.documentElement.dataset.mantineColorScheme);
        assert.equal(scheme, 'dark');
    });
});

for (const [account, role] of [
    [USER, 'user'],
    [ANALYST, 'analyst'],
]) {
    test(`the role ${role} can open exactly the pages that are offered, and no page is refused by the server`, async () => {
        await withBrowser({}, async ({ page }) => {
            await signIn(page, account);
            const links = page.getByRole('navigation').first().getByRole('link');
            await links.first().waitFor();
            await page.getByRole('button', { name: /^Account / }).click();
            const offered = links.or(page.getByRole('menuitem'));
            const linked = await offered.evaluateAll((all) => all.map((link) => link.getAttribute('href')));
            await page.keyboard.press('Escape');
            const refused = [];
            page.on('response', (response) => {
                if (response.status() === 403) refused.push(response.url());
            });
            for (const path of await pages(page)) {
                await go(page, path);
                const { pathname } = new URL(page.url());
                const isOffered = linked.includes(path) || Object.values(examples).includes(path);
                assert.equal(pathname, isOffered ? path : HOME, `${path} for ${role}, whose links are ${linked}`);
                assert.ok(!linked.includes('/console/circuits'));
            }
            assert.deepEqual(refused, []);
        });
    });
}

test('without a session every page leads to the sign-in, and from there to the page', async () => {
    await withBrowser({}, async ({ page }) => {
        for (const path of REDIRECTS) {
            await page.goto(path);
            await page.waitForURL(`**${SIGN_IN}*`);
        }
        for (const path of await pages(page)) {
            await go(page, path);
            await page.waitForURL(`**${SIGN_IN}*`);
            assert.equal(new URL(page.url()).searchParams.get('next'), path);
        }
        await page.goto('/console/statistics');
        await page.locator('input[autocomplete=username]').fill(ANALYST);
        await page.locator('input[autocomplete=current-password]').fill(process.env.AVAL_PASSWORD ?? '');
        await page.keyboard.press('Enter');
        await page.waitForURL('**/console/statistics');
        await page.getByRole('heading', { level: 1, name: 'Statistics' }).waitFor();
    });
});
