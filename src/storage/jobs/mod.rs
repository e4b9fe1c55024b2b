//! The queue: `pending_jobs`.
//!
//! A claim gives a worker a lease for a time and a fencing token for good: every later statement names the token, so that
//! a worker that lost its lease can change nothing. The attempt is counted at the claim, so that a job that kills its
//! worker uses its attempts up too. All times are the database's. Nothing here knows what a task is about, except
//! [`begin()`] and [`bury()`], which belong to the task `process_credit_application`.

mod begin;
mod bury;

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

pub use self::begin::{BeginJob, Begun, PendingCase, begin};
pub use self::bury::{Burial, bury};
use super::schema::pending_jobs;
use super::statement::{Binder, FixedStatement, Prepared};
use crate::domain::ids::{ApplicationId, JobId, RequestId};
use crate::error::Result;

/// A worker's hold on a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The job.
    pub job_id: JobId,
    /// The fencing token.
    pub token: i64,
}

/// A job that this worker has claimed.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedJob {
    /// The hold on it.
    pub lease: Lease,
    /// What is to be done.
    pub task_name: String,
    /// The application that it is about.
    pub application_id: Option<ApplicationId>,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// How long it had been due.
    pub waited: Duration,
    /// How long ago it was queued.
    pub age: Duration,
    /// The request that led to it.
    pub request_id: Option<RequestId>,
    /// The trace that it continues.
    pub traceparent: Option<String>,
    /// The reference under which a bureau promised an answer that has not come in its time.
    pub unanswered_reference: Option<String>,
}

#[derive(QueryableByName)]
struct ClaimedRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
    #[diesel(sql_type = Text)]
    task_name: String,
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    application_id: Option<Uuid>,
    #[diesel(sql_type = Integer)]
    attempt: i32,
    #[diesel(sql_type = BigInt)]
    waited_us: i64,
    #[diesel(sql_type = BigInt)]
    age_us: i64,
    #[diesel(sql_type = Nullable<Text>)]
    request_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    traceparent: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    provider_reference: Option<String>,
}

impl From<ClaimedRow> for ClaimedJob {
    fn from(row: ClaimedRow) -> Self {
        Self {
            lease: Lease { job_id: JobId::new(row.id), token: row.lease_token },
            task_name: row.task_name,
            application_id: row.application_id.map(ApplicationId::new),
            attempt: row.attempt,
            waited: Duration::from_micros(u64::try_from(row.waited_us).unwrap_or(0)),
            age: Duration::from_micros(u64::try_from(row.age_us).unwrap_or(0)),
            request_id: row.request_id.as_deref().and_then(RequestId::parse),
            traceparent: row.traceparent,
            unanswered_reference: row.provider_reference,
        }
    }
}

/// Who claims, how much, and for how long.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The worker's name.
    pub worker: String,
    /// Most jobs.
    pub limit: i32,
    /// The lease, in milliseconds.
    pub lease_ms: i64,
    /// Attempts that a job has.
    pub max_attempts: i32,
    /// The tasks that the worker knows: jobs of a newer version are left to its instances.
    pub tasks: Vec<&'static str>,
}

struct ClaimJobs(Claim);

impl FixedStatement for ClaimJobs {
    /// Jobs whose worker let its lease run out, then those whose bureau let its time to answer pass, then due jobs by
    /// priority and age: the former have waited already, and behind a queue that never empties they would wait for ever.
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::integer AS batch, ?::text AS worker, ?::bigint AS lease_ms, ?::integer AS attempts, \
            ?::text[] AS tasks), \
        due AS (SELECT id FROM pending_jobs WHERE status = 'pending' AND run_at <= now() \
            AND task_name = ANY ((SELECT tasks FROM input)::text[]) ORDER BY priority DESC, run_at LIMIT (SELECT batch FROM input) FOR UPDATE SKIP LOCKED), \
        expired AS (SELECT id FROM pending_jobs WHERE status = 'processing' AND leased_until < now() \
            AND attempt < (SELECT attempts FROM input) AND task_name = ANY ((SELECT tasks FROM input)::text[]) \
            ORDER BY leased_until LIMIT (SELECT batch FROM input) FOR UPDATE SKIP LOCKED), \
        unanswered AS (SELECT id FROM pending_jobs WHERE status = 'waiting_external' AND run_at <= now() \
            AND task_name = ANY ((SELECT tasks FROM input)::text[]) ORDER BY run_at LIMIT (SELECT batch FROM input) FOR UPDATE SKIP LOCKED), \
        chosen AS (SELECT id FROM expired UNION ALL SELECT id FROM unanswered UNION ALL SELECT id FROM due LIMIT (SELECT batch FROM input)) \
        UPDATE pending_jobs j SET status = 'processing', attempt = attempt + 1, updated_at = now(), \
            lease_token = nextval('job_lease_tokens'), leased_by = input.worker, \
            leased_until = now() + input.lease_ms * interval '1 millisecond' \
        FROM chosen, input WHERE j.id = chosen.id \
        RETURNING j.id, j.lease_token, j.task_name, j.application_id, j.attempt, \
            (extract(epoch FROM now() - j.run_at) * 1000000)::bigint AS waited_us, \
            (extract(epoch FROM now() - j.created_at) * 1000000)::bigint AS age_us, j.request_id, j.traceparent, \
            j.provider_reference";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Integer, _>(&self.0.limit)?;
        binder.bind::<Text, _>(&self.0.worker)?;
        binder.bind::<BigInt, _>(&self.0.lease_ms)?;
        binder.bind::<Integer, _>(&self.0.max_attempts)?;
        binder.bind::<Array<Text>, _>(&self.0.tasks)
    }
}

/// Claims jobs that are due, or whose worker let its lease run out.
///
/// # Errors
/// When the database fails.
pub async fn claim(connection: &mut AsyncPgConnection, claim: &Claim) -> Result<Vec<ClaimedJob>> {
    let rows: Vec<ClaimedRow> = Prepared(ClaimJobs(claim.clone())).load(connection).await?;
    Ok(rows.into_iter().map(ClaimedJob::from).collect())
}

struct ClaimExhausted(Claim);

impl FixedStatement for ClaimExhausted {
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::integer AS batch, ?::text AS worker, ?::bigint AS lease_ms, ?::integer AS attempts), \
        chosen AS (SELECT id FROM pending_jobs WHERE status = 'processing' AND leased_until < now() \
            AND attempt >= (SELECT attempts FROM input) \
            ORDER BY leased_until LIMIT (SELECT batch FROM input) FOR UPDATE SKIP LOCKED) \
        UPDATE pending_jobs j SET updated_at = now(), lease_token = nextval('job_lease_tokens'), \
            leased_by = input.worker, leased_until = now() + input.lease_ms * interval '1 millisecond' \
        FROM chosen, input WHERE j.id = chosen.id \
        RETURNING j.id, j.lease_token, j.task_name, j.application_id, j.attempt, 0::bigint AS waited_us, 0::bigint AS age_us, \
            j.request_id, j.traceparent, j.provider_reference";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Integer, _>(&self.0.limit)?;
        binder.bind::<Text, _>(&self.0.worker)?;
        binder.bind::<BigInt, _>(&self.0.lease_ms)?;
        binder.bind::<Integer, _>(&self.0.max_attempts)
    }
}

/// Takes over jobs whose lease ran out at their last attempt, so that they can be buried.
///
/// # Errors
/// When the database fails.
pub async fn claim_exhausted(connection: &mut AsyncPgConnection, claim: &Claim) -> Result<Vec<ClaimedJob>> {
    let rows: Vec<ClaimedRow> = Prepared(ClaimExhausted(claim.clone())).load(connection).await?;
    Ok(rows.into_iter().map(ClaimedJob::from).collect())
}

/// A renewal of a lease.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    /// Which lease.
    pub lease: Lease,
    /// For how long from now, in milliseconds.
    pub lease_ms: i64,
}

struct RenewLeases {
    job_id: Vec<Uuid>,
    lease_token: Vec<i64>,
    lease_ms: Vec<i64>,
}

impl FixedStatement for RenewLeases {
    /// A renewal never waits: it stands in one transaction with other writes, and two groups that renewed what the other
    /// ends would wait for each other. A job that is being changed just now is passed over and counts as held while its
    /// token is the same; its next renewal knows more.
    const SQL: &'static str = "\
        WITH wanted AS (SELECT * FROM unnest(?::uuid[], ?::bigint[], ?::bigint[]) AS w (job_id, lease_token, lease_ms)), \
        free AS (SELECT j.id, w.lease_ms FROM pending_jobs j \
            JOIN wanted w ON j.id = w.job_id AND j.lease_token = w.lease_token FOR UPDATE OF j SKIP LOCKED), \
        renewed AS (UPDATE pending_jobs j SET leased_until = now() + f.lease_ms * interval '1 millisecond' \
            FROM free f WHERE j.id = f.id) \
        SELECT j.id, w.lease_token FROM wanted w \
            JOIN pending_jobs j ON j.id = w.job_id AND j.lease_token = w.lease_token";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Array<diesel::sql_types::Uuid>, _>(&self.job_id)?;
        binder.bind::<Array<BigInt>, _>(&self.lease_token)?;
        binder.bind::<Array<BigInt>, _>(&self.lease_ms)
    }
}

/// A job that a statement changed, under the lease that allowed it.
#[derive(QueryableByName)]
struct Touched {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
}

/// Whether the statement that touched these jobs did so under `lease`: a group may hold a lost lease beside the one that
/// replaced it.
fn held(touched: &[Touched], lease: Lease) -> bool {
    touched.iter().any(|job| job.id == lease.job_id.as_uuid() && job.lease_token == lease.token)
}

/// Renews leases; tells for each whether it was still held.
///
/// # Errors
/// When the database fails.
pub async fn renew(connection: &mut AsyncPgConnection, beats: &[Heartbeat]) -> Result<Vec<bool>> {
    let statement = RenewLeases {
        job_id: beats.iter().map(|beat| beat.lease.job_id.as_uuid()).collect(),
        lease_token: beats.iter().map(|beat| beat.lease.token).collect(),
        lease_ms: beats.iter().map(|beat| beat.lease_ms).collect(),
    };
    let touched: Vec<Touched> = Prepared(statement).load(connection).await?;
    Ok(beats.iter().map(|beat| held(&touched, beat.lease)).collect())
}

/// A job that goes back to the queue.
#[derive(Debug, Clone)]
pub struct Release {
    /// Which.
    pub lease: Lease,
    /// Not before so many milliseconds from now.
    pub delay_ms: i64,
    /// Whether this attempt does not count: a snooze, or a graceful shutdown.
    pub give_attempt_back: bool,
    /// The error's code and text, when one made it go back.
    pub error: Option<(String, String)>,
    /// The reference under which its bureau will answer: the job waits for that, and the delay is how long.
    pub provider_reference: Option<String>,
}

struct ReleaseJobs {
    job_id: Vec<Uuid>,
    lease_token: Vec<i64>,
    delay_ms: Vec<i64>,
    give_attempt_back: Vec<bool>,
    error_type: Vec<Option<String>>,
    error_message: Vec<Option<String>>,
    provider_reference: Vec<Option<String>>,
}

impl FixedStatement for ReleaseJobs {
    const SQL: &'static str = "\
        UPDATE pending_jobs j SET lease_token = NULL, leased_until = NULL, leased_by = NULL, \
            run_at = now() + w.delay_ms * interval '1 millisecond', updated_at = now(), \
            attempt = j.attempt - CASE WHEN w.give_attempt_back THEN 1 ELSE 0 END, \
            error_type = coalesce(w.error_type, j.error_type), \
            error_message = coalesce(w.error_message, j.error_message), \
            provider_reference = coalesce(w.provider_reference, j.provider_reference), \
            status = CASE WHEN w.provider_reference IS NULL THEN 'pending' ELSE 'waiting_external' END::job_status \
        FROM unnest(?::uuid[], ?::bigint[], ?::bigint[], ?::boolean[], ?::text[], ?::text[], ?::text[]) \
            AS w (job_id, lease_token, delay_ms, give_attempt_back, error_type, error_message, provider_reference) \
        WHERE j.id = w.job_id AND j.lease_token = w.lease_token RETURNING w.job_id AS id, w.lease_token";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Array<diesel::sql_types::Uuid>, _>(&self.job_id)?;
        binder.bind::<Array<BigInt>, _>(&self.lease_token)?;
        binder.bind::<Array<BigInt>, _>(&self.delay_ms)?;
        binder.bind::<Array<Bool>, _>(&self.give_attempt_back)?;
        binder.bind::<Array<Nullable<Text>>, _>(&self.error_type)?;
        binder.bind::<Array<Nullable<Text>>, _>(&self.error_message)?;
        binder.bind::<Array<Nullable<Text>>, _>(&self.provider_reference)
    }
}

/// Gives jobs back to the queue, or has them wait for their bureau; tells for each whether it was still held.
///
/// # Errors
/// When the database fails.
pub async fn release(connection: &mut AsyncPgConnection, releases: &[Release]) -> Result<Vec<bool>> {
    let error = |pick: fn(&(String, String)) -> &String| {
        releases.iter().map(|r| r.error.as_ref().map(|e| pick(e).clone())).collect()
    };
    let statement = ReleaseJobs {
        job_id: releases.iter().map(|r| r.lease.job_id.as_uuid()).collect(),
        lease_token: releases.iter().map(|r| r.lease.token).collect(),
        delay_ms: releases.iter().map(|r| r.delay_ms).collect(),
        give_attempt_back: releases.iter().map(|r| r.give_attempt_back).collect(),
        error_type: error(|e| &e.0),
        error_message: error(|e| &e.1),
        provider_reference: releases.iter().map(|r| r.provider_reference.clone()).collect(),
    };
    let touched: Vec<Touched> = Prepared(statement).load(connection).await?;
    Ok(releases.iter().map(|r| held(&touched, r.lease)).collect())
}

struct SupersedeJobs {
    job_id: Vec<Uuid>,
    lease_token: Vec<i64>,
}

impl FixedStatement for SupersedeJobs {
    const SQL: &'static str = "\
        WITH finished AS (DELETE FROM pending_jobs j \
            USING unnest(?::uuid[], ?::bigint[]) AS w (job_id, lease_token) \
            WHERE j.id = w.job_id AND j.lease_token = w.lease_token RETURNING j.*), \
        history AS (INSERT INTO job_history (id, task_name, application_id, result, attempt, request_id, traceparent, \
                error_type, error_message, created_at) \
            SELECT id, task_name, application_id, 'superseded', attempt, request_id, traceparent, error_type, \
                error_message, created_at FROM finished) \
        SELECT id, lease_token FROM finished";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Array<diesel::sql_types::Uuid>, _>(&self.job_id)?;
        binder.bind::<Array<BigInt>, _>(&self.lease_token)
    }
}

/// Ends jobs whose application no longer needs them; tells for each whether it was still held.
///
/// # Errors
/// When the database fails.
pub async fn supersede(connection: &mut AsyncPgConnection, leases: &[Lease]) -> Result<Vec<bool>> {
    let statement = SupersedeJobs {
        job_id: leases.iter().map(|lease| lease.job_id.as_uuid()).collect(),
        lease_token: leases.iter().map(|lease| lease.token).collect(),
    };
    let touched: Vec<Touched> = Prepared(statement).load(connection).await?;
    Ok(leases.iter().map(|lease| held(&touched, *lease)).collect())
}

/// How many jobs wait or run.
///
/// # Errors
/// When the database fails.
pub async fn depth(connection: &mut AsyncPgConnection) -> Result<i64> {
    Ok(pending_jobs::table.count().get_result(connection).await?)
}
