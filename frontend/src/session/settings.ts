// The settings of the signed-in account. The server stores them, so that they apply in every browser.

import { useMantineColorScheme } from '@mantine/core';
import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useEffectEvent } from 'react';
import { api, unwrap } from '../api/client';
import type { Settings } from '../api/types';
import { chooseTimeZone } from '../format/time-zone';
import { chooseLanguage } from '../i18n/i18n';

export const settingsQuery = () =>
    queryOptions({
        queryKey: ['settings'],
        queryFn: () => unwrap(api.GET('/api/v1/auth/me/settings')),
    });

/** Applies the settings after sign-in and whenever they change, including changes in another browser. */
export function useAppliedSettings(): void {
    const { setColorScheme } = useMantineColorScheme();
    const { data } = useQuery(settingsQuery());
    // Applying the settings renders the page again, with a new `setColorScheme`. They must not be applied again because of that.
    const apply = useEffectEvent((settings: Settings) => {
        if (settings.language !== null) void chooseLanguage(settings.language);
        chooseTimeZone(settings.time_zone ?? undefined);
        setColorScheme(settings.theme);
    });
    useEffect(() => {
        if (data !== undefined) apply(data);
    }, [data]);
    // The next account that signs in has its own settings.
    useEffect(() => () => chooseTimeZone(undefined), []);
}

/** Saves some of the settings; the others keep the values that the server has. */
export function useSaveSettings() {
    const queryClient = useQueryClient();
    return useMutation({
        // One change at a time: two at once would start from the same settings, and the second would undo the first.
        scope: { id: 'settings' },
        mutationFn: async (change: Partial<Settings>) => {
            const current = await queryClient.fetchQuery({ ...settingsQuery(), staleTime: 0 });
            return unwrap(api.PUT('/api/v1/auth/me/settings', { body: { ...current, ...change } }));
        },
        onSuccess: (saved) => queryClient.setQueryData(settingsQuery().queryKey, saved),
    });
}
