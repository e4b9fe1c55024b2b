//! `[ingest]`: the events that clients send at volume.

use serde::Deserialize;

use super::require;
use crate::error::Result;

/// How events are stored and kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestSettings {
    /// The number of writers. Each uses a connection of the pool while it writes.
    pub writers: u32,
    /// The largest number of events that a writer stores with one statement, except for a single larger request.
    pub group_events: usize,
    /// The memory of all requests that are received, waiting or being written.
    pub max_memory_bytes: usize,
    /// How long events are kept, in whole days.
    pub retention_days: u32,
    /// For how many days before today partitions are created in advance.
    pub partitions_back_days: u32,
    /// For how many days after today partitions are created in advance.
    pub partitions_ahead_days: u32,
    /// The largest number of refused events that are kept as dead letters; 0 to keep none.
    pub keep_rejected: u32,
    /// How long dead letters are kept.
    pub rejected_retention_days: u32,
}

impl IngestSettings {
    pub(super) fn validate(&self) -> Result<()> {
        require((1..=64).contains(&self.writers), "ingest.writers", "must be from 1 to 64")?;
        require((1..=10_000).contains(&self.group_events), "ingest.group_events", "must be from 1 to 10000")?;
        require(
            (8 << 20..=64 << 30).contains(&self.max_memory_bytes),
            "ingest.max_memory_bytes",
            "must be from 8388608 (8 MiB) to 68719476736 (64 GiB)",
        )?;
        // Events of the last seven days are accepted, and a day is dropped as a whole.
        require(
            (9..=3650).contains(&self.retention_days),
            "ingest.retention_days",
            "must be from 9 to 3650",
        )?;
        require(self.partitions_back_days <= 8, "ingest.partitions_back_days", "must be at most 8")?;
        require(self.partitions_ahead_days <= 60, "ingest.partitions_ahead_days", "must be at most 60")?;
        require(self.keep_rejected <= 1_000_000, "ingest.keep_rejected", "must be at most 1000000")?;
        require(
            (1..=365).contains(&self.rejected_retention_days),
            "ingest.rejected_retention_days",
            "must be from 1 to 365",
        )
    }
}
