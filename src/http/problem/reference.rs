//! The error reference: the meaning and the remedy of each code.
//!
//! `docs/errors.md` and the pages at `/problems/{code}`, which the `type` of every problem links to, are generated from
//! this file and the [`CATALOGUE`]. Tests compare both with the code.

use std::fmt::Write as _;

use super::catalogue::{CATALOGUE, FIELD_CODES, Kind};

/// The path of problem pages, without the code.
pub const PAGES: &str = "/problems/";

/// The HTML page of a problem; `None` for an unknown code.
pub fn page(code: &str) -> Option<String> {
    let kind = CATALOGUE.iter().find(|kind| kind.code == code)?;
    let Kind { code, status, title, remedy } = kind;
    let remedy = as_html(remedy);
    Some(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{code}</title>\n\
         <h1><code>{code}</code></h1>\n<p>HTTP {status}: {title}.</p>\n<p>{remedy}</p>\n</html>\n"
    ))
}

/// Escapes a string and renders text between backquotes as code.
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
        let Kind { code, status, title, remedy } = kind;
        // Writing to a string never fails.
        let _ = writeln!(text, "| {status} | <a id=\"{code}\"></a>`{code}` | {title} | {remedy} |");
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
descriptions in `errors` are for people and may change. `type` is the path of a page with the text below. `request_id` identifies
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
    fn every_problem_has_a_page_with_its_remedy() {
        for kind in CATALOGUE {
            let page = page(kind.code).unwrap();
            assert!(page.contains(kind.code) && page.contains(&as_html(kind.remedy)), "{page}");
        }
        assert_eq!(page("no_such_problem"), None);
    }

    #[test]
    fn the_reference_in_the_documentation_is_up_to_date() {
        let file = std::fs::read_to_string("docs/errors.md").unwrap_or_default();
        assert!(file == markdown(), "docs/errors.md is out of date: aval errors > docs/errors.md");
    }

    /// Member names in the source that look like codes.
    const NOT_CODES: [&str; 1] = ["max_amount"];

    /// The codes of field errors in `source`.
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
                && !NOT_CODES.contains(&word)
                && rest.trim_start().starts_with(',')
                && (in_call || in_pair)
            {
                codes.insert(word.to_owned());
            }
        }
        codes
    }

    #[test]
    fn every_field_error_code_in_the_source_is_in_the_reference() {
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
                // Codes of WebSocket errors are not part of the HTTP reference.
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
