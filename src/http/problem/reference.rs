//! The error reference: what each code means, and what a client does about it.
//!
//! `docs/errors.md` and the pages at `/problems/{code}`, to which the `type` of every problem leads, are made from this and
//! from the [`CATALOGUE`]. Tests hold both against the code.

use std::fmt::Write as _;

use super::{CATALOGUE, Kind};

/// Where the page of a problem is.
pub const PAGES: &str = "/problems/";

/// Every code that one value of a request can be refused with, in `errors[].code`, and what it means.
#[rustfmt::skip]
pub const FIELD_CODES: &[(&str, &str)] = &[
    ("ambiguous", "Two values were sent that exclude each other"),
    ("bad_account", "The text is not a valid account name"),
    ("bad_amount", "The amount is not a decimal number with at most ten digits before and two after the point"),
    ("bad_boolean", "The text is neither `true` nor `false`"),
    ("bad_check_digit", "The check character does not match the rest of the document"),
    ("bad_code", "The text is not a code of this kind, or its check characters do not match"),
    ("bad_cursor", "The cursor is not the `next_cursor` of this list with the same filters and sort"),
    ("bad_date", "The date does not exist, lies in the future, or is not written as `2026-01-31`"),
    ("bad_email", "The text is not an e-mail address"),
    ("bad_format", "The document has a character that is not allowed at its position"),
    ("bad_length", "The length is outside the limits in `detail`"),
    ("bad_name", "The name is empty, too long or contains characters that are not allowed"),
    ("bad_note", "The note is empty, too long or contains control characters"),
    ("bad_provider", "The text is not a valid bureau name"),
    ("bad_range", "The end of the range is before its start"),
    ("bad_reason", "The reason is too long or contains control characters"),
    ("bad_reference", "The reference is empty, too long or contains characters that are not allowed"),
    ("bad_state", "The state of birth in the document does not exist"),
    ("bad_text", "The text is empty, too long or contains characters that cannot be stored"),
    ("bad_time", "The time is not in RFC 3339 format or is outside the accepted range"),
    ("bad_type", "The value has the wrong JSON type"),
    ("bad_uuid", "The text is not a UUID"),
    ("bad_value", "The value cannot be stored, for example a number beyond the range of a double"),
    ("bad_word", "The text is not a valid name of a task, a lane or an error"),
    ("blocked_word", "The document contains a word that the authority never issues"),
    ("duplicate_field", "The member is repeated"),
    ("duplicate_parameter", "The parameter is repeated"),
    ("in_the_future", "The time is further ahead than the allowed clock skew"),
    ("inexact_number", "The number cannot be stored exactly"),
    ("needs_country", "A search by document requires the country"),
    ("not_a_person", "The document does not belong to a natural person"),
    ("not_allowed", "The member cannot be combined with the others"),
    ("not_positive", "The amount is not greater than zero"),
    ("not_searchable", "The member is encrypted and cannot be searched"),
    ("nul_character", "The text contains the NUL character"),
    ("out_of_range", "The number is outside the limits in `detail`"),
    ("personal_data", "The text appears to contain personal data of the applicant"),
    ("read_only", "The member can only be set on creation"),
    ("repeated_digits", "All digits of the document are the same; no such number is issued"),
    ("required", "The member is missing, empty or `null`"),
    ("scope_needs_role", "The scope is not available to the role of the key"),
    ("staff_only", "The member is only available to staff"),
    ("too_common", "The password is on the list of common passwords"),
    ("too_deep", "The value is nested too deeply"),
    ("too_large", "The value exceeds its size limit"),
    ("too_many", "The number of members exceeds the limit"),
    ("too_many_rows", "The export exceeds the row limit of one file; use narrower filters"),
    ("too_obvious", "The password is easy to guess"),
    ("too_old", "The message is too old"),
    ("underage", "The person is under 18"),
    ("unknown_action", "The text is not one of the actions"),
    ("unknown_country", "The text is not a supported country code"),
    ("unknown_field", "The object has no member with this name"),
    ("unknown_mode", "The text is not one of the modes"),
    ("unknown_outcome", "The text is not one of the outcomes"),
    ("unknown_parameter", "The request has no query parameter with this name"),
    ("unknown_risk_band", "The text is not one of the risk bands"),
    ("unknown_role", "The text is not one of the roles"),
    ("unknown_scope", "The text is not one of the scopes"),
    ("unknown_separator", "The text is not one of the separators"),
    ("unknown_sort", "The text is not one of the sort orders"),
    ("unknown_status", "The text is not one of the statuses"),
    ("unknown_target", "The text is not one of the targets"),
    ("unknown_task", "The text is not one of the tasks"),
    ("unknown_word", "The text is not one of the values of the member"),
    ("wrong_reference", "The reference does not match the one issued for this application"),
];

/// What a client should do about each problem.
#[rustfmt::skip]
const REMEDIES: &[(&str, &str)] = &[
    ("malformed_request", "Correct the request. `detail` names the line and column of the JSON, or the invalid header or parameter."),
    ("unauthenticated", "Send an access token or an API key as `Authorization: Bearer …`, or an API key as `X-API-Key`. If the token has expired, refresh it or log in again; `WWW-Authenticate` says what is wrong."),
    ("credential_malformed", "Send the credential exactly as it was issued. This one is neither an access token nor an API key."),
    ("credential_expired", "Refresh the access token, log in again, or use a new API key."),
    ("credential_revoked", "Log in again, or ask an admin for a new key."),
    ("wrong_credential_kind", "Use an access token or an API key to authenticate requests. Send a refresh token only to `POST /api/v1/auth/refresh`."),
    ("expectation_failed", "Send the request without `Expect`, or with `Expect: 100-continue`."),
    ("upgrade_required", "Open the WebSocket with `Sec-WebSocket-Version: 13`."),
    ("forbidden", "Use an account with the role, or an API key with the scope, that `detail` names."),
    ("not_found", "Check the path and the identifier. Resources of other accounts are also reported as not found."),
    ("method_not_allowed", "Use one of the methods in `Allow`."),
    ("request_timeout", "Send the whole body without pauses. Nothing was changed."),
    ("conflict", "Read the resource again and decide whether the change still applies. `detail` names the conflicting state."),
    ("duplicate_application", "Follow the open application that `application_id` names instead of creating another."),
    ("archived", "Archived applications are read-only. An operator can restore the month."),
    ("in_flight", "Wait for `Retry-After` seconds, then send the same request with the same `Idempotency-Key`."),
    ("illegal_transition", "Use one of the statuses in `allowed`."),
    ("precondition_failed", "Read the resource, apply the change to its current state, and send the new `ETag` in `If-Match`."),
    ("payload_too_large", "Send a smaller body. `detail` names the limit."),
    ("uri_too_long", "Move filters into the body of `POST /api/v1/applications/search`."),
    ("unsupported_media_type", "Send JSON in UTF-8 as `application/json`, without `Content-Encoding`; a `PATCH` may also be `application/merge-patch+json`."),
    ("validation_failed", "Correct the values listed in `errors`. Each entry has a pointer, a code and a description."),
    ("idempotency_key_reused", "Use a new `Idempotency-Key` for each new request. A key may only be reused to repeat the same request."),
    ("rate_limited", "Wait for `Retry-After` seconds. `RateLimit-Policy` lists the limits. An API key can have its own limits."),
    ("header_too_large", "Send fewer or shorter header fields."),
    ("request_refused", "Correct the request. It is not valid HTTP."),
    ("internal_error", "Report the `request_id`. A write with an `Idempotency-Key` can be repeated safely."),
    ("unknown_label", "Repeat the request later. A newer version of the service wrote this row, and this instance cannot read it until it is upgraded."),
    ("overloaded", "Wait for `Retry-After` seconds, then repeat the request."),
    ("unavailable", "Wait for `Retry-After` seconds, then repeat the request."),
    ("timeout", "The request may still take effect. Read the resource, or repeat the request with the same `Idempotency-Key`."),
];

fn remedy(kind: &Kind) -> &'static str {
    REMEDIES.iter().find(|(code, _)| *code == kind.code).map_or("", |(_, remedy)| remedy)
}

/// The HTML page of a problem; `None` for an unknown code.
pub fn page(code: &str) -> Option<String> {
    let kind = CATALOGUE.iter().find(|kind| kind.code == code)?;
    let Kind { code, status, title } = kind;
    let remedy = as_html(remedy(kind));
    Some(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{code}</title>\n\
         <h1><code>{code}</code></h1>\n<p>HTTP {status}: {title}.</p>\n<p>{remedy}</p>\n</html>\n"
    ))
}

/// Escapes a text and renders text between backquotes as code.
fn as_html(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let parts = escaped.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

/// The whole reference, in Markdown: `docs/errors.md`.
pub fn markdown() -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut kinds: Vec<&Kind> = CATALOGUE.iter().collect();
    kinds.sort_by_key(|kind| (kind.status, kind.code));
    for kind in kinds {
        let Kind { code, status, title } = kind;
        // Writing to a text never fails.
        let _ = writeln!(text, "| {status} | <a id=\"{code}\"></a>`{code}` | {title} | {} |", remedy(kind));
    }
    text.push_str(FIELDS);
    for (code, meaning) in FIELD_CODES {
        let _ = writeln!(text, "| `{code}` | {meaning} |");
    }
    text
}

const INTRODUCTION: &str = "\
# Errors

`aval errors` prints this page from the catalogue in the code; a test compares the two.

Every error is an RFC 9457 problem (`application/problem+json`). Match on `code`, which is stable; `title`, `detail` and the
descriptions in `errors` are for people and may change. `type` is the path of a page with the text below. `request_id` names
the request in the log; include it when you report a problem. A 429 and a 503 carry `Retry-After` in seconds.

## Codes

| status | `code` | title | remedy |
|---|---|---|---|
";

const FIELDS: &str = "
## Codes of invalid values

A `validation_failed` has one entry in `errors` for each invalid value. `pointer` is an RFC 6901 JSON
pointer into the body (`/country_specific_data/birth_date`), or `?name` for a query parameter.

| `errors[].code` | meaning |
|---|---|
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_problem_has_a_remedy_and_a_page_and_no_other_has() {
        let known: BTreeSet<&str> = CATALOGUE.iter().map(|kind| kind.code).collect();
        let told: BTreeSet<&str> = REMEDIES.iter().map(|(code, _)| *code).collect();
        assert_eq!(known, told);
        for code in known {
            assert!(page(code).unwrap().contains(code));
        }
        assert_eq!(page("no_such_problem"), None);
    }

    #[test]
    fn the_reference_in_the_documentation_is_this_one() {
        let file = std::fs::read_to_string("docs/errors.md").unwrap_or_default();
        assert!(file == markdown(), "docs/errors.md is out of date: aval errors > docs/errors.md");
    }

    /// Names of members that stand before a sentence in the source as codes do.
    const NO_CODES: [&str; 1] = ["max_amount"];

    /// The codes that stand in the source where values are refused.
    fn codes_in(source: &str) -> BTreeSet<String> {
        let mut codes = BTreeSet::new();
        for (place, _) in source.match_indices('"') {
            let Some((before, after)) = source.split_at_checked(place) else { continue };
            let Some((word, rest)) = after.strip_prefix('"').and_then(|text| text.split_once('"')) else {
                continue;
            };
            let is_word =
                word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let before: String = before.chars().rev().take(120).collect();
            let before: String = before.chars().rev().collect();
            let before = before.rsplit(';').next().unwrap_or_default().trim_end();
            let call = ["refuse(", "FieldError::new(", "Error::field("];
            let in_call = call.iter().any(|call| {
                before.rsplit_once(call).is_some_and(|(_, arguments)| arguments.matches(',').count() == 1)
            });
            let opened = before.strip_suffix('(');
            let is_call = |text: &str| text.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let in_pair = opened.is_some_and(|text| !is_call(text) || text.ends_with("Err"))
                && ["format!(", "\"must", "\"is ", "\"has", "\"hold"]
                    .iter()
                    .any(|start| rest.trim_start_matches([',', ' ', '\n']).starts_with(start));
            if is_word
                && !NO_CODES.contains(&word)
                && rest.trim_start().starts_with(',')
                && (in_call || in_pair)
            {
                codes.insert(word.to_owned());
            }
        }
        codes
    }

    #[test]
    fn every_code_of_a_value_in_the_source_is_in_the_reference() {
        let mut folders = vec![std::path::PathBuf::from("src")];
        let mut unknown = BTreeSet::new();
        let mut found = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                // What a WebSocket answers is not in HTTP's reference.
                let name = path.to_string_lossy().into_owned();
                if !name.ends_with(".rs") || name.ends_with("tests.rs") || name.contains("/ws/") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                let codes = codes_in(code);
                found += codes.len();
                unknown
                    .extend(codes.into_iter().filter(|c| !FIELD_CODES.iter().any(|(known, _)| known == c)));
            }
        }
        assert!(found > 60, "{found}");
        assert!(unknown.is_empty(), "not in FIELD_CODES: {unknown:?}");
    }
}
