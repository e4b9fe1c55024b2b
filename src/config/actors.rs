//! `[actors]`.

use std::time::Duration;

use serde::Deserialize;

use super::require;
use crate::error::Result;

/// How many actors of which kind, and how much may wait before each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActorSettings {
    /// Threads; 0 is one for each core.
    pub arbiters: usize,
    /// Actors that group writes.
    pub write_batchers: u32,
    /// Most writes of one group.
    pub write_group_size: usize,
    /// Most writes that wait in one write batcher.
    pub write_queue_capacity: usize,
    /// Most messages that wait before any other actor.
    pub mailbox_capacity: usize,
    /// `[actors.applications]`
    pub applications: ApplicationActorSettings,
    /// `[actors.restart]`
    pub restart: RestartSettings,
}

/// The pool of application actors.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationActorSettings {
    /// Most applications in work at once.
    pub pool_size: usize,
}

/// When an actor that died is started again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartSettings {
    /// Most restarts...
    pub max_restarts: u32,
    /// ...in this time.
    pub within_ms: u64,
    /// The first pause; it doubles.
    pub backoff_base_ms: u64,
    /// The longest pause.
    pub backoff_max_ms: u64,
}

impl ActorSettings {
    pub(super) fn validate(&self) -> Result<()> {
        require((1..=64).contains(&self.write_batchers), "actors.write_batchers", "must be from 1 to 64")?;
        require(
            (1..=1000).contains(&self.write_group_size),
            "actors.write_group_size",
            "must be from 1 to 1000",
        )?;
        require(
            self.write_queue_capacity >= self.write_group_size,
            "actors.write_queue_capacity",
            "must be at least actors.write_group_size",
        )?;
        require(self.mailbox_capacity >= 16, "actors.mailbox_capacity", "must be at least 16")?;
        require(
            (1..=100_000).contains(&self.applications.pool_size),
            "actors.applications.pool_size",
            "must be from 1 to 100000",
        )?;
        require(self.restart.within_ms > 0, "actors.restart.within_ms", "must be above 0")
    }

    /// The number of actor threads.
    pub fn arbiter_count(&self) -> usize {
        match self.arbiters {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n => n,
        }
    }
}

impl RestartSettings {
    /// The time in which restarts are counted.
    pub fn within(&self) -> Duration {
        Duration::from_millis(self.within_ms)
    }

    /// The pause before restart number `count` (from 1).
    pub fn backoff(&self, count: u32) -> Duration {
        let doubled = self.backoff_base_ms.saturating_mul(1 << count.saturating_sub(1).min(20));
        Duration::from_millis(doubled.min(self.backoff_max_ms))
    }
}
