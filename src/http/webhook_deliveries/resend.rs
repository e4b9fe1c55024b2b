//! `POST /api/v1/webhook-deliveries/{id}/resend`

use super::view::{WebhookDeliveryDetails, details_reply};
use crate::accounts::ChangeOrigin;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::extract::IdPath;
use crate::http::idempotency::{self, Idempotency};
use crate::http::problem::HandlerResult;

/// Sends a delivery again, with the same `webhook-id` and all its attempts.
///
/// A pending delivery is attempted immediately. A delivered one is sent once more.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-deliveries/{id}/resend",
    operation_id = "resend_webhook",
    tag = "webhook endpoints",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the delivery"), Idempotency),
    responses(
        (status = 200, description = "The delivery, which is now `pending`", body = WebhookDeliveryDetails),
        (status = 404, description = "Delivery not found, or its endpoint was deleted"),
        (status = 409, description = "The endpoint is disabled, the delivery waits for an earlier one, or a request with \
            the same Idempotency-Key is in progress"),
    ),
)]
pub(in crate::http) async fn resend(
    state: HttpState,
    principal: Principal,
    origin: ChangeOrigin,
    idempotency: Idempotency,
    IdPath(id): IdPath,
) -> HandlerResult {
    let keyed = idempotency.keyed(&state, &principal.account, &[], &details_reply);
    let made = state.deliveries.resend(id, &origin, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), made, details_reply)
}
