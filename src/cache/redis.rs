//! The copies that instances share.
//!
//! ```text
//! <prefix>:cache:<hex of the key>  =  sealed ( 8 bytes: the offset that it holds every change up to | body )
//! ```
//!
//! Whatever cannot be used is treated as not being there: an older copy, one that was sealed by a key that this instance
//! does not know, something that somebody else wrote.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;

use super::memory::Kept;
use crate::redis::Redis;
use crate::storage::Database;

/// The copies in Redis.
#[derive(Clone)]
pub(super) struct SharedCopies {
    redis: Redis,
    database: Database,
}

impl SharedCopies {
    pub(super) const fn new(redis: Redis, database: Database) -> Self {
        Self { redis, database }
    }

    /// The copy of a key, if it holds every change up to `changed`.
    pub(super) async fn find(&self, key: &[u8; 32], changed: i64) -> Option<Kept> {
        let name = self.name(key);
        let mut commands = ::redis::pipe();
        commands.cmd("GET").arg(&name).cmd("PTTL").arg(&name);
        let (envelope, ttl_ms): (Option<Vec<u8>>, i64) =
            self.redis.call_all("cache_get", &commands).await.ok()?;
        let plain = self.database.keys().open_copy(&name, &envelope?).ok()?;
        let (as_of, body) = plain.split_first_chunk()?;
        if i64::from_be_bytes(*as_of) < changed {
            return None;
        }
        let ttl = Duration::from_millis(u64::try_from(ttl_ms).ok()?);
        Some(Kept { body: Bytes::copy_from_slice(body), ttl })
    }

    /// Keeps a copy that holds every change up to `as_of`. It is no loss if that fails.
    pub(super) async fn keep(&self, key: &[u8; 32], as_of: i64, kept: &Kept) {
        let name = self.name(key);
        let plain = [as_of.to_be_bytes().as_slice(), &kept.body].concat();
        let Ok(envelope) = self.database.keys().seal_copy(&name, &plain) else { return };
        let ttl_ms = u64::try_from(kept.ttl.as_millis()).unwrap_or(u64::MAX);
        let mut set = ::redis::cmd("SET");
        set.arg(&name).arg(envelope).arg("PX").arg(ttl_ms);
        let _ = self.redis.call::<()>("cache_set", &set).await;
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
