//! `GET /api/v1/countries`

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::countries::CountryDescription;
use crate::domain::application::Country;
use crate::http::HttpState;
use crate::http::problem::HandlerResult;

/// All supported countries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CountryList {
    /// The countries, in the order of the specification.
    pub countries: Vec<CountryDescription>,
}

/// Lists the countries with their documents, currencies, limits and rules.
#[utoipa::path(
    get,
    path = "/api/v1/countries",
    operation_id = "list_countries",
    tag = "countries",
    responses(
        (status = 200, description = "All supported countries", body = CountryList),
    ),
)]
pub(in crate::http) async fn list(state: HttpState) -> HandlerResult {
    let describe = |country| state.countries.rules(country).describe();
    Ok(HttpResponse::Ok().json(CountryList { countries: Country::ALL.into_iter().map(describe).collect() }))
}
