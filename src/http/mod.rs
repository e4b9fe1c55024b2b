//! The HTTP layer: REST, health, metrics and documentation.
//!
//! What lives where: [`routes`] is the route table; [`problem`] the one mapping from errors to answers; [`auth`] says
//! who asks, [`client_address`] from where, and [`limits`] how often; [`extract`] reads paths, queries and bodies so that whatever a client sends is either understood or
//! refused by a 4xx; [`middleware`] sees every request from outside; the other modules are resources, a file for each
//! handler with its request and response types.
//!
//! The server listens before the rest of Aval stands: an [`HttpServerState`] answers 503 to everything but
//! `/health/live` until [`HttpServerState::open`] hands it the [`HttpState`]. From then on a request never waits for anything
//! but the database, the write batcher and, for moments, Redis, and never longer than `server.request_timeout_ms`.

pub mod api_keys;
pub mod applications;
pub mod auth;
pub mod body;
pub mod client_address;
pub mod conditional;
mod connections;
pub mod countries;
mod cross_origin;
mod cursor;
pub mod dead_letters;
pub mod docs;
pub mod extract;
pub mod faults;
pub mod health;
pub mod idempotency;
mod json_value;
pub mod keyset;
pub mod limits;
mod line_limit;
pub mod metrics;
pub mod middleware;
pub mod openapi;
pub mod operations;
mod origin;
pub mod problem;
pub mod query;
pub mod request;
pub mod routes;
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
pub mod webhooks;
pub mod ws;

use std::future::{Ready, ready};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use slog::Logger;

use self::health::{HealthSource, Phase, Readiness};
use self::limits::RateLimiter;
use self::line_limit::LineLimit;
use self::problem::Rejection;
pub use self::server::{app, serve};
use crate::accounts::Accounts;
use crate::actors::write_batcher::CommitHook;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::Settings;
use crate::countries::Countries;
use crate::error::Error;
use crate::lending::Lending;
use crate::providers::simulator::Simulator;
use crate::queue::task::Tasks;
use crate::redis::Redis;
use crate::resources::Resources;
use crate::storage::seal::KeyRing;
use crate::telemetry::metrics::Metrics;

/// What handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct HttpState {
    /// Settings, database, clock, metrics, faults.
    pub resources: Resources,
    /// Who may come in.
    pub accounts: Accounts,
    /// The use cases of credit.
    pub lending: Lending,
    /// The rules of every country.
    pub countries: Arc<Countries>,
    /// Copies of answers.
    pub cache: Cache,
    /// Redis, where there is one.
    pub redis: Option<Redis>,
    /// The built-in bureaus, when they run.
    pub simulator: Option<Simulator>,
    /// Whom to tell of changes that did not go through the write batcher.
    pub on_commit: CommitHook,
    /// What health answers tell of the parts that HTTP does not know.
    pub health: Arc<dyn HealthSource>,
    /// What WebSocket sessions need.
    pub realtime: ws::Realtime,
    /// Who verifies and takes webhooks.
    pub webhooks: webhooks::WebhookResources,
    /// What operators ask about.
    pub operations: operations::Operations,
    /// The tasks that jobs can name.
    pub tasks: Tasks,
}

impl HttpState {
    /// The keys that seal and index personal data.
    pub fn keys(&self) -> &KeyRing {
        self.resources.database.keys()
    }
}

/// The endpoint, in metrics, of requests that no route has.
const UNMATCHED: &str = "unmatched";

/// Log lines a second of requests that no account sent.
const ANONYMOUS_LINES_PER_SECOND: u32 = 50;

/// The door of the server: what is there before the rest of Aval stands, and where the rest arrives. Cheap to clone.
#[derive(Clone)]
pub struct HttpServerState {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Arc<Settings>,
    clock: Clock,
    metrics: Arc<Metrics>,
    logger: Logger,
    readiness: Readiness,
    limiter: RateLimiter,
    /// Bounds the log lines of requests without an account.
    anonymous_lines: LineLimit,
    state: OnceLock<HttpState>,
    /// The OpenAPI document, written once.
    document: String,
}

impl HttpServerState {
    /// A door that is still closed.
    ///
    /// # Errors
    /// [`Error::Internal`] when the OpenAPI document cannot be written: a defect.
    pub fn new(
        settings: Arc<Settings>,
        clock: Clock,
        metrics: Arc<Metrics>,
        logger: &Logger,
    ) -> Result<Self, Error> {
        let document = openapi::document(settings.faults.injection).to_json().map_err(Error::internal)?;
        let limiter = RateLimiter::new(&settings.limits, &clock);
        let inner = Inner {
            settings,
            clock,
            metrics,
            logger: logger.new(slog::o!("logger" => "http")),
            readiness: Readiness::default(),
            limiter,
            anonymous_lines: LineLimit::new(ANONYMOUS_LINES_PER_SECOND, Duration::from_secs(1)),
            state: OnceLock::new(),
            document,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Lets requests in. Opening twice changes nothing.
    pub fn open(&self, state: HttpState) {
        if let Some(redis) = &state.redis {
            self.inner.limiter.share(redis, &state.resources.database.shared_keys());
        }
        let _ = self.inner.state.set(state);
        self.inner.readiness.enter(Phase::Ready);
    }

    /// Has readiness fail, so that no new work is sent here; requests that still come are answered.
    pub fn drain(&self) {
        self.inner.readiness.enter(Phase::Draining);
    }

    /// Whether the door is open.
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
