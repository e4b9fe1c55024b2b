//! `GET /api/v1/admin/funding-pools` and `POST /api/v1/admin/funding-pools/{code}/deposits`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::application::Country;
use crate::domain::money::Money;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::extract::CountryPath;
use crate::http::idempotency::{self, Idempotency, Reply};
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::json::positive_money;
use crate::lending::Caller;
use crate::lending::disburse::PoolLevel;

/// The funds of a country.
#[derive(Debug, Serialize, ToSchema)]
pub struct FundingPoolView {
    #[schema(value_type = crate::http::schemas::CountryCode)]
    country: Country,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: &'static str,
    /// What can be reserved.
    #[schema(example = "1000000.00")]
    available: String,
    /// What disbursements in progress hold.
    #[schema(example = "15000.00")]
    reserved: String,
}

/// The funding pools.
#[derive(Debug, Serialize, ToSchema)]
pub struct FundingPools {
    pools: Vec<FundingPoolView>,
}

impl From<&[PoolLevel]> for FundingPools {
    fn from(levels: &[PoolLevel]) -> Self {
        let view = |level: &PoolLevel| FundingPoolView {
            country: level.country,
            currency: level.country.currency(),
            available: format!("{:.2}", level.available),
            reserved: format!("{:.2}", level.reserved),
        };
        Self { pools: levels.iter().map(view).collect() }
    }
}

request_body! {
    /// An amount to add to a pool.
    pub struct DepositRequest {
        /// In the currency of the country.
        #[schema(value_type = crate::http::schemas::PositiveAmount, example = "1000000.00")]
        amount: Money = required(positive_money),
    }
}

/// The funding pools of all countries.
#[utoipa::path(
    get,
    path = "/api/v1/admin/funding-pools",
    operation_id = "list_funding_pools",
    tag = "disbursements",
    responses((status = 200, description = "The pools", body = FundingPools)),
)]
pub(in crate::http) async fn list(state: HttpState) -> HandlerResult {
    let levels = state.lending.pool_levels().await?;
    Ok(HttpResponse::Ok().json(FundingPools::from(levels.as_slice())))
}

/// Records that the owner of a pool paid in an amount.
#[utoipa::path(
    post,
    path = "/api/v1/admin/funding-pools/{code}/deposits",
    operation_id = "deposit_funds",
    tag = "disbursements",
    params(("code" = String, Path, description = "ISO 3166-1 alpha-2 code of the country"), Idempotency),
    request_body(content = DepositRequest, example = json!({"amount": "1000000.00"})),
    responses(
        (status = 201, description = "The pools after the deposit", body = FundingPools),
        (status = 400, description = "The header Idempotency-Key is missing"),
        (status = 404, description = "Unknown country"),
        (status = 409, description = "A request with the same Idempotency-Key is in progress"),
    ),
)]
pub(in crate::http) async fn deposit(
    state: HttpState,
    caller: Caller,
    idempotency: Idempotency,
    CountryPath(country): CountryPath,
    body: JsonObject,
) -> HandlerResult {
    idempotency.require()?;
    let DepositRequest { amount } = DepositRequest::read(body.members()?)?;
    let keyed = idempotency.keyed(&state, &caller.account, body.as_bytes(), &reply);
    let made = state.lending.deposit(&caller, country, amount, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), made, reply)
}

fn reply(levels: &Vec<PoolLevel>) -> Result<Reply> {
    Reply::json(StatusCode::CREATED, &FundingPools::from(levels.as_slice()))
}
