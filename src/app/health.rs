//! The engine's part of health reports.

use std::future::Future;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, Handles};
use crate::actors::event_consumer;
use crate::actors::provider_gateway::ReadBreakers;
use crate::actors::write_batcher::{self, WriteBatcher};
use crate::config::InstanceRole;
use crate::error::Result;
use crate::events::bus;
use crate::events::notifications;
use crate::http::health::{
    ActorHealth, BreakerHealth, HealthReport, HealthSource, LeaderHealth, MigrationHealth, PushChannelHealth,
};
use crate::queue::running_jobs::RunningJobs;
use crate::redis::Redis;
use crate::resources::Resources;
use crate::storage::migrations::{self, SchemaStatus};
use crate::storage::{jobs, outbox};
use crate::supervision::handle::Handle;
use crate::telemetry::metrics::LeaderRole;

/// The parts of the engine that health reports include.
pub(super) struct EngineHealth {
    resources: Resources,
    handles: Handles,
    write_batchers: Vec<Handle<WriteBatcher>>,
    running: RunningJobs,
    redis: Option<Redis>,
    fatal: CancellationToken,
}

/// What the database reports; empty if it does not respond.
#[derive(Default)]
struct DatabaseReport {
    schema: Option<SchemaStatus>,
    outbox_lag: Option<Duration>,
    queue_age: Option<Duration>,
}

impl EngineHealth {
    pub(super) fn of(engine: &Engine) -> Self {
        Self {
            resources: engine.resources.clone(),
            handles: engine.handles.clone(),
            write_batchers: engine.write_batcher_handles.clone(),
            running: engine.running.clone(),
            redis: engine.shared.redis.clone(),
            fatal: engine.fatal.clone(),
        }
    }

    fn actors(&self) -> Vec<ActorHealth> {
        let handles = &self.handles;
        let of_role = |role| match role {
            InstanceRole::Api => vec![
                (handles.broadcaster.name(), handles.broadcaster.is_alive()),
                (handles.view_recorder.name(), handles.view_recorder.is_alive()),
            ],
            InstanceRole::Worker => vec![
                (handles.scheduler.name(), handles.scheduler.is_alive()),
                (handles.supervisor.name(), handles.supervisor.is_alive()),
                (handles.gateway.name(), handles.gateway.is_alive()),
                (handles.housekeeper.name(), handles.housekeeper.is_alive()),
            ],
            InstanceRole::Relay => vec![(handles.relay.name(), handles.relay.is_alive())],
            InstanceRole::Consumer => {
                vec![(event_consumer::NAME, handles.consumers.iter().all(Handle::is_alive))]
            }
        };
        let roles = &self.resources.settings.instance;
        let of_roles = InstanceRole::ALL.into_iter().filter(|role| roles.is(*role)).flat_map(of_role);
        std::iter::once((write_batcher::NAME, self.write_batchers.iter().all(Handle::is_alive)))
            .chain(of_roles)
            .map(|(actor, alive)| ActorHealth { actor, alive, restarts: self.restarts(actor) })
            .collect()
    }

    fn restarts(&self, actor: &str) -> u64 {
        self.resources.metrics.actor_restarts_total.with_label_values(&[actor]).get()
    }

    fn push_channels(&self) -> Vec<PushChannelHealth> {
        let settings = &self.resources.settings;
        let has_stream = settings.redis.is_configured() && settings.instance.is(InstanceRole::Api);
        let channels =
            std::iter::once(notifications::CHANNEL).chain(has_stream.then_some(bus::redis::CHANNEL));
        let up = &self.resources.metrics.push_channel_up;
        channels
            .map(|channel| PushChannelHealth { channel, up: up.with_label_values(&[channel]).get() == 1 })
            .collect()
    }

    /// The result of `work`, and how long it took; `None` if it fails or exceeds the timeout of health checks.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Option<(T, u64)> {
        let Resources { settings, clock, .. } = &self.resources;
        let started = clock.monotonic();
        let ended = tokio::time::timeout(settings.server.health_check_timeout(), work).await;
        let result = ended.ok()?.ok()?;
        Some((result, milliseconds(clock.monotonic().saturating_sub(started))))
    }

    async fn database(&self) -> DatabaseReport {
        let asked = self.in_time(async {
            let mut connection = self.resources.database.get().await?;
            let now = self.resources.clock.now();
            Ok(DatabaseReport {
                outbox_lag: Some(outbox::oldest_wait(&mut connection, now).await?.unwrap_or_default()),
                queue_age: Some(jobs::oldest_due(&mut connection).await?),
                schema: Some(migrations::status(&mut connection).await?),
            })
        });
        asked.await.map(|(report, _)| report).unwrap_or_default()
    }

    /// The response time of the replica.
    async fn replica(&self) -> Option<u64> {
        let asked = self.in_time(async { Ok(self.resources.database.replica_responds().await) }).await;
        asked.filter(|(responds, _)| *responds == Some(true)).map(|(_, took_ms)| took_ms)
    }

    /// The version of Redis and its response time.
    async fn redis(&self) -> Option<(Option<String>, u64)> {
        self.in_time(self.redis.as_ref()?.version()).await
    }

    fn leaders(&self) -> Vec<LeaderHealth> {
        let roles = &self.resources.settings.instance;
        let candidates =
            [(LeaderRole::Relay, InstanceRole::Relay), (LeaderRole::Housekeeper, InstanceRole::Worker)];
        let held = &self.resources.metrics.leadership_held;
        candidates
            .into_iter()
            .filter(|(_, role)| roles.is(*role))
            .map(|(leader, _)| leader.as_str())
            .map(|role| LeaderHealth { role, leads: held.with_label_values(&[role]).get() == 1 })
            .collect()
    }

    async fn breakers(&self) -> Vec<BreakerHealth> {
        let asked = self.in_time(self.handles.gateway.ask(ReadBreakers)).await;
        let statuses = asked.map(|(statuses, _)| statuses).unwrap_or_default();
        let health = |status: crate::actors::provider_gateway::BreakerStatus| BreakerHealth {
            country: status.country,
            provider: status.provider,
            state: status.snapshot.state.as_str(),
        };
        statuses.into_iter().map(health).collect()
    }
}

impl HealthSource for EngineHealth {
    fn takes_work(&self) -> bool {
        !self.fatal.is_cancelled() && self.resources.work.is_healthy(self.resources.clock.monotonic())
    }

    fn report(&self) -> BoxFuture<'_, HealthReport> {
        async {
            let (breakers, database, replica, redis) =
                tokio::join!(self.breakers(), self.database(), self.replica(), self.redis());
            let migrations = database.schema.as_ref().map(|schema| MigrationHealth {
                applied: schema.applied as u64,
                pending: schema.pending as u64,
                newest: schema.newest.clone(),
            });
            let (redis_version, redis_latency_ms) = redis.unzip();
            HealthReport {
                actors: self.actors(),
                breakers,
                outbox_lag_ms: database.outbox_lag.map(milliseconds),
                running_jobs: u64::try_from(self.running.len()).unwrap_or(u64::MAX),
                push_channels: self.push_channels(),
                queue_age_ms: database.queue_age.map(milliseconds),
                leaders: self.leaders(),
                database_version: database.schema.map(|schema| schema.server_version),
                migrations,
                replica_latency_ms: replica,
                redis_latency_ms,
                redis_version: redis_version.flatten(),
            }
        }
        .boxed()
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
