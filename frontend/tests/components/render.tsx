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

/** Shows a page in English, with routes for the links on it. */
export async function show(page: () => ReactNode): Promise<void> {
    if (!i18next.isInitialized) await startTranslations();
    await chooseLanguage('en');
    const root = createRootRoute({ component: Outlet });
    const routes = [
        createRoute({ getParentRoute: () => root, path: '/', component: page }),
        createRoute({ getParentRoute: () => root, path: '/console/$', component: () => <p>another page</p> }),
    ];
    const router = createRouter({ routeTree: root.addChildren(routes), history: createMemoryHistory() });
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
    body: unknown;
}

/** Answers requests in place of the server, and records them. */
export function serve(respond: (received: Received) => { status: number; body: unknown }): Received[] {
    const all: Received[] = [];
    globalThis.fetch = async (input, init) => {
        const request = new Request(input as Request, init);
        const text = await request.text();
        const received = {
            method: request.method,
            path: new URL(request.url).pathname,
            search: new URL(request.url).searchParams,
            key: request.headers.get('idempotency-key'),
            body: text === '' ? undefined : (JSON.parse(text) as unknown),
        };
        all.push(received);
        const { status, body } = respond(received);
        const type = status < 400 ? 'application/json' : 'application/problem+json';
        return new Response(JSON.stringify(body), { status, headers: { 'content-type': type } });
    };
    return all;
}
