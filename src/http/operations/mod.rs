//! What operators see and do: circuits, lanes of the queue, jobs, actors. For admins.
//!
//! Two kinds of figures stand side by side here and are told apart in every answer: what the database knows, which is the
//! same whoever is asked, and what the answering instance knows of itself (`instance` names it). An instance that runs no
//! workers answers `null` for the latter.

pub mod actors;
pub mod circuits;
pub mod jobs;
pub mod lanes;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;

use crate::actors::provider_gateway::overrides::CircuitOverrides;
use crate::actors::provider_gateway::{BreakerStatus, ProviderGateway, ReadBreakers};
use crate::json::{Refusal, string};
use crate::queue::running_jobs::RunningJobs;
use crate::supervision::handle::Handle;

/// A gateway that does not answer in this time is told of as if there was none.
const PATIENCE: Duration = Duration::from_secs(1);

/// The parts of this instance that operators ask about. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    /// Who knows the breakers.
    pub gateway: Handle<ProviderGateway>,
    /// Who follows the overrides.
    pub overrides: CircuitOverrides,
    /// The jobs in work.
    pub running: RunningJobs,
}

impl Operations {
    /// How the breakers of this instance stand; empty where no gateway runs.
    pub(in crate::http) async fn breakers(&self) -> Vec<BreakerStatus> {
        let asked = tokio::time::timeout(PATIENCE, self.gateway.ask(ReadBreakers)).await;
        asked.ok().and_then(Result::ok).unwrap_or_default()
    }
}

/// Reads a time in the future, at most `longest` from `now`.
fn expiry(raw: &RawValue, now: DateTime<Utc>, longest: TimeDelta) -> Result<DateTime<Utc>, Refusal> {
    let moment = DateTime::parse_from_rfc3339(&string(raw)?).ok().map(|moment| moment.to_utc());
    let moment = moment.ok_or_else(|| ("bad_time", "must be an RFC 3339 time".to_owned()))?;
    let hours = longest.num_hours();
    if moment <= now || moment > now + longest {
        return Err(("out_of_range", format!("must be to come, within {hours} hours")));
    }
    Ok(moment)
}
