import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import {
    createMemoryHistory,
    createRootRoute,
    createRoute,
    createRouter,
    Outlet,
    RouterProvider,
} from '@tanstack/react-router';
import { render } from '@testing-library/react';
import i18next from 'i18next';
import type { ReactNode } from 'react';
import { Providers } from '../../src/app/providers';
import { chooseLanguage, startTranslations } from '../../src/i18n/i18n';
import { signIn } from '../../src/session/session';

/** Shows a page in English at a path, with routes for the links on it. */
export async function show(page: () => ReactNode, at = '/'): Promise<void> {
    if (!i18next.isInitialized) await startTranslations();
    await chooseLanguage('en');
    const root = createRootRoute({ component: Outlet });
    const routes = [
        createRoute({ getParentRoute: () => root, path: at.replace(/\?.*/, ''), component: page }),
        createRoute({ getParentRoute: () => root, path: '/console/$', component: () => <p>another page</p> }),
    ];
    const router = createRouter({
        routeTree: root.addChildren(routes),
        history: createMemoryHistory({ initialEntries: [at] }),
    });
    const queryClient = new QueryClient({ defaultOptions: { queries: { retry: false } } });
    render(
        <QueryClientProvider client={queryClient}>
            <Providers nonce="">
                <RouterProvider router={router as never} />
            </Providers>
        </QueryClientProvider>,
    );
}

export interface Received {
    method: string;
    path: string;
    search: URLSearchParams;
    key: string | null;
    /** The entity tag of the version that a change is made to. */
    version: string | null;
    body: unknown;
}

/** Responds to requests in place of the server, and records them. */
export function serve(respond: (received: Received) => { status: number; body: unknown }): Received[] {
    const all: Received[] = [];
    globalThis.fetch = async (input, init) => {
        // The session uses paths, which only browsers resolve.
        const target = typeof input === 'string' ? new URL(input, globalThis.location.href) : input;
        const request = new Request(target as Request, init);
        const text = await request.text();
        const received = {
            method: request.method,
            path: new URL(request.url).pathname,
            search: new URL(request.url).searchParams,
            key: request.headers.get('idempotency-key'),
            version: request.headers.get('if-match'),
            body: text === '' ? undefined : (JSON.parse(text) as unknown),
        };
        all.push(received);
        const { status, body } = respond(received);
        const type = status < 400 ? 'application/json' : 'application/problem+json';
        return new Response(status === 204 ? null : JSON.stringify(body), {
            status,
            headers: { 'content-type': type },
        });
    };
    return all;
}

/** An error response. */
export const problem = (status: number, code: string, more: object = {}) => ({
    status,
    body: { type: `/problems/${code}`, title: '', detail: '', status, code, ...more },
});

/** An application as in a list. */
export const listed = (id: string, full_name: string) => ({
    id,
    full_name,
    country: 'ES',
    currency: 'EUR',
    identity_document: '****678Z',
    requested_amount: '25000.00',
    monthly_income: '6000.00',
    term_months: 48,
    status: 'UNDER_REVIEW',
    risk_score: '38.22',
    risk_band: 'medium',
    version: 3,
    created_at: '2026-01-31T12:00:00.000000Z',
    updated_at: '2026-01-31T12:00:00.000000Z',
});

/** Signs in with an account that `serve` answers for. */
export async function signInAs(account: string, role: 'user' | 'analyst' | 'admin'): Promise<void> {
    serve(({ path }) => ({
        status: 200,
        body: path.endsWith('/auth/me') ? { account, role } : { access_token: 'token', expires_in: 3600 },
    }));
    await signIn(account, 'password');
}
