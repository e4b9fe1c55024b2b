import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useState } from 'react';
import { keys } from '../api/queries';
import { reviewKeys } from '../api/review-queries';
import type { ListedApplication, RiskBand, Schema } from '../api/types';
import { type ApplicationUpdate, type LiveMessage, onUpdates } from './connection';

/** Lower limits of the risk bands; docs/specification.md, section 3.4. */
const BANDS: [RiskBand, number][] = [
    ['critical', 70],
    ['high', 50],
    ['medium', 30],
    ['low', 0],
];

export function riskBand(score: string | null): RiskBand | null {
    return score === null ? null : (BANDS.find(([, lower]) => Number(score) >= lower)?.[0] ?? null);
}

/** The row after an update; the unchanged row if the update is older than the row. */
export function applyUpdate(row: ListedApplication, update: ApplicationUpdate['data']): ListedApplication {
    if (update.updated_at <= row.updated_at) return row;
    const { status, risk_score, updated_at } = update;
    return { ...row, status, risk_score, risk_band: riskBand(risk_score), updated_at };
}

export interface LiveList {
    /** The rows that have changed since the page was loaded. */
    changed: ReadonlySet<string>;
    /** Applications created since the page was loaded. */
    created: number;
    /** Clears both. Call it after the page has been loaded again. */
    reset: () => void;
}

const NOTHING: ReadonlySet<string> = new Set();

/**
 * Updates the rows of a page in place. New applications are only counted, so that rows do not move while they are read.
 * `queryKey` must be stable between renders.
 */
export function useLiveList(queryKey: readonly unknown[]): LiveList {
    const queryClient = useQueryClient();
    const [changed, setChanged] = useState(NOTHING);
    const [created, setCreated] = useState(0);
    const reset = useCallback(() => {
        setChanged(NOTHING);
        setCreated(0);
    }, []);
    useEffect(
        () =>
            onUpdates((messages) => {
                const newest = new Map<string, ApplicationUpdate['data']>();
                for (const message of messages) {
                    if (message.type === 'gap') void queryClient.invalidateQueries({ queryKey: keys.applications });
                    if (message.type === 'application_update') newest.set(message.data.id, message.data);
                }
                const page = queryClient.getQueryData<Schema<'ApplicationPage'>>(queryKey);
                if (page === undefined || newest.size === 0) return;
                const touched: string[] = [];
                const applications = page.applications.map((row) => {
                    const update = newest.get(row.id);
                    newest.delete(row.id);
                    const next = update ? applyUpdate(row, update) : row;
                    if (next !== row) touched.push(row.id);
                    return next;
                });
                const isNew = (id: string) => messages.some((message) => isCreation(message, id));
                const announced = [...newest.keys()].filter(isNew).length;
                if (touched.length > 0) {
                    queryClient.setQueryData(queryKey, { ...page, applications });
                    setChanged((before) => new Set([...before, ...touched]));
                }
                if (announced > 0) setCreated((before) => before + announced);
            }),
        [queryClient, queryKey],
    );
    return { changed, created, reset };
}

function isCreation(message: { type: string; data?: unknown }, id: string): boolean {
    if (message.type !== 'application_update') return false;
    const { data } = message as ApplicationUpdate;
    return data.id === id && data.previous_status === null && data.status === 'PENDING';
}

/**
 * Marks all lists as outdated after an update, so that a list is loaded again when it is next opened. A list that is open
 * is not loaded again, because its rows would move; {@link useLiveList} updates them in place.
 */
export function useOutdatedLists(): void {
    const queryClient = useQueryClient();
    useEffect(
        () =>
            onUpdates((messages) => {
                if (!messages.some(({ type }) => type === 'application_update')) return;
                void queryClient.invalidateQueries({ queryKey: keys.lists, refetchType: 'none' });
            }),
        [queryClient],
    );
}

/** Loads an application again after each of its updates. */
export function useLiveApplication(id: string): void {
    const queryClient = useQueryClient();
    useEffect(
        () =>
            onUpdates((messages) => {
                const concerns = messages.some(
                    (message) =>
                        message.type === 'gap' || (message.type === 'application_update' && message.data.id === id),
                );
                if (concerns) void queryClient.invalidateQueries({ queryKey: keys.application(id) });
            }),
        [queryClient, id],
    );
}

/** Loads the review queue again after an application was assigned or released, or has entered or left the queue. */
export function useLiveReviews(): void {
    const queryClient = useQueryClient();
    useEffect(
        () =>
            onUpdates((messages) => {
                if (messages.some(concernsReviews)) void queryClient.invalidateQueries({ queryKey: reviewKeys.all });
            }),
        [queryClient],
    );
}

function concernsReviews(message: LiveMessage): boolean {
    if (message.type !== 'application_update') return message.type !== 'operations_update';
    const { status, previous_status } = message.data;
    return status === 'UNDER_REVIEW' || previous_status === 'UNDER_REVIEW';
}
