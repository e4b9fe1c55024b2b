//! The lists of deliveries and attempts.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::domain::delivery::{AttemptResult, DeliveryStatus};
use crate::error::Result;
use crate::storage::schema::{webhook_attempts, webhook_deliveries, webhook_messages};
use crate::storage::seal::{KeyRing, SealedField};

/// Selects the deliveries of a list. A field that is `None` matches every delivery.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    pub status: Option<DeliveryStatus>,
    pub event_type: Option<String>,
    pub subject: Option<Uuid>,
    /// Created at or after this time.
    pub from: Option<DateTime<Utc>>,
    /// Created before this time.
    pub until: Option<DateTime<Utc>>,
}

/// A delivery without its body.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = webhook_deliveries, check_for_backend(diesel::pg::Pg))]
pub struct ListedDelivery {
    pub id: Uuid,
    pub endpoint_id: Uuid,
    /// The identifier of the event, sent as `webhook-id`.
    pub message_id: Uuid,
    pub event_type: String,
    pub subject: Uuid,
    /// The name of a [`DeliveryStatus`].
    pub status: String,
    pub attempts: i32,
    /// The name of an [`AttemptResult`].
    pub last_result: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    /// When the waiting job is due.
    #[diesel(select_expression = next_attempt_at(), select_expression_type = SqlLiteral<Nullable<Timestamptz>>)]
    pub next_attempt_at: Option<DateTime<Utc>>,
}

/// The `CASE` hides the status from the planner, which would otherwise read all pending jobs through the lane index.
fn next_attempt_at() -> SqlLiteral<Nullable<Timestamptz>> {
    sql("(SELECT CASE WHEN j.status = 'pending' THEN j.run_at END FROM pending_jobs j \
        WHERE j.task_name = 'deliver_webhook' AND j.job_args ->> 'delivery_id' = webhook_deliveries.id::text)")
}

/// One page of the deliveries to an endpoint, newest first, starting after the delivery `after`.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    endpoint: Uuid,
    filter: &DeliveryFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ListedDelivery>> {
    let mut query = webhook_deliveries::table
        .select(ListedDelivery::as_select())
        .filter(webhook_deliveries::endpoint_id.eq(endpoint))
        .order(webhook_deliveries::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(status) = filter.status {
        query = query.filter(webhook_deliveries::status.eq(status.as_str()));
    }
    if let Some(event_type) = &filter.event_type {
        query = query.filter(webhook_deliveries::event_type.eq(event_type));
    }
    if let Some(subject) = filter.subject {
        query = query.filter(webhook_deliveries::subject.eq(subject));
    }
    if let Some(from) = filter.from {
        query = query.filter(webhook_deliveries::created_at.ge(from));
    }
    if let Some(until) = filter.until {
        query = query.filter(webhook_deliveries::created_at.lt(until));
    }
    if let Some(after) = after {
        query = query.filter(webhook_deliveries::id.lt(after));
    }
    Ok(query.load(connection).await?)
}

/// Finds a delivery and its body. The body is `None` if it has expired.
pub async fn find(
    connection: &mut AsyncPgConnection,
    id: Uuid,
) -> Result<Option<(ListedDelivery, Option<String>)>> {
    let query = webhook_deliveries::table.find(id).select(ListedDelivery::as_select());
    let found: Option<ListedDelivery> = query.first(connection).await.optional()?;
    let Some(delivery) = found else { return Ok(None) };
    let body = webhook_messages::table.find(delivery.message_id).select(webhook_messages::body);
    let body = body.first(connection).await.optional()?;
    Ok(Some((delivery, body)))
}

/// Selects the attempts of a list. A field that is `None` matches every attempt.
#[derive(Debug, Clone, Default)]
pub struct AttemptFilter {
    pub delivery_id: Option<Uuid>,
    pub result: Option<AttemptResult>,
}

/// An attempt.
#[derive(Debug, Clone)]
pub struct ListedAttempt {
    pub id: Uuid,
    pub delivery_id: Uuid,
    /// The name of an [`AttemptResult`].
    pub result: String,
    pub status_code: Option<i32>,
    pub duration_ms: i64,
    /// The beginning of the response body.
    pub response: Option<Vec<u8>>,
    pub error: Option<String>,
    pub attempted_at: DateTime<Utc>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = webhook_attempts, check_for_backend(diesel::pg::Pg))]
struct AttemptRow {
    id: Uuid,
    delivery_id: Uuid,
    result: String,
    status_code: Option<i32>,
    duration_ms: i64,
    response: Option<Vec<u8>>,
    error: Option<String>,
    attempted_at: DateTime<Utc>,
}

/// One page of the attempts at an endpoint, newest first, starting after the attempt `after`.
///
/// # Errors
/// If a response cannot be opened or the database fails.
pub async fn attempts_page(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    endpoint: Uuid,
    filter: &AttemptFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ListedAttempt>> {
    let mut query = webhook_attempts::table
        .select(AttemptRow::as_select())
        .filter(webhook_attempts::endpoint_id.eq(endpoint))
        .order(webhook_attempts::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(delivery) = filter.delivery_id {
        query = query.filter(webhook_attempts::delivery_id.eq(delivery));
    }
    if let Some(result) = filter.result {
        query = query.filter(webhook_attempts::result.eq(result.as_str()));
    }
    if let Some(after) = after {
        query = query.filter(webhook_attempts::id.lt(after));
    }
    let rows: Vec<AttemptRow> = query.load(connection).await?;
    let open = |row: AttemptRow| {
        let opened =
            row.response.map(|sealed| keys.open_bytes(SealedField::WebhookResponse, row.id, &sealed));
        Ok(ListedAttempt {
            id: row.id,
            delivery_id: row.delivery_id,
            result: row.result,
            status_code: row.status_code,
            duration_ms: row.duration_ms,
            response: opened.transpose()?,
            error: row.error,
            attempted_at: row.attempted_at,
        })
    };
    rows.into_iter().map(open).collect()
}
