//! The copies of this instance.
//!
//! A copy stands under its key and the stamp that it was loaded under: when something changes, the stamp does, and the copy
//! is found by nobody any more. A load that began before a change, and ends after it, leaves its copy under the old stamp
//! too. Of those who ask for the same under the same stamp at once, one loads and the others wait for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::Expiry;
use moka::future::Cache;

use super::change_log::Stamp;
use crate::error::Result;

/// What a copy costs besides its bytes, about.
const OVERHEAD_BYTES: usize = 256;

/// Where a copy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    pub(super) key: [u8; 32],
    pub(super) stamp: Stamp,
}

/// A copy, and how long it is kept from now on.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) body: Bytes,
    pub(super) ttl: Duration,
}

/// Each copy knows its time.
struct OwnTtl;

impl Expiry<Slot, Kept> for OwnTtl {
    fn expire_after_create(&self, _: &Slot, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.ttl)
    }
}

/// The copies.
pub(super) struct Memory {
    copies: Cache<Slot, Kept>,
}

impl Memory {
    pub(super) fn new(capacity_bytes: u64) -> Self {
        let weigh = |_: &Slot, kept: &Kept| {
            u32::try_from(kept.body.len().saturating_add(OVERHEAD_BYTES)).unwrap_or(u32::MAX)
        };
        let copies =
            Cache::builder().max_capacity(capacity_bytes).weigher(weigh).expire_after(OwnTtl).build();
        Self { copies }
    }

    /// The copy of a slot; when there is none, `fill` makes it.
    pub(super) async fn get_or_fill(
        &self,
        slot: Slot,
        fill: impl Future<Output = Result<Kept>>,
    ) -> Result<Kept> {
        self.copies.try_get_with(slot, fill).await.map_err(Arc::unwrap_or_clone)
    }

    /// Drops every copy.
    pub(super) fn clear(&self) {
        self.copies.invalidate_all();
    }
}
