//! `GET /api/v1/stats`

use super::view::StatisticsView;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::conditional::Conditions;
use crate::http::problem::Answer;
use crate::lending::Visibility;

/// Totals, approval, risk and amounts, the last 30 days and 12 months.
///
/// Of the caller's own applications, or of everybody's for analysts and admins. An application counts from the moment it is
/// made. Totals are of what lists show: neither deleted nor archived. Days and months (UTC) tell what happened then, whatever
/// became of the applications.
#[utoipa::path(
    get,
    path = "/api/v1/stats",
    operation_id = "get_statistics",
    tag = "statistics",
    params(
        ("If-None-Match" = Option<String>, Header, description = "An ETag that the client has"),
    ),
    responses(
        (
            status = 200,
            description = "The figures",
            body = StatisticsView,
            headers(("ETag" = String, description = "Of the figures, without `as_of`; weak")),
        ),
        (status = 304, description = "The client has these figures"),
    ),
)]
pub(in crate::http) async fn get(state: HttpState, principal: Principal, conditions: Conditions) -> Answer {
    let view = load(&state, &principal.visibility()).await?;
    Ok(super::answer(&view, &conditions)?)
}

/// The figures that somebody may see.
async fn load(state: &HttpState, visibility: &Visibility) -> Result<StatisticsView> {
    super::kept(state, visibility, None, StatisticsView::of).await
}
