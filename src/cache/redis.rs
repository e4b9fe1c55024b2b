//! The copies that instances share.
//!
//! ```text
//! <prefix>:cache:<hex of the key>  =  sealed ( 8 bytes: the offset that it holds every change up to
//!                                            | 8 bytes: when its time is over, in milliseconds since 1970 | body )
//! ```
//!
//! The time is sealed too: whoever can write to Redis can set the one that Redis keeps.
//!
//! Whatever cannot be used is treated as not being there: an older copy, one that was sealed by a key that this instance
//! does not know, something that somebody else wrote.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;

use super::memory::Kept;
use crate::clock::Clock;
use crate::redis::Redis;
use crate::storage::Database;

/// The copies in Redis.
#[derive(Clone)]
pub(super) struct SharedCopies {
    redis: Redis,
    database: Database,
    clock: Clock,
}

impl SharedCopies {
    pub(super) const fn new(redis: Redis, database: Database, clock: Clock) -> Self {
        Self { redis, database, clock }
    }

    /// The copy of a key, if it holds every change up to `changed`. It is kept for `longest` at the most.
    pub(super) async fn find(&self, key: &[u8; 32], changed: i64, longest: Duration) -> Option<Kept> {
        let name = self.name(key);
        let envelope: Option<Vec<u8>> =
            self.redis.call("cache_get", ::redis::cmd("GET").arg(&name)).await.ok()?;
        let plain = self.database.keys().open_copy(&name, &envelope?).ok()?;
        let (as_of, rest) = plain.split_first_chunk()?;
        let (good_until_ms, body) = rest.split_first_chunk()?;
        if i64::from_be_bytes(*as_of) < changed {
            return None;
        }
        let left_ms = i64::from_be_bytes(*good_until_ms).checked_sub(self.now_ms())?;
        let ttl = Duration::from_millis(u64::try_from(left_ms).ok()?).min(longest);
        Some(Kept { body: Bytes::copy_from_slice(body), ttl })
    }

    /// Keeps a copy that holds every change up to `as_of`. It is no loss if that fails.
    pub(super) async fn keep(&self, key: &[u8; 32], as_of: i64, kept: &Kept) {
        let name = self.name(key);
        let ttl_ms = i64::try_from(kept.ttl.as_millis()).unwrap_or(i64::MAX);
        let good_until_ms = self.now_ms().saturating_add(ttl_ms);
        let plain = [&as_of.to_be_bytes(), &good_until_ms.to_be_bytes(), &*kept.body].concat();
        let Ok(envelope) = self.database.keys().seal_copy(&name, &plain) else { return };
        let mut set = ::redis::cmd("SET");
        set.arg(&name).arg(envelope).arg("PX").arg(ttl_ms);
        let _ = self.redis.call::<()>("cache_set", &set).await;
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    fn name(&self, key: &[u8; 32]) -> String {
        let mut name = self.redis.key("cache:");
        for byte in key {
            // Writing to a text never fails.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }
}
