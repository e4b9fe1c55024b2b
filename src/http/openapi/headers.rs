//! Response headers, each declared once as a component.

use std::collections::BTreeMap;

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Response};

/// Name, type, description and example of each header.
const HEADERS: [(&str, Type, &str, &str); 6] = [
    (
        "X-Request-ID",
        Type::String,
        "The request ID: the client's, if it sent a valid one, or a generated one",
        "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21",
    ),
    ("Retry-After", Type::Integer, "Seconds until the request can be retried", "6"),
    (
        "WWW-Authenticate",
        Type::String,
        "The RFC 6750 challenge: the expected scheme and the error of the credential",
        r#"Bearer realm="aval", error="invalid_token""#,
    ),
    (
        "RateLimit-Policy",
        Type::String,
        "The rate limits: name, quota q, window w in seconds; absent if rate limits are disabled",
        r#""create-account";q=10;w=60"#,
    ),
    (
        "RateLimit",
        Type::String,
        "The remaining quotas: name, remaining requests r, seconds t until the quota is fully restored; absent if rate limits are disabled",
        r#""create-account";r=9;t=6"#,
    ),
    (
        "Idempotency-Replayed",
        Type::Boolean,
        "`true` if the response is the stored one of an earlier request; absent otherwise",
        "true",
    ),
];

/// The header components.
pub(super) fn components() -> BTreeMap<String, RefOr<Header>> {
    let header = |(name, kind, description, example): &(&str, Type, &str, &str)| {
        let example = match kind {
            Type::String => serde_json::Value::from(*example),
            _ => serde_json::from_str(example).unwrap_or_default(),
        };
        let schema = ObjectBuilder::new().schema_type(kind.clone()).examples([example]);
        let header = HeaderBuilder::new().schema(Some(schema)).description(Some(*description)).build();
        ((*name).to_owned(), RefOr::T(header))
    };
    HEADERS.iter().map(header).collect()
}

/// Declares a header of a response.
pub(super) fn add(response: &mut Response, name: &str) {
    let reference = Ref::new(format!("#/components/headers/{name}"));
    response.headers.insert(name.to_owned(), RefOr::Ref(reference));
}

/// Declares the headers that follow from the status of a response, and those of a rate-limited route.
pub(super) fn describe(operation: &mut Operation, is_counted: bool) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        add(response, "X-Request-ID");
        match status.as_str() {
            "401" | "403" => add(response, "WWW-Authenticate"),
            "429" | "503" => add(response, "Retry-After"),
            _ => {}
        }
        if is_counted {
            add(response, "RateLimit-Policy");
            add(response, "RateLimit");
        }
    }
}
