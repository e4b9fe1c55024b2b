//! The whole route table.
//!
//! It is data: the router is built from it, and a test holds it against the OpenAPI document. `GET` routes answer `HEAD`
//! too; every path answers `OPTIONS` with the methods that it knows, and any other method with a 405 that names them.

use actix_web::http::{Method, header};
use actix_web::middleware::from_fn;
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, Route, guard, web};

use super::middleware;
use super::problem::{Answer, Rejection};
use super::{applications, countries, docs, faults, health, metrics, ws};

/// One method of one path, and what answers it.
pub struct RouteEntry {
    /// The method.
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    route: Route,
}

/// Every route; `faults_on` adds fault injection.
#[rustfmt::skip]
pub fn table(faults_on: bool) -> Vec<RouteEntry> {
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    const PATCH: Method = Method::PATCH;
    const DELETE: Method = Method::DELETE;
    let mut table = vec![
        on(GET, "/api/v1/countries", countries::list::list),
        on(GET, "/api/v1/countries/{code}", countries::get::get),
        on(POST, "/api/v1/countries/{code}/document-checks", countries::check_document::check_document),
        on(POST, "/api/v1/countries/{code}/evaluations", countries::evaluate::evaluate),

        on(POST, "/api/v1/applications", applications::create::create),
        on(GET, "/api/v1/applications", applications::list::list),
        on(GET, "/api/v1/applications/{id}", applications::get::get),
        on(PATCH, "/api/v1/applications/{id}", applications::change::change),
        on(DELETE, "/api/v1/applications/{id}", applications::delete::delete),
        on(POST, "/api/v1/applications/{id}/restore", applications::delete::restore),
        on(GET, "/api/v1/applications/{id}/status", applications::status::status),
        on(PUT, "/api/v1/applications/{id}/status", applications::status::set_status),
        on(GET, "/api/v1/applications/{id}/audit", applications::audit::audit),
        on(GET, "/api/v1/applications/{id}/decision", applications::decision::decision),

        on(GET, "/api/v1/ws", ws::open),

        on(GET, "/health", health::summary),
        on(GET, "/health/live", health::live),
        on(GET, "/health/ready", health::ready),
        on(GET, "/health/detailed", health::detailed),
        on(GET, "/api/v1/health", health::summary),
        on(GET, "/api/v1/health/live", health::live),
        on(GET, "/api/v1/health/ready", health::ready),
        on(GET, "/api/v1/health/detailed", health::detailed),

        on(GET, "/metrics", metrics::metrics),
        on(GET, "/openapi.json", docs::document),
        on(GET, "/docs", docs::redirect),
        on(GET, "/docs/{file:.*}", docs::file),
    ];
    if faults_on {
        table.push(on(POST, "/api/v1/test/inject-failure", faults::inject_failure));
    }
    table
}

/// Builds the router from the table.
pub(super) fn configure(config: &mut web::ServiceConfig, faults_on: bool) {
    let mut rest = table(faults_on);
    while let Some(path) = rest.first().map(|entry| entry.path) {
        let (same_path, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|entry| entry.path == path);
        config.service(resource(path, same_path));
        rest = others;
    }
}

fn resource(
    path: &'static str,
    entries: Vec<RouteEntry>,
) -> Resource<
    impl actix_web::dev::ServiceFactory<
        actix_web::dev::ServiceRequest,
        Config = (),
        Response = actix_web::dev::ServiceResponse,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let allow = allowed_methods(&entries);
    let options = allow.clone();
    let resource =
        entries.into_iter().fold(web::resource(path), |resource, entry| resource.route(entry.route));
    resource
        .route(web::method(Method::OPTIONS).to(move || answer_options(options.clone())))
        .default_service(web::to(move || refuse_method(allow.clone())))
        .wrap(from_fn(middleware::guard))
}

/// The value of `Allow` for a path with these routes.
fn allowed_methods(entries: &[RouteEntry]) -> String {
    let mut methods: Vec<&str> = Vec::new();
    for entry in entries {
        methods.push(entry.method.as_str());
        if entry.method == Method::GET {
            methods.push(Method::HEAD.as_str());
        }
    }
    methods.push(Method::OPTIONS.as_str());
    methods.join(", ")
}

async fn answer_options(allow: String) -> HttpResponse {
    HttpResponse::NoContent().insert_header((header::ALLOW, allow)).finish()
}

async fn refuse_method(allow: String) -> Answer {
    Err(Rejection::MethodNotAllowed(allow))
}

/// One line of the table.
fn on<F, Args>(method: Method, path: &'static str, handler: F) -> RouteEntry
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let route = if method == Method::GET {
        web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
    } else {
        web::method(method.clone())
    };
    RouteEntry { method, path, route: route.to(handler) }
}
