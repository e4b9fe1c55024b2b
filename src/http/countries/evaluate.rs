//! `POST /api/v1/countries/{code}/evaluations`

use actix_web::HttpResponse;
use utoipa::ToSchema;

use crate::countries::case::parse_case;
use crate::http::HttpState;
use crate::http::applications::decision::DecisionView;
use crate::http::body::JsonObject;
use crate::http::extract::CountryPath;
use crate::http::problem::Answer;
use crate::http::schemas::{Amount, PositiveAmount};

/// A case to decide.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by countries::case; this is its schema")]
pub struct CaseRequest {
    /// How much is asked for.
    #[schema(value_type = PositiveAmount, example = "15000.00")]
    requested_amount: String,
    /// What the applicant declares to earn.
    #[schema(value_type = PositiveAmount, example = "3500.00")]
    monthly_income: String,
    /// Over how many instalments; 36 when absent.
    #[schema(minimum = 6, maximum = 84, example = 36)]
    term_months: Option<u16>,
    /// Whether another account is taken to have applied with the same document within the day before.
    #[schema(example = false)]
    applied_elsewhere: Option<bool>,
    /// What the bureau is taken to have said; what is absent it did not tell.
    banking_data: ReportRequest,
}

/// A bureau's report. Everything may be absent or `null`: it was not told then.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by countries::case; this is its schema")]
pub struct ReportRequest {
    /// The bureau's name.
    #[schema(example = "ASNEF-CIRBE")]
    provider_name: Option<String>,
    /// `active`, `inactive`, `suspended`, `closed`; anything else is `unknown`.
    #[schema(example = "active")]
    account_status: Option<String>,
    /// On the common scale.
    #[schema(minimum = 300, maximum = 850, example = 720)]
    credit_score: Option<u16>,
    /// Everything that is owed.
    #[schema(value_type = Option<Amount>, example = "12000.00")]
    total_debt: Option<String>,
    /// What is paid on debts each month.
    #[schema(value_type = Option<Amount>, example = "300.00")]
    monthly_obligations: Option<String>,
    /// Whether there are unpaid debts past due.
    #[schema(example = false)]
    has_defaults: Option<bool>,
    /// What came in each month on average.
    #[schema(value_type = Option<Amount>, example = "3450.00")]
    average_monthly_income: Option<String>,
    /// Whether the bureau has verified the person's record.
    verified: Option<bool>,
    /// Marks: `fallback` when the figures stand in for a report, `thin_file` when the bureau knows nobody.
    #[schema(value_type = Option<Object>)]
    additional_data: Option<serde_json::Value>,
}

/// What would be decided. Nothing is stored.
#[utoipa::path(
    post,
    path = "/api/v1/countries/{code}/evaluations",
    operation_id = "evaluate_case",
    tag = "countries",
    params(
        ("code" = crate::http::schemas::CountryCode, Path, description = "ISO 3166-1 alpha-2, in either case"),
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
        (status = 200, description = "The decision, explained", body = DecisionView),
        (status = 404, description = "Aval does not lend there"),
    ),
)]
pub(in crate::http) async fn evaluate(
    state: HttpState,
    CountryPath(country): CountryPath,
    body: JsonObject,
) -> Answer {
    let case = parse_case(body.as_bytes())?;
    let decision = state.countries.rules(country).evaluate(&case);
    Ok(HttpResponse::Ok().json(DecisionView::from(decision)))
}
