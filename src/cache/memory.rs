//! The in-memory cache of this instance.
//!
//! An entry is stored under its key and the stamp that it was loaded under. A change changes the stamp, so the entry is
//! no longer found. A load that began before a change and ends after it also stores its entry under the old stamp.
//! Concurrent requests for the same key and stamp share one load.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::Expiry;
use moka::future::Cache;

use super::change_log::Stamp;
use crate::error::Result;

/// The approximate size of an entry without its body.
const OVERHEAD_BYTES: usize = 256;

/// Identifies an entry: the key of the response, and the stamp that it was loaded under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct EntryKey {
    pub(super) key: [u8; 32],
    pub(super) stamp: Stamp,
}

/// An entry and its remaining lifetime.
#[derive(Debug, Clone)]
pub(super) struct CacheEntry {
    pub(super) body: Bytes,
    pub(super) ttl: Duration,
}

/// Uses the lifetime of each entry.
struct OwnTtl;

impl Expiry<EntryKey, CacheEntry> for OwnTtl {
    fn expire_after_create(&self, _: &EntryKey, entry: &CacheEntry, _: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }
}

/// The cache entries.
pub(super) struct Memory {
    entries: Cache<EntryKey, CacheEntry>,
}

impl Memory {
    pub(super) fn new(capacity_bytes: u64) -> Self {
        let weigh = |_: &EntryKey, entry: &CacheEntry| {
            u32::try_from(entry.body.len().saturating_add(OVERHEAD_BYTES)).unwrap_or(u32::MAX)
        };
        let entries =
            Cache::builder().max_capacity(capacity_bytes).weigher(weigh).expire_after(OwnTtl).build();
        Self { entries }
    }

    /// The entry of a key. If there is none, `fill` loads it.
    pub(super) async fn get_or_fill(
        &self,
        key: EntryKey,
        fill: impl Future<Output = Result<CacheEntry>>,
    ) -> Result<CacheEntry> {
        self.entries.try_get_with(key, fill).await.map_err(Arc::unwrap_or_clone)
    }

    /// Drops all entries.
    pub(super) fn clear(&self) {
        self.entries.invalidate_all();
    }
}
