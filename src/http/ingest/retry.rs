//! `POST /api/v1/ingest/dead-letters/{id}/retry` and `/discard`

use actix_web::HttpResponse;

use super::receive::IngestReceiptView;
use crate::http::HttpState;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;

/// Checks a refused event again and stores it.
///
/// This helps if the event was refused because of its time and a wrong clock. If it is still not valid, it is kept.
#[utoipa::path(
    post,
    path = "/api/v1/ingest/dead-letters/{id}/retry",
    operation_id = "retry_ingest_dead_letter",
    tag = "ingest",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the dead letter")),
    responses(
        (status = 200, description = "The event was stored or is already stored", body = IngestReceiptView),
        (status = 404, description = "Dead letter not found"),
        (status = 422, description = "The event is still not valid"),
    ),
)]
pub(in crate::http) async fn retry(state: HttpState, IdPath(id): IdPath) -> HandlerResult {
    let receipt = state.ingest.retry_dead_letter(id).await?;
    Ok(HttpResponse::Ok().json(IngestReceiptView::from(&receipt)))
}

/// Deletes a refused event.
#[utoipa::path(
    post,
    path = "/api/v1/ingest/dead-letters/{id}/discard",
    operation_id = "discard_ingest_dead_letter",
    tag = "ingest",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the dead letter")),
    responses(
        (status = 204, description = "The dead letter was deleted"),
        (status = 404, description = "Dead letter not found"),
    ),
)]
pub(in crate::http) async fn discard(state: HttpState, IdPath(id): IdPath) -> HandlerResult {
    state.ingest.discard_dead_letter(id).await?;
    Ok(HttpResponse::NoContent().finish())
}
