import '@mantine/core/styles.css';
import '@mantine/notifications/styles.css';
import './app/console.css';

import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { setNonce } from 'get-nonce';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { ApiError } from './api/problem';
import { Providers } from './app/providers';
import { createConsoleRouter } from './app/router';
import { startTranslations } from './i18n/i18n';
import { startCacheUpdates } from './live/cache';
import { startLiveUpdates } from './live/connection';
import { startOperationsFeed } from './live/operations-feed';
import { onSessionChange, resumeSession } from './session/session';

const RETRIES = 2;

const queryClient = new QueryClient({
    defaultOptions: {
        queries: {
            staleTime: 10_000,
            retry: (count, error) => count < RETRIES && error instanceof ApiError && error.isTemporary,
        },
    },
});

// The nonce of the content security policy. Browsers hide the attribute from scripts, but not the property.
const nonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? '';
setNonce(nonce);

const router = createConsoleRouter(queryClient);
onSessionChange(() => {
    // Data of one account must not be shown to the next.
    queryClient.clear();
    void router.invalidate();
});

await Promise.all([startTranslations(), resumeSession()]);
startLiveUpdates();
startOperationsFeed();
startCacheUpdates(queryClient);

const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no element for the console');
createRoot(root).render(
    <StrictMode>
        <QueryClientProvider client={queryClient}>
            <Providers nonce={nonce}>
                <RouterProvider router={router} />
            </Providers>
        </QueryClientProvider>
    </StrictMode>,
);
