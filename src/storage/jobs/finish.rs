//! Finishing jobs.
//!
//! The statement that finishes a job also removes it from `pending_jobs`: one CTE deletes the row, and a second one
//! ([`job_history!`]) inserts a row into `job_history`. Therefore the cost of a claim does not depend on the number of
//! finished jobs; the benchmark `claims` measures this. The alternative is to mark jobs as finished and to move them later
//! in batches. Each row would then be written once more, and claims, counts and vacuum would read the finished rows too.

use diesel::prelude::*;
use diesel::sql_types::{self, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{Lease, Touched, held};
use crate::error::Result;
use crate::storage::statement::{Binder, FixedStatement, Prepared, rows};

/// The CTE `history`, which inserts into `job_history`. `$from` is the CTE of the deleted jobs with the alias `f` and the
/// columns of `pending_jobs`. `$result` is an SQL expression of the type `job_result`.
macro_rules! job_history {
    (result: $result:literal, from: $from:literal) => {
        concat!(
            "history AS (INSERT INTO job_history (id, task_name, application_id, result, attempt, request_id, traceparent, \
                error_type, error_message, created_at) \
                SELECT f.id, f.task_name, f.application_id, ",
            $result,
            ", f.attempt, f.request_id, f.traceparent, f.error_type, f.error_message, f.created_at FROM ",
            $from,
            ")"
        )
    };
}
pub(in crate::storage) use job_history;

rows! {
    struct FinishJobs of FinishRow {
        job_id: Uuid as sql_types::Uuid,
        lease_token: i64 as BigInt,
        result: &'static str as Text,
    }
}

impl FixedStatement for FinishJobs {
    const NAME: &'static str = "finish_jobs";
    const SQL: &'static str = concat!(
        "WITH wanted AS (SELECT * FROM ?), \
        finished AS (DELETE FROM pending_jobs j USING wanted w \
            WHERE j.id = w.job_id AND j.lease_token = w.lease_token \
                AND j.id = ANY (ARRAY(SELECT job_id FROM wanted)) RETURNING j.*, w.result), ",
        job_history!(result: "f.result::job_result", from: "finished f"),
        " SELECT id, lease_token FROM finished"
    );

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind_rows("w", self)
    }
}

/// Ends jobs that are no longer needed. Returns for each whether its lease was still held; if not, the job is unchanged.
pub async fn supersede(connection: &mut AsyncPgConnection, leases: &[Lease]) -> Result<Vec<bool>> {
    finish(connection, leases, "superseded").await
}

/// Completes a job in the transaction that contains its effects. Returns `false` if the lease was lost; the caller must then
/// roll the effects back.
pub async fn complete(connection: &mut AsyncPgConnection, lease: Lease) -> Result<bool> {
    Ok(finish(connection, &[lease], "completed").await?.contains(&true))
}

async fn finish(
    connection: &mut AsyncPgConnection,
    leases: &[Lease],
    result: &'static str,
) -> Result<Vec<bool>> {
    let row = |lease: &Lease| FinishRow { job_id: lease.job_id.as_uuid(), lease_token: lease.token, result };
    let statement: FinishJobs = leases.iter().map(row).collect();
    let finished: Vec<Touched> = Prepared(statement).load(connection).await?;
    Ok(leases.iter().map(|lease| held(&finished, *lease)).collect())
}
