//! `GET /metrics`: the Prometheus text format.

use actix_web::HttpResponse;

use super::HttpState;
use super::problem::HandlerResult;

/// Returns the metrics of this instance.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "get_metrics",
    tag = "operations",
    responses(
        (
            status = 200,
            description = "Prometheus text format, version 0.0.4",
            body = String,
            content_type = "text/plain",
        ),
    ),
)]
pub(super) async fn metrics(state: HttpState) -> HandlerResult {
    let (metrics, pool) = (&state.resources.metrics, state.resources.database.state());
    metrics.db_connections_active.set(i64::from(pool.active));
    metrics.db_connections_idle.set(i64::from(pool.idle));
    metrics.db_connections_max.set(i64::from(state.resources.settings.database.pool_size));
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(metrics.render()?))
}
