//! Checks every response in tests against the OpenAPI document. Its path, method, status and media type must be
//! documented, and its JSON must match the schema without unknown members.

use actix_web::http::{Method, header};
use serde_json::{Map, Value};

use super::app::Answer;

/// The statuses that any path may return, according to the introduction of the document.
const ANYWHERE: [u16; 8] = [404, 405, 414, 417, 429, 431, 500, 503];

/// The OpenAPI document, and further permitted labels.
pub(crate) struct Contract {
    document: Value,
    /// Labels that a test has stored as if a newer version had introduced them.
    newer_labels: &'static [&'static str],
}

impl Contract {
    pub(crate) fn new() -> Self {
        let document = serde_json::to_value(aval::http::openapi::document(true)).unwrap();
        Self { document, newer_labels: &[] }
    }

    /// Also accepts these labels where the document lists the permitted ones.
    pub(crate) fn with_newer_labels(self, newer_labels: &'static [&'static str]) -> Self {
        Self { newer_labels, ..self }
    }

    /// The ways in which `value` violates `schema`; empty if it matches.
    pub(crate) fn mismatches(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut violations = Vec::new();
        self.check_value(schema, value, "", &mut violations);
        violations
    }

    /// Panics if the response violates the document.
    pub(crate) fn check(&self, method: &Method, path: &str, answer: &Answer) {
        let violations = self.violations(method, path, answer);
        let (status, body) = (answer.status, String::from_utf8_lossy(&answer.body));
        assert!(violations.is_empty(), "{method} {path}: {status}: {violations:#?}\n{body}");
    }

    fn violations(&self, method: &Method, path: &str, answer: &Answer) -> Vec<String> {
        let status = answer.status.as_u16();
        let mut violations = Vec::new();
        if answer.header("x-request-id").is_empty() {
            violations.push("no X-Request-ID".to_owned());
        }
        if *method == Method::HEAD || *method == Method::OPTIONS {
            return violations;
        }
        if status >= 400 {
            self.check_problem(answer, &mut violations);
        }
        let Some(operation) = self.operation(method, path) else {
            if !matches!(status, 404 | 405 | 429) {
                violations.push(
                    "the operation is not documented, but the status is not 404, 405 or 429".to_owned(),
                );
            }
            return violations;
        };
        match operation["responses"].get(status.to_string()) {
            None if ANYWHERE.contains(&status) => {}
            None => violations.push("this status is not documented".to_owned()),
            Some(response) => self.check_content(response, answer, &mut violations),
        }
        violations
    }

    fn operation(&self, method: &Method, path: &str) -> Option<&Value> {
        let path = path.split('?').next()?;
        let paths = self.document["paths"].as_object()?;
        let exact = paths.get(path);
        let item = exact.or_else(|| Some(paths.iter().find(|(pattern, _)| fits(pattern, path))?.1));
        item?.get(method.as_str().to_lowercase())
    }

    fn check_problem(&self, answer: &Answer, violations: &mut Vec<String>) {
        if answer.header("content-type") != "application/problem+json" {
            violations.push(format!("content type {:?} of a problem", answer.header("content-type")));
        }
        let problem = &self.document["components"]["schemas"]["Problem"];
        self.check_value(problem, &answer.json, "", violations);
        if answer.json["status"] != answer.status.as_u16() {
            violations.push("the status in the problem is not the status of the response".to_owned());
        }
        if answer.json["request_id"] != answer.header("x-request-id") {
            violations.push("the problem's request_id is not X-Request-ID".to_owned());
        }
    }

    fn check_content(&self, response: &Value, answer: &Answer, violations: &mut Vec<String>) {
        for name in response["headers"].as_object().into_iter().flat_map(Map::keys) {
            if answer.header(name).is_empty() && !may_lack(answer, name) {
                violations.push(format!("the documented header {name} is missing"));
            }
        }
        for name in [
            "Idempotency-Replayed",
            "Retry-After",
            "RateLimit",
            "RateLimit-Policy",
            "WWW-Authenticate",
            "X-Request-ID",
        ] {
            let undocumented = !response["headers"][name].is_object();
            if undocumented && !answer.header(name).is_empty() {
                violations.push(format!("the header {name} is not documented"));
            }
        }
        let Some(content) = response["content"].as_object() else {
            if !answer.body.is_empty() {
                violations.push("an undocumented body".to_owned());
            }
            return;
        };
        let media = answer.headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap());
        let media = media.split(';').next().unwrap_or_default();
        match content.get(media) {
            Some(content) if media.ends_with("json") => {
                self.check_value(&content["schema"], &answer.json, "", violations);
            }
            Some(_) => {}
            // The document lists one media type for the many files below this path.
            None if content.contains_key("text/html") => {}
            None => violations.push(format!("media type {media:?} is not documented")),
        }
    }

    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => {
                self.resolve(self.document.pointer(reference.trim_start_matches('#')).unwrap())
            }
            None => schema,
        }
    }

    fn check_value(&self, schema: &Value, value: &Value, at: &str, violations: &mut Vec<String>) {
        let schema = self.resolve(schema);
        for alternatives in ["oneOf", "anyOf"] {
            if let Some(alternatives) = schema[alternatives].as_array() {
                let fits = |alternative: &Value| {
                    let mut problems = Vec::new();
                    self.check_value(alternative, value, at, &mut problems);
                    problems.is_empty()
                };
                if !alternatives.iter().any(fits) {
                    violations.push(format!("{at}: no alternative matches"));
                }
            }
        }
        if !has_type(&schema["type"], value) {
            return violations.push(format!("{at}: {value} is not of type {}", schema["type"]));
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
            && !value.as_str().is_some_and(|label| self.newer_labels.contains(&label))
        {
            violations.push(format!("{at}: {value} is not one of {allowed:?}"));
        }
        match value {
            Value::Object(members) => self.check_members(schema, members, at, violations),
            Value::Array(items) if schema.get("items").is_some() => {
                for (index, item) in items.iter().enumerate() {
                    self.check_value(&schema["items"], item, &format!("{at}/{index}"), violations);
                }
            }
            Value::String(text) => check_format(&schema["format"], text, at, violations),
            _ => {}
        }
    }

    fn check_members(
        &self,
        schema: &Value,
        members: &Map<String, Value>,
        at: &str,
        violations: &mut Vec<String>,
    ) {
        let mut parts = Vec::new();
        self.collect_parts(schema, &mut parts);
        let is_closed = parts.iter().any(|part| part["properties"].is_object());
        for part in &parts {
            for name in part["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !members.contains_key(name) {
                    violations.push(format!("{at}/{name} is missing"));
                }
            }
        }
        for (name, value) in members {
            let member_pointer = format!("{at}/{name}");
            match parts.iter().find_map(|part| part["properties"].get(name)) {
                Some(schema) => self.check_value(schema, value, &member_pointer, violations),
                None if parts.iter().any(|part| part["additionalProperties"] == true) => {}
                None if is_closed => violations.push(format!("{member_pointer} is not documented")),
                None => {}
            }
        }
    }

    /// Collects a schema and the schemas that it combines with `allOf`.
    fn collect_parts<'a>(&'a self, schema: &'a Value, parts: &mut Vec<&'a Value>) {
        let schema = self.resolve(schema);
        parts.push(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.collect_parts(part, parts);
        }
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern.iter().zip(path).all(|(expected, part)| expected.starts_with('{') || *expected == part)
}

fn has_type(expected: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("unknown type in the document: {other}"),
    };
    match expected {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().any(|name| is(name.as_str().unwrap())),
        _ => true,
    }
}

fn check_format(format: &Value, text: &str, at: &str, violations: &mut Vec<String>) {
    let fits = match format.as_str() {
        Some("uuid") => uuid::Uuid::try_parse(text).is_ok(),
        Some("date-time") => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        Some("date") => text.parse::<chrono::NaiveDate>().is_ok(),
        _ => true,
    };
    if !fits {
        violations.push(format!("{at}: {text:?} does not have the format {format}"));
    }
}

#[test]
fn a_response_that_violates_the_document_is_detected() {
    use actix_web::http::StatusCode;
    use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
    use serde_json::json;

    let answer = |status: u16, media: &'static str, json: Value| {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(HeaderName::from_static("x-request-id"), HeaderValue::from_static("r"));
        let body = json.to_string().into();
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body, json }
    };
    let contract = Contract::new();
    let violations = |path: &str, answer: Answer| contract.violations(&Method::GET, path, &answer);
    let good = json!({"status": "ok", "version": "1"});
    assert!(violations("/health", answer(200, "application/json", good.clone())).is_empty());
    for (answer, expected) in [
        (answer(200, "text/plain", good.clone()), "media type"),
        (answer(202, "application/json", good), "status is not documented"),
        (answer(200, "application/json", json!({"status": "ok"})), "/version is missing"),
        (answer(200, "application/json", json!({"status": "ok", "version": 1})), "/version: 1 is no"),
        (
            answer(200, "application/json", json!({"status": "ok", "version": "1", "x": 1})),
            "/x is not documented",
        ),
        (answer(503, "application/json", json!({})), "of a problem"),
    ] {
        let found = violations("/health", answer);
        assert!(found.iter().any(|text| text.contains(expected)), "{expected}: {found:?}");
    }
    let unknown = answer(200, "application/json", json!({}));
    assert!(violations("/no/such/path", unknown).iter().any(|text| text.contains("not documented")));
}

/// Whether a response with this status may lack the documented header `name`. For example, an original response is not marked
/// as replayed, and a permanent conflict has no `Retry-After`.
fn may_lack(answer: &Answer, name: &str) -> bool {
    match name {
        "Idempotency-Replayed" | "RateLimit" | "RateLimit-Policy" => true,
        "WWW-Authenticate" => answer.status == 403,
        "Retry-After" => answer.status == 409 && answer.json["code"] != "in_flight",
        _ => false,
    }
}
