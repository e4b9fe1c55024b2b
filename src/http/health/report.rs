//! The parts of an instance, as `GET /health/detailed` tells of them.

use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

use super::Phase;
use crate::domain::application::Country;
use crate::events::bus;
use crate::events::notifications;
use crate::http::HttpState;
use crate::http::schemas::word_schemas;
use crate::providers::simulator::Simulator;
use crate::redis::{self, Redis};
use crate::storage::replica::ReplicaState;

/// Who knows how the parts are that HTTP does not know: the composition root.
pub trait HealthSource: Send + Sync {
    /// Whether new work is taken.
    fn takes_work(&self) -> bool;

    /// Asks the parts. Must not wait for a part that may be stuck.
    fn report(&self) -> BoxFuture<'_, HealthReport>;
}

/// What a [`HealthSource`] tells.
#[derive(Debug, Clone, Default)]
pub struct HealthReport {
    /// The permanent actors of this instance.
    pub actors: Vec<ActorHealth>,
    /// The breakers of this instance, one for each country.
    pub breakers: Vec<BreakerHealth>,
    /// How long the oldest unpublished event has waited, as far as this instance knows.
    pub outbox_lag_ms: Option<u64>,
    /// Jobs in work on this instance.
    pub running_jobs: u64,
    /// The channels over which this instance is told of changes.
    pub push_channels: Vec<PushChannelHealth>,
}

/// One permanent actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ActorHealth {
    /// Its role.
    #[schema(example = "write_batcher")]
    pub actor: &'static str,
    /// Whether it lives now.
    pub alive: bool,
    /// How often it was restarted after a death.
    #[schema(example = 0)]
    pub restarts: u64,
}

/// One country's circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BreakerHealth {
    /// The country.
    #[schema(value_type = crate::http::schemas::CountryCode)]
    pub country: Country,
    /// Its bureau.
    #[schema(example = "ASNEF-CIRBE")]
    pub provider: &'static str,
    /// `closed`, `open` or `half_open`.
    #[schema(value_type = crate::http::schemas::CircuitState, example = "closed")]
    pub state: &'static str,
}

/// The database, from this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct DatabaseHealth {
    /// Whether it answered just now.
    pub answers: bool,
    /// How long the answer took; `null` when there was none.
    #[schema(example = 1)]
    pub latency_ms: Option<u64>,
    /// How far this instance's clock is from the database's, the time of the question included; `null` when there was
    /// no answer.
    #[schema(example = 1)]
    pub clock_skew_ms: Option<u64>,
    /// Connections in use.
    #[schema(example = 2)]
    pub connections_active: u32,
    /// Connections that wait to be used.
    #[schema(example = 4)]
    pub connections_idle: u32,
    /// The replica that lists and statistics are read from; `null` when none is configured.
    pub replica: Option<ReplicaHealth>,
}

/// The replica, from this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplicaHealth {
    /// Whether it is read. Otherwise it failed a moment ago or is too far behind, and the database is read in its
    /// place.
    pub is_read: bool,
    /// How far it is behind; `null` when that is not known.
    #[schema(example = 40)]
    pub lag_ms: Option<u64>,
}

impl From<ReplicaState> for ReplicaHealth {
    fn from(state: ReplicaState) -> Self {
        let lag_ms = state.lag.map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX));
        Self { is_read: state.is_read, lag_ms }
    }
}

/// A channel over which this instance is told of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct PushChannelHealth {
    /// Its name.
    #[schema(value_type = PushChannel, example = "postgres")]
    pub channel: &'static str,
    /// Whether its heartbeat comes back. Otherwise this instance polls, and updates are up to a second late.
    pub up: bool,
}

word_schemas! {
    /// The states of Redis.
    RedisState: ["absent", "up", "degraded"], "`absent`: not configured; `degraded`: it did not answer last, and everything works without it";
    /// The states of an instance.
    HealthStatus: ["ok", "degraded", "down"], "`degraded`: an actor is down, a breaker is not closed, Redis is away, the replica is not read, or changes are not pushed; `down`: no work can be done";
    /// The channels over which an instance is told of changes.
    PushChannel: [notifications::CHANNEL, bus::redis::CHANNEL], "`postgres`: LISTEN; `redis`: the stream of events";
}

/// Redis, from this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RedisHealth {
    /// `absent` when none is configured; `up`; `degraded` when it did not answer last: everything works without it.
    #[schema(value_type = RedisState, example = "up")]
    pub state: &'static str,
}

impl RedisHealth {
    pub(super) fn of(redis: Option<&Redis>) -> Self {
        let state = match redis.map(Redis::state) {
            None => "absent",
            Some(redis::RedisState::Up) => "up",
            Some(redis::RedisState::Degraded) => "degraded",
        };
        Self { state }
    }
}

/// The built-in bureaus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SimulatorHealth {
    /// The countries that ask them.
    #[schema(value_type = Vec<crate::http::schemas::CountryCode>)]
    pub countries: Vec<Country>,
    /// Questions since the start.
    #[schema(example = 12)]
    pub calls: u64,
}

impl SimulatorHealth {
    pub(super) fn of(simulator: &Simulator, state: &HttpState) -> Self {
        let providers = &state.resources.settings.providers;
        let asks = |country: &Country| providers.of(*country).base_url.is_none();
        let countries: Vec<Country> = Country::ALL.into_iter().filter(asks).collect();
        let calls = countries.iter().map(|country| simulator.calls(*country)).sum();
        Self { countries, calls }
    }
}

/// An instance and its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InstanceHealth {
    /// `ok`; `degraded` when an actor is down, a breaker is not closed, Redis is away, the replica is not read, or
    /// changes are not pushed; `down` when no work can be done.
    #[schema(value_type = HealthStatus, example = "ok")]
    pub status: &'static str,
    /// The instance's name.
    #[schema(example = "host-1234")]
    pub instance: String,
    /// The version of Aval.
    #[schema(example = "0.1.0")]
    pub version: &'static str,
    /// Whether it is shutting down.
    pub draining: bool,
    /// Whether new work is taken.
    pub takes_work: bool,
    /// The database.
    pub database: DatabaseHealth,
    /// Redis.
    pub redis: RedisHealth,
    /// The channels over which this instance is told of changes.
    pub push_channels: Vec<PushChannelHealth>,
    /// The permanent actors.
    pub actors: Vec<ActorHealth>,
    /// The breakers.
    pub breakers: Vec<BreakerHealth>,
    /// The built-in bureaus; `null` when they do not run.
    pub simulator: Option<SimulatorHealth>,
    /// How long the oldest unpublished event has waited, as far as this instance knows.
    #[schema(example = 0)]
    pub outbox_lag_ms: Option<u64>,
    /// Jobs in work on this instance.
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
        let redis = RedisHealth::of(state.redis.as_ref());
        let (draining, takes_work) = (phase == Phase::Draining, state.health.takes_work());
        Self {
            status: status(database.answers && takes_work && !draining, redis, database.replica, &report),
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
            running_jobs: report.running_jobs,
        }
    }
}

fn status(
    can_work: bool,
    redis: RedisHealth,
    replica: Option<ReplicaHealth>,
    report: &HealthReport,
) -> &'static str {
    let whole = redis.state != "degraded"
        && replica.is_none_or(|replica| replica.is_read)
        && report.push_channels.iter().all(|channel| channel.up)
        && report.actors.iter().all(|actor| actor.alive)
        && report.breakers.iter().all(|breaker| breaker.state == "closed");
    match (can_work, whole) {
        (false, _) => "down",
        (true, false) => "degraded",
        (true, true) => "ok",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_as_well_as_its_worst_part() {
        let actor = |alive| ActorHealth { actor: "scheduler", alive, restarts: 0 };
        let breaker = |state| BreakerHealth { country: Country::Es, provider: "ASNEF-CIRBE", state };
        let report = |alive, state| HealthReport {
            actors: vec![actor(alive)],
            breakers: vec![breaker(state)],
            ..HealthReport::default()
        };
        let redis = |state| RedisHealth { state };
        let of =
            |can_work, redis_state, report: &HealthReport| status(can_work, redis(redis_state), None, report);
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
        let replica = |is_read| Some(ReplicaHealth { is_read, lag_ms: None });
        assert_eq!(status(true, redis("up"), replica(true), &report(true, "closed")), "ok");
        assert_eq!(status(true, redis("up"), replica(false), &report(true, "closed")), "degraded");
    }
}
