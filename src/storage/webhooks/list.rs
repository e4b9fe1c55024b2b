//! The list of webhook events for operators, without their payloads.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::domain::application::Country;
use crate::domain::ids::ApplicationId;
use crate::error::Result;
use crate::storage::schema::webhook_events;
use crate::storage::types::{PgLabel, PgWebhookStatus, WebhookStatus};

/// Selects the events of a list. A field that is `None` matches every event.
#[derive(Debug, Clone, Default)]
pub struct WebhookFilter {
    pub status: Option<WebhookStatus>,
    /// The bureau's name.
    pub provider: Option<String>,
    pub application_id: Option<ApplicationId>,
}

/// A webhook event without its payload.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = webhook_events, check_for_backend(diesel::pg::Pg))]
pub struct ListedEvent {
    pub id: Uuid,
    pub provider: String,
    pub country: PgLabel<Country>,
    pub application_id: Uuid,
    pub provider_reference: String,
    /// The outcome that the bureau reported.
    pub outcome: String,
    pub status: PgLabel<WebhookStatus>,
    /// The number of attempts to apply the message.
    pub attempts: i32,
    /// The code of the last error.
    pub error_type: Option<String>,
    /// The text of the last error.
    pub error_message: Option<String>,
    /// The ID of the request that delivered the message.
    pub request_id: Option<String>,
    /// The time of the event, according to the sender's clock.
    pub occurred_at: DateTime<Utc>,
    /// When the message was first received.
    pub received_at: DateTime<Utc>,
    /// When the message was applied or ignored.
    pub settled_at: Option<DateTime<Utc>>,
    /// When the waiting retry job is due.
    #[diesel(select_expression = next_attempt_at(), select_expression_type = SqlLiteral<Nullable<Timestamptz>>)]
    pub next_attempt_at: Option<DateTime<Utc>>,
}

/// The `CASE` hides the status from the planner, which would otherwise read all pending jobs through the lane index.
fn next_attempt_at() -> SqlLiteral<Nullable<Timestamptz>> {
    sql("(SELECT CASE WHEN j.status = 'pending' THEN j.run_at END FROM pending_jobs j \
        WHERE j.task_name = 'retry_webhook_event' AND j.job_args ->> 'webhook_event_id' = webhook_events.id::text)")
}

/// One page of the list, newest first, starting after the event `after`.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    filter: &WebhookFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ListedEvent>> {
    let mut query = webhook_events::table
        .select(ListedEvent::as_select())
        .order(webhook_events::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(status) = filter.status {
        query = query.filter(webhook_events::status.eq(PgWebhookStatus(status)));
    }
    if let Some(provider) = &filter.provider {
        query = query.filter(webhook_events::provider.eq(provider));
    }
    if let Some(id) = filter.application_id {
        query = query.filter(webhook_events::application_id.eq(id.as_uuid()));
    }
    if let Some(after) = after {
        query = query.filter(webhook_events::id.lt(after));
    }
    Ok(query.load(connection).await?)
}
