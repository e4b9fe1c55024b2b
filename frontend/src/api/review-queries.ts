// The queries of the review queue and of saved views.

import { queryOptions } from '@tanstack/react-query';
import { api, unwrap } from './client';
import type { CountryCode, SavedView } from './types';

export const ASSIGNMENTS = ['unassigned', 'mine', 'others'] as const;
export type AssignmentOf = (typeof ASSIGNMENTS)[number];

export const reviewKeys = {
    all: ['reviews'] as const,
    queue: (filters: unknown) => ['reviews', 'queue', filters] as const,
};

export interface ReviewFilters {
    country?: CountryCode | undefined;
    assignment: AssignmentOf;
}

/** One page of the queue; the application that has waited longest is first. */
export function loadReviews(filters: ReviewFilters, page: { page_size: number; cursor?: string }) {
    const { country, assignment } = filters;
    const { page_size: limit, cursor } = page;
    const query = { assignment, limit, ...(country && { country }), ...(cursor && { cursor }) };
    return unwrap(api.GET('/api/v1/reviews', { params: { query } }));
}

/** The assignment of an application; `assignment` is `null` if the application is not assigned. */
export const assignmentQuery = (id: string) =>
    queryOptions({
        queryKey: [...reviewKeys.all, 'assignment', id],
        queryFn: () => unwrap(api.GET('/api/v1/applications/{id}/assignment', { params: { path: { id } } })),
        // The server announces no event when an assignment expires.
        refetchInterval: 60_000,
    });

export const savedViewsQuery = (page: SavedView['page']) =>
    queryOptions({
        queryKey: ['saved-views'],
        queryFn: () => unwrap(api.GET('/api/v1/auth/me/views')),
        select: ({ items }) => items.filter((view) => view.page === page),
        staleTime: 60_000,
    });
