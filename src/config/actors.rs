//! `[actors]`: numbers of actors, mailbox capacities and restart limits.

use std::time::Duration;

use serde::Deserialize;

use super::require;
use crate::error::Result;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
/// Settings for actor threads, write batchers and mailboxes.
pub struct ActorSettings {
    /// The number of actor threads; 0 for one per core.
    pub arbiters: usize,
    /// The number of write batchers.
    pub write_batchers: u32,
    /// The maximum number of writes in one transaction of a write batcher.
    pub write_group_size: usize,
    /// The maximum number of writes queued in one write batcher.
    pub write_queue_capacity: usize,
    /// The mailbox capacity of every other actor.
    pub mailbox_capacity: usize,
    /// `[actors.applications]`
    pub applications: JobPoolSettings,
    /// `[actors.restart]`
    pub restart: RestartSettings,
}

/// The pool of job actors.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobPoolSettings {
    /// The maximum number of applications processed at once; 0 for as many as the bulkheads hold
    /// ([`Settings::slots`](super::Settings::slots)).
    pub pool_size: usize,
}

/// Limits on restarting failed actors. An actor that fails more than `max_restarts` times within `within_ms` stays
/// stopped.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartSettings {
    /// The maximum number of restarts within `within_ms`.
    pub max_restarts: u32,
    /// The length of the period in which restarts are counted.
    pub within_ms: u64,
    /// The delay before the first restart. It doubles with each restart.
    pub backoff_base_ms: u64,
    /// The maximum delay before a restart.
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
            self.applications.pool_size <= 100_000,
            "actors.applications.pool_size",
            "must be at most 100000",
        )?;
        require(self.restart.within_ms > 0, "actors.restart.within_ms", "must be above 0")
    }

    pub(crate) fn arbiter_count(&self) -> usize {
        match self.arbiters {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n => n,
        }
    }
}

impl RestartSettings {
    pub(crate) fn within(&self) -> Duration {
        Duration::from_millis(self.within_ms)
    }

    /// The delay before restart number `count`, counted from 1.
    pub fn backoff(&self, count: u32) -> Duration {
        let doubled = self.backoff_base_ms.saturating_mul(1 << count.saturating_sub(1).min(20));
        Duration::from_millis(doubled.min(self.backoff_max_ms))
    }
}
