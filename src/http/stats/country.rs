//! `GET /api/v1/stats/countries/{code}`

use super::view::CountryStatisticsView;
use crate::domain::application::Country;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::conditional::Conditions;
use crate::http::extract::CountryPath;
use crate::http::problem::HandlerResult;
use crate::lending::Visibility;

/// Returns the statistics of one country.
#[utoipa::path(
    get,
    path = "/api/v1/stats/countries/{code}",
    operation_id = "get_country_statistics",
    tag = "statistics",
    params(
        ("code" = crate::http::schemas::CountryCode, Path, description = "The country, as an ISO 3166-1 alpha-2 code; case is ignored"),
        ("If-None-Match" = Option<String>, Header, description = "ETag of the client's copy"),
    ),
    responses(
        (
            status = 200,
            description = "The statistics",
            body = CountryStatisticsView,
            headers(("ETag" = String, description = "Weak ETag of the statistics, excluding `as_of`")),
        ),
        (status = 304, description = "Not modified"),
        (status = 404, description = "Country not supported"),
    ),
)]
pub(in crate::http) async fn get(
    state: HttpState,
    principal: Principal,
    CountryPath(country): CountryPath,
    conditions: Conditions,
) -> HandlerResult {
    let view = load(&state, &principal.visibility(), country).await?;
    Ok(super::respond(&view, &conditions)?)
}

/// The statistics of a country for this visibility.
async fn load(state: &HttpState, visibility: &Visibility, country: Country) -> Result<CountryStatisticsView> {
    super::load_cached(state, visibility, Some(country), |figures| {
        CountryStatisticsView::of(country, figures)
    })
    .await
}
