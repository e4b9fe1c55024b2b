//! `GET /api/v1/admin/circuits/history`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::application::Country;
use crate::domain::label::Label;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::keyset::{DEFAULT_PAGE_SIZE, Page, page_size};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, country};
use crate::lending::circuits::{self, CircuitChange, WhatChanged};
use crate::providers::provider_for;
use crate::resilience::circuit_breaker::CircuitMode;
use crate::storage::seal::KeyRing;

request_query! {
    /// The country and the page of the list.
    pub struct CircuitHistoryParameters {
        /// The country, as an ISO 3166-1 alpha-2 code; case is ignored.
        #[param(value_type = Option<crate::http::schemas::CountryCode>)]
        country: Option<Country> = country,
        /// Entries per page; the default is 20.
        #[param(minimum = 1, maximum = 100, example = 20)]
        limit: Option<i64> = page_size,
        /// `next_cursor` of the previous page, with the same country.
        cursor: Option<String> = any_text,
    }
}

/// A change of a circuit breaker, or of an operator's override.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CircuitChangeView {
    /// The identifier.
    pub id: Uuid,
    /// Time of the change; for the breaker of an instance, according to its clock.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub time: DateTime<Utc>,
    /// The country.
    #[schema(value_type = crate::http::schemas::CountryCode)]
    pub country: Label<Country>,
    /// The country's bureau; `null` if the country is unknown to this version.
    #[schema(example = "ASNEF-CIRBE")]
    pub provider: Option<String>,
    /// `opened`, `half_opened`, `closed`: the breaker of one instance changed. `forced_open`, `forced_closed`,
    /// `automatic`: an operator set or ended the override on all instances.
    #[schema(value_type = crate::http::schemas::CircuitChangeKind, example = "opened")]
    pub kind: String,
    /// The instance whose breaker changed; `null` for an override.
    #[schema(example = "4711-019a5d2e7c1a7b3e9a540d7a3c1f5e21")]
    pub instance: Option<String>,
    /// Why the breaker changed, as in the events; `null` for an override.
    #[schema(example = "consecutive_failures")]
    pub cause: Option<String>,
    /// The operator; `null` for a breaker's own change.
    #[schema(example = "ana.garcia")]
    pub by: Option<String>,
    /// The operator's reason; `null` for a breaker's own change.
    #[schema(example = "The bureau has announced maintenance")]
    pub reason: Option<String>,
    /// When the override ends; `null` for other kinds than `forced_open` and `forced_closed`.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub expires_at: Option<DateTime<Utc>>,
}

impl From<CircuitChange> for CircuitChangeView {
    fn from(change: CircuitChange) -> Self {
        let country = Label::from(change.country);
        let view = Self {
            id: change.id,
            time: change.time,
            provider: country.known().map(|country| provider_for(country).name().to_owned()),
            country,
            kind: String::new(),
            instance: None,
            cause: None,
            by: None,
            reason: None,
            expires_at: None,
        };
        match change.what {
            WhatChanged::State { kind, provider, instance, cause } => {
                Self { provider: Some(provider), kind, instance: Some(instance), cause: Some(cause), ..view }
            }
            WhatChanged::Override { mode, by, reason, expires_at } => {
                let kind = if mode == CircuitMode::Auto.as_str() { "automatic".to_owned() } else { mode };
                Self { kind, by: Some(by), reason, expires_at, ..view }
            }
        }
    }
}

/// A page of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CircuitHistoryPage {
    /// The changes.
    pub items: Vec<CircuitChangeView>,
    /// Cursor of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
}

/// Lists changes of the circuit breakers of all instances, and of operators' overrides, newest first.
///
/// Changes of breakers are kept for `housekeeping.circuit_retention_days`, overrides forever. The end of an override that
/// expires is not listed; `expires_at` shows it.
#[utoipa::path(
    get,
    path = "/api/v1/admin/circuits/history",
    operation_id = "list_circuit_history",
    tag = "operations",
    params(CircuitHistoryParameters),
    responses(
        (status = 200, description = "A page of the history", body = CircuitHistoryPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> HandlerResult {
    let (country, page) = read(query, state.keys())?;
    let mut changes = circuits::history(&state.resources, country, page.before, page.limit()).await?;
    state
        .resources
        .record_unknown("circuits", changes.iter().filter_map(|change| change.country.0.unknown()));
    let next_cursor = page.cut(state.keys(), &mut changes, |change| change.id);
    let items = changes.into_iter().map(CircuitChangeView::from).collect();
    Ok(HttpResponse::Ok().json(CircuitHistoryPage { items, next_cursor }))
}

fn read(mut query: Query, keys: &KeyRing) -> Result<(Option<Country>, Page)> {
    let CircuitHistoryParameters { country, limit, cursor } = CircuitHistoryParameters::take(&mut query);
    let size = limit.unwrap_or(DEFAULT_PAGE_SIZE);
    let page = Page::new(keys, &mut query, format!("circuit history {country:?}"), size, cursor);
    query.finish()?;
    Ok((country, page))
}
