//! Creates the deliveries of an event: one for each endpoint that subscribes to it.

use diesel::prelude::*;
use diesel::sql_types::{Array, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::Counted;
use crate::domain::delivery::DeliveryStatus;
use crate::error::Result;
use crate::storage::statement::{Binder, FixedStatement, Prepared};

/// An event to deliver.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The identifier of the event.
    pub id: Uuid,
    pub event_type: String,
    pub subject: Uuid,
    /// The code of the event's country, if its data has one.
    pub country: Option<String>,
    /// The event as CloudEvents JSON, at most 20,000 bytes.
    pub body: String,
    pub request_id: Option<String>,
    pub traceparent: Option<String>,
}

struct FindSubscribers {
    subject: Uuid,
    country: Option<String>,
    /// The entries of `event_types` that contain the event's type.
    patterns: Vec<String>,
}

impl FixedStatement for FindSubscribers {
    const NAME: &'static str = "find_webhook_subscribers";
    /// Locks the unfinished deliveries about the subject, so that none of them ends before the new one is stored. The
    /// lock is taken in the order of the deliveries.
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::uuid AS subject, ?::text[] AS patterns, ?::text AS country), \
        subscriber AS MATERIALIZED (SELECT e.id, e.ordered, e.disabled_at IS NULL AS is_enabled \
            FROM webhook_endpoints e, input i WHERE e.event_types && i.patterns \
                AND (e.countries = '{}' OR i.country = ANY (e.countries))), \
        unfinished AS MATERIALIZED (SELECT u.id FROM subscriber s CROSS JOIN LATERAL (SELECT d.id FROM webhook_deliveries d \
                WHERE d.endpoint_id = s.id AND d.subject = (SELECT subject FROM input) \
                    AND d.status IN ('waiting', 'pending') OFFSET 0) AS u \
            WHERE s.ordered AND s.is_enabled), \
        earlier AS MATERIALIZED (SELECT d.endpoint_id FROM webhook_deliveries d \
            WHERE d.id = ANY (ARRAY(SELECT id FROM unfinished)) AND d.status IN ('waiting', 'pending') \
            ORDER BY d.id FOR UPDATE) \
        SELECT id, CASE WHEN NOT is_enabled THEN 'skipped' \
            WHEN id IN (SELECT endpoint_id FROM earlier) THEN 'waiting' ELSE 'pending' END AS status FROM subscriber";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<SqlUuid, _>(&self.subject)?;
        binder.bind::<Array<Text>, _>(&self.patterns)?;
        binder.bind::<Nullable<Text>, _>(&self.country)
    }
}

#[derive(QueryableByName)]
struct Subscriber {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    status: String,
}

struct InsertDeliveries {
    message: NewMessage,
    endpoints: Vec<Uuid>,
    statuses: Vec<String>,
}

impl FixedStatement for InsertDeliveries {
    const NAME: &'static str = "insert_webhook_deliveries";
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::uuid AS id, ?::text AS event_type, ?::uuid AS subject, ?::text AS body, \
            ?::text AS request_id, ?::text AS traceparent), \
        message AS (INSERT INTO webhook_messages (id, event_type, subject, body) \
            SELECT id, event_type, subject, body FROM input ON CONFLICT (id) DO NOTHING), \
        delivery AS (INSERT INTO webhook_deliveries \
                (endpoint_id, message_id, event_type, subject, status, request_id, traceparent, finished_at) \
            SELECT t.endpoint_id, i.id, i.event_type, i.subject, t.status, i.request_id, i.traceparent, \
                CASE WHEN t.status = 'skipped' THEN now() END \
            FROM unnest(?::uuid[], ?::text[]) AS t (endpoint_id, status) CROSS JOIN input i \
            ON CONFLICT (message_id, endpoint_id) DO NOTHING RETURNING id, status), \
        job AS (INSERT INTO pending_jobs (task_name, lane, job_args, request_id, traceparent) \
            SELECT 'deliver_webhook', 'deliveries', jsonb_build_object('delivery_id', d.id), i.request_id, i.traceparent \
            FROM delivery d CROSS JOIN input i WHERE d.status = 'pending' RETURNING id), \
        told AS (SELECT pg_notify('aval_jobs', '') WHERE EXISTS (SELECT FROM job)) \
        SELECT (SELECT count(*) FROM delivery) AS rows FROM (SELECT count(*) FROM told) AS t";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<SqlUuid, _>(&self.message.id)?;
        binder.bind::<Text, _>(&self.message.event_type)?;
        binder.bind::<SqlUuid, _>(&self.message.subject)?;
        binder.bind::<Text, _>(&self.message.body)?;
        binder.bind::<Nullable<Text>, _>(&self.message.request_id)?;
        binder.bind::<Nullable<Text>, _>(&self.message.traceparent)?;
        binder.bind::<Array<SqlUuid>, _>(&self.endpoints)?;
        binder.bind::<Array<Text>, _>(&self.statuses)
    }
}

/// Creates the deliveries of an event to all endpoints that subscribe to it, and returns their number. Deliveries to
/// disabled endpoints are skipped, and can be recovered later. Deliveries that exist are not created again.
pub async fn fan_out(connection: &mut AsyncPgConnection, message: &NewMessage) -> Result<usize> {
    let family = message.event_type.split('.').next().unwrap_or_default();
    let patterns = vec!["*".to_owned(), format!("{family}.*"), message.event_type.clone()];
    let find = FindSubscribers { subject: message.subject, country: message.country.clone(), patterns };
    let subscribers: Vec<Subscriber> = Prepared(find).load(connection).await?;
    if subscribers.is_empty() {
        return Ok(0);
    }
    let (endpoints, statuses) = subscribers.into_iter().map(|found| (found.id, found.status)).unzip();
    let insert = InsertDeliveries { message: message.clone(), endpoints, statuses };
    let inserted: Counted = Prepared(insert).get_result(connection).await?;
    Ok(usize::try_from(inserted.rows).unwrap_or(0))
}

/// Creates the delivery of a message to one endpoint, regardless of what it subscribes to.
pub async fn insert_for(
    connection: &mut AsyncPgConnection,
    message: &NewMessage,
    endpoint_id: Uuid,
) -> Result<()> {
    let (endpoints, statuses) = (vec![endpoint_id], vec![DeliveryStatus::Pending.as_str().to_owned()]);
    let insert = InsertDeliveries { message: message.clone(), endpoints, statuses };
    let _: Counted = Prepared(insert).get_result(connection).await?;
    Ok(())
}
