//! `POST /api/v1/applications/search`: a list whose filters may be personal, so that none stands in a URL.

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::country_data;
use super::filter::{Edge, after, bad_ranges, moment, order, risk_band, status};
use super::list::{ApplicationPage, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, Wanted, page};
use crate::countries::Countries;
use crate::countries::is_personal;
use crate::domain::account::Role;
use crate::domain::application::Country;
use crate::domain::members::{Fields, Problems, Refusal, country, money, string, whole_number};
use crate::domain::personal_data::IdentityDocument;
use crate::error::{Error, PublicMessage, Result};
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::problem::Answer;
use crate::lending::Caller;
use crate::lending::audit_views::{ViewAction, Viewed};
use crate::lending::list::{DocumentIndex, ListFilter, PageStart, Share};
use crate::storage::seal::KeyRing;

/// Most members that are looked for in one object.
const MAX_MEMBERS: usize = 8;
/// Most bytes of an object whose members are looked for, as JSON.
const MAX_MEMBERS_BYTES: usize = 2048;

/// What is looked for. Everything may be absent; what is there must all fit.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read member by member; this is its schema")]
pub struct SearchRequest {
    /// One document, exactly, as a person would write it; only together with a country. Its earlier name,
    /// `document`, is deprecated and still accepted.
    #[schema(max_length = 50, example = "12345678-Z")]
    identity_document: Option<String>,
    /// Members that `country_specific_data` must have, with these values: at most 8, none of them an array or an object.
    /// Personal ones cannot be looked for.
    #[schema(value_type = Option<Object>)]
    country_specific_data: Option<Value>,
    /// Members that the bureau's report must have, with these values: at most 8, none of them an array or an object. For
    /// analysts and admins.
    #[schema(value_type = Option<Object>)]
    banking_data: Option<Value>,
    /// One country, in either case.
    #[schema(value_type = Option<crate::http::schemas::CountryCode>)]
    country: Option<String>,
    /// One status.
    #[schema(value_type = Option<crate::http::schemas::ApplicationStatus>)]
    status: Option<String>,
    /// Made at or after this RFC 3339 time, or on or after this date (UTC).
    #[schema(example = "2026-01-01")]
    from: Option<String>,
    /// Made before this RFC 3339 time, or on or before this date (UTC).
    #[schema(example = "2026-01-31")]
    to: Option<String>,
    /// At least this much asked for.
    #[schema(value_type = Option<crate::http::schemas::Amount>, example = "1000.00")]
    min_amount: Option<String>,
    /// At most this much asked for.
    #[schema(value_type = Option<crate::http::schemas::Amount>, example = "20000.00")]
    max_amount: Option<String>,
    /// One band of the last decision's risk.
    #[schema(value_type = Option<crate::http::schemas::RiskBandName>)]
    risk_band: Option<String>,
    /// `-created_at` (newest first, the default) or `created_at`.
    #[schema(value_type = Option<crate::http::schemas::SortName>, example = "-created_at")]
    sort: Option<String>,
    /// Applications of a page; 20 when absent.
    #[schema(minimum = 1, maximum = 100, example = 20)]
    page_size: Option<i64>,
    /// The `next_cursor` of the page before, with the same filters and sort.
    cursor: Option<String>,
}

/// Applications that fit, newest first: an analyst or admin finds all, a user its own.
///
/// Archived applications are not searched: they are found by their identifiers alone.
#[utoipa::path(
    post,
    path = "/api/v1/applications/search",
    operation_id = "search_applications",
    tag = "applications",
    request_body(content = SearchRequest, example = json!({"country": "ES", "identity_document": "12345678Z"})),
    responses(
        (status = 200, description = "A part of what was found", body = ApplicationPage),
        (status = 403, description = "A user cannot look into the bureaus' reports"),
        (status = 503, description = "The search took too long, or too many are under way"),
    ),
)]
pub(in crate::http) async fn search(state: HttpState, caller: Caller, body: JsonObject) -> Answer {
    let wanted = read(&body, &state.countries, state.keys(), state.resources.clock.now())?;
    let filter = &wanted.request.filter;
    if filter.banking_data.is_some() && caller.role < Role::Analyst {
        let text = "Only analysts and admins may look into the bureaus' reports.";
        return Err(Error::Forbidden(PublicMessage::new(text)).into());
    }
    let found = page(&state, Share::Searches, &caller, &wanted).await?;
    state.lending.note_view(&caller, Viewed::List(ViewAction::Search, filter));
    Ok(HttpResponse::Ok().json(found))
}

/// Reads what is looked for. `now` is the moment that a document is checked as of.
fn read(body: &JsonObject, countries: &Countries, keys: &KeyRing, now: DateTime<Utc>) -> Result<Wanted> {
    let mut problems = Problems::default();
    let mut fields = Fields::new(body.members()?, "", &mut problems);
    let country = fields.optional("country", country);
    let name = fields.name_sent("identity_document", "document");
    let document = fields.optional(name, string);
    let filter = ListFilter {
        country,
        status: fields.optional("status", |raw| status(&string(raw)?)),
        from: fields.optional("from", |raw| moment(&string(raw)?, Edge::Start)),
        to: fields.optional("to", |raw| moment(&string(raw)?, Edge::End)),
        updated_since: None,
        min_amount: fields.optional("min_amount", money),
        max_amount: fields.optional("max_amount", money),
        risk_band: fields.optional("risk_band", |raw| risk_band(&string(raw)?)),
        document: document.and_then(|text| index(&mut fields, name, countries, keys, country, &text, now)),
        country_data: members(&mut fields, "country_specific_data", is_personal),
        banking_data: members(&mut fields, "banking_data", |_| false),
    };
    let order = fields.optional("sort", |raw| order(&string(raw)?)).unwrap_or_default();
    let page_size = fields.optional("page_size", page_size).unwrap_or(DEFAULT_PAGE_SIZE);
    let last = fields.optional("cursor", |raw| after(&string(raw)?, keys, order, &filter));
    for (name, detail) in bad_ranges(&filter) {
        fields.refuse(name, "bad_range", detail);
    }
    fields.refuse_the_rest();
    if !problems.0.is_empty() {
        return Err(Error::Validation(problems.0));
    }
    let start = last.unwrap_or(PageStart::Beginning);
    Ok(Wanted::new(filter, order, start, None, page_size))
}

/// The blind index of a document, which must be one of its country.
fn index(
    fields: &mut Fields<'_, '_>,
    name: &str,
    countries: &Countries,
    keys: &KeyRing,
    country: Option<Country>,
    text: &str,
    now: DateTime<Utc>,
) -> Option<DocumentIndex> {
    let Some(country) = country else {
        fields.refuse(name, "needs_country", "can only be looked for together with its country");
        return None;
    };
    let verdict = countries.rules(country).check_document(text, now);
    for reason in &verdict.reasons {
        fields.refuse(name, reason.as_str(), reason.detail());
    }
    let document = IdentityDocument::from_normalized(verdict.normalized?);
    Some(keys.document_index(country, &document))
}

/// Takes members that are looked for; a problem of one of them points to it. Sealed ones cannot be found.
fn members(
    fields: &mut Fields<'_, '_>,
    name: &str,
    is_sealed: impl Fn(&str) -> bool,
) -> Option<Map<String, Value>> {
    let members = fields.optional(name, searched_members)?;
    for (member, value) in &members {
        if is_sealed(member) {
            fields.refuse_within(name, member, "not_searchable", "is sealed");
        } else if value.is_object() || value.is_array() {
            let detail = "must be a text, a number, true, false or null";
            fields.refuse_within(name, member, "not_searchable", detail);
        }
    }
    Some(members)
}

/// Reads members that are looked for: few, and each a value that an index finds. Comparing arrays and objects with those of
/// every application that the index gives takes seconds of processor time.
fn searched_members(raw: &RawValue) -> Result<Map<String, Value>, Refusal> {
    if raw.get().len() > MAX_MEMBERS_BYTES {
        return Err(("too_large", format!("must be at most {MAX_MEMBERS_BYTES} bytes of JSON")));
    }
    let members = country_data::read(raw)?;
    if members.len() > MAX_MEMBERS {
        return Err(("too_many", format!("must have at most {MAX_MEMBERS} members")));
    }
    Ok(members)
}

fn page_size(raw: &RawValue) -> Result<i64, Refusal> {
    let refusal = || ("out_of_range", format!("must be a whole number from 1 to {MAX_PAGE_SIZE}"));
    whole_number(raw)?.filter(|size| (1..=MAX_PAGE_SIZE).contains(size)).ok_or_else(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::cursor::tests::keys;
    use actix_web::web::Bytes;
    use proptest::prelude::*;

    fn wanted(json: &str) -> Result<Wanted> {
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
    fn a_document_is_looked_for_however_it_is_written() {
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
    fn whatever_cannot_be_looked_for_is_refused_by_name() {
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
        fn no_search_makes_it_panic(name in "document|cursor|from|page_size|country_specific_data", text in any::<String>()) {
            let json = serde_json::json!({"country": "IT", name: text}).to_string();
            let _ = wanted(&json);
        }
    }
}
