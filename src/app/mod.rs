//! The composition root: builds all parts in dependency order.
//!
//! [`Engine`] is everything except the HTTP server: database access, bureaus, rules and actors. [`App`] starts the
//! database, the engine and the HTTP server, and stops them again. Both are built from [`Settings`] alone, so tests start
//! the same composition as production.

pub mod archive;
pub mod backup;
mod bureaus;
mod checksum;
pub mod disbursements;
mod engine;
mod event_types;
pub mod events;
mod health;
mod labels;
pub mod migrations;
mod partial;
mod rails;
pub mod reencrypt;
mod shared;
pub mod status;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use slog::{Logger, info, warn};
use tokio_util::sync::CancellationToken;

pub use self::engine::{Engine, Handles};
pub use self::event_types::event_types;
use self::health::EngineHealth;
pub use self::labels::known_labels;
pub use self::shared::Shared;
use crate::actors::event_consumer::StopConsuming;
use crate::actors::outbox_relay::StopRelay;
use crate::actors::scheduler::StopClaiming;
use crate::actors::supervisor::ReturnAllJobs;
use crate::clock::Clock;
use crate::config::{ProviderMode, Settings};
use crate::domain::application::Country;
use crate::error::{Error, Result};
use crate::http::operations::Operations;
use crate::http::webhooks::{Senders, WebhookResources};
use crate::http::ws::Realtime;
use crate::http::{self, HttpServerState, HttpState};
use crate::ingest::Ingest;
use crate::lending::Lending;
use crate::providers::signature::SigningKey;
use crate::providers::simulator::Callbacks;
use crate::shutdown::Shutdown;
use crate::startup::{self, StartedDatabase};
use crate::telemetry::Telemetry;
use crate::telemetry::log_levels::LogLevels;

/// The minimum time for essential stages of the shutdown.
const MIN_STAGE_TIME: Duration = Duration::from_secs(2);
/// How often the shutdown checks whether a stage is done.
const STAGE_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The running application.
pub struct App {
    engine: Engine,
    server_state: HttpServerState,
    server: ServerHandle,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
    address: SocketAddr,
    /// The server of the metrics port.
    metrics_server: Option<(ServerHandle, SocketAddr)>,
    database: StartedDatabase,
}

impl App {
    /// Starts listening and responds with 503 until the database is started and migrated and the engine is running.
    ///
    /// # Errors
    /// If a part cannot be started; the message identifies it.
    pub async fn start(settings: Settings, clock: Clock, logger: Logger) -> Result<Self> {
        Self::start_after(settings, clock, logger, async |_| Ok(())).await
    }

    /// Like [`App::start`], and runs `prepare` between the start of the engine and the first request. Readiness fails
    /// until `prepare` is done.
    ///
    /// # Errors
    /// As [`App::start`], and the error of `prepare`.
    pub async fn start_after(
        settings: Settings,
        clock: Clock,
        logger: Logger,
        prepare: impl AsyncFnOnce(&Engine) -> Result<()>,
    ) -> Result<Self> {
        let settings = Arc::new(settings);
        let telemetry = Telemetry::new(&settings, &clock, logger, &known_labels())?;
        let (logger, levels) = (telemetry.logger.clone(), telemetry.levels.clone());
        let fatal = CancellationToken::new();
        let server_state =
            HttpServerState::new(Arc::clone(&settings), clock.clone(), &telemetry, &event_types())?;
        let (server, address) = http::serve(&server_state)?;
        let server_handle = server.handle();
        let served = actix_rt::spawn(server);
        let metrics_server = http::serve_metrics(&server_state)?.map(|(server, address)| {
            let handle = server.handle();
            actix_rt::spawn(server);
            (handle, address)
        });
        let database = StartedDatabase::start(&settings, &logger, &fatal).await?;
        startup::prepare(&settings, &database, clock.now(), &logger).await?;
        let engine = Engine::start(settings, database.url(), telemetry, clock, fatal).await?;
        set_simulator_callbacks(&engine, address);
        prepare(&engine).await?;
        server_state.open(http_state(&engine, levels));
        Ok(Self { engine, server_state, server: server_handle, served, address, metrics_server, database })
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the metrics port, if one is configured.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_server.as_ref().map(|(_, address)| *address)
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Cancelled if an essential part cannot be kept running.
    pub fn fatal(&self) -> CancellationToken {
        self.engine.fatal.clone()
    }

    /// Stops everything in order (see [`crate::shutdown`]).
    pub async fn shutdown(self) {
        let Self { engine, server_state, server, served, metrics_server, database, .. } = self;
        let resources = engine.resources.clone();
        let shutdown = Shutdown::begin(
            &resources.clock,
            &resources.logger,
            resources.settings.server.shutdown_timeout(),
        );
        server_state.drain();
        let settings = &resources.settings.server;
        if !settings.drain_delay().is_zero() {
            shutdown.stage("drain delay", MIN_STAGE_TIME, tokio::time::sleep(settings.drain_delay())).await;
        }
        shutdown
            .stage("stop claiming jobs", MIN_STAGE_TIME, engine.handles.scheduler.ask(StopClaiming))
            .await;
        engine.sessions.close_all();
        engine.feed.close();
        let requests = async {
            server.stop(true).await;
            let _ = served.await;
        };
        // A slow client must not use up the time of the jobs.
        let requests = tokio::time::timeout(settings.shutdown_timeout() / 2, requests);
        shutdown.stage("requests", MIN_STAGE_TIME, requests).await;
        if let Some(Err(error)) = shutdown.stage("audit views", MIN_STAGE_TIME, engine.views.flush()).await {
            warn!(resources.logger, "cannot write audit views"; error);
        }
        shutdown.stage("jobs", MIN_STAGE_TIME, finish_jobs(&engine)).await;
        shutdown.stage("return jobs", MIN_STAGE_TIME, return_jobs(&engine)).await;
        engine.root.stop_keeping();
        shutdown.stage("consumers", MIN_STAGE_TIME, stop_consumers(&engine)).await;
        shutdown.stage("outbox", MIN_STAGE_TIME, publish_remaining(&engine)).await;
        engine.arbiters.stop();
        engine.root.wait(shutdown.left(MIN_STAGE_TIME)).await;
        if let Some(simulator) = engine.simulator {
            simulator.stop().await;
        }
        if let Some(simulator) = engine.rail_simulator {
            simulator.stop().await;
        }
        // The exporter's HTTP client runs on this arbiter, so it must be stopped before the process ends.
        let traces = resources.tracer.shut_down(shutdown.left(MIN_STAGE_TIME));
        if let Some(Err(error)) = shutdown.stage("traces", MIN_STAGE_TIME, traces).await {
            warn!(resources.logger, "cannot export the last spans"; error);
        }
        if let Some(Err(error)) = shutdown.stage("database", MIN_STAGE_TIME, database.stop()).await {
            warn!(resources.logger, "cannot stop the database cleanly"; error);
        }
        if let Some((server, _)) = metrics_server {
            server.stop(false).await;
        }
        info!(resources.logger, "stopped");
    }
}

/// Sets where simulated bureaus in asynchronous mode post their reports: this instance, unless another address is
/// configured.
fn set_simulator_callbacks(engine: &Engine, address: SocketAddr) {
    let settings = &engine.resources.settings;
    let simulated = |country: &Country| {
        let provider = settings.providers.of(*country);
        provider.mode == ProviderMode::Async && provider.base_url.is_none()
    };
    let key = |country: Country| {
        let secret = engine.resources.secrets.webhooks(country).first()?;
        Some((country, SigningKey::new(secret.expose())))
    };
    let url = match settings.simulator.callback_url.as_str() {
        "" if address.ip().is_unspecified() => {
            format!("http://localhost:{}{}", address.port(), http::webhooks::PATH)
        }
        "" => format!("http://{address}{}", http::webhooks::PATH),
        configured => configured.to_owned(),
    };
    if let Some(simulator) = &engine.simulator {
        let keys = Country::ALL.into_iter().filter(simulated).filter_map(key).collect();
        simulator.respond_later(Callbacks { url, keys });
    }
}

fn http_state(engine: &Engine, log_levels: LogLevels) -> HttpState {
    let lending = Lending::new(
        &engine.resources,
        engine.write_batchers.clone(),
        engine.views.clone(),
        engine.shared.cache.clone(),
        Arc::clone(&engine.on_commit),
    );
    HttpState {
        resources: engine.resources.clone(),
        accounts: engine.accounts.clone(),
        lending,
        countries: Arc::clone(&engine.countries),
        cache: engine.shared.cache.clone(),
        redis: engine.shared.redis.clone(),
        simulator: engine.simulator.clone(),
        on_commit: Arc::clone(&engine.on_commit),
        health: Arc::new(EngineHealth::of(engine)),
        realtime: Realtime {
            sessions: engine.sessions.clone(),
            accounts: engine.accounts.clone(),
            database: engine.resources.database.clone(),
            keys: engine.resources.database.shared_keys(),
            clock: engine.resources.clock.clone(),
            broadcaster: engine.handles.broadcaster.clone(),
            settings: engine.resources.settings.websocket.clone(),
            metrics: Arc::clone(&engine.resources.metrics),
            logger: engine.resources.named("websocket").logger,
        },
        webhooks: WebhookResources {
            senders: Senders::new(&engine.resources.secrets, &engine.resources.settings.webhooks),
            receiver: engine.webhooks.clone(),
        },
        operations: Operations {
            gateway: engine.handles.gateway.clone(),
            overrides: engine.overrides.clone(),
            running: engine.running.clone(),
            log_levels,
        },
        tasks: engine.tasks.clone(),
        consumers: engine.consumers.clone(),
        feed: engine.feed.clone(),
        deliveries: engine.deliveries.clone(),
        ingest: Ingest::new(&engine.resources, engine.ingest.clone()),
    }
}

/// Waits until no job is running and no claim is in progress.
async fn finish_jobs(engine: &Engine) {
    while !engine.running.is_idle() {
        tokio::time::sleep(STAGE_POLL_INTERVAL).await;
    }
}

/// Returns the remaining jobs to the queue, for another instance or the next start.
async fn return_jobs(engine: &Engine) {
    if engine.running.is_empty() {
        return;
    }
    match engine.handles.supervisor.ask(ReturnAllJobs).await {
        Ok(count) => info!(engine.resources.logger, "returned jobs to the queue"; "count" => count),
        Err(error) => {
            warn!(engine.resources.logger, "cannot return jobs to the queue; their leases will expire"; error)
        }
    }
}

/// Ends the event consumers after their current rounds, which releases their partitions.
async fn stop_consumers(engine: &Engine) {
    for consumer in engine.handles.consumers.iter() {
        consumer.hint(StopConsuming);
    }
    for consumer in engine.handles.consumers.iter() {
        while consumer.is_alive() {
            tokio::time::sleep(STAGE_POLL_INTERVAL).await;
        }
    }
}

/// Publishes the last events and releases the leadership.
async fn publish_remaining(engine: &Engine) -> Result<(), Error> {
    engine.handles.relay.ask(StopRelay).await?;
    while engine.handles.relay.is_alive() {
        tokio::time::sleep(STAGE_POLL_INTERVAL).await;
    }
    Ok(())
}
