//! `GET /api/v1/webhook-endpoints/{id}`

use actix_web::HttpResponse;

use super::view::WebhookEndpointDetails;
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;

/// A webhook endpoint and its valid secrets, without the secrets themselves.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-endpoints/{id}",
    operation_id = "get_webhook_endpoint",
    tag = "webhook endpoints",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the webhook endpoint")),
    responses(
        (status = 200, description = "The webhook endpoint", body = WebhookEndpointDetails),
        (status = 404, description = "Webhook endpoint not found"),
    ),
)]
pub(in crate::http) async fn get(state: HttpState, IdPath(id): IdPath) -> HandlerResult {
    let found = state.deliveries.endpoint(id).await?;
    Ok(HttpResponse::Ok().json(WebhookEndpointDetails::from(&found)))
}
