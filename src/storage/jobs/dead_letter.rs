//! Giving a job up: a dead letter, and its application left to a human.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;
use uuid::Uuid;

use super::{Lease, Touched, held};
use crate::domain::application::Attribution;
use crate::domain::ids::{ApplicationId, ChangeId};
use crate::domain::status::Status;
use crate::error::Result;
use crate::storage::schema::applications;
use crate::storage::statement::{Binder, FixedStatement, Prepared};
use crate::storage::types::PgStatus;

/// A job that is given up.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Which.
    pub lease: Lease,
    /// Its application, when it has one.
    pub application_id: Option<ApplicationId>,
    /// The last error's code.
    pub error_type: String,
    /// The last error, for operators; without personal data.
    pub error_message: String,
    /// The chain of causes.
    pub backtrace: Option<String>,
    /// Who, why, which request: for the application's last change.
    pub attribution: Attribution,
    /// A further fresh identifier, for the change before it when the application was still `PENDING`.
    pub first_change_id: ChangeId,
    /// The W3C trace context.
    pub traceparent: Option<String>,
}

struct BuryJobs {
    job_id: Vec<Uuid>,
    lease_token: Vec<i64>,
    error_type: Vec<String>,
    error_message: Vec<String>,
    backtrace: Vec<Option<String>>,
}

impl FixedStatement for BuryJobs {
    const SQL: &'static str = "\
        WITH wanted AS (SELECT * FROM unnest(?::uuid[], ?::bigint[], ?::text[], ?::text[], ?::text[]) \
            AS w (job_id, lease_token, error_type, error_message, backtrace)), \
        dead AS (DELETE FROM pending_jobs j USING wanted w WHERE j.id = w.job_id AND j.lease_token = w.lease_token \
                AND j.id = ANY (ARRAY(SELECT job_id FROM wanted)) \
            RETURNING j.*, w.error_type AS last_type, w.error_message AS last_message, w.backtrace), \
        letters AS (INSERT INTO failed_jobs (job_id, task_name, application_id, lane, job_args, error_type, error_message, \
                backtrace, attempts, request_id, traceparent) \
            SELECT id, task_name, application_id, lane, job_args, last_type, last_message, backtrace, attempt, \
                request_id, traceparent FROM dead), \
        history AS (INSERT INTO job_history (id, task_name, application_id, result, attempt, request_id, traceparent, \
                error_type, error_message, created_at) \
            SELECT id, task_name, application_id, 'failed', attempt, request_id, traceparent, last_type, \
                last_message, created_at FROM dead) \
        SELECT id, lease_token FROM dead";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Array<diesel::sql_types::Uuid>, _>(&self.job_id)?;
        binder.bind::<Array<BigInt>, _>(&self.lease_token)?;
        binder.bind::<Array<Text>, _>(&self.error_type)?;
        binder.bind::<Array<Text>, _>(&self.error_message)?;
        binder.bind::<Array<Nullable<Text>>, _>(&self.backtrace)
    }
}

/// Gives jobs up: each becomes a dead letter, and its application `UNDER_REVIEW` with the error; one that is still
/// `PENDING` passes through `VALIDATING`, with two audit rows. Must run in a transaction. Tells for each whether it was
/// still held; when it was not, nothing changed.
///
/// Deaths are rare, so the applications are changed one by one.
///
/// # Errors
/// When the database fails.
pub async fn move_to_dead_letters(
    connection: &mut AsyncPgConnection,
    dead_letters: &[DeadLetter],
) -> Result<Vec<bool>> {
    let ids: Vec<Uuid> =
        dead_letters.iter().filter_map(|b| b.application_id).map(ApplicationId::as_uuid).collect();
    let locked: Vec<(Uuid, PgStatus, bool)> = applications::table
        .select((applications::id, applications::status, applications::deleted_at.is_not_null()))
        .filter(applications::id.eq_any(ids))
        .order(applications::id.asc())
        .for_update()
        .load(connection)
        .await?;
    let statement = BuryJobs {
        job_id: dead_letters.iter().map(|b| b.lease.job_id.as_uuid()).collect(),
        lease_token: dead_letters.iter().map(|b| b.lease.token).collect(),
        error_type: dead_letters.iter().map(|b| b.error_type.clone()).collect(),
        error_message: dead_letters.iter().map(|b| b.error_message.clone()).collect(),
        backtrace: dead_letters.iter().map(|b| b.backtrace.clone()).collect(),
    };
    let dead: Vec<Touched> = Prepared(statement).load(connection).await?;
    let mut were_held = Vec::with_capacity(dead_letters.len());
    for dead_letter in dead_letters {
        let owned = held(&dead, dead_letter.lease);
        were_held.push(owned);
        let status = locked
            .iter()
            .find(|(id, _, deleted)| {
                Some(*id) == dead_letter.application_id.map(ApplicationId::as_uuid) && !deleted
            })
            .map(|(_, status, _)| status.0);
        match status {
            Some(Status::Pending) if owned => {
                move_to(connection, dead_letter, Status::Validating, dead_letter.first_change_id).await?;
                move_to(connection, dead_letter, Status::UnderReview, dead_letter.attribution.change_id)
                    .await?;
            }
            Some(Status::Validating) if owned => {
                move_to(connection, dead_letter, Status::UnderReview, dead_letter.attribution.change_id)
                    .await?;
            }
            _ => {}
        }
    }
    Ok(were_held)
}

async fn move_to(
    connection: &mut AsyncPgConnection,
    dead_letter: &DeadLetter,
    status: Status,
    change_id: ChangeId,
) -> Result<()> {
    let id = dead_letter.application_id.map(ApplicationId::as_uuid);
    let error = json!([{ "code": dead_letter.error_type, "detail": dead_letter.error_message }]);
    diesel::update(applications::table.filter(applications::id.nullable().eq(id)))
        .set((
            applications::status.eq(PgStatus(status)),
            applications::validation_errors.eq(error),
            applications::change_id.eq(change_id.as_uuid()),
            applications::changed_by.eq(&dead_letter.attribution.changed_by),
            applications::change_reason.eq(&dead_letter.attribution.reason),
            applications::change_request_id.eq(dead_letter
                .attribution
                .request_id
                .as_ref()
                .map(|id| id.as_str())),
            applications::change_traceparent.eq(&dead_letter.traceparent),
        ))
        .execute(connection)
        .await?;
    Ok(())
}
