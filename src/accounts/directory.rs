//! Live accounts and keys, as they are looked at by every request.
//!
//! A copy is kept for a few seconds, so that a request costs no round trip. Every change of an account is announced by
//! the database to all instances, and the one that makes it does not wait for that: [`Directory::forget`] begins a new
//! generation, of which nothing is known yet. A look-up that began before keeps its own generation, so that what it
//! brings home too late is found by nobody. While the notifications cannot be heard, nothing is taken from memory.

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

/// Copies of one kind, by generation and identifier.
type Copies<T> = Cache<(u64, Uuid), Arc<T>>;

/// The accounts and keys that were looked at lately.
pub(super) struct Directory {
    database: Database,
    clock: Clock,
    users: Copies<User>,
    keys: Copies<ApiKey>,
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

    /// Looks at everything anew from now on.
    pub(super) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.users.invalidate_all();
        self.keys.invalidate_all();
    }

    /// Whether changes that others make are heard of.
    pub(super) fn set_listening(&self, listening: bool) {
        if listening {
            self.forget();
        }
        self.listening.store(listening, Ordering::SeqCst);
    }

    /// A person's account.
    pub(super) async fn user(&self, id: Uuid) -> Result<Option<Arc<User>>> {
        let load = async {
            self.database.run(async |connection| users::get(connection, id).await).await.map(Arc::new)
        };
        self.look_up(&self.users, id, load).await
    }

    /// A machine client's key.
    pub(super) async fn key(&self, id: Uuid) -> Result<Option<Arc<ApiKey>>> {
        let load = async {
            let key = self.database.run(async |connection| api_keys::find(connection, id).await).await?;
            key.map(Arc::new).ok_or(Error::NotFound("API key"))
        };
        self.look_up(&self.keys, id, load).await
    }

    /// Notes that a key was used.
    pub(super) async fn touch(&self, key: &ApiKey) -> Result<()> {
        let now = self.clock.now();
        if !key.was_used_lately(now) {
            let touch = async |connection: &mut _| api_keys::touch(connection, key.id, now).await;
            self.database.run(touch).await?;
            self.keys.invalidate(&(self.generation.load(Ordering::SeqCst), key.id)).await;
        }
        Ok(())
    }

    /// Of those who look for the same at once, one asks the database. What is not there is not remembered: whoever makes
    /// up identifiers would fill the memory.
    async fn look_up<T: Send + Sync + 'static>(
        &self,
        copies: &Copies<T>,
        id: Uuid,
        load: impl Future<Output = Result<Arc<T>>>,
    ) -> Result<Option<Arc<T>>> {
        let found = if self.listening.load(Ordering::SeqCst) {
            let key = (self.generation.load(Ordering::SeqCst), id);
            copies.try_get_with(key, load).await.map_err(Arc::unwrap_or_clone)
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
