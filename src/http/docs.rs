//! `GET /openapi.json`, `GET /asyncapi.json`, and the Swagger UI at `/docs`, whose files are embedded in the binary.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use utoipa_swagger_ui::Config;

use super::HttpServerState;
use super::problem::{self, HandlerResult, Rejection};
use crate::error::Error;

/// The OpenAPI document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "get_openapi_document",
    tag = "operations",
    responses(
        (status = 200, description = "The OpenAPI 3.1 document", body = Object, content_type = "application/json"),
    ),
)]
pub(super) async fn document(server_state: HttpServerState) -> HandlerResult {
    Ok(HttpResponse::Ok().content_type("application/json").body(server_state.inner.document.clone()))
}

/// The AsyncAPI document, which describes the events and the WebSocket.
#[utoipa::path(
    get,
    path = "/asyncapi.json",
    operation_id = "get_asyncapi_document",
    tag = "operations",
    responses(
        (status = 200, description = "The AsyncAPI 3.1 document", body = Object, content_type = "application/json"),
    ),
)]
pub(super) async fn asyncapi(server_state: HttpServerState) -> HandlerResult {
    Ok(HttpResponse::Ok().content_type("application/json").body(server_state.inner.asyncapi.clone()))
}

/// Redirects to the documentation.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "find_documentation",
    tag = "operations",
    responses(
        (status = 308, description = "The documentation is at /docs/",
            headers(("Location" = String, description = "Path of the documentation"))),
        (status = "default", description = "Any other response is a problem"),
    ),
)]
pub(super) async fn redirect() -> HandlerResult {
    Ok(HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish())
}

/// Explains a problem code and how to resolve the problem. The `type` of every problem is the path of such a page.
#[utoipa::path(
    get,
    path = "/problems/{code}",
    operation_id = "get_problem_page",
    tag = "operations",
    params(
        ("code" = crate::http::schemas::ProblemCode, Path, description = "The problem's code"),
    ),
    responses(
        (status = 200, description = "The page, in HTML", body = String, content_type = "text/html"),
        (status = 404, description = "Problem code not found"),
    ),
)]
pub(super) async fn problem(request: HttpRequest) -> HandlerResult {
    let page = problem::page(request.match_info().query("code")).ok_or(Error::NotFound("problem"))?;
    Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(page))
}

/// Serves Swagger UI, the interactive API documentation.
#[utoipa::path(
    get,
    path = "/docs/{file}",
    operation_id = "get_documentation",
    tag = "operations",
    params(
        ("file" = String, Path, description = "A file of Swagger UI; empty for the start page"),
    ),
    responses(
        (status = 200, description = "The file", body = String, content_type = "text/html"),
        (status = 404, description = "File not found"),
    ),
)]
pub(super) async fn file(request: HttpRequest) -> HandlerResult {
    let config = Arc::new(Config::from("/openapi.json"));
    let file =
        utoipa_swagger_ui::serve(request.match_info().query("file"), config).map_err(Error::internal)?;
    let file = file.ok_or(Rejection::UnknownRoute)?;
    let mut response = HttpResponse::Ok();
    if file.gzpipped {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    Ok(response.content_type(file.content_type).body(file.bytes.into_owned()))
}
