//! Counts of waiting, running and failed jobs, at a bounded cost.
//!
//! These counts are taken every second, and whenever an operator inspects the queue. That is usually during an incident,
//! when the queue is long. Therefore each count stops at [`QUEUE_COUNT_LIMIT`] rows. If there are more, the total is the
//! estimate in the database's statistics.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Result;
use crate::storage::statement::{Binder, FixedStatement, Prepared};

/// The maximum number of rows counted, per lane and status and in total.
pub const QUEUE_COUNT_LIMIT: i64 = 10_000;

struct Depth;

impl FixedStatement for Depth {
    const NAME: &'static str = "measure_queue_depth";
    const SQL: &'static str = "\
        SELECT CASE WHEN counted.jobs < ?::bigint THEN counted.jobs ELSE greatest(counted.jobs, \
            (SELECT reltuples::bigint FROM pg_class WHERE oid = 'pending_jobs'::regclass)) END AS jobs \
        FROM (SELECT count(*) AS jobs FROM (SELECT FROM pending_jobs LIMIT ?::bigint) AS first_ones) AS counted";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<BigInt, _>(&QUEUE_COUNT_LIMIT)?;
        binder.bind::<BigInt, _>(&QUEUE_COUNT_LIMIT)
    }
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    jobs: i64,
}

/// The number of jobs that wait or run. It is exact below [`QUEUE_COUNT_LIMIT`]. Above that, it is the estimate of the
/// table's last `ANALYZE`, but at least the limit.
pub async fn depth(connection: &mut AsyncPgConnection) -> Result<i64> {
    let counted: Counted = Prepared(Depth).get_result(connection).await?;
    Ok(counted.jobs)
}

struct OldestDue;

impl FixedStatement for OldestDue {
    const NAME: &'static str = "measure_queue_age";
    /// Finds the first job of each lane and priority by index skip scans, and the lease that expires first.
    const SQL: &'static str = "\
        WITH RECURSIVE lanes AS ( \
            (SELECT lane FROM pending_jobs WHERE status = 'pending' ORDER BY lane LIMIT 1) \
            UNION ALL SELECT (SELECT j.lane FROM pending_jobs j WHERE j.status = 'pending' AND j.lane > l.lane \
                ORDER BY j.lane LIMIT 1) FROM lanes l WHERE l.lane IS NOT NULL), \
        heads AS ( \
            SELECT first.run_at FROM lanes l CROSS JOIN LATERAL ( \
                WITH RECURSIVE priorities AS ( \
                    (SELECT j.priority, j.run_at FROM pending_jobs j WHERE j.status = 'pending' AND j.lane = l.lane \
                        ORDER BY j.priority DESC, j.run_at LIMIT 1) \
                    UNION ALL SELECT n.priority, n.run_at FROM priorities p CROSS JOIN LATERAL ( \
                        SELECT j.priority, j.run_at FROM pending_jobs j WHERE j.status = 'pending' \
                        AND j.lane = l.lane AND j.priority < p.priority ORDER BY j.priority DESC, j.run_at LIMIT 1) AS n) \
                SELECT min(run_at) AS run_at FROM priorities) AS first \
            WHERE NOT EXISTS (SELECT FROM paused_lanes p WHERE p.lane = l.lane \
                AND (p.expires_at IS NULL OR p.expires_at > now())) \
            UNION ALL SELECT min(leased_until) FROM pending_jobs WHERE status = 'processing') \
        SELECT greatest(extract(epoch FROM now() - min(run_at)) * 1000, 0)::bigint AS waited_ms FROM heads";

    fn bind<'b>(&'b self, _: &mut Binder<'_, 'b>) -> QueryResult<()> {
        Ok(())
    }
}

#[derive(QueryableByName)]
struct OldestDueRow {
    #[diesel(sql_type = Nullable<BigInt>)]
    waited_ms: Option<i64>,
}

/// How long the job that has been due longest has waited to be claimed; zero if no job is due. Jobs of paused lanes do not
/// count. A job whose lease expired is due again.
pub async fn oldest_due(connection: &mut AsyncPgConnection) -> Result<Duration> {
    let row: OldestDueRow = Prepared(OldestDue).get_result(connection).await?;
    Ok(Duration::from_millis(row.waited_ms.and_then(|waited| u64::try_from(waited).ok()).unwrap_or(0)))
}

/// The jobs of one lane in one status.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, QueryableByName)]
pub struct LaneFigures {
    #[diesel(sql_type = Text)]
    pub lane: String,
    /// `pending`, `processing` or `waiting_external`.
    #[diesel(sql_type = Text)]
    pub status: String,
    /// At most [`QUEUE_COUNT_LIMIT`].
    #[diesel(sql_type = BigInt)]
    pub jobs: i64,
    /// The age of the oldest counted job, in milliseconds.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub oldest_age_ms: Option<i64>,
    #[diesel(sql_type = Bool)]
    pub paused: bool,
}

struct CountLanes;

impl FixedStatement for CountLanes {
    const NAME: &'static str = "count_lanes";
    /// A recursive CTE finds the lanes by an index skip scan. Running jobs are counted without one: there are few, because
    /// the workers' slots limit their number.
    const SQL: &'static str = "\
        WITH RECURSIVE waiting AS ( \
            (SELECT lane FROM pending_jobs WHERE status = 'pending' ORDER BY lane LIMIT 1) \
            UNION ALL SELECT (SELECT j.lane FROM pending_jobs j WHERE j.status = 'pending' AND j.lane > w.lane \
                ORDER BY j.lane LIMIT 1) FROM waiting w WHERE w.lane IS NOT NULL), \
        promised AS ( \
            (SELECT lane FROM pending_jobs WHERE status = 'waiting_external' ORDER BY lane LIMIT 1) \
            UNION ALL SELECT (SELECT j.lane FROM pending_jobs j WHERE j.status = 'waiting_external' \
                AND j.lane > p.lane ORDER BY j.lane LIMIT 1) FROM promised p WHERE p.lane IS NOT NULL), \
        counted AS ( \
            SELECT w.lane, 'pending' AS status, c.jobs, c.oldest FROM waiting w CROSS JOIN LATERAL ( \
                SELECT count(*) AS jobs, min(created_at) AS oldest FROM (SELECT j.created_at FROM pending_jobs j \
                    WHERE j.status = 'pending' AND j.lane = w.lane ORDER BY j.priority DESC, j.run_at \
                    LIMIT ?::bigint) AS s) AS c WHERE w.lane IS NOT NULL \
            UNION ALL SELECT p.lane, 'waiting_external', c.jobs, c.oldest FROM promised p CROSS JOIN LATERAL ( \
                SELECT count(*) AS jobs, min(created_at) AS oldest FROM (SELECT j.created_at FROM pending_jobs j \
                    WHERE j.status = 'waiting_external' AND j.lane = p.lane ORDER BY j.run_at \
                    LIMIT ?::bigint) AS s) AS c WHERE p.lane IS NOT NULL \
            UNION ALL SELECT s.lane, 'processing', count(*), min(s.created_at) FROM (SELECT lane, created_at \
                FROM pending_jobs WHERE status = 'processing' ORDER BY leased_until LIMIT ?::bigint) AS s \
                GROUP BY s.lane) \
        SELECT c.lane, c.status, c.jobs, (extract(epoch FROM now() - c.oldest) * 1000)::bigint AS oldest_age_ms, \
            EXISTS (SELECT FROM paused_lanes p WHERE p.lane = c.lane \
                AND (p.expires_at IS NULL OR p.expires_at > now())) AS paused \
        FROM counted c ORDER BY c.lane, c.status";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<BigInt, _>(&QUEUE_COUNT_LIMIT)?;
        binder.bind::<BigInt, _>(&QUEUE_COUNT_LIMIT)?;
        binder.bind::<BigInt, _>(&QUEUE_COUNT_LIMIT)
    }
}

/// The jobs of each lane by status. Lanes and statuses without jobs are omitted.
pub async fn lane_figures(connection: &mut AsyncPgConnection) -> Result<Vec<LaneFigures>> {
    Ok(Prepared(CountLanes).load(connection).await?)
}

/// The number of dead letters in a status.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, QueryableByName)]
pub struct DeadLetters {
    #[diesel(sql_type = Text)]
    pub status: String,
    /// At most [`QUEUE_COUNT_LIMIT`].
    #[diesel(sql_type = BigInt)]
    pub jobs: i64,
}

struct CountDeadLetters;

impl FixedStatement for CountDeadLetters {
    const NAME: &'static str = "count_dead_letters";
    const SQL: &'static str = "\
        SELECT s.status::text AS status, c.jobs FROM unnest(enum_range(NULL::failed_job_status)) AS s (status) \
        CROSS JOIN LATERAL (SELECT count(*) AS jobs FROM (SELECT FROM failed_jobs f WHERE f.status = s.status \
            LIMIT ?::bigint) AS first_ones) AS c ORDER BY s.status";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<BigInt, _>(&QUEUE_COUNT_LIMIT)
    }
}

/// The number of dead letters in each status, including statuses without any.
pub async fn dead_letters(connection: &mut AsyncPgConnection) -> Result<Vec<DeadLetters>> {
    Ok(Prepared(CountDeadLetters).load(connection).await?)
}
