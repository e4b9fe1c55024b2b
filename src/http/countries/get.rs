//! `GET /api/v1/countries/{code}`

use actix_web::HttpResponse;

use crate::countries::CountryDescription;
use crate::http::HttpState;
use crate::http::extract::CountryPath;
use crate::http::problem::HandlerResult;

/// Returns a country with its document, currency, limits and rules.
#[utoipa::path(
    get,
    path = "/api/v1/countries/{code}",
    operation_id = "get_country",
    tag = "countries",
    params(
        ("code" = crate::http::schemas::CountryCode, Path, description = "The country, as an ISO 3166-1 alpha-2 code; case is ignored"),
    ),
    responses(
        (status = 200, description = "The country", body = CountryDescription),
        (status = 404, description = "Country not supported"),
    ),
)]
pub(in crate::http) async fn get(state: HttpState, CountryPath(country): CountryPath) -> HandlerResult {
    Ok(HttpResponse::Ok().json(state.countries.rules(country).describe()))
}
