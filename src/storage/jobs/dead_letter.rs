//! Moves jobs to the dead letters if they used up their attempts or failed with an error that is not retryable.

use diesel::prelude::*;
use diesel::sql_types::{self, BigInt, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{Lease, Touched, held, job_history};
use crate::error::Result;
use crate::storage::statement::{Binder, FixedStatement, Prepared, rows};

/// A job that becomes a dead letter.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub lease: Lease,
    /// The code of the last error.
    pub error_type: String,
    /// The last error, for operators, without personal data.
    pub error_message: String,
    pub backtrace: Option<String>,
}

rows! {
    struct MoveToDeadLetters of DeadLetterRow {
        job_id: Uuid as sql_types::Uuid,
        lease_token: i64 as BigInt,
        error_type: String as Text,
        error_message: String as Text,
        backtrace: Option<String> as Nullable<Text>,
    }
}

impl From<&DeadLetter> for DeadLetterRow {
    fn from(letter: &DeadLetter) -> Self {
        Self {
            job_id: letter.lease.job_id.as_uuid(),
            lease_token: letter.lease.token,
            error_type: letter.error_type.clone(),
            error_message: letter.error_message.clone(),
            backtrace: letter.backtrace.clone(),
        }
    }
}

impl FixedStatement for MoveToDeadLetters {
    const NAME: &'static str = "move_to_dead_letters";
    const SQL: &'static str = concat!(
        "WITH wanted AS (SELECT * FROM ?), \
        dead AS (DELETE FROM pending_jobs j USING wanted w WHERE j.id = w.job_id AND j.lease_token = w.lease_token \
                AND j.id = ANY (ARRAY(SELECT job_id FROM wanted)) \
            RETURNING j.id, j.lease_token, j.task_name, j.application_id, j.lane, j.job_args, j.attempt, j.request_id, \
                j.traceparent, j.created_at, w.error_type, w.error_message, w.backtrace), \
        letters AS (INSERT INTO failed_jobs (job_id, task_name, application_id, lane, job_args, error_type, error_message, \
                backtrace, attempts, request_id, traceparent) \
            SELECT id, task_name, application_id, lane, job_args, error_type, error_message, backtrace, attempt, \
                request_id, traceparent FROM dead), ",
        job_history!(result: "'failed'", from: "dead f"),
        " SELECT id, lease_token FROM dead"
    );

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind_rows("w", self)
    }
}

/// Moves jobs to the dead letters. Returns for each whether its lease was still held; if not, the job is unchanged.
pub async fn move_to_dead_letters(
    connection: &mut AsyncPgConnection,
    letters: &[DeadLetter],
) -> Result<Vec<bool>> {
    let statement: MoveToDeadLetters = letters.iter().map(DeadLetterRow::from).collect();
    let moved: Vec<Touched> = Prepared(statement).load(connection).await?;
    Ok(letters.iter().map(|letter| held(&moved, letter.lease)).collect())
}
