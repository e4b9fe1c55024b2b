//! Response types for deliveries.

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::deliveries::ListedDelivery;
use crate::deliveries::repeat::DeliveryDetails;
use crate::domain::delivery::{AttemptResult, DeliveryStatus};
use crate::domain::label::Label;
use crate::error::Result;
use crate::http::idempotency::Reply;

/// A delivery of an event to an endpoint, without the event.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookDeliveryView {
    /// The identifier.
    id: Uuid,
    /// The endpoint.
    endpoint_id: Uuid,
    /// The identifier of the event, which is sent as `webhook-id` at every attempt.
    webhook_id: Uuid,
    /// The type of the event.
    #[schema(example = "application.status_changed.v1")]
    event_type: String,
    /// The subject of the event.
    subject: Uuid,
    /// The status of the delivery.
    #[schema(value_type = crate::http::schemas::WebhookDeliveryStatus)]
    status: Label<DeliveryStatus>,
    /// Number of attempts.
    #[schema(example = 1)]
    attempts: i32,
    /// The result of the last attempt; `null` before the first one.
    #[schema(value_type = Option<crate::http::schemas::WebhookAttemptResult>)]
    last_result: Option<Label<AttemptResult>>,
    /// Time of creation.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    created_at: DateTime<Utc>,
    /// When the delivery ended; `null` if it has not.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    finished_at: Option<DateTime<Utc>>,
    /// When the next attempt is due; `null` if none is planned or one is in progress.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    next_attempt_at: Option<DateTime<Utc>>,
}

impl From<ListedDelivery> for WebhookDeliveryView {
    fn from(delivery: ListedDelivery) -> Self {
        Self {
            id: delivery.id,
            endpoint_id: delivery.endpoint_id,
            webhook_id: delivery.message_id,
            event_type: delivery.event_type,
            subject: delivery.subject,
            status: Label::read(&delivery.status),
            attempts: delivery.attempts,
            last_result: delivery.last_result.as_deref().map(Label::read),
            created_at: delivery.created_at,
            finished_at: delivery.finished_at,
            next_attempt_at: delivery.next_attempt_at,
        }
    }
}

/// A delivery with the event that it sends.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookDeliveryDetails {
    #[serde(flatten)]
    delivery: WebhookDeliveryView,
    /// The body of the request: a CloudEvents event. `null` if it has expired.
    #[schema(value_type = Option<Object>)]
    event: Option<Box<RawValue>>,
}

impl From<DeliveryDetails> for WebhookDeliveryDetails {
    fn from(details: DeliveryDetails) -> Self {
        let event = details.body.and_then(|body| RawValue::from_string(body).ok());
        Self { delivery: details.delivery.into(), event }
    }
}

/// The response with a delivery.
pub(super) fn details_reply(details: &DeliveryDetails) -> Result<Reply> {
    Reply::json(StatusCode::OK, &WebhookDeliveryDetails::from(details.clone()))
}
