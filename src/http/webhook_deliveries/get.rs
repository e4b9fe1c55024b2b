//! `GET /api/v1/webhook-deliveries/{id}`

use actix_web::HttpResponse;

use super::view::WebhookDeliveryDetails;
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;

/// A delivery with the event that it sends.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-deliveries/{id}",
    operation_id = "get_webhook_delivery",
    tag = "webhook endpoints",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the delivery")),
    responses(
        (status = 200, description = "The delivery", body = WebhookDeliveryDetails),
        (status = 404, description = "Delivery not found"),
    ),
)]
pub(in crate::http) async fn get(state: HttpState, IdPath(id): IdPath) -> HandlerResult {
    Ok(HttpResponse::Ok().json(WebhookDeliveryDetails::from(state.deliveries.delivery(id).await?)))
}
