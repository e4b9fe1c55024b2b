//! `POST /api/v1/webhook-endpoints/{id}/rotate-secret`

use actix_web::http::StatusCode;

use super::fields::algorithm;
use super::view::{WebhookEndpointSecret, secret_reply};
use crate::accounts::ChangeOrigin;
use crate::deliveries::endpoints::EndpointWithSecrets;
use crate::domain::delivery::Algorithm;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::extract::IdPath;
use crate::http::idempotency::{self, Idempotency, Reply};
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::text;

request_body! {
    /// A rotation of an endpoint's secret.
    pub struct RotateWebhookSecretRequest {
        /// The version of the signatures that the new secret makes; the default is that of the current secret.
        #[schema(value_type = Option<crate::http::schemas::WebhookAlgorithm>)]
        algorithm: Option<Algorithm> = optional(text(algorithm)),
    }
}

/// Gives a webhook endpoint a new secret.
///
/// The previous secret stays valid for `webhook_delivery.secret_overlap_hours` (24 hours by default). Meanwhile, every
/// delivery is signed with both.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-endpoints/{id}/rotate-secret",
    operation_id = "rotate_webhook_secret",
    tag = "webhook endpoints",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the webhook endpoint"), Idempotency),
    request_body(content = RotateWebhookSecretRequest, example = json!({})),
    responses(
        (status = 200, description = "The endpoint with its new secret; store it", body = WebhookEndpointSecret,
            headers(("Cache-Control" = String, description = "`no-store`"))),
        (status = 404, description = "Webhook endpoint not found"),
        (status = 409, description = "A request with the same Idempotency-Key is in progress"),
    ),
)]
pub(in crate::http) async fn rotate(
    state: HttpState,
    principal: Principal,
    origin: ChangeOrigin,
    idempotency: Idempotency,
    IdPath(id): IdPath,
    body: JsonObject,
) -> HandlerResult {
    let keyed = idempotency.keyed(&state, &principal.account, body.as_bytes(), &reply);
    let RotateWebhookSecretRequest { algorithm } = RotateWebhookSecretRequest::read(body.members()?)?;
    let made = state.deliveries.rotate_secret(id, algorithm, &origin, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), made, reply)
}

fn reply(made: &EndpointWithSecrets) -> Result<Reply> {
    secret_reply(StatusCode::OK, made)
}
