//! `POST /api/v1/webhook-endpoints/{id}/test`

use actix_web::http::StatusCode;

use crate::accounts::ChangeOrigin;
use crate::deliveries::ListedDelivery;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::extract::{IdPath, RequestContext};
use crate::http::idempotency::{self, Idempotency, Reply};
use crate::http::problem::HandlerResult;
use crate::http::webhook_deliveries::view::WebhookDeliveryView;

/// Sends a test message of the type `webhook.test.v1` to a webhook endpoint.
///
/// The message is sent like an event: it is signed, retried and listed. The response is the delivery before its first
/// attempt.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-endpoints/{id}/test",
    operation_id = "test_webhook_endpoint",
    tag = "webhook endpoints",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the webhook endpoint"), Idempotency),
    responses(
        (status = 202, description = "The delivery of the test message", body = WebhookDeliveryView),
        (status = 404, description = "Webhook endpoint not found"),
        (status = 409, description = "The endpoint is disabled, or a request with the same Idempotency-Key is in progress"),
    ),
)]
pub(in crate::http) async fn test(
    state: HttpState,
    principal: Principal,
    origin: ChangeOrigin,
    context: RequestContext,
    idempotency: Idempotency,
    IdPath(id): IdPath,
) -> HandlerResult {
    let keyed = idempotency.keyed(&state, &principal.account, &[], &reply);
    let request_id = context.request_id.as_str();
    let made = state.deliveries.send_test(id, &origin, request_id, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), made, reply)
}

fn reply(made: &ListedDelivery) -> Result<Reply> {
    Reply::json(StatusCode::ACCEPTED, &WebhookDeliveryView::from(made.clone()))
}
