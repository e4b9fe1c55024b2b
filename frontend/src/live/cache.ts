// Keeps the cache in step with the live updates. Applications that no page shows are marked as out of date when one of them
// changes. A page that shows them again within the time that they would count as fresh then loads them, instead of showing
// an earlier status. Pages update what they show themselves (use-live.ts). What could not be loaded during an interruption
// is loaded when it ends.

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
