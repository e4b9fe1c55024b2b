import { useEffect, useState } from 'react';
import { type LiveMessage, onUpdates } from './connection';

/** The period that decisions are counted in, in milliseconds. */
const WINDOW_MS = 60_000;
const REFRESH_MS = 2000;

/** Whether an update is the result of evaluating the rules. */
export function isDecision(message: LiveMessage): boolean {
    return message.type === 'application_update' && message.data.previous_status === 'VALIDATING';
}

/** The number of decisions in the last minute. Only decisions since the page was opened are counted. */
export function useDecisionsPerMinute(): number {
    const [times, setTimes] = useState<number[]>([]);
    useEffect(() => {
        const forget = (times: number[]) => times.filter((time) => time > performance.now() - WINDOW_MS);
        const stop = onUpdates((messages) => {
            const decided = messages.filter(isDecision).map(() => performance.now());
            if (decided.length > 0) setTimes((before) => [...forget(before), ...decided]);
        });
        const timer = setInterval(
            () => setTimes((before) => (before.length === 0 ? before : forget(before))),
            REFRESH_MS,
        );
        return () => {
            stop();
            clearInterval(timer);
        };
    }, []);
    return times.length;
}
