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
    ("bad_account", "The text cannot be the name of an account"),
    ("bad_amount", "The amount is not a decimal number with at most ten digits before and two after the point"),
    ("bad_boolean", "The text is neither `true` nor `false`"),
    ("bad_check_digit", "The check character does not match the rest of the document"),
    ("bad_code", "The text is not a code of this kind, or its check characters do not match"),
    ("bad_cursor", "The cursor is not the `next_cursor` of this list with the same filters and sort"),
    ("bad_date", "The date does not exist, lies in the future, or is not written as `2026-01-31`"),
    ("bad_email", "The text is not an e-mail address"),
    ("bad_format", "The document has a character that it cannot have at that place"),
    ("bad_length", "The text is too short or too long; `detail` names the limits"),
    ("bad_name", "The name is empty, too long, or has characters that it may not have"),
    ("bad_note", "The note is empty, too long or has control characters"),
    ("bad_provider", "The text cannot be the name of a bureau"),
    ("bad_range", "The end of the range lies before its beginning"),
    ("bad_reason", "The reason is too long or has control characters"),
    ("bad_reference", "The reference is empty, too long, or has characters that it may not have"),
    ("bad_state", "The document names a state of birth that does not exist"),
    ("bad_text", "The text is empty, too long or has characters that cannot be stored"),
    ("bad_time", "The time is not RFC 3339, or lies outside of the accepted span"),
    ("bad_type", "The value has another JSON type than the member"),
    ("bad_uuid", "The text is not a UUID"),
    ("bad_value", "The value cannot be stored, such as a number beyond the range of a double"),
    ("bad_word", "The text cannot be the name of a task, a lane or an error"),
    ("blocked_word", "The document contains a word that the register never issues"),
    ("duplicate_field", "The member is there more than once"),
    ("duplicate_parameter", "The parameter is there more than once"),
    ("in_the_future", "The time lies further ahead than clocks may differ"),
    ("inexact_number", "The number cannot be stored exactly"),
    ("needs_country", "A document can only be searched for together with its country"),
    ("not_a_person", "The document is that of a company or another body"),
    ("not_allowed", "The member cannot be sent together with the others"),
    ("not_positive", "The amount must be above zero"),
    ("not_searchable", "The member is sealed and cannot be searched for"),
    ("nul_character", "The text contains the NUL character"),
    ("out_of_range", "The number lies outside of the limits that `detail` names"),
    ("personal_data", "The text seems to contain personal data of the applicant"),
    ("read_only", "The member is set at creation alone"),
    ("repeated_digits", "All digits of the document are the same: no such number is issued"),
    ("required", "The member is missing, empty or `null`"),
    ("scope_needs_role", "The scope can never be used with the role of the key"),
    ("staff_only", "The member is for staff alone"),
    ("too_common", "The password is among the first that are tried"),
    ("too_deep", "The value is nested too deeply"),
    ("too_large", "The value has more bytes than it may have"),
    ("too_many", "There are more members than are accepted"),
    ("too_many_rows", "The export has more rows than one file may have: narrow it"),
    ("too_obvious", "The password is easy to guess"),
    ("too_old", "The message is older than it may be"),
    ("underage", "The person is not 18 yet"),
    ("unknown_action", "The text is not one of the actions"),
    ("unknown_country", "The text is not the code of a supported country"),
    ("unknown_field", "The object has no member of this name"),
    ("unknown_mode", "The text is not one of the modes"),
    ("unknown_outcome", "The text is not one of the outcomes"),
    ("unknown_parameter", "The request has no query parameter of this name"),
    ("unknown_risk_band", "The text is not one of the risk bands"),
    ("unknown_role", "The text is not one of the roles"),
    ("unknown_scope", "The text is not one of the scopes"),
    ("unknown_separator", "The text is not one of the separators"),
    ("unknown_sort", "The text is not one of the orders"),
    ("unknown_status", "The text is not one of the statuses"),
    ("unknown_target", "The text is not one of the targets"),
    ("unknown_task", "The text is not one of the tasks"),
    ("unknown_word", "The text is not one of the words that the member takes"),
    ("wrong_reference", "The reference is not the one that was given for this application"),
];

/// What a client does about a problem.
#[rustfmt::skip]
const REMEDIES: &[(&str, &str)] = &[
    ("malformed_request", "Correct the request: `detail` names the line and column of the JSON, or the header or parameter that cannot be read. Sending it again unchanged fails again."),
    ("unauthenticated", "Send an access token or an API key as `Authorization: Bearer …`, or an API key as `X-API-Key`. If the token has expired, refresh it or log in again; `WWW-Authenticate` says what is wrong."),
    ("credential_malformed", "Send the credential as it was issued: it is neither an access token nor an API key."),
    ("credential_expired", "Refresh the access token or log in again; a key that has ended is replaced by a new one."),
    ("credential_revoked", "Log in again, or ask an admin for a new key."),
    ("wrong_credential_kind", "Send this kind of credential where it belongs: access tokens and API keys authenticate requests, a refresh token is for `POST /api/v1/auth/refresh`."),
    ("expectation_failed", "Send the request without `Expect`, or with `Expect: 100-continue`."),
    ("upgrade_required", "Open the WebSocket with version 13, as `Sec-WebSocket-Version` of the answer says."),
    ("forbidden", "Use an account with the role, or an API key with the scope, that `detail` names."),
    ("not_found", "Check the path and the identifier. What belongs to another account is reported as not found too."),
    ("method_not_allowed", "Use one of the methods in `Allow`."),
    ("request_timeout", "Send the whole body without pauses. Nothing was done."),
    ("conflict", "Read the resource again, and decide whether the change still makes sense; `detail` names the state that forbids it."),
    ("duplicate_application", "Follow the open application that `application_id` names instead of creating another."),
    ("archived", "The application can be read by its identifier, and changes no more. An operator can restore its month."),
    ("in_flight", "Wait as long as `Retry-After` says, then send the same request with the same `Idempotency-Key`."),
    ("illegal_transition", "Ask for one of the statuses in `allowed`."),
    ("precondition_failed", "Read the resource, apply the change to what it is now, and send it with the new `ETag` in `If-Match`."),
    ("payload_too_large", "Send at most as many bytes as `detail` names."),
    ("uri_too_long", "Move filters into the body of `POST /api/v1/applications/search`."),
    ("unsupported_media_type", "Send JSON in UTF-8 as `application/json`, without `Content-Encoding`; a `PATCH` may also be `application/merge-patch+json`."),
    ("validation_failed", "Correct every value that `errors` names; each has a pointer, a code and a sentence."),
    ("idempotency_key_reused", "Use a new `Idempotency-Key` for a new request. The same key is for the same request alone."),
    ("rate_limited", "Wait as long as `Retry-After` says. `RateLimit-Policy` names the limits; an API key can be given limits of its own."),
    ("header_too_large", "Send fewer or shorter header fields."),
    ("request_refused", "Correct the request: it is not HTTP as this server accepts it."),
    ("internal_error", "Report the `request_id`. A write with an `Idempotency-Key` may be sent again."),
    ("unknown_label", "Send the request again in a while: a newer version wrote this row, and an older instance cannot read it until it is updated."),
    ("overloaded", "Wait as long as `Retry-After` says, then send the request again."),
    ("unavailable", "Wait as long as `Retry-After` says, then send the request again."),
    ("timeout", "The request may still take effect. Read the resource, or send the request again with the same `Idempotency-Key`."),
];

fn remedy(kind: &Kind) -> &'static str {
    REMEDIES.iter().find(|(code, _)| *code == kind.code).map_or("", |(_, remedy)| remedy)
}

/// The page of a problem, in HTML; `None` when there is no such problem.
pub fn page(code: &str) -> Option<String> {
    let kind = CATALOGUE.iter().find(|kind| kind.code == code)?;
    let Kind { code, status, title } = kind;
    let remedy = as_html(remedy(kind));
    Some(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{code}</title>\n\
         <h1><code>{code}</code></h1>\n<p>HTTP {status}: {title}.</p>\n<p>{remedy}</p>\n</html>\n"
    ))
}

/// Escapes a text and shows what stands between backquotes as code.
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
sentences in `errors` are for people and may change. `type` is the path of a page with the text below. `request_id` names
the request in the log; quote it when you report a problem. A 429 and a 503 carry `Retry-After` in seconds.

## Codes

| status | `code` | what happened | what to do |
|---|---|---|---|
";

const FIELDS: &str = "
## Codes of single values

A `validation_failed` has one entry in `errors` for everything that is wrong with the request. `pointer` is an RFC 6901 JSON
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
