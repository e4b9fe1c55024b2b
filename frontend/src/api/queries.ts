// The queries of the console, with the keys that they are cached under.

import { queryOptions } from '@tanstack/react-query';
import { api, unwrap } from './client';
import type { paths } from './schema';
import type { CountryCode } from './types';

export type ListQuery = NonNullable<paths['/api/v1/applications']['get']['parameters']['query']>;

export const keys = {
    applications: ['applications'] as const,
    lists: ['applications', 'list'] as const,
    list: (query: unknown) => ['applications', 'list', query] as const,
    application: (id: string) => ['applications', 'one', id] as const,
};

export const countriesQuery = () =>
    queryOptions({
        queryKey: ['countries'],
        queryFn: async () => (await unwrap(api.GET('/api/v1/countries'))).countries,
        staleTime: Number.POSITIVE_INFINITY,
    });

/** The identity document that a list is limited to. */
export interface DocumentFilter {
    country: CountryCode;
    identity_document: string;
}

/**
 * One page of applications. A document is sent in the body of a search, so it appears in no log. It is discarded when the
 * page is left.
 */
export const listQuery = (query: ListQuery, document?: DocumentFilter) =>
    queryOptions({
        queryKey: keys.list({ ...query, ...document }),
        queryFn: () =>
            document
                ? unwrap(api.POST('/api/v1/applications/search', { body: { ...query, ...document } }))
                : unwrap(api.GET('/api/v1/applications', { params: { query } })),
        ...(document && { gcTime: 0 }),
        // A reload would move the rows that are being read. New applications are only announced.
        refetchOnWindowFocus: false,
    });

/** The number of applications that match filters. The number is exact only up to a limit of the server. */
export const totalQuery = ({ country, status, risk_band, from, to, min_amount, max_amount }: ListQuery) => {
    const query = { country, status, risk_band, from, to, min_amount, max_amount, page: 1, page_size: 1 };
    return queryOptions({
        queryKey: ['applications', 'total', query],
        queryFn: async () => {
            const { total, total_is_exact } = await unwrap(api.GET('/api/v1/applications', { params: { query } }));
            return { total: total ?? 0, isExact: total_is_exact ?? true };
        },
    });
};

/** The entity tag of a version of an application. */
export const etagOf = (version: number) => `"v${version}"`;

const byId = (id: string) => ({ params: { path: { id } } });

export const applicationQuery = (id: string) =>
    queryOptions({
        queryKey: [...keys.application(id), 'application'],
        queryFn: () => unwrap(api.GET('/api/v1/applications/{id}', byId(id))),
    });

export const statusQuery = (id: string) =>
    queryOptions({
        queryKey: [...keys.application(id), 'status'],
        queryFn: () => unwrap(api.GET('/api/v1/applications/{id}/status', byId(id))),
    });

export const decisionQuery = (id: string) =>
    queryOptions({
        queryKey: [...keys.application(id), 'decision'],
        queryFn: () => unwrap(api.GET('/api/v1/applications/{id}/decision', byId(id))),
    });

export const auditQuery = (id: string) =>
    queryOptions({
        queryKey: [...keys.application(id), 'audit'],
        queryFn: () => unwrap(api.GET('/api/v1/applications/{id}/audit', byId(id))),
    });

export const statisticsQuery = () =>
    queryOptions({
        queryKey: ['statistics', 'all'],
        queryFn: () => unwrap(api.GET('/api/v1/stats')),
        refetchInterval: 15_000,
    });

export const countryStatisticsQuery = (code: CountryCode) =>
    queryOptions({
        queryKey: ['statistics', code],
        queryFn: () => unwrap(api.GET('/api/v1/stats/countries/{code}', { params: { path: { code } } })),
        refetchInterval: 15_000,
    });
