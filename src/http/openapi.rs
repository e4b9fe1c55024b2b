//! The OpenAPI 3.1 document. A test compares its paths with the route table.

mod headers;
mod refine;

use actix_web::http::Method;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder};

use super::auth::{API_KEY_HEADER, Access};
use super::body::{BodyClass, BodyLimit, MERGE_PATCH};
use super::limits::LimitClass;
use super::routes::RouteEntry;
use super::{
    api_keys, applications, console, countries, dead_letters, disbursements, docs, events, faults, health,
    ingest, metrics, operations, problem, reviews, routes, saved_views, schedule, schemas, security_events,
    sessions, staff_views, stats, users, webhook_deliveries, webhook_endpoints, webhooks, ws,
};
use crate::domain::account::Role;

/// The prefix under which the health endpoints are also available.
const API_PREFIX: &str = "/api/v1";
/// The names of the security schemes.
const TOKEN: &str = "access_token";
const API_KEY: &str = "api_key";
const INJECT_FAILURE: &str = "/api/v1/test/inject-failure";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Aval",
        description = "Multi-country credit applications: created over REST, decided by actors, updated live over WebSocket.\n\n\
            Errors are RFC 9457 problems (`application/problem+json`) with a stable `code`, the `request_id` and, for \
            invalid values, `errors` with a JSON pointer for each. Every response carries `X-Request-ID`: the one that \
            the client sent, if it is valid, or a generated one. Unknown query parameters are refused with a 422. `GET` \
            paths also answer `HEAD`, and every path answers `OPTIONS`. Any path may also return 404, 405, 414, 417, 429, \
            431, 500 or 503 with a problem. Input that is not valid HTTP gets a 400, 408 or 431 without a problem, and the \
            connection is closed.\n\n\
            Requests are counted per client address and per account. If rate limits are enabled, `RateLimit-Policy` and \
            `RateLimit` (draft-ietf-httpapi-ratelimit-headers) describe both limits: the quota `q` per window of `w` \
            seconds, the remaining quota `r`, and the seconds `t` until it is fully restored. Requests over the limit get \
            a 429 with `Retry-After`.",
        contact(name = "Aval developers"),
        license(name = "MIT", identifier = "MIT"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "accounts", description = "Authentication: user sessions, user accounts and API keys"),
        (name = "applications", description = "Credit applications"),
        (name = "disbursements", description = "Payment of approved applications, decisions of a second person, and funding pools"),
        (name = "reviews", description = "The queue of applications under review and their assignment to analysts"),
        (name = "statistics", description = "Figures on applications, decisions, risk and amounts"),
        (name = "countries", description = "Rules of each country, document checks and trial evaluations"),
        (name = "webhooks", description = "Incoming messages from banks and bureaus"),
        (name = "events", description = "Published events, their consumers and dead letters"),
        (name = "ingest", description = "Events that clients send at volume"),
        (name = "webhook endpoints", description = "Endpoints of other systems that Aval sends events to, and the deliveries to them"),
        (name = "realtime", description = "Live updates over WebSocket"),
        (name = "health", description = "Liveness, readiness and component health"),
        (name = "console", description = "The web console"),
        (name = "operations", description = "Operator endpoints: circuit breakers, the queue, dead letters, scheduled tasks, actors and metrics"),
    ),
    paths(
        sessions::login::login,
        sessions::refresh::refresh,
        sessions::logout::logout,
        sessions::password::change,
        sessions::me::me,
        sessions::settings::get,
        sessions::settings::set,
        saved_views::list::list,
        saved_views::create::create,
        saved_views::delete::delete,
        sessions::open::list,
        sessions::open::end_all,
        sessions::open::end,
        sessions::browser::begin,
        sessions::browser::refresh,
        sessions::browser::end,
        users::create::create,
        users::list::list,
        users::get::get,
        users::change::change,
        users::sessions::list,
        users::sessions::end,
        api_keys::create::create,
        api_keys::list::list,
        api_keys::get::get,
        api_keys::revoke::revoke,
        countries::list::list,
        countries::get::get,
        countries::check_document::check_document,
        countries::evaluate::evaluate,
        applications::create::create,
        applications::list::list,
        applications::search::search,
        applications::get::get,
        applications::change::change,
        applications::delete::delete,
        applications::delete::restore,
        applications::status::status,
        applications::status::set_status,
        applications::audit::audit,
        applications::decision::decision,
        applications::export::export,
        applications::bulk_status::set_status,
        disbursements::request::request,
        disbursements::list::list,
        disbursements::get::get,
        disbursements::get::status,
        disbursements::events::list,
        disbursements::act::resume,
        disbursements::act::cancel,
        disbursements::act::resolve,
        disbursements::approvals::list,
        disbursements::approvals::approve,
        disbursements::approvals::decline,
        disbursements::pools::list,
        disbursements::pools::deposit,
        disbursements::report::receive,
        reviews::list::list,
        reviews::next::next,
        reviews::assignment::get,
        reviews::assignment::assign,
        reviews::assignment::release,
        stats::get::get,
        stats::country::get,
        stats::daily::get,
        webhooks::receive::receive,
        webhooks::list::list,
        webhook_endpoints::create::create,
        webhook_endpoints::list::list,
        webhook_endpoints::get::get,
        webhook_endpoints::change::change,
        webhook_endpoints::delete::delete,
        webhook_endpoints::rotate::rotate,
        webhook_endpoints::test::test,
        webhook_endpoints::recover::recover,
        webhook_deliveries::list::list,
        webhook_deliveries::attempts::list,
        webhook_deliveries::get::get,
        webhook_deliveries::resend::resend,
        staff_views::list::list,
        security_events::list::list,
        events::feed::feed,
        events::consumers::list,
        events::consumers::replay,
        events::dead_letters::list,
        events::dead_letters::get,
        events::act::replay_all,
        events::act::skip_all,
        events::act::replay,
        events::act::skip,
        ingest::receive::receive,
        ingest::list::list,
        ingest::stats::get,
        ingest::dead_letters::list,
        ingest::dead_letters::get,
        ingest::retry::retry,
        ingest::retry::discard,
    dead_letters::list::list, dead_letters::retry_all::retry, dead_letters::view::get, dead_letters::work::ignore, dead_letters::work::retry, dead_letters::work::review, operations::actors::list, operations::circuit_history::list, operations::circuits::list, operations::circuits::set, operations::jobs::list, operations::jobs::stats, operations::lanes::list, operations::lanes::set,
        operations::log_level::get,
        operations::log_level::set, schedule::run::run, schedule::runs::list, schedule::tasks::tasks,
        ws::open,
        ws::ticket::create,
        health::summary,
        health::live,
        health::ready,
        health::detailed,
        metrics::metrics,
        docs::document,
        docs::asyncapi,
        docs::redirect,
        docs::file,
        docs::problem,
        console::page::start,
        console::page::index,
        console::page::page,
        console::asset::file,
        faults::inject_failure,
    ),
    components(schemas(problem::Problem, schemas::DataMemberKind, schemas::AssignmentName)),
)]
struct Paths;

/// The document for a server with or without fault injection.
pub fn document(faults_on: bool) -> Document {
    let mut document = Paths::openapi();
    let paths = &mut document.paths.paths;
    let health: Vec<_> = paths.iter().filter(|(path, _)| path.starts_with("/health")).collect();
    let mut aliases: Vec<_> =
        health.into_iter().map(|(path, item)| (format!("{API_PREFIX}{path}"), item.clone())).collect();
    for (_, item) in &mut aliases {
        if let Some(get) = &mut item.get {
            get.operation_id = get.operation_id.as_ref().map(|id| format!("{id}_under_api"));
        }
    }
    if let Some(mut item) = paths.get(webhooks::PATH).cloned() {
        if let Some(post) = &mut item.post {
            post.operation_id = post.operation_id.as_ref().map(|id| format!("{id}_as_provider"));
        }
        paths.insert(webhooks::ALIAS.to_owned(), item);
    }
    paths.extend(aliases);
    if !faults_on {
        paths.remove(INJECT_FAILURE);
    }
    let table = routes::table(faults_on);
    for (path, item) in paths {
        for (method, operation) in refine::operations(item) {
            let route = table.iter().find(|entry| entry.method == method && entry.documented_path() == *path);
            describe(path, &method, operation, route);
        }
    }
    document.components.get_or_insert_default().headers = headers::components();
    refine::refine(&mut document);
    let schemes = &mut document.components.get_or_insert_default().security_schemes;
    let http = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
    let token = http.description(Some("An access token from `POST /api/v1/auth/login`, or an API key"));
    schemes.insert(TOKEN.to_owned(), RefOr::T(SecurityScheme::Http(token.build())));
    let key = ApiKeyValue::with_description(
        API_KEY_HEADER,
        "An API key; it can also be sent as `Authorization: Bearer`",
    );
    schemes.insert(API_KEY.to_owned(), RefOr::T(SecurityScheme::ApiKey(ApiKey::Header(key))));
    document
}

/// Documents the properties of an operation that follow from its method, its path and its entry in the route table.
fn describe(path: &str, method: &Method, operation: &mut Operation, route: Option<&RouteEntry>) {
    describe_refusals(path, operation);
    describe_repetition(operation);
    if *method == Method::PATCH {
        accept_merge_patch(operation);
    }
    if let Some(route) = route {
        describe_access(route.access, operation);
        describe_body(route.body, operation);
    }
    let is_counted = route.is_some_and(|route| route.limit != LimitClass::Exempt);
    if is_counted {
        add_refusal(operation, "429", "Rate limit exceeded");
    }
    add_problem_schema(operation);
    headers::describe(operation, is_counted);
}

/// Adds the response headers of writes that accept an `Idempotency-Key`.
fn describe_repetition(operation: &mut Operation) {
    let mut parameters = operation.parameters.iter().flatten();
    if !parameters.any(|parameter| matches!(parameter, RefOr::T(known) if known.name == "Idempotency-Key")) {
        return;
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if status.starts_with('2') {
            headers::add(response, "Idempotency-Replayed");
        } else if status == "409" {
            headers::add(response, "Retry-After");
        }
    }
}

/// Declares that a `PATCH` is a JSON Merge Patch, sent under its own media type or as plain JSON.
fn accept_merge_patch(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    if let Some(content) = body.content.get("application/json").cloned() {
        body.content.insert(MERGE_PATCH.to_owned(), content);
    }
}

/// Documents the required credentials and the responses to unauthorized requests.
fn describe_access(access: Access, operation: &mut Operation) {
    let (token, key) = (
        || SecurityRequirement::new::<_, _, &str>(TOKEN, []),
        || SecurityRequirement::new::<_, _, &str>(API_KEY, []),
    );
    let (security, needed) = match access {
        Access::Public => (vec![], "No authentication required.".to_owned()),
        Access::Signed => (vec![], "Authenticated by a signature of the body.".to_owned()),
        Access::Anyone => (vec![token(), key()], "Requires authentication; any account may call this.".to_owned()),
        Access::People(Role::User) => (vec![token()], "For users only; API keys are refused.".to_owned()),
        Access::People(role) => {
            (vec![token()], format!("Requires a user with the role `{role}` or higher; API keys are refused."))
        }
        Access::AtLeast(role, scope) => (
            vec![token(), key()],
            format!("Requires the role `{role}` or higher; API keys also need the scope `{scope}`."),
        ),
        Access::Metrics => (
            vec![SecurityRequirement::default(), token(), key()],
            "Open in development. In production, requires an admin or an API key with the scope `metrics:read` or \
             `operations:read`."
                .to_owned(),
        ),
        Access::Operators => (
            vec![SecurityRequirement::default(), token(), key()],
            "Open in development. In production, requires an admin or an API key with the scope `operations:read`."
                .to_owned(),
        ),
    };
    let description = operation.description.take().filter(|text| !text.is_empty());
    let description = description.map_or(needed.clone(), |text| format!("{text}\n\n{needed}"));
    operation.description = Some(description);
    if !security.is_empty() {
        add_refusal(operation, "401", "Missing or invalid credential; see WWW-Authenticate");
    }
    if access.needs().is_some() || matches!(access, Access::People(_) | Access::Metrics) {
        add_refusal(operation, "403", "Insufficient role or scope");
    }
    operation.security = Some(security);
}

/// Documents the size limits of a request body.
fn describe_body(class: BodyClass, operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    let BodyLimit { bytes, values } = class.limit();
    let limit = match class {
        BodyClass::Events => {
            format!("The body may have at most {} KiB and {values} events.", bytes / 1024)
        }
        BodyClass::Webhook => format!("The body may have at most {values} members and elements."),
        BodyClass::Credentials | BodyClass::Small | BodyClass::Application => {
            format!("The body may have at most {} KiB and {values} members and elements.", bytes / 1024)
        }
    };
    let described = body.description.take().filter(|text| !text.is_empty());
    body.description = Some(described.map_or(limit.clone(), |text| format!("{text}\n\n{limit}")));
}

fn add_refusal(operation: &mut Operation, status: &str, description: &str) {
    let response = || RefOr::T(ResponseBuilder::new().description(description).build());
    operation.responses.responses.entry(status.to_owned()).or_insert_with(response);
}

/// Adds the error responses that an operation can return because of its path, query or body.
fn describe_refusals(path: &str, operation: &mut Operation) {
    let has_body = operation.request_body.is_some();
    let mut also = |status: &str, description: &str| add_refusal(operation, status, description);
    if has_body {
        also("400", "Malformed body, path or query");
        also("408", "The body was not received in time");
        also("413", "The body is too large");
        also("415", "The body is not JSON in UTF-8");
        also("422", "Validation failed");
    }
    if path.contains("{id}") {
        also("400", "The identifier is not a UUID, or the query is malformed");
    }
    also("400", "Malformed query");
    also(
        "409",
        "The stored data contains a value that was written by a newer version of Aval and is unknown to this one",
    );
    also("422", "Unknown or invalid parameter");
    also("500", "Internal error");
    also(
        "503",
        "The service is starting, overloaded, too slow, or has no database connection; see Retry-After",
    );
}

/// Adds the problem schema to every error response.
fn add_problem_schema(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && (status.starts_with(['4', '5']) || status == "default")
        {
            let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            response.content.insert(problem::CONTENT_TYPE.to_owned(), RefOr::T(problem));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::account::Scope;

    fn documented(faults_on: bool) -> serde_json::Value {
        serde_json::to_value(document(faults_on)).unwrap()
    }

    #[test]
    fn the_document_and_the_route_table_contain_the_same_routes() {
        for faults_on in [true, false] {
            let served: BTreeSet<String> = routes::table(faults_on)
                .iter()
                .map(|entry| format!("{} {}", entry.method, entry.documented_path()))
                .collect();
            let document = documented(faults_on);
            let described: BTreeSet<String> = document["paths"]
                .as_object()
                .unwrap()
                .iter()
                .flat_map(|(path, item)| {
                    item.as_object()
                        .unwrap()
                        .keys()
                        .map(move |method| format!("{} {path}", method.to_uppercase()))
                })
                .collect();
            assert_eq!(served, described);
        }
    }

    #[test]
    fn every_operation_has_a_unique_name_a_summary_and_its_problems() {
        let document = documented(true);
        assert_eq!(document["openapi"], "3.1.0");
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(names.insert(id.to_owned()), "{method} {path}: {id} is taken");
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let is_refusal = status.starts_with(['4', '5']) || status == "default";
                    let is_problem = response["content"]["application/problem+json"].is_object();
                    assert_eq!(is_refusal, is_problem, "{method} {path} {status}");
                }
                assert!(operation["summary"].is_string(), "{method} {path}");
            }
        }
    }

    #[test]
    fn only_rate_limited_operations_document_a_429() {
        let document = documented(true);
        for route in routes::table(true) {
            let path = route.path.replace(":.*", "");
            let responses = &document["paths"][&path][route.method.as_str().to_lowercase()]["responses"];
            assert_eq!(responses["429"].is_object(), route.limit != LimitClass::Exempt, "{path}");
        }
        let headers = &document["paths"]["/api/v1/applications"]["post"]["responses"]["429"]["headers"];
        assert!(headers["Retry-After"].is_object() && headers["RateLimit"].is_object(), "{headers}");
    }

    #[test]
    fn every_idempotent_write_documents_its_replay_and_retry_headers() {
        let document = documented(true);
        let mut with_key = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                if parameters.filter(|parameter| parameter["name"] == "Idempotency-Key").count() == 0 {
                    continue;
                }
                with_key.insert(path.as_str());
                let responses = operation["responses"].as_object().unwrap();
                let made = responses.iter().find(|(status, _)| status.starts_with('2')).unwrap().1;
                assert!(made["headers"]["Idempotency-Replayed"].is_object(), "{path}: {made}");
                let refused = &responses["409"];
                assert!(refused["headers"]["Retry-After"].is_object(), "{path}: {refused}");
            }
        }
        let known = [
            "/api/v1/admin/disbursement-approvals/{id}/approve",
            "/api/v1/admin/disbursement-approvals/{id}/decline",
            "/api/v1/admin/disbursements/{id}/cancel",
            "/api/v1/admin/disbursements/{id}/resolve",
            "/api/v1/admin/disbursements/{id}/resume",
            "/api/v1/admin/failed-jobs/retry",
            "/api/v1/admin/failed-jobs/{id}/ignore",
            "/api/v1/admin/failed-jobs/{id}/retry",
            "/api/v1/admin/failed-jobs/{id}/review",
            "/api/v1/admin/funding-pools/{code}/deposits",
            "/api/v1/api-keys",
            "/api/v1/applications",
            "/api/v1/applications/{id}/disbursements",
            "/api/v1/applications/{id}/restore",
            "/api/v1/users",
            "/api/v1/webhook-deliveries/{id}/resend",
            "/api/v1/webhook-endpoints",
            "/api/v1/webhook-endpoints/{id}/recover",
            "/api/v1/webhook-endpoints/{id}/rotate-secret",
            "/api/v1/webhook-endpoints/{id}/test",
        ];
        assert_eq!(with_key, BTreeSet::from(known));
    }

    #[test]
    fn a_route_reads_a_query_when_the_document_has_parameters_for_it() {
        let document = documented(true);
        for route in routes::table(true) {
            let operation = &document["paths"][route.documented_path()][route.method.as_str().to_lowercase()];
            let mut parameters = operation["parameters"].as_array().into_iter().flatten();
            let has_query = parameters.any(|parameter| parameter["in"] == "query");
            assert_eq!(route.has_query, has_query, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn a_scope_requires_the_minimum_role_of_its_routes() {
        for scope in Scope::ALL {
            let roles = routes::table(true).into_iter().filter_map(|route| match route.access {
                Access::AtLeast(role, needed) if needed == scope => Some(role),
                Access::Metrics if scope == Scope::MetricsRead => Some(Role::User),
                _ => None,
            });
            assert_eq!(roles.min(), Some(scope.minimum_role()), "{scope}");
        }
    }

    #[test]
    fn every_reference_resolves() {
        let document = documented(true);
        let mut left = vec![&document];
        let mut references = 0;
        while let Some(value) = left.pop() {
            match value {
                serde_json::Value::Array(items) => left.extend(items),
                serde_json::Value::Object(members) => {
                    if let Some(reference) = members.get("$ref").and_then(serde_json::Value::as_str) {
                        references += 1;
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    left.extend(members.values());
                }
                _ => {}
            }
        }
        assert!(references > 50);
    }
}
