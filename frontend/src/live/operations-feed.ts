// The newest operations events. They are collected from sign-in onward, even while the page is not open.

import { useSyncExternalStore } from 'react';
import { currentSession, onSessionChange } from '../session/session';
import { onUpdates, type OperationsUpdate } from './connection';

/** Older events are dropped. */
const MOST_EVENTS = 200;

let events: OperationsUpdate[] = [];
const listeners = new Set<() => void>();

function set(next: OperationsUpdate[]) {
    events = next;
    for (const listener of listeners) listener();
}

/** Collects events until the session ends. Call it once. */
export function startOperationsFeed(): void {
    onUpdates((messages) => {
        const added = messages.filter((message) => message.type === 'operations_update');
        if (added.length > 0) set([...added.toReversed(), ...events].slice(0, MOST_EVENTS));
    });
    onSessionChange(() => {
        if (currentSession() === undefined) set([]);
    });
}

/** The newest events first. */
export function useOperationsFeed(): OperationsUpdate[] {
    return useSyncExternalStore(
        (listener) => {
            listeners.add(listener);
            return () => listeners.delete(listener);
        },
        () => events,
    );
}
