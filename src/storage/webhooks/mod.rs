//! Webhook events. Each message is stored once, even if it arrives several times or concurrently.
//!
//! The unique `idempotency_key` determines which of several deliveries is the first. The others wait in [`store`] until the
//! transaction of the first one has ended, and then find its result. A job retries a message that could not be applied
//! ([`queue_retry`]). All functions run in the caller's transaction. To prevent deadlocks, every caller locks in the order
//! event, application, job.

mod list;
mod retry;
mod verdict;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

pub use self::list::{ListedEvent, WebhookFilter, list_page};
pub use self::retry::{FailedEvent, RETRY_LANE, RETRY_TASK, queue_retry, supersede_retry, take_failed};
pub use self::verdict::{
    MessageTarget, WebhookDecision, find_applicant, find_country, has_newer, lock_addressee, record,
};
use super::schema::webhook_events;
use super::seal::{KeyRing, SealedField};
use super::types::{PgCountry, PgWebhookStatus, WebhookStatus};
use crate::domain::application::Country;
use crate::domain::confirmation::ReportedOutcome;
use crate::domain::ids::ApplicationId;
use crate::error::{Error, PrivateMessage};
use crate::storage::transaction::Abort;

/// The size of a body's fingerprint.
pub const FINGERPRINT_BYTES: usize = 32;

/// A verified message to be stored.
#[derive(Clone)]
pub struct NewEvent {
    /// The identifier of the row, if this is the first delivery.
    pub id: Uuid,
    /// The bureau's name and a keyed hash of the sender's message identifier.
    pub idempotency_key: String,
    /// The bureau of the application's country.
    pub provider: &'static str,
    pub country: Country,
    pub application_id: ApplicationId,
    pub provider_reference: String,
    /// The outcome that the bureau reports.
    pub outcome: ReportedOutcome,
    /// A keyed hash of the body. All deliveries of a message have the same one.
    pub fingerprint: [u8; FINGERPRINT_BYTES],
    pub payload: Vec<u8>,
    /// The ID of the request that delivered the message.
    pub request_id: Option<String>,
    /// The W3C trace context.
    pub traceparent: Option<String>,
    /// The time of the event, according to the sender's clock.
    pub occurred_at: DateTime<Utc>,
    pub received_at: DateTime<Utc>,
}

/// The result of storing a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOutcome {
    /// The message is new and stored in this row.
    New(Uuid),
    /// The message was received before but could not be applied. This transaction tries again.
    Again(Uuid),
    /// The message was already applied or ignored.
    Duplicate,
    /// A message with the same key but a different body was received before.
    Different,
}

/// Stores a message, or finds the earlier one with its key. Waits for a concurrent transaction that stores the same key.
pub async fn store(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    event: &NewEvent,
) -> Result<StoreOutcome, Abort> {
    let payload = keys.seal_bytes(SealedField::WebhookPayload, event.id, &event.payload)?;
    let inserted = diesel::insert_into(webhook_events::table)
        .values((
            webhook_events::id.eq(event.id),
            webhook_events::idempotency_key.eq(&event.idempotency_key),
            webhook_events::provider.eq(event.provider),
            webhook_events::country.eq(PgCountry(event.country)),
            webhook_events::application_id.eq(event.application_id.as_uuid()),
            webhook_events::provider_reference.eq(&event.provider_reference),
            webhook_events::outcome.eq(event.outcome.as_str()),
            webhook_events::fingerprint.eq(event.fingerprint.as_slice()),
            webhook_events::payload.eq(payload),
            webhook_events::request_id.eq(&event.request_id),
            webhook_events::traceparent.eq(&event.traceparent),
            webhook_events::occurred_at.eq(event.occurred_at),
            webhook_events::received_at.eq(event.received_at),
        ))
        .on_conflict(webhook_events::idempotency_key)
        .do_nothing()
        .execute(connection)
        .await?;
    if inserted == 1 {
        return Ok(StoreOutcome::New(event.id));
    }
    let known: Option<(Uuid, Vec<u8>, PgWebhookStatus)> = webhook_events::table
        .select((webhook_events::id, webhook_events::fingerprint, webhook_events::status))
        .filter(webhook_events::idempotency_key.eq(&event.idempotency_key))
        .for_update()
        .first(connection)
        .await
        .optional()?;
    match known {
        Some((_, fingerprint, _)) if fingerprint != event.fingerprint => Ok(StoreOutcome::Different),
        Some((id, _, PgWebhookStatus(WebhookStatus::Failed))) => {
            start_attempt(connection, id).await?;
            Ok(StoreOutcome::Again(id))
        }
        Some(_) => Ok(StoreOutcome::Duplicate),
        None => Err(just_expired().into()),
    }
}

/// The error for an event that was deleted between the two statements. The next attempt of the transaction stores it again.
fn just_expired() -> Error {
    Error::Database {
        transient: true,
        session_lost: false,
        cause: PrivateMessage::new("the event with this key has just been deleted"),
    }
}

async fn start_attempt(connection: &mut AsyncPgConnection, id: Uuid) -> Result<(), Abort> {
    diesel::update(webhook_events::table.filter(webhook_events::id.eq(id)))
        .set((
            webhook_events::status.eq(PgWebhookStatus(WebhookStatus::Received)),
            webhook_events::attempts.eq(webhook_events::attempts + 1),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Records that a message was applied to its application or that there was nothing to change.
pub async fn settle(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    applied: bool,
    now: DateTime<Utc>,
) -> Result<(), Abort> {
    let status = if applied { WebhookStatus::Applied } else { WebhookStatus::Ignored };
    diesel::update(webhook_events::table.filter(webhook_events::id.eq(id)))
        .set((webhook_events::status.eq(PgWebhookStatus(status)), webhook_events::settled_at.eq(Some(now))))
        .execute(connection)
        .await?;
    Ok(())
}

/// Records that a message could not be applied.
pub async fn fail(connection: &mut AsyncPgConnection, id: Uuid, error: &Error) -> Result<(), Abort> {
    let (error_type, error_message) = error.recorded();
    diesel::update(webhook_events::table.filter(webhook_events::id.eq(id)))
        .set((
            webhook_events::status.eq(PgWebhookStatus(WebhookStatus::Failed)),
            webhook_events::error_type.eq(error_type),
            webhook_events::error_message.eq(error_message),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes messages received before `before`, at most `limit` per call. Returns the number of deleted rows.
pub async fn delete_received_before(
    connection: &mut AsyncPgConnection,
    before: DateTime<Utc>,
    limit: u32,
) -> crate::error::Result<usize> {
    let expired = diesel::alias!(webhook_events as expired);
    let ids = expired
        .select(expired.field(webhook_events::id))
        .filter(expired.field(webhook_events::received_at).lt(before))
        .order(expired.field(webhook_events::received_at).asc())
        .limit(i64::from(limit));
    let deletion = diesel::delete(webhook_events::table.filter(webhook_events::id.eq_any(ids)));
    Ok(deletion.execute(connection).await?)
}
