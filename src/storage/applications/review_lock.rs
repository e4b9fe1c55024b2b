//! The lock on the review of an application, which a change by a person takes before it decides.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::domain::ids::ApplicationId;
use crate::error::{Error, Result};
use crate::storage::schema::{reviews, users};

/// The condition for a row of `reviews` with a valid assignment.
pub const ASSIGNED: &str = "(reviews.assigned_to IS NOT NULL AND reviews.expires_at > now())";

/// Locks the review of an application, if there is one, and refuses an assignment to another account than `account`.
///
/// # Errors
/// [`Error::AssignedToAnother`]
pub async fn lock_review(connection: &mut AsyncPgConnection, id: ApplicationId, account: Uuid) -> Result<()> {
    let review = reviews::table.find(id.as_uuid()).select(reviews::application_id).for_update();
    let locked: Option<Uuid> = review.first(connection).await.optional()?;
    if locked.is_none() {
        return Ok(());
    }
    let other: Option<(String, Option<DateTime<Utc>>)> = reviews::table
        .find(id.as_uuid())
        .inner_join(users::table)
        .select((users::username, reviews::expires_at))
        .filter(sql::<Bool>(ASSIGNED))
        .filter(reviews::assigned_to.ne(account))
        .first(connection)
        .await
        .optional()?;
    match other {
        Some((name, Some(expires_at))) => Err(Error::AssignedToAnother { name, expires_at }),
        _ => Ok(()),
    }
}
