//! The cache entries that instances share.
//!
//! ```text
//! <prefix>:cache:<hex of the key>  =  sealed ( 8 bytes: the offset up to which it includes every change
//!                                            | 8 bytes: its expiry, in milliseconds since 1970 | body )
//! ```
//!
//! The expiry is sealed as well, because anyone with write access to Redis can change the expiry that Redis itself stores.
//!
//! Unusable entries count as missing: outdated entries, entries sealed by an unknown key, and values in an unknown
//! format.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;

use super::memory::CacheEntry;
use crate::clock::Clock;
use crate::redis::{Operation, Redis};
use crate::storage::Database;

/// The cache entries in Redis.
#[derive(Clone)]
pub(super) struct SharedEntries {
    redis: Redis,
    database: Database,
    clock: Clock,
}

impl SharedEntries {
    pub(super) const fn new(redis: Redis, database: Database, clock: Clock) -> Self {
        Self { redis, database, clock }
    }

    /// The entry of a key, if it includes every change up to `changed`. Its lifetime is at most `max_ttl`.
    pub(super) async fn find(&self, key: &[u8; 32], changed: i64, max_ttl: Duration) -> Option<CacheEntry> {
        let name = self.name(key);
        let envelope: Option<Vec<u8>> =
            self.redis.call(Operation::CacheGet, ::redis::cmd("GET").arg(&name)).await.ok()?;
        let plain = self.database.keys().open_copy(&name, &envelope?).ok()?;
        let (as_of, rest) = plain.split_first_chunk()?;
        let (expires_at_ms, body) = rest.split_first_chunk()?;
        if i64::from_be_bytes(*as_of) < changed {
            return None;
        }
        let left_ms = i64::from_be_bytes(*expires_at_ms).checked_sub(self.now_ms())?;
        let ttl = Duration::from_millis(u64::try_from(left_ms).ok()?).min(max_ttl);
        Some(CacheEntry { body: Bytes::copy_from_slice(body), ttl })
    }

    /// Stores an entry that includes every change up to `as_of`. Failures are ignored.
    pub(super) async fn store(&self, key: &[u8; 32], as_of: i64, entry: &CacheEntry) {
        let name = self.name(key);
        let ttl_ms = i64::try_from(entry.ttl.as_millis()).unwrap_or(i64::MAX);
        let expires_at_ms = self.now_ms().saturating_add(ttl_ms);
        let plain = [&as_of.to_be_bytes(), &expires_at_ms.to_be_bytes(), &*entry.body].concat();
        let Ok(envelope) = self.database.keys().seal_copy(&name, &plain) else { return };
        let mut set = ::redis::cmd("SET");
        set.arg(&name).arg(envelope).arg("PX").arg(ttl_ms);
        let _ = self.redis.call::<()>(Operation::CacheSet, &set).await;
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    fn name(&self, key: &[u8; 32]) -> String {
        let mut name = self.redis.key("cache:");
        for byte in key {
            // Writing to a string never fails.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }
}
