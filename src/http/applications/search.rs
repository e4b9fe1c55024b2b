//! `POST /api/v1/applications/search`: a list whose filters may be personal data, which must not appear in a URL.

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::country_data;
use super::filter::{after, check_amounts, order, risk_band, valid_document};
use super::list::{ApplicationPage, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, RequestedPage, page};
use crate::countries::Countries;
use crate::countries::is_personal;
use crate::domain::account::Role;
use crate::domain::application::Country;
use crate::domain::decision::RiskBand;
use crate::domain::money::Money;
use crate::domain::status::Status;
use crate::error::{Error, PublicMessage, Result};
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::problem::HandlerResult;
use crate::http::request::values::{check_period, country, period_end, period_start, status, text, whole};
use crate::http::request::{Refusals, request_body};
use crate::json::{money, pointer_step, string};
use crate::lending::Caller;
use crate::lending::audit_views::{ViewAction, Viewed};
use crate::lending::list::{BlindIndex, ListFilter, PageStart, Share, SortOrder};
use crate::storage::seal::KeyRing;

/// Maximum number of members to search for in one object.
const MAX_MEMBERS: usize = 8;
/// Maximum size of an object with search values, in bytes of JSON.
const MAX_MEMBERS_BYTES: usize = 2048;

request_body! {
    /// Search criteria. All are optional; an application must match all that are given.
    pub struct SearchRequest given(countries: &Countries, keys: &KeyRing, now: DateTime<Utc>) {
        /// The exact identity document; separators are ignored. Requires the country. The former name `document` is
        /// deprecated but still accepted.
        #[schema(value_type = Option<String>, max_length = 50, example = "12345678-Z")]
        identity_document: Option<BlindIndex> = optional_or_deprecated("document", string) then(|text| index(&text, countries, keys, country, now)),
        /// Members that `country_specific_data` must have, with these values: at most 8, none of them an array or an
        /// object. Personal members cannot be searched.
        #[schema(value_type = Option<Object>)]
        country_specific_data: Option<Map<String, Value>> = optional(|raw| members(raw, is_personal)),
        /// Members that the bureau's report must have, with these values: at most 8, none of them an array or an
        /// object. Only for analysts and admins.
        #[schema(value_type = Option<Object>)]
        banking_data: Option<Map<String, Value>> = optional(|raw| members(raw, |_| false)),
        /// The country, as an ISO 3166-1 alpha-2 code; case is ignored.
        #[schema(value_type = Option<crate::http::schemas::CountryCode>)]
        country: Option<Country> = optional(text(country)),
        /// The status.
        #[schema(value_type = Option<crate::http::schemas::ApplicationStatus>)]
        status: Option<Status> = optional(text(status)),
        /// Created at or after this RFC 3339 time, or on or after this date (UTC).
        #[schema(value_type = Option<String>, example = "2026-01-01")]
        from: Option<DateTime<Utc>> = optional(text(period_start)),
        /// Created before this RFC 3339 time, or on or before this date (UTC).
        #[schema(value_type = Option<String>, example = "2026-01-31")]
        to: Option<DateTime<Utc>> = optional(text(period_end)) then(|to| check_period(from, Some(to)).map(|()| to)),
        /// The minimum requested amount.
        #[schema(value_type = Option<crate::http::schemas::Amount>, example = "1000.00")]
        min_amount: Option<Money> = optional(money),
        /// The maximum requested amount.
        #[schema(value_type = Option<crate::http::schemas::Amount>, example = "20000.00")]
        max_amount: Option<Money> = optional(money) then(|max| check_amounts(min_amount, Some(max)).map(|()| max)),
        /// The risk band of the latest decision.
        #[schema(value_type = Option<crate::http::schemas::RiskBandName>)]
        risk_band: Option<RiskBand> = optional(text(risk_band)),
        /// `-created_at` (newest first, the default) or `created_at`.
        #[schema(value_type = Option<crate::http::schemas::SortName>, example = "-created_at")]
        sort: Option<SortOrder> = optional(text(order)),
        /// Applications per page; the default is 20.
        #[schema(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = optional(whole(1..=MAX_PAGE_SIZE)),
        /// `next_cursor` of the previous page, with the same filters and sort.
        cursor: Option<String> = optional(string),
    }
}

/// Searches applications, newest first.
///
/// Analysts and admins search all applications, users their own. Archived applications are not searched and can only
/// be read by identifier.
#[utoipa::path(
    post,
    path = "/api/v1/applications/search",
    operation_id = "search_applications",
    tag = "applications",
    request_body(content = SearchRequest, example = json!({"country": "ES", "identity_document": "12345678Z"})),
    responses(
        (status = 200, description = "A page of the results", body = ApplicationPage),
        (status = 403, description = "Users cannot search bureau reports"),
        (status = 503, description = "The search took too long, or too many searches are in progress"),
    ),
)]
pub(in crate::http) async fn search(state: HttpState, caller: Caller, body: JsonObject) -> HandlerResult {
    let wanted = read(&body, &state.countries, state.keys(), state.resources.clock.now())?;
    let filter = &wanted.request.filter;
    if filter.banking_data.is_some() && caller.role < Role::Analyst {
        let text = "Only analysts and admins can search bureau reports.";
        return Err(Error::Forbidden(PublicMessage::new(text)).into());
    }
    let found = page(&state, Share::Searches, &caller, &wanted).await?;
    state.lending.record_view(&caller, Viewed::List(ViewAction::Search, filter));
    Ok(HttpResponse::Ok().json(found))
}

/// Reads search criteria. `now` is the time for which a document is checked.
fn read(
    body: &JsonObject,
    countries: &Countries,
    keys: &KeyRing,
    now: DateTime<Utc>,
) -> Result<RequestedPage> {
    let request = SearchRequest::read(body.members()?, countries, keys, now)?;
    let order = request.sort.unwrap_or_default();
    let filter = ListFilter {
        country: request.country,
        status: request.status,
        from: request.from,
        to: request.to,
        updated_since: None,
        min_amount: request.min_amount,
        max_amount: request.max_amount,
        risk_band: request.risk_band,
        document: request.identity_document,
        country_data: request.country_specific_data,
        banking_data: request.banking_data,
    };
    // A cursor can only be checked once its list is known.
    let start = request.cursor.map(|text| after(&text, keys, order, &filter)).transpose();
    let start = start.map_err(|(code, detail)| Error::field("/cursor", code, detail))?;
    let page_size = request.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
    Ok(RequestedPage::new(filter, order, start.unwrap_or(PageStart::Beginning), None, page_size))
}

/// The blind index of a document, which must be valid in its country.
fn index(
    text: &str,
    countries: &Countries,
    keys: &KeyRing,
    country: Option<Country>,
    now: DateTime<Utc>,
) -> Result<BlindIndex, Refusals> {
    let refusal = || ("needs_country", "requires country".to_owned());
    let country = country.ok_or_else(refusal)?;
    let document = valid_document(&countries.rules(country).check_document(text, now))?;
    Ok(keys.document_index(country, &document))
}

/// Reads the members to search for. Their number is limited, and arrays and objects are refused, because comparing them
/// with the values of every candidate application would take seconds of processor time. Encrypted members cannot be
/// searched.
fn members(raw: &RawValue, is_sealed: impl Fn(&str) -> bool) -> Result<Map<String, Value>, Refusals> {
    if raw.get().len() > MAX_MEMBERS_BYTES {
        return Err(("too_large", format!("must be at most {MAX_MEMBERS_BYTES} bytes of JSON")).into());
    }
    let members = country_data::read(raw)?;
    if members.len() > MAX_MEMBERS {
        return Err(("too_many", format!("must have at most {MAX_MEMBERS} members")).into());
    }
    let mut refusals = Refusals::default();
    for (name, value) in &members {
        let problem = match value {
            _ if is_sealed(name) => "is encrypted and cannot be searched",
            Value::Object(_) | Value::Array(_) => "must be a string, a number, true, false or null",
            _ => continue,
        };
        refusals.add(pointer_step(name), ("not_searchable", problem.to_owned()));
    }
    refusals.into_result(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::cursor::tests::keys;
    use actix_web::web::Bytes;
    use proptest::prelude::*;

    fn wanted(json: &str) -> Result<RequestedPage> {
        let body = JsonObject::check(Bytes::copy_from_slice(json.as_bytes()))?;
        read(&body, &Countries::built_in().unwrap(), &keys(1), DateTime::UNIX_EPOCH)
    }

    fn refused(json: &str) -> Vec<(String, &'static str)> {
        match wanted(json) {
            Err(Error::Validation(fields)) => fields.into_iter().map(|f| (f.pointer, f.code)).collect(),
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn a_document_is_found_regardless_of_its_notation() {
        let plain =
            wanted(r#"{"country": "ES", "identity_document": "12345678Z"}"#).unwrap().request.filter.document;
        let written =
            wanted(r#"{"country": "es", "document": " 12.345.678-z "}"#).unwrap().request.filter.document;
        assert!(plain.is_some());
        assert_eq!(plain, written);
        let other =
            wanted(r#"{"country": "CO", "identity_document": "12345678"}"#).unwrap().request.filter.document;
        assert_ne!(plain, other);
    }

    #[test]
    fn values_that_cannot_be_searched_are_refused_by_name() {
        for (json, pointer, code) in [
            (r#"{"document": "12345678Z"}"#, "/document", "needs_country"),
            (r#"{"identity_document": "12345678Z"}"#, "/identity_document", "needs_country"),
            (
                r#"{"country": "ES", "document": "12345678Z", "identity_document": "12345678Z"}"#,
                "/document",
                "unknown_field",
            ),
            (r#"{"country": "ES", "document": "12345678A"}"#, "/document", "bad_check_digit"),
            (r#"{"country": "FR"}"#, "/country", "unknown_country"),
            (r#"{"status": "approved"}"#, "/status", "unknown_status"),
            (r#"{"from": "yesterday"}"#, "/from", "bad_time"),
            (r#"{"from": "2026-01-02", "to": "2026-01-01T00:00:00Z"}"#, "/to", "bad_range"),
            (r#"{"min_amount": 2, "max_amount": "1"}"#, "/max_amount", "bad_range"),
            (r#"{"page_size": 101}"#, "/page_size", "out_of_range"),
            (r#"{"cursor": "AAAA"}"#, "/cursor", "bad_cursor"),
            (r#"{"country_specific_data": []}"#, "/country_specific_data", "bad_type"),
            (
                r#"{"country_specific_data": {"birth_date": "2000-01-01"}}"#,
                "/country_specific_data/birth_date",
                "not_searchable",
            ),
            (
                r#"{"country_specific_data": {"employer": {"name": "x"}}}"#,
                "/country_specific_data/employer",
                "not_searchable",
            ),
            (r#"{"country_specific_data": {"tags": []}}"#, "/country_specific_data/tags", "not_searchable"),
            (r#"{"banking_data": {"a": 1, "b": [1]}}"#, "/banking_data/b", "not_searchable"),
            (
                r#"{"banking_data": {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1, "h": 1, "i": 1}}"#,
                "/banking_data",
                "too_many",
            ),
            (
                &format!(r#"{{"country_specific_data": {{"a": "{}"}}}}"#, "x".repeat(MAX_MEMBERS_BYTES)),
                "/country_specific_data",
                "too_large",
            ),
            (r#"{"full_name": "Ana"}"#, "/full_name", "unknown_field"),
        ] {
            assert_eq!(refused(json), [(pointer.to_owned(), code)], "{json}");
        }
    }

    proptest! {
        #[test]
        fn no_search_causes_a_panic(name in "document|cursor|from|page_size|country_specific_data", text in any::<String>()) {
            let json = serde_json::json!({"country": "IT", name: text}).to_string();
            let _ = wanted(&json);
        }
    }
}
