//! The filters of a saved view, checked by the parsers of the list that they belong to.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::accounts::ViewPage;
use crate::error::Error;
use crate::http::applications::filter::take_filter;
use crate::http::query::Query;
use crate::http::request::Refusals;
use crate::http::request::values::country;
use crate::http::reviews::assignment_of::assignment;
use crate::json::{object, pointer_step, string};

/// Reads the filters of a page. Empty values are omitted, because lists ignore them.
pub(super) fn filters(raw: &RawValue, page: Option<ViewPage>) -> Result<BTreeMap<String, String>, Refusals> {
    let (mut parameters, mut refusals) = (Vec::new(), Refusals::default());
    for (name, raw) in object(raw)?.iter() {
        match string(raw) {
            Ok(value) => parameters.push((name.to_owned(), value)),
            Err(refusal) => refusals.add(pointer_step(name), refusal),
        }
    }
    let saved = parameters.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
    let query = Query::of(parameters);
    match page {
        Some(ViewPage::Applications) => check(query, &mut refusals, |query| {
            let _checked = take_filter(query);
        }),
        Some(ViewPage::Reviews) => check(query, &mut refusals, |query| {
            let _checked = (query.take("country", country), query.take("assignment", assignment));
        }),
        // The page was refused, so the list that the filters belong to is unknown.
        None => {}
    }
    refusals.into_result(saved)
}

/// Takes the filters that a list accepts, and reports invalid and other ones as members of the object.
fn check(mut query: Query, refusals: &mut Refusals, take: impl FnOnce(&mut Query)) {
    take(&mut query);
    let Err(Error::Validation(fields)) = query.finish() else { return };
    for field in fields {
        let name = field.pointer.strip_prefix('?').unwrap_or(&field.pointer);
        let refusal = match field.code {
            "unknown_parameter" => ("unknown_field", "is not a filter of this list".to_owned()),
            "duplicate_parameter" => ("duplicate_field", field.detail),
            code => (code, field.detail),
        };
        refusals.add(pointer_step(name), refusal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FieldError;

    fn read(json: &str, page: ViewPage) -> Result<BTreeMap<String, String>, String> {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        let shown = |error: FieldError| format!("{} {}", error.pointer, error.code);
        let joined =
            |refusals: Refusals| Vec::from(refusals).into_iter().map(shown).collect::<Vec<_>>().join(", ");
        filters(&raw, Some(page)).map_err(joined)
    }

    #[test]
    fn the_filters_of_a_list_are_kept_as_sent_without_empty_ones() {
        let saved = read(r#"{"country": "es", "from": "2026-01-01", "status": ""}"#, ViewPage::Applications);
        let expected = [("country", "es"), ("from", "2026-01-01")];
        assert_eq!(saved.unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert!(read(r#"{"country": "ES", "assignment": "mine"}"#, ViewPage::Reviews).is_ok());
    }

    #[test]
    fn filters_that_the_list_does_not_accept_are_refused_by_name() {
        for (page, json, expected) in [
            (ViewPage::Applications, r#"{"document": "12345678Z"}"#, "/document unknown_field"),
            (ViewPage::Applications, r#"{"identity_document": "x"}"#, "/identity_document unknown_field"),
            (ViewPage::Applications, r#"{"assignment": "mine"}"#, "/assignment unknown_field"),
            (
                ViewPage::Applications,
                r#"{"cursor": "x", "page": "1"}"#,
                "/cursor unknown_field, /page unknown_field",
            ),
            (ViewPage::Applications, r#"{"country": "FR"}"#, "/country unknown_country"),
            (ViewPage::Applications, r#"{"country": 1}"#, "/country bad_type"),
            (ViewPage::Applications, r#"{"min_amount": "2", "max_amount": "1"}"#, "/max_amount bad_range"),
            (ViewPage::Applications, r#"{"status": "A", "status": "B"}"#, "/status duplicate_field"),
            (ViewPage::Applications, "[]", " bad_type"),
            (ViewPage::Reviews, r#"{"assignment": "nobody"}"#, "/assignment unknown_value"),
            (ViewPage::Reviews, r#"{"status": "APPROVED"}"#, "/status unknown_field"),
        ] {
            assert_eq!(read(json, page).unwrap_err(), expected, "{json}");
        }
    }
}
