//! `GET /`, `GET /console` and `GET /console/{page}`

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::Build;
use crate::http::HttpServerState;
use crate::http::conditional::Conditions;
use crate::http::problem::HandlerResult;

/// The placeholder for the nonce in the built document.
const PLACEHOLDER: &str = "__AVAL_NONCE__";

/// 128 bits, as the policy demands (Content Security Policy Level 3, section 7.1).
const NONCE_BYTES: usize = 16;

/// The document of a binary without the console.
const MISSING: &str = "<!doctype html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>Aval</title></head>
<body>
<h1>Aval</h1>
<p>This binary was built without the web console. To build it, install Node 20 or newer and run:</p>
<pre>scripts/console.sh build
cargo build</pre>
<p>The API is available; its documentation is at <a href=\"/docs/\">/docs/</a>.</p>
</body>
</html>
";

/// The document of all pages, before the nonce is inserted.
struct Document {
    html: String,
    /// The tag of the build. Responses send it as a weak tag (`W/`), because their nonces differ.
    etag: String,
}

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
    let built = Build::get("index.html");
    let hash = built.as_ref().map_or([0; 32], |file| file.metadata.sha256_hash());
    let html = built.and_then(|file| String::from_utf8(file.data.into_owned()).ok());
    Document {
        html: html.unwrap_or_else(|| MISSING.to_owned()),
        etag: format!("\"{}\"", URL_SAFE_NO_PAD.encode(hash)),
    }
});

/// Serves the web console.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "get_console",
    tag = "console",
    params(
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier response"),
    ),
    responses(
        (status = 200, description = "The document of the console", body = String, content_type = "text/html",
            headers(
                ("ETag" = String, description = "Identifies the build of the console"),
                ("Content-Security-Policy" = String, description = "Allows only scripts and styles with a new nonce"),
            )),
        (status = 304, description = "The client has the current document"),
    ),
)]
pub(in crate::http) async fn start(server_state: HttpServerState, conditions: Conditions) -> HandlerResult {
    Ok(respond(&server_state, &conditions))
}

/// Serves the web console under its own path.
#[utoipa::path(
    get,
    path = "/console",
    operation_id = "get_console_start",
    tag = "console",
    params(
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier response"),
    ),
    responses(
        (status = 200, description = "The document of the console", body = String, content_type = "text/html"),
        (status = 304, description = "The client has the current document"),
    ),
)]
pub(in crate::http) async fn index(server_state: HttpServerState, conditions: Conditions) -> HandlerResult {
    Ok(respond(&server_state, &conditions))
}

/// Serves a page of the web console. The document is the same for all pages.
#[utoipa::path(
    get,
    path = "/console/{page}",
    operation_id = "get_console_page",
    tag = "console",
    params(
        ("page" = String, Path, description = "The page. The console shows a message if it does not exist"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier response"),
    ),
    responses(
        (status = 200, description = "The document of the console", body = String, content_type = "text/html"),
        (status = 304, description = "The client has the current document"),
    ),
)]
pub(in crate::http) async fn page(server_state: HttpServerState, conditions: Conditions) -> HandlerResult {
    Ok(respond(&server_state, &conditions))
}

/// The document with a new nonce, or a 304. A 304 has no policy: the client has stored the policy together with the
/// document, so both have the same nonce.
fn respond(server_state: &HttpServerState, conditions: &Conditions) -> HttpResponse {
    let Document { html, etag } = &*DOCUMENT;
    let weak = format!("W/{etag}");
    if conditions.client_has_tag(etag) {
        return HttpResponse::NotModified().insert_header((header::ETAG, weak)).finish();
    }
    let nonce = STANDARD_NO_PAD.encode(server_state.inner.clock.random_bytes::<NONCE_BYTES>());
    HttpResponse::Ok()
        .insert_header((header::CONTENT_SECURITY_POLICY, policy(&nonce)))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::ETAG, weak))
        .content_type("text/html; charset=utf-8")
        .body(html.replace(PLACEHOLDER, &nonce))
}

/// The content security policy. It allows no inline scripts or styles without the nonce, and nothing from other hosts.
/// The components set styles as DOM properties, which no policy restricts.
fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; \
         img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    )
}
