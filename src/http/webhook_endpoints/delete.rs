//! `DELETE /api/v1/webhook-endpoints/{id}`

use actix_web::HttpResponse;

use crate::accounts::ChangeOrigin;
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;

/// Deletes a webhook endpoint with its secrets. Unfinished deliveries are not sent.
#[utoipa::path(
    delete,
    path = "/api/v1/webhook-endpoints/{id}",
    operation_id = "delete_webhook_endpoint",
    tag = "webhook endpoints",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the webhook endpoint")),
    responses(
        (status = 204, description = "Webhook endpoint deleted"),
        (status = 404, description = "Webhook endpoint not found"),
    ),
)]
pub(in crate::http) async fn delete(
    state: HttpState,
    origin: ChangeOrigin,
    IdPath(id): IdPath,
) -> HandlerResult {
    state.deliveries.delete_endpoint(id, &origin).await?;
    Ok(HttpResponse::NoContent().finish())
}
