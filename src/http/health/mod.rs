//! Health endpoints: liveness, readiness and a detailed report.
//!
//! Readiness depends on what every request needs: the database and the ability to take work. It does not depend on the
//! bureaus, because an outage of a bureau is handled by fallback and must not take an instance out of service. The
//! detailed report covers all components.

mod report;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

pub use self::report::{
    ActorHealth, BreakerHealth, DatabaseHealth, HealthReport, HealthSource, InstanceHealth, LeaderHealth,
    MigrationHealth, PushChannelHealth, RedisHealth, ReplicaHealth, SimulatorHealth,
};
use super::problem::HandlerResult;
use super::{HttpServerState, HttpState};
use crate::error::{Error, Result};

/// The lifecycle phase of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Components are still starting.
    Starting,
    /// The instance accepts work.
    Ready,
    /// Shutting down: requests in progress are finished, no new work should be sent.
    Draining,
}

/// The shared phase. Phases only move forward. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// Moves to a later phase; an earlier one is ignored.
    pub fn enter(&self, phase: Phase) {
        let step = match phase {
            Phase::Starting => 0,
            Phase::Ready => 1,
            Phase::Draining => 2,
        };
        self.0.fetch_max(step, Ordering::AcqRel);
    }
}

/// Whether `path` is the liveness probe, which is answered even during startup.
pub(super) fn is_liveness_probe(path: &str) -> bool {
    matches!(path, "/health/live" | "/api/v1/health/live")
}

/// Whether `path` is a probe of a load balancer or an orchestrator.
pub(super) fn is_probe(path: &str) -> bool {
    matches!(path.strip_prefix("/api/v1").unwrap_or(path), "/health" | "/health/live" | "/health/ready")
}

/// The response of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProbeAnswer {
    /// Always `ok`; failures are reported as problems.
    #[schema(value_type = crate::http::schemas::ProbeStatus, example = "ok")]
    pub status: &'static str,
    /// The version of Aval.
    #[schema(example = "0.1.0")]
    pub version: &'static str,
}

const OK: ProbeAnswer = ProbeAnswer { status: "ok", version: env!("CARGO_PKG_VERSION") };

/// Liveness probe: the process responds. Also available under `/api/v1`.
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "get_liveness",
    tag = "health",
    responses(
        (status = 200, description = "The process is alive", body = ProbeAnswer),
    ),
)]
pub(super) async fn live() -> HandlerResult {
    Ok(HttpResponse::Ok().json(OK))
}

/// Readiness probe: the instance accepts work. Also available under `/api/v1`.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "get_readiness",
    tag = "health",
    responses(
        (status = 200, description = "The database is writable and the instance accepts work", body = ProbeAnswer),
        (status = 503, description = "The instance is starting or draining, the database is not writable, the clock skew is too large, or jobs cannot be claimed or events cannot be published"),
    ),
)]
pub(super) async fn ready(server_state: HttpServerState, state: HttpState) -> HandlerResult {
    if server_state.readiness().phase() == Phase::Draining {
        return Err(Error::unavailable("aval", "draining").into());
    }
    if !state.health.takes_work() {
        return Err(Error::unavailable("intake", "off").into());
    }
    let skew = clock_skew(&state).await?;
    if skew > state.resources.settings.instance.max_clock_skew() {
        let off = format!("{} ms off the database clock", skew.as_millis());
        return Err(Error::unavailable("clock", off).into());
    }
    Ok(HttpResponse::Ok().json(OK))
}

/// Same as the readiness probe. Also available under `/api/v1`.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "get_health",
    tag = "health",
    responses(
        (status = 200, description = "The database is writable and the instance accepts work", body = ProbeAnswer),
        (status = 503, description = "The instance is starting or draining, the database is not writable, the clock skew is too large, or jobs cannot be claimed or events cannot be published"),
    ),
)]
pub(super) async fn summary(server_state: HttpServerState, state: HttpState) -> HandlerResult {
    ready(server_state, state).await
}

/// Reports the health of all components. Also available under `/api/v1`.
///
/// Returns 200 as soon as the instance has started; the overall state is in `status`.
#[utoipa::path(
    get,
    path = "/health/detailed",
    operation_id = "get_detailed_health",
    tag = "health",
    responses(
        (status = 200, description = "Health of the components", body = InstanceHealth),
        (status = 503, description = "The instance is starting"),
    ),
)]
pub(super) async fn detailed(server_state: HttpServerState, state: HttpState) -> HandlerResult {
    let clock = &state.resources.clock;
    let started = clock.monotonic();
    let database_check = async {
        let skew = clock_skew(&state).await.ok();
        (skew, clock.monotonic().saturating_sub(started))
    };
    let ((skew, took), report) = futures_util::join!(database_check, state.health.report());
    let answered = skew.is_some();
    let pool = state.resources.database.state();
    let replica = state.resources.database.replica_state();
    let database = DatabaseHealth {
        answers: answered,
        latency_ms: answered.then(|| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        clock_skew_ms: skew.map(|skew| u64::try_from(skew.as_millis()).unwrap_or(u64::MAX)),
        version: report.database_version.clone(),
        migrations: report.migrations.clone(),
        connections_active: pool.active,
        connections_idle: pool.idle,
        replica: replica.map(|replica| ReplicaHealth::of(replica, report.replica_latency_ms)),
    };
    let simulator = state.simulator.as_ref().map(|simulator| SimulatorHealth::of(simulator, &state));
    let health = InstanceHealth::new(&state, server_state.readiness().phase(), database, simulator, report);
    Ok(HttpResponse::Ok().json(health))
}

/// Queries the database's time and returns the clock skew of this instance.
async fn clock_skew(state: &HttpState) -> Result<Duration> {
    let timed_out = |_| Error::unavailable("database", "no response in time");
    // A probe must fail rather than hang.
    let longest = state.resources.settings.server.health_check_timeout();
    let query = tokio::time::timeout(longest, state.resources.database.time());
    let database_time = query.await.map_err(timed_out)??;
    Ok((state.resources.clock.now() - database_time).abs().to_std().unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_only_go_forward() {
        let readiness = Readiness::default();
        assert_eq!(readiness.phase(), Phase::Starting);
        readiness.enter(Phase::Ready);
        readiness.enter(Phase::Starting);
        assert_eq!(readiness.phase(), Phase::Ready);
        readiness.clone().enter(Phase::Draining);
        readiness.enter(Phase::Ready);
        assert_eq!(readiness.phase(), Phase::Draining);
    }
}
