//! Repeats finished deliveries.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{Counted, supersede_job};
use crate::domain::delivery::DeliveryStatus;
use crate::error::Result;
use crate::storage::schema::webhook_deliveries;
use crate::storage::statement::{Binder, FixedStatement, Prepared};

struct RepeatDeliveries(Vec<Uuid>);

impl FixedStatement for RepeatDeliveries {
    const NAME: &'static str = "repeat_webhook_deliveries";
    /// The priority is that of a retried dead letter: many repetitions must not delay new events.
    const SQL: &'static str = "\
        WITH chosen AS (SELECT id FROM webhook_deliveries WHERE id = ANY (?) \
            AND status IN ('delivered', 'dead', 'skipped') ORDER BY id FOR UPDATE), \
        repeated AS (UPDATE webhook_deliveries d SET status = 'pending', finished_at = NULL \
            WHERE d.id = ANY (ARRAY(SELECT id FROM chosen)) RETURNING d.id, d.request_id, d.traceparent), \
        job AS (INSERT INTO pending_jobs (task_name, lane, job_args, priority, request_id, traceparent) \
            SELECT 'deliver_webhook', 'deliveries', jsonb_build_object('delivery_id', id), -5, request_id, traceparent \
            FROM repeated ORDER BY id ON CONFLICT DO NOTHING RETURNING id), \
        told AS (SELECT pg_notify('aval_jobs', '') WHERE EXISTS (SELECT FROM job)) \
        SELECT (SELECT count(*) FROM repeated) AS rows FROM (SELECT count(*) FROM told) AS t";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Array<SqlUuid>, _>(&self.0)
    }
}

/// Queues finished deliveries again and returns how many. Unfinished ones are left unchanged.
pub async fn repeat(connection: &mut AsyncPgConnection, deliveries: Vec<Uuid>) -> Result<usize> {
    let repeated: Counted = Prepared(RepeatDeliveries(deliveries)).get_result(connection).await?;
    Ok(usize::try_from(repeated.rows).unwrap_or(0))
}

/// Makes the next attempt of a delivery now. A pending delivery gets a new job with all its attempts. Returns `false` if
/// the delivery does not exist or waits for an earlier one.
pub async fn resend(connection: &mut AsyncPgConnection, id: Uuid, now: DateTime<Utc>) -> Result<bool> {
    let pending = webhook_deliveries::table
        .find(id)
        .filter(webhook_deliveries::status.ne(DeliveryStatus::Waiting.as_str()));
    let locked = diesel::update(pending)
        .set((
            webhook_deliveries::status.eq(DeliveryStatus::Dead.as_str()),
            webhook_deliveries::finished_at.eq(Some(now)),
        ))
        .execute(connection)
        .await?;
    if locked == 0 {
        return Ok(false);
    }
    supersede_job(connection, id).await?;
    Ok(repeat(connection, vec![id]).await? > 0)
}

/// Selects the deliveries to recover.
#[derive(Debug, Clone)]
pub struct RecoverFilter {
    pub endpoint_id: Uuid,
    /// Inclusive.
    pub since: DateTime<Utc>,
    /// Exclusive.
    pub until: Option<DateTime<Utc>>,
    pub limit: i64,
}

/// The deliveries that ended without success, oldest first.
pub async fn recoverable(connection: &mut AsyncPgConnection, filter: &RecoverFilter) -> Result<Vec<Uuid>> {
    let statuses = [DeliveryStatus::Dead.as_str(), DeliveryStatus::Skipped.as_str()];
    let mut query = webhook_deliveries::table
        .select(webhook_deliveries::id)
        .filter(webhook_deliveries::endpoint_id.eq(filter.endpoint_id))
        .filter(webhook_deliveries::status.eq_any(statuses))
        .filter(webhook_deliveries::created_at.ge(filter.since))
        .order(webhook_deliveries::id.asc())
        .limit(filter.limit)
        .into_boxed();
    if let Some(until) = filter.until {
        query = query.filter(webhook_deliveries::created_at.lt(until));
    }
    Ok(query.load(connection).await?)
}
