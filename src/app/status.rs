//! The state that all instances share, read from the database: queue, dead letters, leaders, event lag, overrides,
//! sessions and the last errors. It can be read while no instance runs, as long as the database runs.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::error::{Error, Result};
pub use crate::storage::jobs::{DeadLetters, LaneFigures};
use crate::storage::jobs::{dead_letters, lane_figures};
pub use crate::storage::overview::{Leader, RecordedError, SessionGroup};
use crate::storage::{circuit_overrides, connect, migrations, outbox, overview};

/// The roles that have a leader.
const LEADER_ROLES: [&str; 2] = ["housekeeper", "relay"];
/// The number of errors listed.
const LAST_ERRORS: i64 = 5;

/// The shared state.
#[derive(Debug, Clone, Serialize)]
pub struct SharedStatus {
    /// The waiting and running jobs by lane and status.
    pub queue: Vec<LaneFigures>,
    /// The dead letters by status.
    pub dead_letters: Vec<DeadLetters>,
    /// The leading instance of each role.
    pub leaders: Vec<Leader>,
    /// How long the oldest unpublished event has waited; 0 without one.
    pub outbox_lag_ms: u64,
    /// The offset of the last published event.
    pub last_offset: i64,
    /// The overrides of circuit breakers that are in force.
    pub overrides: Vec<OverrideStatus>,
    /// The sessions of the database by application and state.
    pub sessions: Vec<SessionGroup>,
    /// The number of migrations that have not run.
    pub pending_migrations: usize,
    /// The newest errors of dead letters and scheduled runs.
    pub last_errors: Vec<RecordedError>,
}

/// An override of a country's circuit breaker.
#[derive(Debug, Clone, Serialize)]
pub struct OverrideStatus {
    pub country: String,
    pub mode: &'static str,
    pub left_ms: u64,
}

/// Reads the shared state of the database at `url`.
///
/// # Errors
/// [`Error::Unavailable`] if the database is unreachable or has no schema.
pub async fn read(url: &str, now: DateTime<Utc>) -> Result<SharedStatus> {
    let states = migrations::states(url).await?;
    if states.iter().all(|state| state.applied_at.is_none()) {
        return Err(Error::unavailable("the schema", "the database has no tables of Aval: run aval migrate"));
    }
    let connection = &mut connect::connect(url).await?;
    let lag = outbox::oldest_wait(connection, now).await?.unwrap_or_default();
    let overrides = circuit_overrides::in_force(connection).await?.into_iter().map(|set| OverrideStatus {
        country: set.country.to_string(),
        mode: set.mode.as_str(),
        left_ms: u64::try_from(set.left.as_millis()).unwrap_or(u64::MAX),
    });
    Ok(SharedStatus {
        queue: lane_figures(connection).await?,
        dead_letters: dead_letters(connection).await?,
        leaders: overview::leaders(connection, &LEADER_ROLES).await?,
        outbox_lag_ms: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
        last_offset: outbox::position(connection).await?.offset,
        overrides: overrides.collect(),
        sessions: overview::sessions(connection).await?,
        pending_migrations: states.iter().filter(|state| state.applied_at.is_none()).count(),
        last_errors: overview::last_errors(connection, LAST_ERRORS).await?,
    })
}
