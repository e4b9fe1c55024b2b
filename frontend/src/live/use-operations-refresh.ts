// Loads data of an operations page again when an event reports a change of it.

import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { onUpdates } from './connection';

/** Loads the queries below `queryKey` again after events of a family, such as `circuit.`. */
export function useOperationsRefresh(family: string, queryKey: string): void {
    const queryClient = useQueryClient();
    useEffect(
        () =>
            onUpdates((messages) => {
                const concerns = messages.some(
                    (message) => message.type === 'operations_update' && message.event_type.startsWith(family),
                );
                if (concerns) void queryClient.invalidateQueries({ queryKey: [queryKey] });
            }),
        [queryClient, family, queryKey],
    );
}
