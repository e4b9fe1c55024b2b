//! `POST /api/v1/reviews/next`

use actix_web::HttpResponse;

use super::view::ReviewView;
use crate::domain::application::Country;
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::{country, text};
use crate::lending::Caller;

request_body! {
    /// Which application to take.
    pub struct NextReviewRequest {
        /// The country, as an ISO 3166-1 alpha-2 code; case is ignored. By default, any country.
        #[schema(value_type = Option<crate::http::schemas::CountryCode>)]
        country: Option<Country> = optional(text(country)),
    }
}

/// Assigns to the caller the application under review that has waited longest.
///
/// Applications that are already assigned are skipped. Concurrent requests get different applications.
#[utoipa::path(
    post,
    path = "/api/v1/reviews/next",
    operation_id = "take_next_review",
    tag = "reviews",
    request_body(content = NextReviewRequest, example = json!({"country": "ES"})),
    responses(
        (status = 200, description = "The application, now assigned to the caller", body = ReviewView),
        (status = 204, description = "No application waits for an assignment"),
    ),
)]
pub(in crate::http) async fn next(state: HttpState, caller: Caller, body: JsonObject) -> HandlerResult {
    let NextReviewRequest { country } = NextReviewRequest::read(body.members()?)?;
    Ok(match state.lending.next_review(&caller, country).await? {
        Some(review) => HttpResponse::Ok().json(ReviewView::from(review)),
        None => HttpResponse::NoContent().finish(),
    })
}
