//! `GET /api/v1/stats`

use super::view::StatisticsView;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::conditional::Conditions;
use crate::http::problem::HandlerResult;
use crate::lending::Visibility;

/// Returns totals, approval rates, risk and amounts, with the last 30 days and 12 months.
///
/// Analysts and admins see all applications, other callers only their own. An application counts from its creation.
/// Totals cover the applications that lists show, which are neither deleted nor archived. Days and months (UTC) cover
/// everything that happened in them, including applications that were later deleted or archived.
#[utoipa::path(
    get,
    path = "/api/v1/stats",
    operation_id = "get_statistics",
    tag = "statistics",
    params(
        ("If-None-Match" = Option<String>, Header, description = "ETag of the client's copy"),
    ),
    responses(
        (
            status = 200,
            description = "The statistics",
            body = StatisticsView,
            headers(("ETag" = String, description = "Weak ETag of the statistics, excluding `as_of`")),
        ),
        (status = 304, description = "Not modified"),
    ),
)]
pub(in crate::http) async fn get(
    state: HttpState,
    principal: Principal,
    conditions: Conditions,
) -> HandlerResult {
    let view = load(&state, &principal.visibility()).await?;
    Ok(super::respond(&view, &conditions)?)
}

/// The statistics for this visibility.
async fn load(state: &HttpState, visibility: &Visibility) -> Result<StatisticsView> {
    super::load_cached(state, visibility, None, StatisticsView::of).await
}
