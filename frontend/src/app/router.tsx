// The pages of the console. All of them are below /console/, so the server can distinguish them from its other paths.
// Each page is loaded when it is first opened.

import type { QueryClient } from '@tanstack/react-query';
import { createRootRouteWithContext, createRoute, createRouter, Outlet, redirect } from '@tanstack/react-router';
import { type AssignmentOf, ASSIGNMENTS } from '../api/review-queries';
import { type ApplicationStatus, type CountryCode, RISK_BANDS, type RiskBand, type Role, STATUSES } from '../api/types';
import type { EventDeadLetterFilters } from '../pages/operations/event-dead-letters';
import { isAtLeast } from '../session/roles';
import { currentSession } from '../session/session';
import { lazyPage } from './lazy-page';
import { NotFoundPage, RouteFailure } from './not-found';

interface Context {
    queryClient: QueryClient;
}

const root = createRootRouteWithContext<Context>()({
    component: Outlet,
    notFoundComponent: NotFoundPage,
    errorComponent: RouteFailure,
});

const start = createRoute({
    getParentRoute: () => root,
    path: '/',
    beforeLoad: () => {
        throw redirect({ to: '/console/applications' });
    },
});

const signIn = createRoute({
    getParentRoute: () => root,
    path: '/console/sign-in',
    validateSearch: (search): { next?: string } => {
        // Only paths of the console are accepted: any other address would be an open redirect.
        const next = search['next'];
        return typeof next === 'string' && next.startsWith('/console/') ? { next } : {};
    },
    beforeLoad: () => {
        if (currentSession() !== undefined) throw redirect({ to: '/console/applications' });
    },
    component: lazyPage(() => import('../pages/sign-in'), 'SignInPage'),
});

const shell = createRoute({
    getParentRoute: () => root,
    path: '/console',
    beforeLoad: ({ location }) => {
        if (currentSession() === undefined) throw redirect({ to: '/console/sign-in', search: { next: location.href } });
    },
    component: lazyPage(() => import('./shell'), 'Shell'),
});

/** Redirects accounts without the role to their first page. */
function needs(role: Role) {
    return () => {
        const session = currentSession();
        if (session !== undefined && !isAtLeast(session.role, role)) throw redirect({ to: '/console/applications' });
    };
}

const shellIndex = createRoute({
    getParentRoute: () => shell,
    path: '/',
    beforeLoad: () => {
        throw redirect({ to: '/console/applications' });
    },
});

function text(value: unknown): string | undefined {
    return typeof value === 'string' && value !== '' ? value : undefined;
}

function choice<Value extends string>(value: unknown, all: readonly Value[]): Value | undefined {
    return all.find((known) => known === value);
}

function texts(value: unknown): string[] | undefined {
    return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string')
        ? value
        : undefined;
}

/** A decimal as text. The router parses numbers in the address, so a number is converted back. */
function amount(value: unknown): string | undefined {
    const written = typeof value === 'number' ? String(value) : text(value);
    return written !== undefined && /^\d{1,10}(\.\d{1,2})?$/.test(written) ? written : undefined;
}

/** The filters of the list; absent unless chosen. The server refuses an unknown country. */
interface ApplicationSearch {
    country?: CountryCode | undefined;
    status?: ApplicationStatus | undefined;
    risk_band?: RiskBand | undefined;
    from?: string | undefined;
    to?: string | undefined;
    min_amount?: string | undefined;
    max_amount?: string | undefined;
    sort?: 'created_at' | '-created_at' | undefined;
    /** The cursors of the pages up to the current one. */
    trail?: string[] | undefined;
}

const applications = createRoute({
    getParentRoute: () => shell,
    path: 'applications',
    validateSearch: (search): ApplicationSearch => ({
        country: text(search['country']) as CountryCode | undefined,
        status: choice(search['status'], STATUSES),
        risk_band: choice(search['risk_band'], RISK_BANDS),
        from: text(search['from']),
        to: text(search['to']),
        min_amount: amount(search['min_amount']),
        max_amount: amount(search['max_amount']),
        sort: choice(search['sort'], ['created_at', '-created_at'] as const),
        trail: texts(search['trail']),
    }),
    component: lazyPage(() => import('../pages/applications/list'), 'ApplicationsPage'),
});

const application = createRoute({
    getParentRoute: () => shell,
    path: 'applications/$id',
    component: lazyPage(() => import('../pages/applications/detail'), 'ApplicationPage'),
});

const create = createRoute({
    getParentRoute: () => shell,
    path: 'new-application',
    component: lazyPage(() => import('../pages/applications/create'), 'CreatePage'),
});

const statistics = createRoute({
    getParentRoute: () => shell,
    path: 'statistics',
    validateSearch: (search): { country?: CountryCode | undefined } => ({
        country: text(search['country']) as CountryCode | undefined,
    }),
    component: lazyPage(() => import('../pages/statistics/statistics'), 'StatisticsPage'),
});

const overview = createRoute({
    getParentRoute: () => shell,
    path: 'overview',
    validateSearch: (search): { country?: CountryCode | undefined; days?: '7' | '30' | '90' | undefined } => ({
        country: text(search['country']) as CountryCode | undefined,
        // The router parses the value as a number.
        days: choice(String(search['days']), ['7', '30', '90'] as const),
    }),
    component: lazyPage(() => import('../pages/overview/overview'), 'OverviewPage'),
});

const reviews = createRoute({
    getParentRoute: () => shell,
    path: 'reviews',
    beforeLoad: needs('analyst'),
    validateSearch: (search): { country?: CountryCode | undefined; assignment?: AssignmentOf | undefined } => ({
        country: text(search['country']) as CountryCode | undefined,
        assignment: choice(search['assignment'], ASSIGNMENTS),
    }),
    component: lazyPage(() => import('../pages/reviews/reviews'), 'ReviewsPage'),
});

const whatIf = createRoute({
    getParentRoute: () => shell,
    path: 'what-if',
    beforeLoad: needs('analyst'),
    validateSearch: (search): { application?: string | undefined } => ({ application: text(search['application']) }),
    component: lazyPage(() => import('../pages/what-if/what-if'), 'WhatIfPage'),
});

const circuits = createRoute({
    getParentRoute: () => shell,
    path: 'circuits',
    beforeLoad: needs('admin'),
    component: lazyPage(() => import('../pages/operations/circuits'), 'CircuitsPage'),
});

const jobs = createRoute({
    getParentRoute: () => shell,
    path: 'jobs',
    beforeLoad: needs('admin'),
    component: lazyPage(() => import('../pages/operations/jobs'), 'JobsPage'),
});

const lanes = createRoute({
    getParentRoute: () => shell,
    path: 'lanes',
    beforeLoad: needs('admin'),
    component: lazyPage(() => import('../pages/operations/lanes'), 'LanesPage'),
});

const deadLetters = createRoute({
    getParentRoute: () => shell,
    path: 'dead-letters',
    beforeLoad: needs('admin'),
    component: lazyPage(() => import('../pages/operations/dead-letters'), 'DeadLettersPage'),
});

const live = createRoute({
    getParentRoute: () => shell,
    path: 'live',
    beforeLoad: needs('admin'),
    component: lazyPage(() => import('../pages/operations/live'), 'LivePage'),
});

const users = createRoute({
    getParentRoute: () => shell,
    path: 'users',
    beforeLoad: needs('admin'),
    component: lazyPage(() => import('../pages/accounts/users'), 'UsersPage'),
});

const apiKeys = createRoute({
    getParentRoute: () => shell,
    path: 'api-keys',
    beforeLoad: needs('admin'),
    component: lazyPage(() => import('../pages/accounts/api-keys'), 'ApiKeysPage'),
});

const events = createRoute({
    getParentRoute: () => shell,
    path: 'events',
    beforeLoad: needs('admin'),
    validateSearch: (search): EventDeadLetterFilters => ({
        consumer: text(search['consumer']),
        event_type: text(search['event_type']),
        subject: text(search['subject']),
        error_type: text(search['error_type']),
        from: text(search['from']),
        to: text(search['to']),
    }),
    component: lazyPage(() => import('../pages/operations/events'), 'EventsPage'),
});

const webhookEvents = createRoute({
    getParentRoute: () => shell,
    path: 'webhook-events',
    beforeLoad: needs('admin'),
    component: lazyPage(() => import('../pages/operations/webhook-events'), 'WebhookEventsPage'),
});

const webhookEndpoints = createRoute({
    getParentRoute: () => shell,
    path: 'webhook-endpoints',
    beforeLoad: needs('admin'),
    component: lazyPage(() => import('../pages/operations/webhook-endpoints'), 'WebhookEndpointsPage'),
});

const schedule = createRoute({
    getParentRoute: () => shell,
    path: 'schedule',
    beforeLoad: needs('admin'),
    component: lazyPage(() => import('../pages/operations/schedule'), 'SchedulePage'),
});

const actors = createRoute({
    getParentRoute: () => shell,
    path: 'actors',
    beforeLoad: needs('admin'),
    component: lazyPage(() => import('../pages/operations/actors'), 'ActorsPage'),
});

const logLevel = createRoute({
    getParentRoute: () => shell,
    path: 'log-level',
    beforeLoad: needs('admin'),
    component: lazyPage(() => import('../pages/operations/log-level'), 'LogLevelPage'),
});

const staffViews = createRoute({
    getParentRoute: () => shell,
    path: 'staff-views',
    beforeLoad: needs('admin'),
    component: lazyPage(() => import('../pages/accounts/staff-views'), 'StaffViewsPage'),
});

const securityEvents = createRoute({
    getParentRoute: () => shell,
    path: 'security-events',
    beforeLoad: needs('admin'),
    component: lazyPage(() => import('../pages/accounts/security-events'), 'SecurityEventsPage'),
});

const account = createRoute({
    getParentRoute: () => shell,
    path: 'account',
    component: lazyPage(() => import('../pages/account/account'), 'AccountPage'),
});

const notFound = createRoute({ getParentRoute: () => shell, path: '$', component: NotFoundPage });

const tree = root.addChildren([
    start,
    signIn,
    shell.addChildren([
        shellIndex,
        applications,
        application,
        create,
        statistics,
        overview,
        reviews,
        whatIf,
        circuits,
        jobs,
        lanes,
        deadLetters,
        live,
        users,
        apiKeys,
        events,
        webhookEvents,
        webhookEndpoints,
        schedule,
        actors,
        logLevel,
        staffViews,
        securityEvents,
        account,
        notFound,
    ]),
]);

export function createConsoleRouter(queryClient: QueryClient) {
    return createRouter({
        routeTree: tree,
        context: { queryClient },
        defaultPreload: 'intent',
        scrollRestoration: true,
        defaultErrorComponent: RouteFailure,
    });
}

declare module '@tanstack/react-router' {
    interface Register {
        router: ReturnType<typeof createConsoleRouter>;
    }
}
