//! Endpoints for operators: circuit breakers, queue lanes, jobs, actors and the log level (admins only).
//!
//! Responses distinguish two kinds of values: values from the database, which are the same on every instance, and
//! values of the responding instance, which is named in `instance`. On an instance without the worker role, the latter
//! are `null`.

pub mod actors;
pub mod circuit_history;
pub mod circuits;
pub mod jobs;
pub mod lanes;
pub mod log_level;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;

use crate::actors::provider_gateway::overrides::CircuitOverrides;
use crate::actors::provider_gateway::{BreakerStatus, ProviderGateway, ReadBreakers};
use crate::json::{Refusal, string};
use crate::queue::running_jobs::RunningJobs;
use crate::supervision::handle::Handle;
use crate::telemetry::log_levels::LogLevels;

/// A gateway that does not respond within this time is treated as absent.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// The components of this instance that the operator endpoints query. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    /// The gateway with the circuit breakers.
    pub gateway: Handle<ProviderGateway>,
    /// The overrides of circuit breakers.
    pub overrides: CircuitOverrides,
    /// The jobs that are running on this instance.
    pub running: RunningJobs,
    /// The log levels of this instance.
    pub log_levels: LogLevels,
}

impl Operations {
    /// The state of this instance's circuit breakers; empty if no gateway is running.
    pub(in crate::http) async fn breakers(&self) -> Vec<BreakerStatus> {
        let breakers = tokio::time::timeout(GATEWAY_TIMEOUT, self.gateway.ask(ReadBreakers)).await;
        breakers.ok().and_then(Result::ok).unwrap_or_default()
    }
}

/// Reads a time in the future, at most `max_delay` from `now`.
fn expiry(raw: &RawValue, now: DateTime<Utc>, max_delay: TimeDelta) -> Result<DateTime<Utc>, Refusal> {
    let moment = DateTime::parse_from_rfc3339(&string(raw)?).ok().map(|moment| moment.to_utc());
    let moment = moment.ok_or_else(|| ("bad_time", "must be an RFC 3339 time".to_owned()))?;
    let hours = max_delay.num_hours();
    if moment <= now || moment > now + max_delay {
        return Err(("out_of_range", format!("must be in the future, at most {hours} hours from now")));
    }
    Ok(moment)
}
