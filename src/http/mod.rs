//! The HTTP layer: REST, health, metrics and documentation.
//!
//! [`routes`] is the route table. [`problem`] maps errors to responses. [`auth`] authenticates and authorizes requests,
//! [`client_address`] determines the client address, and [`limits`] enforces rate limits. [`extract`], [`body`] and
//! [`query`] read the path, body and query and refuse invalid input with a 4xx. [`middleware`] wraps every request. The
//! other modules are resources, with one file per handler and its request and response types.
//!
//! The server listens before the rest of Aval has started: an [`HttpServerState`] responds with 503 to everything but
//! `/health/live` until [`HttpServerState::open`] receives the [`HttpState`]. From then on a request waits only for the
//! database, the write batcher and, briefly, Redis, and never longer than `server.request_timeout_ms`.

pub mod api_keys;
pub mod applications;
mod asyncapi;
pub mod auth;
pub mod body;
pub mod client_address;
pub mod conditional;
mod connections;
pub mod console;
pub mod countries;
mod cross_origin;
mod cursor;
pub mod dead_letters;
pub mod disbursements;
pub mod docs;
pub mod events;
pub mod extract;
pub mod faults;
pub mod health;
pub mod idempotency;
pub mod ingest;
mod json_value;
pub mod keyset;
pub mod limits;
mod line_limit;
pub mod metrics;
mod metrics_server;
pub mod middleware;
pub mod openapi;
pub mod operations;
mod origin;
pub mod problem;
pub mod query;
pub mod request;
pub mod reviews;
pub mod routes;
pub mod saved_views;
pub mod schedule;
mod schemas;
pub mod security_events;
mod server;
pub mod sessions;
pub mod staff_views;
pub mod stats;
mod tls;
mod transport;
pub mod users;
pub mod webhook_deliveries;
pub mod webhook_endpoints;
pub mod webhooks;
pub mod ws;

use std::collections::BTreeSet;
use std::future::{Ready, ready};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use slog::Logger;

use self::health::{HealthSource, Phase, Readiness};
use self::limits::RateLimiter;
use self::line_limit::LineLimit;
pub use self::metrics_server::serve_metrics;
use self::problem::Rejection;
pub use self::server::{app, serve};
use crate::accounts::Accounts;
use crate::actors::write_batcher::CommitHook;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::Settings;
use crate::countries::Countries;
use crate::deliveries::Deliveries;
use crate::error::Error;
use crate::events::consumers::Consumers;
use crate::events::feed::Feed;
use crate::events::registry::EventRegistry;
use crate::ingest::Ingest;
use crate::lending::Lending;
use crate::providers::simulator::Simulator;
use crate::queue::task::Tasks;
use crate::redis::Redis;
use crate::resources::Resources;
use crate::storage::seal::KeyRing;
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Tracer;

/// The dependencies of handlers. Cheap to clone.
#[derive(Clone)]
pub struct HttpState {
    /// Settings, database, clock, metrics and fault injection.
    pub resources: Resources,
    /// Authentication and accounts.
    pub accounts: Accounts,
    /// The lending use cases.
    pub lending: Lending,
    /// The rules of every country.
    pub countries: Arc<Countries>,
    /// The response cache.
    pub cache: Cache,
    /// Redis, if configured.
    pub redis: Option<Redis>,
    /// The built-in simulator, if it is running.
    pub simulator: Option<Simulator>,
    /// Called after commits that bypass the write batcher.
    pub on_commit: CommitHook,
    /// The health of components outside the HTTP layer.
    pub health: Arc<dyn HealthSource>,
    /// The dependencies of WebSocket sessions.
    pub realtime: ws::Realtime,
    /// The dependencies of webhook handlers.
    pub webhooks: webhooks::WebhookResources,
    /// The dependencies of the operations endpoints.
    pub operations: operations::Operations,
    /// The tasks known to this instance.
    pub tasks: Tasks,
    /// The consumers known to this instance.
    pub consumers: Consumers,
    /// The feed of published events.
    pub feed: Feed,
    /// The webhook endpoints of other systems.
    pub deliveries: Deliveries,
    /// The events that clients send at volume.
    pub ingest: Ingest,
}

impl HttpState {
    /// The keys that encrypt and index personal data.
    pub fn keys(&self) -> &KeyRing {
        self.resources.database.keys()
    }
}

/// The endpoint label in metrics for requests that match no route.
const UNMATCHED: &str = "unmatched";

/// The labels of endpoints in metrics: the patterns of all routes, and the label of requests that match none.
pub fn endpoint_labels() -> BTreeSet<&'static str> {
    routes::table(true).iter().map(|entry| entry.path).chain([UNMATCHED]).collect()
}

/// The reasons for refusing connections, as labels in metrics.
pub fn refusal_labels() -> impl Iterator<Item = &'static str> {
    connections::Refusal::ALL.into_iter().map(connections::Refusal::as_str)
}

/// Log lines per second for unauthenticated requests.
const ANONYMOUS_LINES_PER_SECOND: u32 = 50;

/// The state of the server, available before the rest of Aval has started. Cheap to clone.
#[derive(Clone)]
pub struct HttpServerState {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Arc<Settings>,
    clock: Clock,
    metrics: Arc<Metrics>,
    tracer: Tracer,
    logger: Logger,
    readiness: Readiness,
    limiter: RateLimiter,
    /// Limits the log lines of unauthenticated requests.
    anonymous_lines: LineLimit,
    state: OnceLock<HttpState>,
    /// The OpenAPI document, serialized once.
    document: String,
    /// The AsyncAPI document, serialized once.
    asyncapi: String,
}

impl HttpServerState {
    /// The state of a server that is still starting. Fails with [`Error::Internal`] if the OpenAPI document cannot be
    /// serialized, which is a bug.
    pub fn new(
        settings: Arc<Settings>,
        clock: Clock,
        telemetry: &Telemetry,
        types: &EventRegistry,
    ) -> Result<Self, Error> {
        let mut document = openapi::document(settings.faults.injection);
        if !settings.server.metrics {
            document.paths.paths.remove(routes::METRICS);
        }
        let document = document.to_json().map_err(Error::internal)?;
        let limiter = RateLimiter::new(&settings.limits, &clock);
        let inner = Inner {
            settings,
            clock,
            metrics: Arc::clone(&telemetry.metrics),
            tracer: telemetry.tracer.clone(),
            logger: telemetry.logger.new(slog::o!("logger" => "http")),
            readiness: Readiness::default(),
            limiter,
            anonymous_lines: LineLimit::new(ANONYMOUS_LINES_PER_SECOND, Duration::from_secs(1)),
            state: OnceLock::new(),
            document,
            asyncapi: asyncapi::document(types).to_string(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Starts serving requests. Further calls have no effect.
    pub fn open(&self, state: HttpState) {
        if let Some(redis) = &state.redis {
            self.inner.limiter.share(redis, &state.resources.database.shared_keys());
        }
        let _ = self.inner.state.set(state);
        self.inner.readiness.enter(Phase::Ready);
    }

    /// Makes readiness fail, so that no new work is sent to this instance. Requests that still arrive are served.
    pub fn drain(&self) {
        self.inner.readiness.enter(Phase::Draining);
    }

    /// The lifecycle phase.
    pub fn readiness(&self) -> &Readiness {
        &self.inner.readiness
    }

    /// The configuration.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    fn state(&self) -> Result<HttpState, Rejection> {
        self.inner.state.get().cloned().ok_or(Rejection::Starting)
    }
}

impl std::fmt::Debug for HttpServerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpServerState")
            .field("phase", &self.inner.readiness.phase())
            .finish_non_exhaustive()
    }
}

impl FromRequest for HttpServerState {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let missing = || Error::internal("the server was built without its state").into();
        ready(request.app_data::<Self>().cloned().ok_or_else(missing))
    }
}

impl FromRequest for HttpState {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let server_state = HttpServerState::from_request(request, payload).into_inner();
        ready(server_state.and_then(|server_state| server_state.state()))
    }
}
