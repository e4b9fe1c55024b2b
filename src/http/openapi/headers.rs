//! The header fields of answers, each declared once as a component.

use std::collections::BTreeMap;

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Response};

/// Name, type, description and example of each field.
const HEADERS: [(&str, Type, &str, &str); 6] = [
    (
        "X-Request-ID",
        Type::String,
        "The request's identifier: yours, when you sent an acceptable one",
        "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21",
    ),
    ("Retry-After", Type::Integer, "Seconds until the request may be sent again", "6"),
    (
        "WWW-Authenticate",
        Type::String,
        "The challenge of RFC 6750: which scheme is expected, and what is wrong with the credential",
        r#"Bearer realm="aval", error="invalid_token""#,
    ),
    (
        "RateLimit-Policy",
        Type::String,
        "The limits: name, quota q, seconds w; absent where limits are off",
        r#""create-account";q=10;w=60"#,
    ),
    (
        "RateLimit",
        Type::String,
        "What is left of them: name, remaining r, seconds t until all of it is back; absent where limits are off",
        r#""create-account";r=9;t=6"#,
    ),
    (
        "Idempotency-Replayed",
        Type::Boolean,
        "`true` when the answer was given before; absent otherwise",
        "true",
    ),
];

/// The components.
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

/// Declares a field of an answer.
pub(super) fn add(response: &mut Response, name: &str) {
    let reference = Ref::new(format!("#/components/headers/{name}"));
    response.headers.insert(name.to_owned(), RefOr::Ref(reference));
}

/// Declares the fields that follow from the status of an answer, and those of a counted route.
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
