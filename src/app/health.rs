//! The engine's part of health reports.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, Handles};
use crate::actors::provider_gateway::ReadBreakers;
use crate::actors::write_batcher::{self, WriteBatcher};
use crate::config::InstanceRole;
use crate::events::bus::redis;
use crate::events::notifications;
use crate::http::health::{ActorHealth, BreakerHealth, HealthReport, HealthSource, PushChannelHealth};
use crate::queue::running_jobs::RunningJobs;
use crate::resources::Resources;
use crate::storage::outbox;
use crate::supervision::handle::Handle;

/// The timeout for the state of one part.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The parts of the engine that health reports include.
pub(super) struct EngineHealth {
    resources: Resources,
    handles: Handles,
    write_batchers: Vec<Handle<WriteBatcher>>,
    running: RunningJobs,
    fatal: CancellationToken,
}

impl EngineHealth {
    pub(super) fn of(engine: &Engine) -> Self {
        Self {
            resources: engine.resources.clone(),
            handles: engine.handles.clone(),
            write_batchers: engine.write_batcher_handles.clone(),
            running: engine.running.clone(),
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
        };
        let roles = &self.resources.settings.instance;
        let played = InstanceRole::ALL.into_iter().filter(|role| roles.is(*role)).flat_map(of_role);
        std::iter::once((write_batcher::NAME, self.write_batchers.iter().all(Handle::is_alive)))
            .chain(played)
            .map(|(actor, alive)| ActorHealth { actor, alive, restarts: self.restarts(actor) })
            .collect()
    }

    fn restarts(&self, actor: &str) -> u64 {
        self.resources.metrics.actor_restarts_total.with_label_values(&[actor]).get()
    }

    fn push_channels(&self) -> Vec<PushChannelHealth> {
        let settings = &self.resources.settings;
        let has_stream = settings.redis.is_configured() && settings.instance.is(InstanceRole::Api);
        let channels = std::iter::once(notifications::CHANNEL).chain(has_stream.then_some(redis::CHANNEL));
        let up = &self.resources.metrics.push_channel_up;
        channels
            .map(|channel| PushChannelHealth { channel, up: up.with_label_values(&[channel]).get() == 1 })
            .collect()
    }

    /// Zero when no events wait; `None` if the database does not respond.
    async fn outbox_lag_ms(&self) -> Option<u64> {
        let asking = async {
            let mut connection = self.resources.database.get().await?;
            outbox::oldest_wait(&mut connection, self.resources.clock.now()).await
        };
        let wait = tokio::time::timeout(TIMEOUT, asking).await.ok()?.ok()?;
        u64::try_from(wait.unwrap_or_default().as_millis()).ok()
    }

    async fn breakers(&self) -> Vec<BreakerHealth> {
        let asked = tokio::time::timeout(TIMEOUT, self.handles.gateway.ask(ReadBreakers)).await;
        let statuses = asked.ok().and_then(Result::ok).unwrap_or_default();
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
            HealthReport {
                actors: self.actors(),
                breakers: self.breakers().await,
                outbox_lag_ms: self.outbox_lag_ms().await,
                running_jobs: u64::try_from(self.running.len()).unwrap_or(u64::MAX),
                push_channels: self.push_channels(),
            }
        }
        .boxed()
    }
}
