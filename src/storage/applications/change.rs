//! Changes of one application that a person requests.

use std::fmt;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};
use uuid::Uuid;

use super::review_lock::lock_review;
use super::{ApplicationRow, Visibility, open_personal, seal_personal};
use crate::domain::application::{Application, Attribution, DataChange};
use crate::domain::ids::ApplicationId;
use crate::domain::status::{Initiator, Status};
use crate::error::{Error, PublicMessage, Result};
use crate::storage::schema::applications;
use crate::storage::seal::KeyRing;
use crate::storage::transaction::Abort;
use crate::storage::types::PgStatus;

/// A requested change.
#[derive(Clone)]
pub enum Change {
    /// A new status.
    Status(Status),
    /// New country data. Values derived from the document (birth date, sex) are not changed.
    CountryData(DataChange),
    /// Soft deletion.
    Delete,
    /// Reverts a soft deletion.
    Restore,
}

impl fmt::Debug for Change {
    /// Omits the data, which clients choose freely.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => f.debug_tuple("Status").field(status).finish(),
            Self::CountryData(_) => f.write_str("CountryData(****)"),
            Self::Delete => f.write_str("Delete"),
            Self::Restore => f.write_str("Restore"),
        }
    }
}

struct Locked {
    status: Status,
    deleted: bool,
    personal_data: Option<Vec<u8>>,
}

/// Makes a change on behalf of `initiator` and its `account` in the caller's transaction and returns the changed
/// application. `internal_note` is shown to staff only. The row is locked before the change is checked.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Archived`], [`Error::IllegalTransition`] with the transitions that `initiator` may
/// request, [`Error::AssignedToAnother`], or [`Error::Conflict`].
#[expect(clippy::too_many_arguments, reason = "the arguments are independent of each other")]
pub async fn change(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    id: ApplicationId,
    visibility: &Visibility,
    initiator: Initiator,
    account: Uuid,
    change: &Change,
    attribution: &Attribution,
    internal_note: Option<&str>,
    traceparent: Option<&str>,
) -> Result<Application, Abort> {
    let locked = lock(connection, id, visibility, change).await?;
    check(&locked, initiator, change)?;
    if locked.status == Status::UnderReview && matches!(change, Change::Status(_)) {
        lock_review(connection, id, account).await?;
    }
    let attributed = (
        applications::change_details.eq(details(attribution, internal_note)),
        applications::change_id.eq(attribution.change_id.as_uuid()),
        applications::changed_by.eq(&attribution.changed_by),
        applications::change_reason.eq(&attribution.reason),
        applications::change_request_id.eq(attribution.request_id.as_ref().map(|id| id.as_str())),
        applications::change_traceparent.eq(traceparent),
    );
    let row = diesel::update(applications::table.filter(applications::id.eq(id.as_uuid())));
    let returning = ApplicationRow::as_returning();
    let changed: ApplicationRow = match change {
        Change::Status(status) => {
            row.set((applications::status.eq(PgStatus(*status)), attributed))
                .returning(returning)
                .get_result(connection)
                .await?
        }
        Change::CountryData(data) => {
            let personal = seal_changed(keys, id, locked.personal_data, data)?;
            let removed = data.open.iter().filter(|(_, value)| value.is_none());
            let removed: Vec<String> = removed.map(|(name, _)| (*name).to_owned()).collect();
            let set = data.open.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?)));
            let open =
                applications::country_specific_data.concat(Value::Object(set.collect())).remove(removed);
            row.set((
                applications::country_specific_data.eq(open),
                applications::personal_data.eq(personal),
                attributed,
            ))
            .returning(returning)
            .get_result(connection)
            .await?
        }
        Change::Delete => {
            row.set((applications::deleted_at.eq(diesel::dsl::now), attributed))
                .returning(returning)
                .get_result(connection)
                .await?
        }
        Change::Restore => {
            let not_deleted: Option<chrono::DateTime<chrono::Utc>> = None;
            row.set((applications::deleted_at.eq(not_deleted), attributed))
                .returning(returning)
                .get_result(connection)
                .await?
        }
    };
    Ok(changed.open(keys)?)
}

/// The details that the trigger copies to the audit row of this change. They do not apply to later changes. Without
/// `reason_is_public`, the reason is shown to staff only. Changes by plain SQL do not set it.
fn details(attribution: &Attribution, internal_note: Option<&str>) -> Value {
    let change_id = attribution.change_id.as_uuid();
    match internal_note {
        Some(note) => json!({"change_id": change_id, "reason_is_public": true, "internal_note": note}),
        None => json!({"change_id": change_id, "reason_is_public": true}),
    }
}

fn seal_changed(
    keys: &KeyRing,
    id: ApplicationId,
    sealed: Option<Vec<u8>>,
    change: &DataChange,
) -> Result<Option<Vec<u8>>> {
    if change.personal.is_empty() {
        return Ok(sealed);
    }
    let mut personal = open_personal(keys, id.as_uuid(), sealed.as_deref())?;
    change.personal.iter().for_each(|(name, value)| personal.set(name, value.clone()));
    seal_personal(keys, id.as_uuid(), &personal)
}

async fn lock(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
    visibility: &Visibility,
    change: &Change,
) -> Result<Locked, Abort> {
    type Row = (PgStatus, bool, String, Option<Vec<u8>>);
    let locked: Option<Row> = applications::table
        .select((
            applications::status,
            applications::deleted_at.is_not_null(),
            applications::created_by,
            applications::personal_data,
        ))
        .filter(applications::id.eq(id.as_uuid()))
        .for_update()
        .first(connection)
        .await
        .optional()?;
    let Some((status, deleted, owner, personal_data)) = locked else {
        return Err(missing_error(connection, id, visibility, change).await?.into());
    };
    if visibility.includes(&owner) {
        Ok(Locked { status: status.0, deleted, personal_data })
    } else {
        Err(Error::NotFound("application").into())
    }
}

/// The error for an application that is not in the live tables: `Archived` if it is in the archive and visible to the
/// caller.
async fn missing_error(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
    visibility: &Visibility,
    change: &Change,
) -> Result<Error> {
    let found = super::archived::find(connection, id).await?.filter(|row| {
        let may_be_deleted = matches!(change, Change::Restore);
        visibility.includes(&row.created_by) && (may_be_deleted || row.deleted_at.is_none())
    });
    Ok(found.map_or(Error::NotFound("application"), |_| Error::Archived))
}

/// Checks that `initiator` may make `change`. Deletion releases the claim on the document and removes the application
/// from the review queue. Therefore owners cannot delete applications that are being decided or were approved, and
/// cannot change the data that a decision is based on.
fn check(locked: &Locked, initiator: Initiator, change: &Change) -> Result<()> {
    let may_edit =
        initiator != Initiator::Owner || matches!(locked.status, Status::Pending | Status::Validating);
    let may_delete =
        initiator != Initiator::Owner || locked.status == Status::Pending || locked.status.is_terminal();
    match change {
        Change::Restore if locked.deleted => Ok(()),
        Change::Restore => Err(Error::Conflict(PublicMessage::new("The application is not deleted."))),
        _ if locked.deleted => Err(Error::NotFound("application")),
        Change::Status(to) if !locked.status.next_for(initiator).any(|next| next == *to) => {
            Err(Error::IllegalTransition {
                from: locked.status.as_str(),
                to: to.as_str(),
                allowed: locked.status.next_for(initiator).map(Status::as_str).collect(),
            })
        }
        Change::Delete if !may_delete => {
            let status = locked.status;
            let text = format!("Only staff can delete an application whose status is {status}.");
            Err(Error::Conflict(PublicMessage::new(text)))
        }
        Change::CountryData(_) if !may_edit => {
            let status = locked.status;
            let text = format!("Only staff can change the data of an application whose status is {status}.");
            Err(Error::Conflict(PublicMessage::new(text)))
        }
        Change::Status(_) | Change::CountryData(_) | Change::Delete => Ok(()),
    }
}
