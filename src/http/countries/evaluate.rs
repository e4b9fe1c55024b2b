//! `POST /api/v1/countries/{code}/evaluations`

use actix_web::HttpResponse;

use super::case::CaseRequest;
use crate::domain::decision::Case;
use crate::http::HttpState;
use crate::http::applications::decision::DecisionView;
use crate::http::body::JsonObject;
use crate::http::extract::CountryPath;
use crate::http::problem::HandlerResult;

/// Evaluates a case without storing anything.
///
/// Returns the decision that an application with these values would get.
#[utoipa::path(
    post,
    path = "/api/v1/countries/{code}/evaluations",
    operation_id = "evaluate_case",
    tag = "countries",
    params(
        ("code" = crate::http::schemas::CountryCode, Path, description = "The country, as an ISO 3166-1 alpha-2 code; case is ignored"),
    ),
    request_body(
        content = CaseRequest,
        example = json!({
            "requested_amount": "15000.00",
            "monthly_income": "3500.00",
            "term_months": 36,
            "banking_data": {
                "account_status": "active",
                "credit_score": 720,
                "monthly_obligations": "300.00",
                "has_defaults": false,
            },
        }),
    ),
    responses(
        (status = 200, description = "The decision with its explanation", body = DecisionView),
        (status = 404, description = "Country not supported"),
    ),
)]
pub(in crate::http) async fn evaluate(
    state: HttpState,
    CountryPath(country): CountryPath,
    body: JsonObject,
) -> HandlerResult {
    let case: Case = CaseRequest::read(body.members()?)?.into();
    let decision = state.countries.rules(country).evaluate(&case);
    Ok(HttpResponse::Ok().json(DecisionView::from(decision)))
}
