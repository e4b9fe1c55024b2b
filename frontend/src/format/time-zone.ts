// The time zone that the reader has chosen. Without a choice, times are in the zone of the browser.

import { useSyncExternalStore } from 'react';

let chosen: string | undefined;
const listeners = new Set<() => void>();

/** Sets the zone for all times. The zone of the browser is used if it is undefined or unknown to the browser. */
export function chooseTimeZone(timeZone: string | undefined): void {
    chosen = timeZone !== undefined && isKnown(timeZone) ? timeZone : undefined;
    for (const listener of listeners) listener();
}

function isKnown(timeZone: string): boolean {
    try {
        new Intl.DateTimeFormat('en', { timeZone });
        return true;
    } catch {
        return false;
    }
}

/** The chosen time zone, for texts that are composed outside of components. */
export function chosenTimeZone(): string | undefined {
    return chosen;
}

/** The chosen time zone; undefined is the zone of the browser. */
export function useTimeZone(): string | undefined {
    return useSyncExternalStore((listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
    }, chosenTimeZone);
}
