// Invalidates cached applications when live updates report a change. This applies to applications that no page
// currently shows: the next page that shows them loads them again, even if the cached data is not yet stale.
// Open pages update their own data (use-live.ts). Data that could not be loaded during an interruption is loaded when
// the interruption ends.

import type { QueryClient } from '@tanstack/react-query';
import { keys } from '../api/queries';
import { onLive, onUpdates } from './connection';

/** Starts invalidating the cache on live updates. Call it once. */
export function startCacheUpdates(queryClient: QueryClient): void {
    onUpdates((messages) => {
        if (messages.every(({ type }) => type === 'operations_update')) return;
        void queryClient.invalidateQueries({ queryKey: keys.applications, type: 'inactive', refetchType: 'none' });
    });
    onLive(() => void queryClient.refetchQueries({ type: 'active', predicate: ({ state }) => state.error !== null }));
}
