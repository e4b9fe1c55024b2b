//! The job queue: `pending_jobs`.
//!
//! Jobs wait in lanes, and every claim lists the lanes that it may take from ([`claim()`]), so a blocked lane does not slow
//! the others down. Among the eligible jobs, a job with a higher priority runs first ([`Priority`]). Among jobs of equal
//! priority, the job that has been due longest runs first.
//!
//! A claim gives a worker a lease, which expires, and a fencing token, which does not. Every later statement includes the
//! token, so a worker that has lost its lease can change nothing. The claim itself counts the attempt, so a job that kills
//! its worker also uses up its attempts. All times come from the database's clock. Nothing in this module depends on a
//! particular task.

mod claim;
mod dead_letter;
mod enqueue;
mod figures;
mod finish;
mod grouped;
mod list;

use diesel::prelude::*;
use diesel::sql_types::{self, BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

pub use self::claim::{Claim, Claimed, ClaimedJob, KnownTask, Quota, claim, claim_exhausted, explain_claim};
pub use self::dead_letter::{DeadLetter, move_to_dead_letters};
pub use self::enqueue::{NewJob, enqueue};
pub use self::figures::{
    DeadLetters, LaneFigures, QUEUE_COUNT_LIMIT, dead_letters, depth, lane_figures, oldest_due,
};
pub(super) use self::finish::job_history;
pub use self::finish::{complete, supersede};
pub use self::grouped::Supersede;
pub use self::list::{JobFilter, JobOrder, ListedJob, list_page};
use super::statement::{Binder, FixedStatement, Prepared, rows};
use crate::domain::ids::JobId;
use crate::error::Result;

/// The priorities that Aval writes. `pending_jobs.priority` may hold any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// New work: a new or restored application, whose job the triggers on `applications` queue with this priority, or
    /// a retry of a webhook event.
    Fresh,
    /// A retried dead letter. Its applicant has been waiting, but a thousand retries must not delay new applications.
    Retried,
    /// A re-decision after an outage. The application already has a decision, and recovery must not delay new applications.
    Redecision,
}

impl Priority {
    /// The number in the database. Higher values run first.
    pub const fn value(self) -> i16 {
        match self {
            Self::Fresh => 0,
            Self::Retried => -5,
            Self::Redecision => -10,
        }
    }
}

/// A worker's lease on a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    pub job_id: JobId,
    pub token: i64,
}

/// A renewal of a lease.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    pub lease: Lease,
    /// The new length of the lease from now, in milliseconds.
    pub lease_ms: i64,
}

rows! {
    struct RenewLeases of RenewRow {
        job_id: Uuid as sql_types::Uuid,
        lease_token: i64 as BigInt,
        lease_ms: i64 as BigInt,
    }
}

impl FixedStatement for RenewLeases {
    const NAME: &'static str = "renew_leases";
    /// A renewal never waits for a lock. It shares a transaction with other writes, and two such transactions could
    /// deadlock if each renewed a lease on a job that the other one finishes. A job that another transaction has locked
    /// is skipped and counts as held while its token is unchanged; the next renewal checks it again.
    const SQL: &'static str = "\
        WITH wanted AS (SELECT * FROM ?), \
        free AS (SELECT j.id, w.lease_ms FROM pending_jobs j \
            JOIN wanted w ON j.id = w.job_id AND j.lease_token = w.lease_token \
            WHERE j.id = ANY (ARRAY(SELECT job_id FROM wanted)) FOR UPDATE OF j SKIP LOCKED), \
        renewed AS (UPDATE pending_jobs j SET leased_until = now() + f.lease_ms * interval '1 millisecond' \
            FROM free f WHERE j.id = f.id AND j.id = ANY (ARRAY(SELECT id FROM free))) \
        SELECT j.id, w.lease_token FROM wanted w \
            JOIN pending_jobs j ON j.id = w.job_id AND j.lease_token = w.lease_token \
                AND j.id = ANY (ARRAY(SELECT job_id FROM wanted))";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind_rows("w", self)
    }
}

/// A job that a statement returned because the given token was still the current one.
#[derive(QueryableByName)]
struct Touched {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
}

/// Whether `lease` was still held, that is, whether the statement returned its job and its token. The token matters because
/// one group may contain both a lost lease on a job and the lease that replaced it.
fn held(touched: &[Touched], lease: Lease) -> bool {
    touched.iter().any(|job| job.id == lease.job_id.as_uuid() && job.lease_token == lease.token)
}

/// Renews leases. Returns, for each lease, whether it was still held.
pub async fn renew(connection: &mut AsyncPgConnection, beats: &[Heartbeat]) -> Result<Vec<bool>> {
    let row = |beat: &Heartbeat| RenewRow {
        job_id: beat.lease.job_id.as_uuid(),
        lease_token: beat.lease.token,
        lease_ms: beat.lease_ms,
    };
    let statement: RenewLeases = beats.iter().map(row).collect();
    let touched: Vec<Touched> = Prepared(statement).load(connection).await?;
    Ok(beats.iter().map(|beat| held(&touched, beat.lease)).collect())
}

/// The return of a job to the queue.
#[derive(Debug, Clone)]
pub struct Release {
    pub lease: Lease,
    /// The time until the job is due, in milliseconds.
    pub delay_ms: i64,
    /// Whether this attempt does not count, because the job was snoozed or the worker is shutting down.
    pub give_attempt_back: bool,
    /// The code and text of the error that ended the attempt, if any.
    pub error: Option<(String, String)>,
    /// The bureau's reference, if the bureau will deliver the report later. The job waits for the report until the
    /// delay has passed.
    pub provider_reference: Option<String>,
}

rows! {
    struct ReleaseJobs of ReleaseRow {
        job_id: Uuid as sql_types::Uuid,
        lease_token: i64 as BigInt,
        delay_ms: i64 as BigInt,
        give_attempt_back: bool as Bool,
        error_type: Option<String> as Nullable<Text>,
        error_message: Option<String> as Nullable<Text>,
        provider_reference: Option<String> as Nullable<Text>,
    }
}

impl From<&Release> for ReleaseRow {
    fn from(release: &Release) -> Self {
        let (error_type, error_message) = release.error.clone().unzip();
        Self {
            job_id: release.lease.job_id.as_uuid(),
            lease_token: release.lease.token,
            delay_ms: release.delay_ms,
            give_attempt_back: release.give_attempt_back,
            error_type,
            error_message,
            provider_reference: release.provider_reference.clone(),
        }
    }
}

impl FixedStatement for ReleaseJobs {
    const NAME: &'static str = "release_jobs";
    const SQL: &'static str = "\
        WITH wanted AS (SELECT * FROM ?) \
        UPDATE pending_jobs j SET lease_token = NULL, leased_until = NULL, leased_by = NULL, \
            run_at = now() + w.delay_ms * interval '1 millisecond', updated_at = now(), \
            attempt = j.attempt - CASE WHEN w.give_attempt_back THEN 1 ELSE 0 END, \
            error_type = coalesce(w.error_type, j.error_type), \
            error_message = coalesce(w.error_message, j.error_message), \
            provider_reference = coalesce(w.provider_reference, j.provider_reference), \
            status = CASE WHEN w.provider_reference IS NULL THEN 'pending' ELSE 'waiting_external' END::job_status \
        FROM wanted w WHERE j.id = w.job_id AND j.lease_token = w.lease_token \
            AND j.id = ANY (ARRAY(SELECT job_id FROM wanted)) RETURNING w.job_id AS id, w.lease_token";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind_rows("w", self)
    }
}

/// Returns jobs to the queue. Jobs with a `provider_reference` get the status `waiting_external`, the others `pending`. The
/// result is, for each job, whether its lease was still held.
pub async fn release(connection: &mut AsyncPgConnection, releases: &[Release]) -> Result<Vec<bool>> {
    let statement: ReleaseJobs = releases.iter().map(ReleaseRow::from).collect();
    let touched: Vec<Touched> = Prepared(statement).load(connection).await?;
    Ok(releases.iter().map(|r| held(&touched, r.lease)).collect())
}
