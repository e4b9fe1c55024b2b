//! What operators see of webhook events: everything but the payload.

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

/// What a list is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct WebhookFilter {
    /// One status.
    pub status: Option<WebhookStatus>,
    /// One bureau, by its name.
    pub provider: Option<String>,
    /// One application.
    pub application_id: Option<ApplicationId>,
}

/// One event, without its payload.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = webhook_events, check_for_backend(diesel::pg::Pg))]
pub struct ListedEvent {
    /// The identifier.
    pub id: Uuid,
    /// The bureau.
    pub provider: String,
    /// The application's country.
    pub country: PgLabel<Country>,
    /// The application.
    pub application_id: Uuid,
    /// The bureau's reference.
    pub provider_reference: String,
    /// What the bureau made of the application.
    pub outcome: String,
    /// What became of the event.
    pub status: PgLabel<WebhookStatus>,
    /// How often it was tried.
    pub attempts: i32,
    /// The last failure's code.
    pub error_type: Option<String>,
    /// The last failure.
    pub error_message: Option<String>,
    /// The request that brought it.
    pub request_id: Option<String>,
    /// By the sender's clock.
    pub occurred_at: DateTime<Utc>,
    /// When it first came.
    pub received_at: DateTime<Utc>,
    /// When it was applied or ignored.
    pub settled_at: Option<DateTime<Utc>>,
    /// When the job that retries it is due, while it waits.
    #[diesel(select_expression = next_attempt_at(), select_expression_type = SqlLiteral<Nullable<Timestamptz>>)]
    pub next_attempt_at: Option<DateTime<Utc>>,
}

/// `CASE` hides the status from the planner, which would read all pending jobs by the index of the lanes.
fn next_attempt_at() -> SqlLiteral<Nullable<Timestamptz>> {
    sql("(SELECT CASE WHEN j.status = 'pending' THEN j.run_at END FROM pending_jobs j \
        WHERE j.task_name = 'retry_webhook_event' AND j.job_args ->> 'webhook_event_id' = webhook_events.id::text)")
}

/// A part of the list, newest first, after the event `after`.
///
/// # Errors
/// When the database fails.
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
