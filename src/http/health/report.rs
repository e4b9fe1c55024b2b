//! The detailed health report of `GET /health/detailed`.

use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

use super::Phase;
use crate::domain::application::Country;
use crate::events::bus;
use crate::events::notifications;
use crate::http::HttpState;
use crate::http::schemas::enum_schemas;
use crate::providers::simulator::Simulator;
use crate::redis::{self, Redis};
use crate::storage::replica::ReplicaState;
use crate::telemetry::metrics;

/// Provides the health of components outside the HTTP layer. Implemented by the composition root.
pub trait HealthSource: Send + Sync {
    /// Whether the instance accepts new work.
    fn takes_work(&self) -> bool;

    /// Collects the health of the components. Must not block on a component that may be stuck.
    fn report(&self) -> BoxFuture<'_, HealthReport>;
}

/// The health of the components outside the HTTP layer.
#[derive(Debug, Clone, Default)]
pub struct HealthReport {
    /// The permanent actors of this instance.
    pub actors: Vec<ActorHealth>,
    /// The circuit breakers of this instance, one per country.
    pub breakers: Vec<BreakerHealth>,
    /// Age of the oldest unpublished event known to this instance.
    pub outbox_lag_ms: Option<u64>,
    /// Number of jobs running on this instance.
    pub running_jobs: u64,
    /// The channels on which this instance is notified of changes.
    pub push_channels: Vec<PushChannelHealth>,
    /// The longest time that any due job has waited.
    pub queue_age_ms: Option<u64>,
    /// The roles of which this instance can be the leader.
    pub leaders: Vec<LeaderHealth>,
    /// The version of the PostgreSQL server.
    pub database_version: Option<String>,
    /// The migrations of the database.
    pub migrations: Option<MigrationHealth>,
    /// Response time of the replica.
    pub replica_latency_ms: Option<u64>,
    /// Response time of Redis.
    pub redis_latency_ms: Option<u64>,
    /// The version of the Redis server.
    pub redis_version: Option<String>,
}

/// A role of which one instance at a time is the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeaderHealth {
    /// The name of the role.
    #[schema(value_type = LeaderRole, example = "relay")]
    pub role: &'static str,
    /// Whether this instance is the leader.
    pub leads: bool,
}

/// The migrations of the database, compared with those of this version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MigrationHealth {
    /// Number of applied migrations. Migrations of a newer version are included.
    #[schema(example = 24)]
    pub applied: u64,
    /// Number of migrations of this version that are not applied.
    #[schema(example = 0)]
    pub pending: u64,
    /// The newest applied migration; `null` if there is none.
    #[schema(example = "202611290000140000")]
    pub newest: Option<String>,
}

/// One permanent actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ActorHealth {
    /// The name of the actor.
    #[schema(example = "write_batcher")]
    pub actor: &'static str,
    /// Whether the actor is running.
    pub alive: bool,
    /// Number of restarts after a failure.
    #[schema(example = 0)]
    pub restarts: u64,
}

/// One country's circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BreakerHealth {
    /// The country.
    #[schema(value_type = crate::http::schemas::CountryCode)]
    pub country: Country,
    /// The country's bureau.
    #[schema(example = "ASNEF-CIRBE")]
    pub provider: &'static str,
    /// `closed`, `open` or `half_open`.
    #[schema(value_type = crate::http::schemas::CircuitState, example = "closed")]
    pub state: &'static str,
}

/// The database, as seen by this instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DatabaseHealth {
    /// Whether the database responded.
    pub answers: bool,
    /// Response time; `null` if there was no response.
    #[schema(example = 1)]
    pub latency_ms: Option<u64>,
    /// Difference between the clocks of this instance and the database, including the round trip; `null` if there was
    /// no response.
    #[schema(example = 1)]
    pub clock_skew_ms: Option<u64>,
    /// The version of the PostgreSQL server; `null` if there was no response.
    #[schema(example = "17.6")]
    pub version: Option<String>,
    /// The migrations; `null` if there was no response.
    pub migrations: Option<MigrationHealth>,
    /// Connections in use.
    #[schema(example = 2)]
    pub connections_active: u32,
    /// Idle connections in the pool.
    #[schema(example = 4)]
    pub connections_idle: u32,
    /// The replica for lists and statistics; `null` if none is configured.
    pub replica: Option<ReplicaHealth>,
}

/// The read replica, as seen by this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplicaHealth {
    /// Whether the replica is used. If it failed recently or lags too far behind, the primary database is read instead.
    pub is_read: bool,
    /// Replication lag; `null` if unknown.
    #[schema(example = 40)]
    pub lag_ms: Option<u64>,
    /// Response time; `null` if there was no response.
    #[schema(example = 1)]
    pub latency_ms: Option<u64>,
}

impl ReplicaHealth {
    pub(super) fn of(state: ReplicaState, latency_ms: Option<u64>) -> Self {
        let lag_ms = state.lag.map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX));
        Self { is_read: state.is_read, lag_ms, latency_ms }
    }
}

/// A channel on which this instance is notified of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct PushChannelHealth {
    /// The name of the channel.
    #[schema(value_type = PushChannel, example = "postgres")]
    pub channel: &'static str,
    /// Whether heartbeats arrive on the channel. If not, the instance polls and updates are delayed by up to a second.
    pub up: bool,
}

enum_schemas! {
    /// The states of Redis.
    RedisState: ["absent", "up", "degraded"], "`absent`: not configured; `degraded`: the last command failed; Aval keeps working without Redis";
    /// The states of an instance.
    HealthStatus: ["ok", "degraded", "down"], "`degraded`: an actor is down, a breaker is not closed, Redis is unavailable, the replica is not used, or changes are not pushed; `down`: the instance cannot work";
    /// The roles of which one instance at a time is the leader.
    LeaderRole: [metrics::LeaderRole::Relay.as_str(), metrics::LeaderRole::Housekeeper.as_str()], "`relay` publishes events; `housekeeper` runs scheduled tasks";
    /// The channels on which an instance is notified of changes.
    PushChannel: [notifications::CHANNEL, bus::redis::CHANNEL], "`postgres`: LISTEN; `redis`: the event stream";
}

/// Redis, as seen by this instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RedisHealth {
    /// `absent` if none is configured, `up`, or `degraded` if the last command failed. Aval works without Redis.
    #[schema(value_type = RedisState, example = "up")]
    pub state: &'static str,
    /// Response time; `null` if there was no response.
    #[schema(example = 1)]
    pub latency_ms: Option<u64>,
    /// The version of the server; `null` if there was no response, or before Redis 7.
    #[schema(example = "7.0.15")]
    pub version: Option<String>,
}

impl RedisHealth {
    pub(super) fn of(redis: Option<&Redis>, report: &HealthReport) -> Self {
        let state = match redis.map(Redis::state) {
            None => "absent",
            Some(redis::RedisState::Up) => "up",
            Some(redis::RedisState::Degraded) => "degraded",
        };
        Self { state, latency_ms: report.redis_latency_ms, version: report.redis_version.clone() }
    }
}

/// The built-in simulator, which responds in place of bureaus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SimulatorHealth {
    /// The countries that use the simulator.
    #[schema(value_type = Vec<crate::http::schemas::CountryCode>)]
    pub countries: Vec<Country>,
    /// Number of calls since startup.
    #[schema(example = 12)]
    pub calls: u64,
}

impl SimulatorHealth {
    pub(super) fn of(simulator: &Simulator, state: &HttpState) -> Self {
        let providers = &state.resources.settings.providers;
        let uses_simulator = |country: &Country| providers.of(*country).base_url.is_none();
        let countries: Vec<Country> = Country::ALL.into_iter().filter(uses_simulator).collect();
        let calls = countries.iter().map(|country| simulator.calls(*country)).sum();
        Self { countries, calls }
    }
}

/// The health of an instance and its components.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InstanceHealth {
    /// `ok`; `degraded` when an actor is down, a breaker is not closed, Redis is unavailable, the replica is not used,
    /// or changes are not pushed; `down` when the instance cannot work.
    #[schema(value_type = HealthStatus, example = "ok")]
    pub status: &'static str,
    /// The name of the instance.
    #[schema(example = "host-1234")]
    pub instance: String,
    /// The version of Aval.
    #[schema(example = "0.1.0")]
    pub version: &'static str,
    /// Whether the instance is shutting down.
    pub draining: bool,
    /// Whether the instance accepts new work.
    pub takes_work: bool,
    /// The database.
    pub database: DatabaseHealth,
    /// Redis.
    pub redis: RedisHealth,
    /// The channels on which this instance is notified of changes.
    pub push_channels: Vec<PushChannelHealth>,
    /// The permanent actors.
    pub actors: Vec<ActorHealth>,
    /// The circuit breakers.
    pub breakers: Vec<BreakerHealth>,
    /// The built-in simulator; `null` if it is not running.
    pub simulator: Option<SimulatorHealth>,
    /// Age of the oldest unpublished event known to this instance.
    #[schema(example = 0)]
    pub outbox_lag_ms: Option<u64>,
    /// The longest time that any due job has waited, for all instances; `null` if the database did not respond.
    #[schema(example = 0)]
    pub queue_age_ms: Option<u64>,
    /// The roles of which this instance can be the leader. Another instance leads the role if this one does not.
    pub leaders: Vec<LeaderHealth>,
    /// Number of jobs running on this instance.
    #[schema(example = 3)]
    pub running_jobs: u64,
}

impl InstanceHealth {
    pub(super) fn new(
        state: &HttpState,
        phase: Phase,
        database: DatabaseHealth,
        simulator: Option<SimulatorHealth>,
        report: HealthReport,
    ) -> Self {
        let redis = RedisHealth::of(state.redis.as_ref(), &report);
        let (draining, takes_work) = (phase == Phase::Draining, state.health.takes_work());
        Self {
            status: status(
                database.answers && takes_work && !draining,
                redis.state,
                database.replica,
                &report,
            ),
            instance: state.resources.instance.to_string(),
            version: env!("CARGO_PKG_VERSION"),
            draining,
            takes_work,
            database,
            redis,
            push_channels: report.push_channels,
            actors: report.actors,
            breakers: report.breakers,
            simulator,
            outbox_lag_ms: report.outbox_lag_ms,
            queue_age_ms: report.queue_age_ms,
            leaders: report.leaders,
            running_jobs: report.running_jobs,
        }
    }
}

fn status(
    can_work: bool,
    redis_state: &str,
    replica: Option<ReplicaHealth>,
    report: &HealthReport,
) -> &'static str {
    let is_healthy = redis_state != "degraded"
        && replica.is_none_or(|replica| replica.is_read)
        && report.push_channels.iter().all(|channel| channel.up)
        && report.actors.iter().all(|actor| actor.alive)
        && report.breakers.iter().all(|breaker| breaker.state == "closed");
    match (can_work, is_healthy) {
        (false, _) => "down",
        (true, false) => "degraded",
        (true, true) => "ok",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_component_determines_the_status() {
        let actor = |alive| ActorHealth { actor: "scheduler", alive, restarts: 0 };
        let breaker = |state| BreakerHealth { country: Country::Es, provider: "ASNEF-CIRBE", state };
        let report = |alive, state| HealthReport {
            actors: vec![actor(alive)],
            breakers: vec![breaker(state)],
            ..HealthReport::default()
        };
        let of = |can_work, redis_state, report: &HealthReport| status(can_work, redis_state, None, report);
        assert_eq!(of(true, "absent", &report(true, "closed")), "ok");
        assert_eq!(of(true, "up", &report(true, "closed")), "ok");
        assert_eq!(of(true, "degraded", &report(true, "closed")), "degraded");
        assert_eq!(of(true, "up", &report(true, "open")), "degraded");
        assert_eq!(of(true, "up", &report(false, "closed")), "degraded");
        assert_eq!(of(false, "degraded", &report(true, "closed")), "down");
        let channel = |up| PushChannelHealth { channel: "postgres", up };
        let with_channel = |up| HealthReport { push_channels: vec![channel(up)], ..report(true, "closed") };
        assert_eq!(of(true, "up", &with_channel(true)), "ok");
        assert_eq!(of(true, "up", &with_channel(false)), "degraded");
        let replica = |is_read| Some(ReplicaHealth { is_read, lag_ms: None, latency_ms: None });
        assert_eq!(status(true, "up", replica(true), &report(true, "closed")), "ok");
        assert_eq!(status(true, "up", replica(false), &report(true, "closed")), "degraded");
    }
}
