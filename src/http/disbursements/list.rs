//! `GET /api/v1/disbursements`

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::DisbursementView;
use crate::domain::application::Country;
use crate::domain::disbursement::workflow::State;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::keyset::{DEFAULT_PAGE_SIZE, Page, page_size};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, country, uuid};
use crate::json::Refusal;
use crate::lending::Caller;
use crate::lending::disburse::DisbursementFilter;
use crate::storage::seal::KeyRing;

request_query! {
    /// Filters and page of the list.
    pub struct DisbursementParameters {
        /// The state.
        #[param(value_type = Option<crate::http::schemas::DisbursementState>)]
        status: Option<State> = status,
        /// The country, as an ISO 3166-1 alpha-2 code; case is ignored.
        #[param(value_type = Option<crate::http::schemas::CountryCode>)]
        country: Option<Country> = country,
        /// The application.
        application_id: Option<Uuid> = uuid,
        /// Disbursements per page; the default is 20.
        #[param(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = page_size,
        /// `next_cursor` of the previous page, with the same filters.
        cursor: Option<String> = any_text,
    }
}

/// A page of disbursements.
#[derive(Debug, Serialize, ToSchema)]
pub struct DisbursementPage {
    /// Maximum number of disbursements per page.
    #[schema(example = 20)]
    page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
    disbursements: Vec<DisbursementView>,
}

/// Lists disbursements, newest first. Owners see those of their own applications.
#[utoipa::path(
    get,
    path = "/api/v1/disbursements",
    operation_id = "list_disbursements",
    tag = "disbursements",
    params(DisbursementParameters),
    responses(
        (status = 200, description = "A page of the list", body = DisbursementPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, caller: Caller, query: Query) -> HandlerResult {
    let keys = state.keys();
    let (filter, page) = read(&caller, query, keys)?;
    let mut found = state.lending.disbursements(&caller, &filter, page.before, page.limit()).await?;
    let next_cursor = page.cut(keys, &mut found, |disbursement| disbursement.id);
    let disbursements = found.iter().map(DisbursementView::from).collect();
    Ok(HttpResponse::Ok().json(DisbursementPage { page_size: page.size, next_cursor, disbursements }))
}

fn read(caller: &Caller, mut query: Query, keys: &KeyRing) -> Result<(DisbursementFilter, Page)> {
    let sent = DisbursementParameters::take(&mut query);
    let filter =
        DisbursementFilter { state: sent.status, country: sent.country, application_id: sent.application_id };
    let size = sent.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
    let list = format!("disbursements {:?} {filter:?}", caller.may_see);
    let page = Page::new(keys, &mut query, list, size, sent.cursor);
    query.finish()?;
    Ok((filter, page))
}

fn status(text: &str) -> Result<State, Refusal> {
    let names = || State::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
    text.parse().map_err(|_unknown| ("unknown_status", format!("must be one of {}", names())))
}
