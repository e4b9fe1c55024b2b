// Which unfinished jobs need the attention of an operator.

import type { Schema } from '../../api/types';

type Job = Schema<'JobView'>;

/** A job that has been due or running for longer is slow, in milliseconds. */
const SLOW_MS = 60_000;

/**
 * A job is stuck if it is running but its lease has expired. It is slow if it has been due or running for more than a
 * minute. `now` is in milliseconds since 1970.
 */
export function urgency(job: Job, now: number): 'stuck' | 'slow' | undefined {
    const isExpired = job.leased_until !== null && Date.parse(job.leased_until) < now;
    if (job.status === 'processing' && isExpired) return 'stuck';
    if (job.status === 'waiting_external') return undefined;
    return now - Date.parse(job.run_at) > SLOW_MS ? 'slow' : undefined;
}
