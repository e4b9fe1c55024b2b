//! `GET /openapi.json` and the Swagger UI at `/docs`, whose files are part of the binary.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use utoipa_swagger_ui::Config;

use super::Entrance;
use super::problem::{Answer, Rejection};
use crate::error::Error;

/// The OpenAPI document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "get_openapi_document",
    tag = "operations",
    responses(
        (status = 200, description = "OpenAPI 3.1", body = Object, content_type = "application/json"),
    ),
)]
pub(super) async fn document(entrance: Entrance) -> Answer {
    Ok(HttpResponse::Ok().content_type("application/json").body(entrance.inner.document.clone()))
}

/// Where the documentation is.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "find_documentation",
    tag = "operations",
    responses(
        (status = 308, description = "The documentation is at /docs/"),
    ),
)]
pub(super) async fn redirect() -> Answer {
    Ok(HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish())
}

/// The documentation, as a page to try requests on.
#[utoipa::path(
    get,
    path = "/docs/{file}",
    operation_id = "get_documentation",
    tag = "operations",
    params(
        ("file" = String, Path, description = "A file of Swagger UI; empty for the page itself"),
    ),
    responses(
        (status = 200, description = "The file", body = String, content_type = "text/html"),
        (status = 404, description = "Swagger UI has no such file"),
    ),
)]
pub(super) async fn file(request: HttpRequest) -> Answer {
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
