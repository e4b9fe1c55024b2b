//! Outbound webhooks: endpoints, and the deliveries of events to them.
//!
//! A delivery is a row of `webhook_deliveries` for an event and an endpoint, and a job that makes its attempts. Both are
//! written in one transaction. The body is stored once per event in `webhook_messages`, because the outbox keeps events
//! for a shorter time than deliveries can be repeated.
//!
//! An ordered endpoint has at most one pending delivery per subject; later ones are `waiting` and have no job. The
//! transaction that ends a delivery queues the next one ([`queue_next`]). It updates the row of its own delivery first,
//! and the fan-out locks the unfinished rows of the subject. Therefore the two wait for each other, and a waiting delivery
//! is never overlooked.

pub mod endpoints;
pub mod fan_out;
pub mod list;
pub mod repeat;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::domain::delivery::{AttemptResult, DeliveryStatus};
use crate::error::Result;
use crate::storage::schema::{webhook_attempts, webhook_deliveries, webhook_messages, webhook_secrets};
use crate::storage::seal::{KeyRing, SealedField};
use crate::storage::statement::{Binder, FixedStatement, Prepared};

/// The task name of the jobs that make the attempts.
pub const DELIVERY_TASK: &str = "deliver_webhook";

/// The lane of these jobs.
pub const DELIVERY_LANE: &str = "deliveries";

/// A delivery whose next attempt is due.
#[derive(Debug, Clone)]
pub struct DueDelivery {
    pub id: Uuid,
    pub endpoint_id: Uuid,
    /// The identifier of the event.
    pub message_id: Uuid,
    pub subject: Uuid,
    /// The name of a [`DeliveryStatus`].
    pub status: String,
    /// The event as CloudEvents JSON.
    pub body: String,
}

/// Finds a delivery and its body. Returns `None` if they have expired.
pub async fn find_due(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<DueDelivery>> {
    type Row = (Uuid, Uuid, Uuid, Uuid, String, String);
    let row: Option<Row> = webhook_deliveries::table
        .inner_join(webhook_messages::table.on(webhook_messages::id.eq(webhook_deliveries::message_id)))
        .filter(webhook_deliveries::id.eq(id))
        .select((
            webhook_deliveries::id,
            webhook_deliveries::endpoint_id,
            webhook_deliveries::message_id,
            webhook_deliveries::subject,
            webhook_deliveries::status,
            webhook_messages::body,
        ))
        .first(connection)
        .await
        .optional()?;
    Ok(row.map(|(id, endpoint_id, message_id, subject, status, body)| DueDelivery {
        id,
        endpoint_id,
        message_id,
        subject,
        status,
        body,
    }))
}

/// An attempt to record.
#[derive(Debug, Clone)]
pub struct NewAttempt {
    pub id: Uuid,
    pub delivery_id: Uuid,
    pub endpoint_id: Uuid,
    pub result: AttemptResult,
    /// The HTTP status of the response.
    pub status_code: Option<u16>,
    pub duration_ms: i64,
    /// The beginning of the response body.
    pub response: Vec<u8>,
    /// Why there was no response.
    pub error: Option<String>,
    pub attempted_at: DateTime<Utc>,
}

/// Records an attempt and counts it at its delivery.
///
/// # Errors
/// If the response cannot be sealed or the database fails.
pub async fn record_attempt(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    attempt: &NewAttempt,
) -> Result<()> {
    diesel::update(webhook_deliveries::table.find(attempt.delivery_id))
        .set((
            webhook_deliveries::attempts.eq(webhook_deliveries::attempts + 1),
            webhook_deliveries::last_result.eq(attempt.result.as_str()),
        ))
        .execute(connection)
        .await?;
    let seal = || keys.seal_bytes(SealedField::WebhookResponse, attempt.id, &attempt.response);
    let response = if attempt.response.is_empty() { None } else { Some(seal()?) };
    diesel::insert_into(webhook_attempts::table)
        .values((
            webhook_attempts::id.eq(attempt.id),
            webhook_attempts::delivery_id.eq(attempt.delivery_id),
            webhook_attempts::endpoint_id.eq(attempt.endpoint_id),
            webhook_attempts::result.eq(attempt.result.as_str()),
            webhook_attempts::status_code.eq(attempt.status_code.map(i32::from)),
            webhook_attempts::duration_ms.eq(attempt.duration_ms),
            webhook_attempts::response.eq(response),
            webhook_attempts::error.eq(&attempt.error),
            webhook_attempts::attempted_at.eq(attempt.attempted_at),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends a delivery with `status`. [`queue_next`] must follow in the same transaction.
pub async fn finish(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    status: DeliveryStatus,
    now: DateTime<Utc>,
) -> Result<()> {
    diesel::update(webhook_deliveries::table.find(id))
        .set((
            webhook_deliveries::status.eq(status.as_str()),
            webhook_deliveries::finished_at.eq(status.is_finished().then_some(now)),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

struct QueueNext {
    endpoint_id: Uuid,
    subject: Uuid,
}

impl FixedStatement for QueueNext {
    const NAME: &'static str = "queue_next_delivery";
    const SQL: &'static str = "\
        WITH next AS (SELECT id, status FROM webhook_deliveries \
            WHERE endpoint_id = ? AND subject = ? AND status IN ('waiting', 'pending') ORDER BY id LIMIT 1), \
        started AS (UPDATE webhook_deliveries d SET status = 'pending' \
            WHERE d.id = ANY (ARRAY(SELECT id FROM next WHERE status = 'waiting')) \
            RETURNING d.id, d.request_id, d.traceparent), \
        job AS (INSERT INTO pending_jobs (task_name, lane, job_args, request_id, traceparent) \
            SELECT 'deliver_webhook', 'deliveries', jsonb_build_object('delivery_id', id), request_id, traceparent \
            FROM started ON CONFLICT DO NOTHING RETURNING id), \
        told AS (SELECT pg_notify('aval_jobs', '') WHERE EXISTS (SELECT FROM job)) \
        SELECT count(*) AS rows FROM told";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<diesel::sql_types::Uuid, _>(&self.endpoint_id)?;
        binder.bind::<diesel::sql_types::Uuid, _>(&self.subject)
    }
}

/// A count that a statement returned.
#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

/// Queues the earliest waiting delivery about `subject`, unless an earlier one is pending. Returns whether it queued one.
pub async fn queue_next(
    connection: &mut AsyncPgConnection,
    endpoint_id: Uuid,
    subject: Uuid,
) -> Result<bool> {
    let queued: Counted = Prepared(QueueNext { endpoint_id, subject }).get_result(connection).await?;
    Ok(queued.rows > 0)
}

/// Deletes up to `limit` rows of a table whose time is before `before`, and returns how many it deleted.
macro_rules! delete_before {
    ($connection:ident, $table:ident, $time:ident, $before:ident, $limit:ident) => {{
        let expired = diesel::alias!($table as expired);
        let ids = expired
            .select(expired.field($table::id))
            .filter(expired.field($table::$time).lt($before))
            .order(expired.field($table::$time).asc())
            .limit(i64::from($limit));
        Ok(diesel::delete($table::table.filter($table::id.eq_any(ids))).execute($connection).await?)
    }};
}

/// Deletes up to `limit` attempts made before `before` and returns how many it deleted.
pub async fn delete_attempts_before(
    connection: &mut AsyncPgConnection,
    before: DateTime<Utc>,
    limit: u32,
) -> Result<usize> {
    delete_before!(connection, webhook_attempts, attempted_at, before, limit)
}

/// Deletes up to `limit` deliveries created before `before` and returns how many it deleted. The job of an unfinished
/// one then ends without an attempt.
pub async fn delete_deliveries_before(
    connection: &mut AsyncPgConnection,
    before: DateTime<Utc>,
    limit: u32,
) -> Result<usize> {
    delete_before!(connection, webhook_deliveries, created_at, before, limit)
}

/// Deletes up to `limit` bodies stored before `before` and returns how many it deleted.
pub async fn delete_messages_before(
    connection: &mut AsyncPgConnection,
    before: DateTime<Utc>,
    limit: u32,
) -> Result<usize> {
    delete_before!(connection, webhook_messages, created_at, before, limit)
}

/// Deletes up to `limit` secrets that expired before `before` and returns how many it deleted.
pub async fn delete_secrets_before(
    connection: &mut AsyncPgConnection,
    before: DateTime<Utc>,
    limit: u32,
) -> Result<usize> {
    delete_before!(connection, webhook_secrets, expires_at, before, limit)
}

struct SupersedeJobs(String);

impl FixedStatement for SupersedeJobs {
    const NAME: &'static str = "supersede_delivery_job";
    const SQL: &'static str = concat!(
        "WITH finished AS (DELETE FROM pending_jobs WHERE task_name = 'deliver_webhook' \
            AND job_args ->> 'delivery_id' = ? RETURNING *), ",
        crate::storage::jobs::job_history!(result: "'superseded'", from: "finished f"),
        " SELECT FROM finished"
    );

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.0)
    }
}

/// Ends the job of a delivery, if there is one. A worker that is running it loses its lease.
async fn supersede_job(connection: &mut AsyncPgConnection, delivery: Uuid) -> Result<()> {
    Prepared(SupersedeJobs(delivery.to_string())).execute(connection).await?;
    Ok(())
}
