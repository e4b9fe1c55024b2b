//! The ends of jobs.
//!
//! A finished job leaves `pending_jobs` with the statement that finishes it: one CTE deletes the row, and a second one, whose
//! text is [`job_history!`], writes its row of `job_history`. Moving finished jobs later, in batches, would write each row once
//! more (the update that marks it as finished) and would leave finished rows among those that claims, counts and vacuum read.
//! With one statement a claim costs the same however many jobs have finished; the benchmark `claims` measures it.

use diesel::prelude::*;
use diesel::sql_types::{self, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{Lease, Touched, held};
use crate::error::Result;
use crate::storage::statement::{Binder, FixedStatement, Prepared, rows};

/// The CTE `history`, which writes the rows of `job_history`. `$from` joins the CTE of the deleted jobs under the alias `f`,
/// with the columns of `pending_jobs`; `$result` is an SQL expression of the type `job_result`.
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

/// Ends jobs that are no longer needed; tells for each whether its lease was still held. If not, nothing changed.
///
/// # Errors
/// When the database fails.
pub async fn supersede(connection: &mut AsyncPgConnection, leases: &[Lease]) -> Result<Vec<bool>> {
    finish(connection, leases, "superseded").await
}

/// Ends a job whose effects are in the same transaction; `false` when its lease was lost: the effects must be rolled back.
///
/// # Errors
/// When the database fails.
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
