//! The route table.
//!
//! The table is data: the router is built from it, including access rules, rate limits and body limits, and a test
//! compares it with the OpenAPI document. `GET` routes also answer `HEAD`. Every path answers `OPTIONS` with its
//! methods and any other method with a 405 that lists them.

use actix_web::http::{Method, header};
use actix_web::middleware::from_fn;
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, Route, guard, web};

use super::auth::{Access, Scope};
use super::body::{BodyClass, MERGE_PATCH};
use super::limits::LimitClass;
use super::middleware::{self, RouteRules};
use super::problem::{HandlerResult, Rejection};
use super::{
    api_keys, applications, console, countries, dead_letters, disbursements, docs, events, faults, health,
    ingest, metrics, operations, reviews, saved_views, schedule, security_events, sessions, staff_views,
    stats, users, webhook_deliveries, webhook_endpoints, webhooks, ws,
};
use crate::config::{InstanceRole, Settings};
use crate::domain::account::Role;

/// The media types accepted by `PATCH` (RFC 5789, section 3.1).
const ACCEPT_PATCH: header::HeaderName = header::HeaderName::from_static("accept-patch");

/// A method of a path with its handler.
pub struct RouteEntry {
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// The access rule.
    pub access: Access,
    /// The rate limit class.
    pub limit: LimitClass,
    /// The body class; it applies only if the route accepts a body.
    pub body: BodyClass,
    /// Whether the response contains a secret: a token, a key or a ticket.
    pub returns_secret: bool,
    /// Whether the handler reads query parameters.
    pub has_query: bool,
    /// Whether any query is accepted, because only the page in the browser reads it.
    pub ignores_query: bool,
    route: Route,
}

impl RouteEntry {
    /// The path as written in the OpenAPI document.
    pub fn documented_path(&self) -> String {
        self.path.replace(":.*", "")
    }

    /// Sets the rate limit class.
    fn counted_as(self, limit: LimitClass) -> Self {
        Self { limit, ..self }
    }

    /// Sets the body class.
    fn taking(self, body: BodyClass) -> Self {
        Self { body, ..self }
    }

    /// Marks the response as containing a secret.
    fn returning_secret(self) -> Self {
        Self { returns_secret: true, ..self }
    }

    /// Lets the handler read the query.
    fn with_query(self) -> Self {
        Self { has_query: true, ..self }
    }

    /// Accepts any query.
    fn ignoring_query(self) -> Self {
        Self { ignores_query: true, ..self }
    }

    /// Wraps the handler in the middleware of the route: rate limit by address, authorization, rate limit by account,
    /// query check and retries of reads.
    fn into_route(self) -> Route {
        let Self { access, limit, body, returns_secret, has_query, ignores_query, route, .. } = self;
        let accepts_query = has_query || ignores_query;
        let rules = RouteRules { limit, body, returns_secret };
        route
            .wrap(from_fn(middleware::repeat))
            .wrap(from_fn(move |request, next| middleware::refuse_query(accepts_query, request, next)))
            .wrap(from_fn(middleware::limit_account))
            .wrap(from_fn(move |server_state, request, next| {
                middleware::authorize(access, server_state, request, next)
            }))
            .wrap(from_fn(move |server_state, request, next| {
                middleware::limit_address(rules, server_state, request, next)
            }))
    }
}

/// Every route; `faults_on` adds fault injection.
#[rustfmt::skip]
pub fn table(faults_on: bool) -> Vec<RouteEntry> {
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    const PATCH: Method = Method::PATCH;
    const DELETE: Method = Method::DELETE;
    const OPEN: Access = Access::Public;
    const OPERATORS: Access = Access::Operators;
    const READ: Access = Access::AtLeast(Role::User, Scope::ApplicationsRead);
    const WRITE: Access = Access::AtLeast(Role::User, Scope::ApplicationsWrite);
    const REVIEW: Access = Access::AtLeast(Role::Analyst, Scope::ApplicationsReview);
    const RESTORE: Access = Access::AtLeast(Role::Admin, Scope::ApplicationsReview);
    const INGEST: Access = Access::AtLeast(Role::User, Scope::EventsWrite);
    const EVENTS: Access = Access::AtLeast(Role::Analyst, Scope::EventsRead);
    const INSPECT: Access = Access::AtLeast(Role::Admin, Scope::OperationsRead);
    const OPERATE: Access = Access::AtLeast(Role::Admin, Scope::OperationsWrite);
    const WEBHOOKS: Access = Access::AtLeast(Role::Admin, Scope::WebhooksManage);
    const PEOPLE: Access = Access::People(Role::User);
    const REVIEWERS: Access = Access::People(Role::Analyst);
    const ADMINS: Access = Access::People(Role::Admin);
    const ANYONE: Access = Access::Anyone;
    let mut table = vec![
        on(POST, "/api/v1/auth/login", OPEN, sessions::login::login).counted_as(LimitClass::Login).taking(BodyClass::Credentials).returning_secret(),
        on(POST, "/api/v1/auth/refresh", OPEN, sessions::refresh::refresh).taking(BodyClass::Credentials).returning_secret(),
        on(POST, "/api/v1/auth/logout", PEOPLE, sessions::logout::logout),
        on(POST, "/api/v1/auth/password", PEOPLE, sessions::password::change).counted_as(LimitClass::Login).taking(BodyClass::Credentials).returning_secret(),
        on(GET, "/api/v1/auth/me", ANYONE, sessions::me::me),
        on(GET, "/api/v1/auth/me/settings", PEOPLE, sessions::settings::get),
        on(PUT, "/api/v1/auth/me/settings", PEOPLE, sessions::settings::set),
        on(GET, "/api/v1/auth/me/views", PEOPLE, saved_views::list::list),
        on(POST, "/api/v1/auth/me/views", PEOPLE, saved_views::create::create),
        on(DELETE, "/api/v1/auth/me/views/{id}", PEOPLE, saved_views::delete::delete),
        on(GET, "/api/v1/auth/me/sessions", PEOPLE, sessions::open::list),
        on(DELETE, "/api/v1/auth/me/sessions", PEOPLE, sessions::open::end_all),
        on(DELETE, "/api/v1/auth/me/sessions/{id}", PEOPLE, sessions::open::end),
        on(POST, "/api/v1/auth/browser-session", OPEN, sessions::browser::begin).counted_as(LimitClass::Login).taking(BodyClass::Credentials).returning_secret(),
        on(DELETE, "/api/v1/auth/browser-session", PEOPLE, sessions::browser::end),
        on(POST, "/api/v1/auth/browser-session/refresh", OPEN, sessions::browser::refresh).returning_secret(),
        on(POST, "/api/v1/users", ADMINS, users::create::create).taking(BodyClass::Credentials).returning_secret(),
        on(GET, "/api/v1/users", INSPECT, users::list::list).with_query(),
        on(GET, "/api/v1/users/{id}", INSPECT, users::get::get),
        on(PATCH, "/api/v1/users/{id}", ADMINS, users::change::change).taking(BodyClass::Credentials).returning_secret(),
        on(GET, "/api/v1/users/{id}/sessions", INSPECT, users::sessions::list),
        on(DELETE, "/api/v1/users/{id}/sessions", ADMINS, users::sessions::end),
        on(POST, "/api/v1/api-keys", OPERATE, api_keys::create::create).returning_secret(),
        on(GET, "/api/v1/api-keys", INSPECT, api_keys::list::list).with_query(),
        on(GET, "/api/v1/api-keys/{id}", INSPECT, api_keys::get::get),
        on(DELETE, "/api/v1/api-keys/{id}", OPERATE, api_keys::revoke::revoke),

        on(GET, "/api/v1/countries", READ, countries::list::list),
        on(GET, "/api/v1/countries/{code}", READ, countries::get::get),
        on(POST, "/api/v1/countries/{code}/document-checks", READ, countries::check_document::check_document),
        on(POST, "/api/v1/countries/{code}/evaluations", REVIEW, countries::evaluate::evaluate).taking(BodyClass::Application),

        on(POST, "/api/v1/applications", WRITE, applications::create::create).counted_as(LimitClass::Create).taking(BodyClass::Application),
        on(GET, "/api/v1/applications", READ, applications::list::list).with_query(),
        on(POST, "/api/v1/applications/search", READ, applications::search::search),
        on(POST, "/api/v1/applications/bulk-status", REVIEW, applications::bulk_status::set_status).taking(BodyClass::Application),
        on(GET, "/api/v1/applications/export.csv", READ, applications::export::export).with_query(),
        on(GET, "/api/v1/applications/{id}", READ, applications::get::get),
        on(PATCH, "/api/v1/applications/{id}", WRITE, applications::change::change).taking(BodyClass::Application),
        on(DELETE, "/api/v1/applications/{id}", WRITE, applications::delete::delete),
        on(POST, "/api/v1/applications/{id}/restore", RESTORE, applications::delete::restore),
        on(GET, "/api/v1/applications/{id}/status", READ, applications::status::status),
        on(PUT, "/api/v1/applications/{id}/status", WRITE, applications::status::set_status),
        on(GET, "/api/v1/applications/{id}/audit", READ, applications::audit::audit),
        on(GET, "/api/v1/applications/{id}/decision", READ, applications::decision::decision),
        on(GET, "/api/v1/applications/{id}/assignment", REVIEW, reviews::assignment::get),
        on(PUT, "/api/v1/applications/{id}/assignment", REVIEWERS, reviews::assignment::assign),
        on(DELETE, "/api/v1/applications/{id}/assignment", REVIEWERS, reviews::assignment::release),

        on(POST, "/api/v1/applications/{id}/disbursements", WRITE, disbursements::request::request),

        on(GET, "/api/v1/disbursements", READ, disbursements::list::list).with_query(),
        on(GET, "/api/v1/disbursements/{id}", READ, disbursements::get::get),
        on(GET, "/api/v1/disbursements/{id}/status", READ, disbursements::get::status),
        on(GET, "/api/v1/disbursements/{id}/events", READ, disbursements::events::list),
        on(POST, "/api/v1/admin/disbursements/{id}/resume", ADMINS, disbursements::act::resume),
        on(POST, "/api/v1/admin/disbursements/{id}/cancel", ADMINS, disbursements::act::cancel),
        on(POST, "/api/v1/admin/disbursements/{id}/resolve", ADMINS, disbursements::act::resolve),
        on(GET, "/api/v1/admin/disbursement-approvals", INSPECT, disbursements::approvals::list).with_query(),
        on(POST, "/api/v1/admin/disbursement-approvals/{id}/approve", ADMINS, disbursements::approvals::approve),
        on(POST, "/api/v1/admin/disbursement-approvals/{id}/decline", ADMINS, disbursements::approvals::decline),
        on(GET, "/api/v1/admin/funding-pools", INSPECT, disbursements::pools::list),
        on(POST, "/api/v1/admin/funding-pools/{code}/deposits", ADMINS, disbursements::pools::deposit),

        on(GET, "/api/v1/reviews", REVIEW, reviews::list::list).with_query(),
        on(POST, "/api/v1/reviews/next", REVIEWERS, reviews::next::next),

        on(GET, "/api/v1/stats", READ, stats::get::get),
        on(GET, "/api/v1/stats/daily", READ, stats::daily::get).with_query(),
        on(GET, "/api/v1/stats/countries/{code}", READ, stats::country::get),

        on(POST, "/api/v1/webhooks/bank-confirmation", Access::Signed, webhooks::receive::receive).counted_as(LimitClass::Webhook).taking(BodyClass::Webhook),
        on(POST, "/api/v1/webhooks/provider", Access::Signed, webhooks::receive::receive).counted_as(LimitClass::Webhook).taking(BodyClass::Webhook),
        on(POST, "/api/v1/webhooks/payment-report", Access::Signed, disbursements::report::receive).counted_as(LimitClass::Webhook).taking(BodyClass::Webhook),
        on(POST, "/api/v1/webhook-endpoints", WEBHOOKS, webhook_endpoints::create::create).returning_secret(),
        on(GET, "/api/v1/webhook-endpoints", WEBHOOKS, webhook_endpoints::list::list).with_query(),
        on(GET, "/api/v1/webhook-endpoints/{id}", WEBHOOKS, webhook_endpoints::get::get),
        on(PATCH, "/api/v1/webhook-endpoints/{id}", WEBHOOKS, webhook_endpoints::change::change),
        on(DELETE, "/api/v1/webhook-endpoints/{id}", WEBHOOKS, webhook_endpoints::delete::delete),
        on(POST, "/api/v1/webhook-endpoints/{id}/rotate-secret", WEBHOOKS, webhook_endpoints::rotate::rotate).returning_secret(),
        on(POST, "/api/v1/webhook-endpoints/{id}/test", WEBHOOKS, webhook_endpoints::test::test),
        on(POST, "/api/v1/webhook-endpoints/{id}/recover", WEBHOOKS, webhook_endpoints::recover::recover),
        on(GET, "/api/v1/webhook-endpoints/{id}/deliveries", WEBHOOKS, webhook_deliveries::list::list).with_query(),
        on(GET, "/api/v1/webhook-endpoints/{id}/attempts", WEBHOOKS, webhook_deliveries::attempts::list).with_query(),
        on(GET, "/api/v1/webhook-deliveries/{id}", WEBHOOKS, webhook_deliveries::get::get),
        on(POST, "/api/v1/webhook-deliveries/{id}/resend", WEBHOOKS, webhook_deliveries::resend::resend),

        on(GET, "/api/v1/admin/webhook-events", INSPECT, webhooks::list::list).with_query(),
        on(GET, "/api/v1/admin/staff-views", INSPECT, staff_views::list::list).with_query(),
        on(GET, "/api/v1/admin/security-events", INSPECT, security_events::list::list).with_query(),
        on(GET, "/api/v1/admin/schedule", INSPECT, schedule::tasks::tasks),
        on(POST, "/api/v1/admin/schedule/{task}/run", OPERATE, schedule::run::run),
        on(GET, "/api/v1/admin/scheduled-runs", INSPECT, schedule::runs::list).with_query(),

        on(GET, "/api/v1/admin/log-level", INSPECT, operations::log_level::get),
        on(PUT, "/api/v1/admin/log-level", OPERATE, operations::log_level::set),
        on(GET, "/api/v1/admin/actors", INSPECT, operations::actors::list),
        on(GET, "/api/v1/admin/circuits", INSPECT, operations::circuits::list),
        on(GET, "/api/v1/admin/circuits/history", INSPECT, operations::circuit_history::list).with_query(),
        on(PUT, "/api/v1/admin/circuits/{code}", OPERATE, operations::circuits::set),
        on(GET, "/api/v1/admin/jobs", INSPECT, operations::jobs::list).with_query(),
        on(GET, "/api/v1/admin/jobs/stats", INSPECT, operations::jobs::stats),
        on(GET, "/api/v1/admin/jobs/lanes", INSPECT, operations::lanes::list),
        on(PUT, "/api/v1/admin/jobs/lanes/{lane}", OPERATE, operations::lanes::set),
        on(GET, "/api/v1/events", EVENTS, events::feed::feed).with_query(),
        on(POST, "/api/v1/ingest/events", INGEST, ingest::receive::receive).counted_as(LimitClass::Ingest).taking(BodyClass::Events),
        on(GET, "/api/v1/ingest/events", EVENTS, ingest::list::list).with_query(),
        on(GET, "/api/v1/ingest/stats", INSPECT, ingest::stats::get),
        on(GET, "/api/v1/ingest/dead-letters", INSPECT, ingest::dead_letters::list).with_query(),
        on(GET, "/api/v1/ingest/dead-letters/{id}", INSPECT, ingest::dead_letters::get),
        on(POST, "/api/v1/ingest/dead-letters/{id}/retry", OPERATE, ingest::retry::retry),
        on(POST, "/api/v1/ingest/dead-letters/{id}/discard", OPERATE, ingest::retry::discard),
        on(GET, "/api/v1/admin/events/consumers", INSPECT, events::consumers::list),
        on(POST, "/api/v1/admin/events/consumers/{consumer}/replay", OPERATE, events::consumers::replay),
        on(GET, "/api/v1/admin/events/dead-letters", INSPECT, events::dead_letters::list).with_query(),
        on(POST, "/api/v1/admin/events/dead-letters/replay", OPERATE, events::act::replay_all),
        on(POST, "/api/v1/admin/events/dead-letters/skip", OPERATE, events::act::skip_all),
        on(GET, "/api/v1/admin/events/dead-letters/{id}", INSPECT, events::dead_letters::get),
        on(POST, "/api/v1/admin/events/dead-letters/{id}/replay", OPERATE, events::act::replay),
        on(POST, "/api/v1/admin/events/dead-letters/{id}/skip", OPERATE, events::act::skip),
        on(GET, "/api/v1/admin/failed-jobs", INSPECT, dead_letters::list::list).with_query(),
        on(POST, "/api/v1/admin/failed-jobs/retry", OPERATE, dead_letters::retry_all::retry),
        on(GET, "/api/v1/admin/failed-jobs/{id}", INSPECT, dead_letters::view::get),
        on(POST, "/api/v1/admin/failed-jobs/{id}/retry", OPERATE, dead_letters::work::retry),
        on(POST, "/api/v1/admin/failed-jobs/{id}/ignore", OPERATE, dead_letters::work::ignore),
        on(POST, "/api/v1/admin/failed-jobs/{id}/review", OPERATE, dead_letters::work::review),

        on(GET, ws::PATH, OPEN, ws::open).with_query(),
        on(POST, "/api/v1/ws/tickets", READ, ws::ticket::create).returning_secret(),

        on(GET, "/health", OPEN, health::summary).counted_as(LimitClass::Exempt),
        on(GET, "/health/live", OPEN, health::live).counted_as(LimitClass::Exempt),
        on(GET, "/health/ready", OPEN, health::ready).counted_as(LimitClass::Exempt),
        on(GET, "/health/detailed", OPERATORS, health::detailed),
        on(GET, "/api/v1/health", OPEN, health::summary).counted_as(LimitClass::Exempt),
        on(GET, "/api/v1/health/live", OPEN, health::live).counted_as(LimitClass::Exempt),
        on(GET, "/api/v1/health/ready", OPEN, health::ready).counted_as(LimitClass::Exempt),
        on(GET, "/api/v1/health/detailed", OPERATORS, health::detailed),

        on(GET, METRICS, Access::Metrics, metrics::metrics),
        on(GET, "/openapi.json", OPERATORS, docs::document),
        on(GET, "/asyncapi.json", OPERATORS, docs::asyncapi),
        on(GET, "/docs", OPERATORS, docs::redirect),
        on(GET, "/docs/{file:.*}", OPERATORS, docs::file),
        on(GET, "/problems/{code}", OPEN, docs::problem),

        on(GET, "/", OPEN, console::page::start).ignoring_query(),
        on(GET, "/console", OPEN, console::page::index).ignoring_query(),
        on(GET, "/console/{page:.*}", OPEN, console::page::page).ignoring_query(),
        on(GET, "/assets/{file}", OPEN, console::asset::file),
    ];
    if faults_on {
        table.push(on(POST, "/api/v1/test/inject-failure", OPERATE, faults::inject_failure));
    }
    table
}

/// The subset of the table that an instance serves.
#[derive(Debug, Clone, Copy)]
pub struct EnabledRoutes {
    /// Whether client routes are served. Without them, only operator routes are.
    clients: bool,
    /// Whether fault injection is enabled.
    faults: bool,
    /// Whether `GET /metrics` is enabled.
    metrics: bool,
}

impl EnabledRoutes {
    /// The subset for these settings.
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            clients: settings.instance.is(InstanceRole::Api),
            faults: settings.faults.injection,
            metrics: settings.server.metrics,
        }
    }

    fn has(self, entry: &RouteEntry) -> bool {
        let is_served = self.clients || FOR_OPERATORS.iter().any(|prefix| entry.path.starts_with(prefix));
        is_served && (self.metrics || entry.path != METRICS)
    }
}

/// The path of the metrics.
pub(super) const METRICS: &str = "/metrics";

/// Prefixes of paths that every instance serves, regardless of its roles.
const FOR_OPERATORS: [&str; 4] = ["/health", "/api/v1/health", "/metrics", "/api/v1/test/"];

/// Builds the router from the table.
pub(super) fn configure(config: &mut web::ServiceConfig, enabled: EnabledRoutes) {
    let mut entries = table(enabled.faults);
    entries.retain(|entry| enabled.has(entry));
    add_resources(config, entries);
}

/// Builds the router of the metrics port: metrics and health, without credentials and rate limits.
pub(super) fn configure_monitoring(config: &mut web::ServiceConfig) {
    let is_monitoring = |entry: &RouteEntry| entry.path.starts_with("/health") || entry.path == "/metrics";
    let open = |entry| RouteEntry { access: Access::Public, limit: LimitClass::Exempt, ..entry };
    add_resources(config, table(false).into_iter().filter(is_monitoring).map(open).collect());
}

fn add_resources(config: &mut web::ServiceConfig, mut rest: Vec<RouteEntry>) {
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
        entries.into_iter().fold(web::resource(path), |resource, entry| resource.route(entry.into_route()));
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
    let mut response = HttpResponse::NoContent();
    if allow.split(", ").any(|method| method == Method::PATCH.as_str()) {
        response.insert_header((ACCEPT_PATCH, format!("application/json, {MERGE_PATCH}")));
    }
    response.insert_header((header::ALLOW, allow)).finish()
}

async fn refuse_method(allow: String) -> HandlerResult {
    Err(Rejection::MethodNotAllowed(allow))
}

/// An entry of the table with default rules.
fn on<F, Args>(method: Method, path: &'static str, access: Access, handler: F) -> RouteEntry
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
    RouteEntry {
        method,
        path,
        access,
        limit: LimitClass::Standard,
        body: BodyClass::Small,
        returns_secret: false,
        has_query: false,
        ignores_query: false,
        route: route.to(handler),
    }
}
