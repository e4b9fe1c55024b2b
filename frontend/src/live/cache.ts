// Marks cached applications as outdated when live updates report a change. This concerns applications that no page
// currently shows: the next page that shows them loads them again, even if the cache would still count them as fresh.
// Open pages update their own data (use-live.ts). Data that could not be loaded during an interruption is loaded when
// the interruption ends.

import type { QueryClient } from '@tanstack/react-query';
import { keys } from '../api/queries';
import { onLive, onUpdates } from './connection';

/** Follows the updates from now on. Call it once. */
export function startCacheUpdates(queryClient: QueryClient): void {
    onUpdates((messages) => {
        if (messages.every(({ type }) => type === 'operations_update')) return;
        void queryClient.invalidateQueries({ queryKey: keys.applications, type: 'inactive', refetchType: 'none' });
    });
    onLive(() => void queryClient.refetchQueries({ type: 'active', predicate: ({ state }) => state.error !== null }));
}
