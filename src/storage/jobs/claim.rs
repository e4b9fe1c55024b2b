//! Claiming jobs.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::Lease;
use crate::domain::ids::{ApplicationId, JobId, RequestId};
use crate::error::{Error, Result};
use crate::storage::statement::{Binder, Explained, FixedStatement, Prepared};

/// A job that this worker has claimed.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedJob {
    pub lease: Lease,
    pub task_name: String,
    pub lane: String,
    pub application_id: Option<ApplicationId>,
    pub args: Value,
    /// The number of this attempt, from 1.
    pub attempt: i32,
    /// How long the job was due before it was claimed.
    pub waited: Duration,
    /// The time since the first claim. Time spent waiting before that, for example in a paused lane, is not included.
    pub since_first_claim: Duration,
    /// The ID of the request that caused the job.
    pub request_id: Option<RequestId>,
    /// The W3C trace context.
    pub traceparent: Option<String>,
    /// The bureau's reference, if the bureau announced a report for later but did not send it in time.
    pub unanswered_reference: Option<String>,
}

impl ClaimedJob {
    /// Deserializes the arguments.
    ///
    /// # Errors
    /// [`Error::Internal`], which is not retryable, if they do not match the type.
    pub fn read_args<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.args).map_err(Error::internal)
    }
}

#[derive(QueryableByName)]
struct ClaimedRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
    #[diesel(sql_type = Text)]
    task_name: String,
    #[diesel(sql_type = Text)]
    lane: String,
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    application_id: Option<Uuid>,
    #[diesel(sql_type = Jsonb)]
    job_args: Value,
    #[diesel(sql_type = Integer)]
    attempt: i32,
    #[diesel(sql_type = BigInt)]
    waited_us: i64,
    #[diesel(sql_type = BigInt)]
    worked_on_us: i64,
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
            lane: row.lane,
            application_id: row.application_id.map(ApplicationId::new),
            args: row.job_args,
            attempt: row.attempt,
            waited: Duration::from_micros(u64::try_from(row.waited_us).unwrap_or(0)),
            since_first_claim: Duration::from_micros(u64::try_from(row.worked_on_us).unwrap_or(0)),
            request_id: row.request_id.as_deref().and_then(RequestId::parse),
            traceparent: row.traceparent,
            unanswered_reference: row.provider_reference,
        }
    }
}

/// The maximum number of jobs that a claim may take from one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    pub lane: String,
    /// The maximum number of due jobs. The limit of the claim applies in any case.
    pub max_jobs: i32,
}

impl Quota {
    /// A quota that does not restrict the claim further.
    pub fn whole(lane: impl Into<String>) -> Self {
        Self { lane: lane.into(), max_jobs: i32::MAX }
    }
}

/// A task that this worker can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownTask {
    pub name: &'static str,
    pub max_attempts: i32,
}

/// The parameters of a claim.
#[derive(Debug, Clone)]
pub struct Claim {
    pub worker: String,
    /// The maximum number of jobs.
    pub limit: i32,
    /// The length of the lease, in milliseconds.
    pub lease_ms: i64,
    /// The tasks that the worker can run. Jobs of other tasks are left for instances of a newer version, which has them.
    pub tasks: Vec<KnownTask>,
    /// The lanes that the worker currently serves. Jobs in other lanes are ignored.
    pub lanes: Vec<Quota>,
}

/// The result of a claim.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claimed {
    pub jobs: Vec<ClaimedJob>,
    /// Other workers were claiming due jobs at the same time, so another claim may find more.
    pub contended: bool,
}

/// The first parameters of both claim statements.
struct ClaimInput {
    limit: i32,
    worker: String,
    lease_ms: i64,
    tasks: Vec<&'static str>,
    attempts: Vec<i32>,
}

impl ClaimInput {
    fn new(claim: &Claim) -> Self {
        Self {
            limit: claim.limit,
            worker: claim.worker.clone(),
            lease_ms: claim.lease_ms,
            tasks: claim.tasks.iter().map(|task| task.name).collect(),
            attempts: claim.tasks.iter().map(|task| task.max_attempts).collect(),
        }
    }

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Integer, _>(&self.limit)?;
        binder.bind::<Text, _>(&self.worker)?;
        binder.bind::<BigInt, _>(&self.lease_ms)?;
        binder.bind::<Array<Text>, _>(&self.tasks)?;
        binder.bind::<Array<Integer>, _>(&self.attempts)
    }
}

/// The maximum number of attempts of a job's task, or null if the task is unknown to the worker.
macro_rules! attempts_of_task {
    () => {
        "((SELECT attempts FROM input)::integer[])[array_position((SELECT tasks FROM input)::text[], task_name)]"
    };
}

struct ClaimJobs {
    input: ClaimInput,
    lanes: Vec<String>,
    quotas: Vec<i32>,
}

impl ClaimJobs {
    fn new(claim: &Claim) -> Self {
        Self {
            input: ClaimInput::new(claim),
            lanes: claim.lanes.iter().map(|quota| quota.lane.clone()).collect(),
            quotas: claim.lanes.iter().map(|quota| quota.max_jobs).collect(),
        }
    }
}

impl FixedStatement for ClaimJobs {
    const NAME: &'static str = "claim_jobs";
    /// Claims jobs with an expired lease first, then jobs whose bureau did not respond in time, then due jobs by
    /// priority and age. The jobs of the first two kinds have already waited once. If they came after the due jobs, a
    /// queue that is never empty would keep them waiting forever.
    ///
    /// Due jobs are found in two steps, because other workers skip a row that is locked even if it is not claimed. `heads`
    /// reads the front of each lane without locks and counts how many of the first jobs overall each lane has. `due` then
    /// locks exactly that many rows in each lane and skips rows that other transactions have locked. Both scan one index
    /// from its start and stop early. If other transactions hold rows that `heads` saw, a lane may yield less than its
    /// share; `seen` lets the caller detect that.
    ///
    /// The update receives the chosen rows as an array. PostgreSQL does not know the size of a joined table of rows: with a
    /// long queue, it would choose a hash join, which scans the whole queue.
    const SQL: &'static str = concat!(
        "WITH input AS (SELECT ?::integer AS batch, ?::text AS worker, ?::bigint AS lease_ms, ?::text[] AS tasks, \
            ?::integer[] AS attempts), \
        open AS (SELECT s.lane, least(s.most, i.batch) AS most \
            FROM input i CROSS JOIN unnest(?::text[], ?::integer[]) AS s (lane, most) \
            WHERE s.most > 0 AND NOT EXISTS (SELECT FROM paused_lanes p WHERE p.lane = s.lane \
                AND (p.expires_at IS NULL OR p.expires_at > now()))), \
        heads AS (SELECT h.lane FROM open o CROSS JOIN LATERAL (SELECT j.lane, j.priority, j.run_at \
                FROM pending_jobs j WHERE j.status = 'pending' AND j.lane = o.lane AND j.run_at <= now() \
                    AND j.task_name = ANY ((SELECT tasks FROM input)::text[]) \
                ORDER BY j.priority DESC, j.run_at LIMIT o.most) AS h \
            ORDER BY h.priority DESC, h.run_at LIMIT (SELECT batch FROM input)), \
        shares AS (SELECT lane, count(*) AS share FROM heads GROUP BY lane), \
        due AS (SELECT d.id FROM shares s CROSS JOIN LATERAL (SELECT j.id FROM pending_jobs j \
                WHERE j.status = 'pending' AND j.lane = s.lane AND j.run_at <= now() \
                    AND j.task_name = ANY ((SELECT tasks FROM input)::text[]) \
                ORDER BY j.priority DESC, j.run_at LIMIT s.share FOR UPDATE SKIP LOCKED) AS d), \
        expired AS (SELECT id FROM pending_jobs WHERE status = 'processing' AND leased_until < now() \
            AND attempt < ",
        attempts_of_task!(),
        " AND lane IN (SELECT lane FROM open) \
            ORDER BY leased_until LIMIT (SELECT batch FROM input) FOR UPDATE SKIP LOCKED), \
        unanswered AS (SELECT u.id FROM open o CROSS JOIN LATERAL (SELECT j.id FROM pending_jobs j \
                WHERE j.status = 'waiting_external' AND j.lane = o.lane AND j.run_at <= now() \
                    AND j.task_name = ANY ((SELECT tasks FROM input)::text[]) \
                ORDER BY j.run_at LIMIT o.most FOR UPDATE SKIP LOCKED) AS u LIMIT (SELECT batch FROM input)), \
        chosen AS (SELECT id FROM expired UNION ALL SELECT id FROM unanswered UNION ALL SELECT id FROM due LIMIT (SELECT batch FROM input)), \
        claimed AS (UPDATE pending_jobs j SET status = 'processing', attempt = attempt + 1, updated_at = now(), \
                lease_token = nextval('job_lease_tokens'), leased_by = input.worker, \
                leased_until = now() + input.lease_ms * interval '1 millisecond', \
                first_claimed_at = coalesce(first_claimed_at, now()) \
            FROM input WHERE j.id = ANY (ARRAY(SELECT id FROM chosen)) \
            RETURNING j.id, j.lease_token, j.task_name, j.lane, j.application_id, j.job_args, j.attempt, \
                (extract(epoch FROM now() - j.run_at) * 1000000)::bigint AS waited_us, \
                (extract(epoch FROM now() - j.first_claimed_at) * 1000000)::bigint AS worked_on_us, j.request_id, j.traceparent, \
                j.provider_reference) \
        SELECT s.seen, c.* FROM (SELECT count(*) AS seen FROM heads) AS s LEFT JOIN claimed c ON true"
    );

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        self.input.bind(binder)?;
        binder.bind::<Array<Text>, _>(&self.lanes)?;
        binder.bind::<Array<Integer>, _>(&self.quotas)
    }
}

/// A result row of a claim: the number of due jobs that it saw, and one claimed job, or none if nothing was claimed.
#[derive(QueryableByName)]
struct SeenRow {
    #[diesel(sql_type = BigInt)]
    seen: i64,
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    id: Option<Uuid>,
    #[diesel(sql_type = Nullable<BigInt>)]
    lease_token: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    task_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    lane: Option<String>,
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    application_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    job_args: Option<Value>,
    #[diesel(sql_type = Nullable<Integer>)]
    attempt: Option<i32>,
    #[diesel(sql_type = Nullable<BigInt>)]
    waited_us: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    worked_on_us: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    request_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    traceparent: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    provider_reference: Option<String>,
}

impl SeenRow {
    fn job(self) -> Option<ClaimedJob> {
        let row = ClaimedRow {
            id: self.id?,
            lease_token: self.lease_token?,
            task_name: self.task_name?,
            lane: self.lane?,
            application_id: self.application_id,
            job_args: self.job_args?,
            attempt: self.attempt?,
            waited_us: self.waited_us?,
            worked_on_us: self.worked_on_us?,
            request_id: self.request_id,
            traceparent: self.traceparent,
            provider_reference: self.provider_reference,
        };
        Some(row.into())
    }
}

/// Claims jobs that are due or whose lease has expired.
pub async fn claim(connection: &mut AsyncPgConnection, claim: &Claim) -> Result<Claimed> {
    let rows: Vec<SeenRow> = Prepared(ClaimJobs::new(claim)).load(connection).await?;
    let seen = rows.as_slice().first().map_or(0, |row| row.seen);
    let jobs: Vec<_> = rows.into_iter().filter_map(SeenRow::job).collect();
    let taken = i64::try_from(jobs.len()).unwrap_or(i64::MAX);
    Ok(Claimed { contended: taken < seen.min(i64::from(claim.limit)), jobs })
}

/// The plan of the claim statement, line by line.
pub async fn explain_claim(connection: &mut AsyncPgConnection, claim: &Claim) -> Result<Vec<String>> {
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
        line: String,
    }
    let lines: Vec<Line> = Explained(ClaimJobs::new(claim)).load(connection).await?;
    Ok(lines.into_iter().map(|line| line.line).collect())
}

struct ClaimExhausted(ClaimInput);

impl FixedStatement for ClaimExhausted {
    const NAME: &'static str = "claim_exhausted";
    const SQL: &'static str = concat!(
        "WITH input AS (SELECT ?::integer AS batch, ?::text AS worker, ?::bigint AS lease_ms, ?::text[] AS tasks, \
            ?::integer[] AS attempts), \
        chosen AS (SELECT id FROM pending_jobs WHERE status = 'processing' AND leased_until < now() \
            AND attempt >= ",
        attempts_of_task!(),
        " ORDER BY leased_until LIMIT (SELECT batch FROM input) FOR UPDATE SKIP LOCKED) \
        UPDATE pending_jobs j SET updated_at = now(), lease_token = nextval('job_lease_tokens'), \
            leased_by = input.worker, leased_until = now() + input.lease_ms * interval '1 millisecond' \
        FROM input WHERE j.id = ANY (ARRAY(SELECT id FROM chosen)) \
        RETURNING j.id, j.lease_token, j.task_name, j.lane, j.application_id, j.job_args, j.attempt, 0::bigint AS waited_us, \
            0::bigint AS worked_on_us, j.request_id, j.traceparent, j.provider_reference"
    );

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        self.0.bind(binder)
    }
}

/// Claims jobs whose lease expired on their last attempt. They become dead letters.
pub async fn claim_exhausted(connection: &mut AsyncPgConnection, claim: &Claim) -> Result<Vec<ClaimedJob>> {
    let rows: Vec<ClaimedRow> = Prepared(ClaimExhausted(ClaimInput::new(claim))).load(connection).await?;
    Ok(rows.into_iter().map(ClaimedJob::from).collect())
}
