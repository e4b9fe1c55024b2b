import { useInterval } from '@mantine/hooks';
import { useState } from 'react';

/** The current time in milliseconds since 1970. It is updated every `intervalMs`. */
export function useNow(intervalMs: number): number {
    const [now, setNow] = useState(() => Date.now());
    useInterval(() => setNow(Date.now()), intervalMs, { autoInvoke: true });
    return now;
}
