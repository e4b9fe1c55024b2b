//! Gives up the job of an application and sends the application to review.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;
use uuid::Uuid;

use crate::domain::application::Attribution;
use crate::domain::ids::{ApplicationId, ChangeId};
use crate::domain::status::Status;
use crate::error::Result;
use crate::storage::group_write::{GroupWrite, Written};
use crate::storage::jobs::{self, DeadLetter};
use crate::storage::schema::applications;
use crate::storage::seal::KeyRing;
use crate::storage::transaction::Abort;
use crate::storage::types::PgStatus;

/// Moves a job to the dead letters and its application to review.
#[derive(Debug, Clone)]
pub struct GiveUp {
    pub dead_letter: DeadLetter,
    /// `None` if the job names no application.
    pub application_id: Option<ApplicationId>,
    /// Author, reason and request of the change to `UNDER_REVIEW`.
    pub attribution: Attribution,
    /// The identifier of an additional change to `VALIDATING`, which comes first if the application is still `PENDING`.
    pub first_change_id: ChangeId,
    pub traceparent: Option<String>,
}

impl GroupWrite for GiveUp {
    /// Whether the lease was still held. If not, nothing changed.
    type Outcome = bool;

    const ORDER: u8 = 6;
    const WRITTEN: Written = Written { jobs: false, events: true };

    /// Moves the jobs to the dead letters, and their applications to `UNDER_REVIEW` with the error. `PENDING`
    /// applications pass through `VALIDATING`, which adds a second audit row. Because giving up is rare, applications are
    /// changed one by one.
    async fn write(
        connection: &mut AsyncPgConnection,
        _: &KeyRing,
        writes: &[Self],
    ) -> Result<Vec<Result<bool>>, Abort> {
        let ids: Vec<Uuid> =
            writes.iter().filter_map(|give_up| give_up.application_id).map(ApplicationId::as_uuid).collect();
        let locked: Vec<(Uuid, PgStatus, bool)> = applications::table
            .select((applications::id, applications::status, applications::deleted_at.is_not_null()))
            .filter(applications::id.eq_any(ids))
            .order(applications::id.asc())
            .for_update()
            .load(connection)
            .await?;
        let letters: Vec<DeadLetter> = writes.iter().map(|give_up| give_up.dead_letter.clone()).collect();
        let held = jobs::move_to_dead_letters(connection, &letters).await?;
        for (give_up, held) in writes.iter().zip(&held) {
            let id = give_up.application_id.map(ApplicationId::as_uuid);
            let row = locked.iter().find(|(locked, _, deleted)| Some(*locked) == id && !deleted);
            let Some((_, status, _)) = row.filter(|_| *held) else { continue };
            if status.0 == Status::Pending {
                move_to(connection, give_up, Status::Validating, give_up.first_change_id).await?;
            }
            if matches!(status.0, Status::Pending | Status::Validating) {
                move_to(connection, give_up, Status::UnderReview, give_up.attribution.change_id).await?;
            }
        }
        Ok(held.into_iter().map(Ok).collect())
    }
}

async fn move_to(
    connection: &mut AsyncPgConnection,
    give_up: &GiveUp,
    status: Status,
    change_id: ChangeId,
) -> Result<()> {
    let id = give_up.application_id.map(ApplicationId::as_uuid);
    let error =
        json!([{ "code": give_up.dead_letter.error_type, "detail": give_up.dead_letter.error_message }]);
    diesel::update(applications::table.filter(applications::id.nullable().eq(id)))
        .set((
            applications::status.eq(PgStatus(status)),
            applications::validation_errors.eq(error),
            applications::change_id.eq(change_id.as_uuid()),
            applications::changed_by.eq(&give_up.attribution.changed_by),
            applications::change_reason.eq(&give_up.attribution.reason),
            applications::change_request_id.eq(give_up.attribution.request_id.as_ref().map(|id| id.as_str())),
            applications::change_traceparent.eq(&give_up.traceparent),
        ))
        .execute(connection)
        .await?;
    Ok(())
}
