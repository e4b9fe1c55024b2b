//! `GET /api/v1/countries`

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::countries::CountryDescription;
use crate::domain::application::Country;
use crate::http::HttpState;
use crate::http::problem::Answer;

/// Every country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CountryList {
    /// In the order of the specification.
    pub countries: Vec<CountryDescription>,
}

/// Every country with its document, currency, limits and rules.
#[utoipa::path(
    get,
    path = "/api/v1/countries",
    operation_id = "list_countries",
    tag = "countries",
    responses(
        (status = 200, description = "Every country", body = CountryList),
    ),
)]
pub(in crate::http) async fn list(state: HttpState) -> Answer {
    let describe = |country| state.countries.rules(country).describe();
    Ok(HttpResponse::Ok().json(CountryList { countries: Country::ALL.into_iter().map(describe).collect() }))
}
