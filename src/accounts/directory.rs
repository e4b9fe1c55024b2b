//! Cached accounts and keys, which every request reads.
//!
//! Entries are cached for a few seconds, so most requests need no query. The database notifies all instances of every
//! change to an account. The instance that makes a change does not wait for the notification: [`Directory::forget`]
//! starts a new, empty generation. A concurrent lookup stores its result under the old generation, where later
//! lookups do not find it. While notifications are not received, the cache is bypassed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;
use uuid::Uuid;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::storage::Database;
use crate::storage::api_keys::{self, ApiKey};
use crate::storage::users::{self, User};

/// Cache entries of one kind, by generation and identifier.
type Entries<T> = Cache<(u64, Uuid), Arc<T>>;

/// The cached accounts and keys.
pub(super) struct Directory {
    database: Database,
    clock: Clock,
    users: Entries<User>,
    keys: Entries<ApiKey>,
    generation: AtomicU64,
    listening: AtomicBool,
}

impl Directory {
    pub(super) fn new(database: Database, clock: Clock, ttl: Duration, capacity: u64) -> Self {
        Self {
            database,
            clock,
            users: Cache::builder().max_capacity(capacity).time_to_live(ttl).build(),
            keys: Cache::builder().max_capacity(capacity).time_to_live(ttl).build(),
            generation: AtomicU64::new(0),
            listening: AtomicBool::new(false),
        }
    }

    /// Invalidates all cached entries.
    pub(super) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.users.invalidate_all();
        self.keys.invalidate_all();
    }

    /// Sets whether notifications about changes are received.
    pub(super) fn set_listening(&self, listening: bool) {
        if listening {
            self.forget();
        }
        self.listening.store(listening, Ordering::SeqCst);
    }

    pub(super) async fn user(&self, id: Uuid) -> Result<Option<Arc<User>>> {
        let load = async {
            self.database.run(async |connection| users::get(connection, id).await).await.map(Arc::new)
        };
        self.look_up(&self.users, id, load).await
    }

    pub(super) async fn key(&self, id: Uuid) -> Result<Option<Arc<ApiKey>>> {
        let load = async {
            let key = self.database.run(async |connection| api_keys::find(connection, id).await).await?;
            key.map(Arc::new).ok_or(Error::NotFound("API key"))
        };
        self.look_up(&self.keys, id, load).await
    }

    /// Records the use of a key.
    pub(super) async fn touch(&self, key: &ApiKey) -> Result<()> {
        let now = self.clock.now();
        if !key.was_used_recently(now) {
            let touch = async |connection: &mut _| api_keys::touch(connection, key.id, now).await;
            self.database.run(touch).await?;
            self.keys.invalidate(&(self.generation.load(Ordering::SeqCst), key.id)).await;
        }
        Ok(())
    }

    /// Concurrent lookups of the same identifier share one query. Missing rows are not cached, because made-up
    /// identifiers would fill the cache.
    async fn look_up<T: Send + Sync + 'static>(
        &self,
        entries: &Entries<T>,
        id: Uuid,
        load: impl Future<Output = Result<Arc<T>>>,
    ) -> Result<Option<Arc<T>>> {
        let found = if self.listening.load(Ordering::SeqCst) {
            let key = (self.generation.load(Ordering::SeqCst), id);
            entries.try_get_with(key, load).await.map_err(Arc::unwrap_or_clone)
        } else {
            load.await
        };
        match found {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
