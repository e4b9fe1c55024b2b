//! Cached responses: single applications, pages of lists, and statistics.
//!
//! The cache is never a source of truth. An entry is used only while this instance receives all changes, and only if
//! nothing that it depends on has changed since it was loaded; the [`change_log`] decides that. A response is therefore
//! outdated by at most the relay's lag, and a client that made a change through this instance can read that change here.
//!
//! There are two levels. The first is this instance's memory ([`memory`]), bounded in bytes, with one concurrent load
//! per key. The second is Redis, if configured ([`redis`]). It lets an instance use what another instance has already
//! loaded, mainly after a restart. Memory comes first because a look-up takes about a microsecond, needs no connection
//! and works without Redis. Entries in Redis are not invalidated: each stores the offset up to which it is current, and
//! each reader checks it against its own change log. Therefore no invalidation can be lost while Redis is slow,
//! unavailable, or restarted with old contents, and an entry that is stored late causes no harm.
//!
//! Entries are found by a keyed hash of the query and of the reader's visibility. In Redis they are sealed, with their
//! key as associated data. In memory they are in clear text, like all responses.
//!
//! Statistics of all applications change with every event. To avoid recomputing them for every request of a busy
//! system, they may be `cache.statistics_grace_ms` (one second) older than the last change. An account's own statistics
//! may not.
//!
//! Reads from a replica may miss changes whose events were applied long ago, so the validity of an entry would be
//! unknown. Lists and statistics that are read from a replica are therefore not cached.
//!
//! Failure modes:
//! - If events cannot be read, the entries in memory are dropped and the cache is bypassed until events can be read again.
//! - If memory is full, the least used entries are evicted.
//! - If the change log is full, older entries become invalid.

mod change_log;
pub mod follower;
mod memory;
mod redis;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use self::change_log::{ChangeLog, Lookup};
use self::memory::{CacheEntry, EntryKey, Memory};
use self::redis::SharedEntries;
use crate::clock::Clock;
use crate::config::CacheSettings;
use crate::domain::ids::ApplicationId;
use crate::domain::published::Position;
use crate::error::Result;
use crate::events::envelope::Envelope;
use crate::redis::Redis;
use crate::storage::Database;
use crate::storage::applications::Visibility;
use crate::telemetry::labels::label_values;
use crate::telemetry::metrics::{Metrics, seconds};

/// What an entry depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One application.
    Application(ApplicationId),
    /// A page of a list: all applications that its reader may see.
    List,
    /// Statistics: like lists, but may be slightly outdated (see the module).
    Statistics,
}

impl Subject {
    /// The names of all kinds.
    pub const PATTERNS: [&str; 3] = ["application", "list", "statistics"];

    /// The name in metrics and keys.
    const fn pattern(self) -> &'static str {
        match self {
            Self::Application(_) => "application",
            Self::List => "list",
            Self::Statistics => "statistics",
        }
    }
}

label_values! {
    /// The label `operation` of `cache_operation_duration_seconds`.
    pub enum CacheOperation {
        /// A whole look-up, including the load on a miss.
        Get = "get",
        Load = "load",
        RedisGet = "redis_get",
        RedisSet = "redis_set",
    }
}

/// A loaded response.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub body: Bytes,
    /// Whether the response stays valid until an event reports a change.
    pub may_be_cached: bool,
}

/// The cache. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    settings: CacheSettings,
    change_log: Mutex<ChangeLog>,
    memory: Memory,
    shared: Option<SharedEntries>,
    database: Database,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Cache {
    /// An empty cache without a position. `database` provides the keys that seal entries in Redis.
    pub fn new(
        settings: &CacheSettings,
        database: &Database,
        redis: Option<&Redis>,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let grace = Duration::from_millis(settings.statistics_grace_ms);
        let change_log = ChangeLog::new(settings.remembered_changes, settings.longest_ttl(), grace);
        let inner = Inner {
            change_log: Mutex::new(change_log),
            memory: Memory::new(settings.capacity_bytes),
            shared: redis.map(|redis| SharedEntries::new(redis.clone(), database.clone(), clock.clone())),
            settings: settings.clone(),
            database: database.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
        };
        Self { inner: Arc::new(inner) }
    }

    pub fn is_enabled(&self) -> bool {
        self.inner.settings.enabled
    }

    /// The cached response, or the result of `load`, which is then cached. `query` distinguishes queries about one
    /// subject and must contain everything that the response depends on except the subject and the visibility.
    ///
    /// # Errors
    /// The error of `load`, which is not cached.
    pub async fn get(
        &self,
        subject: Subject,
        visibility: &Visibility,
        query: &str,
        load: impl Future<Output = Result<Bytes>>,
    ) -> Result<Bytes> {
        let load = async { Ok(Loaded { body: load.await?, may_be_cached: true }) };
        self.get_if_cacheable(subject, visibility, query, load).await
    }

    /// Like [`Cache::get`], but `load` decides whether its response may be cached. A response that may not be
    /// cached is only returned to the requests that currently wait for it.
    ///
    /// # Errors
    /// As [`Cache::get`].
    pub async fn get_if_cacheable(
        &self,
        subject: Subject,
        visibility: &Visibility,
        query: &str,
        load: impl Future<Output = Result<Loaded>>,
    ) -> Result<Bytes> {
        let inner = &*self.inner;
        let pattern = [subject.pattern()];
        let started = inner.clock.monotonic();
        let Some(lookup) = self.look_up(subject, visibility, started) else {
            inner.metrics.cache_misses_total.with_label_values(&pattern).inc();
            return load.await.map(|loaded| loaded.body);
        };
        let key = self.key(&lookup, subject, visibility, query);
        let was_loaded = AtomicBool::new(false);
        let fill = async {
            if let Some(entry) = self.find_shared(&key, &lookup, self.ttl(subject)).await {
                return Ok(entry);
            }
            was_loaded.store(true, Ordering::Relaxed);
            let began = inner.clock.monotonic();
            let Loaded { body, may_be_cached } = load.await?;
            self.observe(CacheOperation::Load, began);
            if !may_be_cached {
                return Ok(CacheEntry { body, ttl: Duration::ZERO });
            }
            let entry = CacheEntry { body, ttl: self.ttl(subject) };
            self.share(&key, &lookup, &entry);
            Ok(entry)
        };
        let entry = inner.memory.get_or_fill(EntryKey { key, stamp: lookup.stamp }, fill).await;
        let counted = if was_loaded.into_inner() {
            &inner.metrics.cache_misses_total
        } else {
            &inner.metrics.cache_hits_total
        };
        counted.with_label_values(&pattern).inc();
        self.observe(CacheOperation::Get, started);
        entry.map(|entry| entry.body)
    }

    /// Records a change that was committed through this instance. From now on, this instance returns no older entry. Must be
    /// called before the response to the change is sent.
    pub fn record_change(&self, id: ApplicationId, version: i64, owner: &str) {
        if self.is_enabled() {
            self.change_log().record_own(id, version, owner, self.inner.clock.monotonic());
        }
    }

    /// The position up to which events were applied; `None` before [`Cache::begin`].
    pub fn position(&self) -> Option<Position> {
        self.change_log().position()
    }

    /// Begins applying events at `position`, and drops all entries.
    pub fn begin(&self, position: Position) {
        self.change_log().begin(position);
        self.inner.memory.clear();
    }

    /// Applies the next events, which follow the position without a gap.
    pub fn apply(&self, events: &[Envelope]) {
        self.change_log().apply(events);
    }

    /// Applies events that another reader of this instance is about to deliver, so a client that receives one cannot
    /// read an older entry.
    pub fn apply_early(&self, events: &[Envelope]) {
        self.change_log().apply_early(events);
    }

    /// Declares that all events published before `began_at` were applied. The declaration is valid for `valid_for`.
    pub fn follow(&self, began_at: Duration, valid_for: Duration) {
        self.change_log().follow_until(began_at + valid_for, began_at);
    }

    /// Bypasses the cache because events cannot be read, and drops this instance's entries.
    pub fn stop_following(&self) {
        self.change_log().follow_until(Duration::ZERO, self.inner.clock.monotonic());
        self.inner.memory.clear();
    }

    /// Whether entries are currently used.
    pub fn is_following(&self) -> bool {
        let now = self.inner.clock.monotonic();
        self.look_up(Subject::Application(ApplicationId::new(uuid::Uuid::nil())), &Visibility::All, now)
            .is_some()
    }

    fn look_up(&self, subject: Subject, visibility: &Visibility, now: Duration) -> Option<Lookup> {
        let is_from_replica = match subject {
            Subject::Application(_) => false,
            Subject::List | Subject::Statistics => self.inner.database.may_read_old(),
        };
        if !self.is_enabled() || is_from_replica {
            return None;
        }
        self.change_log().look_up(subject, visibility, now)
    }

    fn key(&self, lookup: &Lookup, subject: Subject, visibility: &Visibility, query: &str) -> [u8; 32] {
        let id = match subject {
            Subject::Application(id) => id.as_uuid(),
            Subject::List | Subject::Statistics => uuid::Uuid::nil(),
        };
        let (scope, account) = match visibility {
            Visibility::All => ("all", ""),
            Visibility::OwnedBy(account) => ("owned-by", account.as_str()),
        };
        let version = env!("CARGO_PKG_VERSION");
        let texts = [version, subject.pattern(), scope, account, query].map(str::as_bytes);
        let parts = [&[lookup.epoch.as_bytes().as_slice(), id.as_bytes()], texts.as_slice()].concat();
        self.inner.database.keys().keyed_hash("cache-key-2", &parts)
    }

    fn ttl(&self, subject: Subject) -> Duration {
        let settings = &self.inner.settings;
        Duration::from_millis(match subject {
            Subject::Application(_) => settings.application_ttl_ms,
            Subject::List => settings.list_ttl_ms,
            Subject::Statistics => settings.statistics_ttl_ms,
        })
    }

    /// An entry of another instance. While this instance waits for the event of its own change, such entries may be older
    /// than the change, so none is returned.
    async fn find_shared(&self, key: &[u8; 32], lookup: &Lookup, max_ttl: Duration) -> Option<CacheEntry> {
        let shared = self.inner.shared.as_ref().filter(|_| lookup.stamp.own == 0)?;
        let began = self.inner.clock.monotonic();
        let found = shared.find(key, lookup.stamp.changed, max_ttl).await;
        self.observe(CacheOperation::RedisGet, began);
        found
    }

    /// Stores an entry for other instances in the background.
    fn share(&self, key: &[u8; 32], lookup: &Lookup, entry: &CacheEntry) {
        let Some(shared) = self.inner.shared.clone() else { return };
        let (cache, key, as_of, entry) = (self.clone(), *key, lookup.as_of, entry.clone());
        tokio::spawn(async move {
            let began = cache.inner.clock.monotonic();
            shared.store(&key, as_of, &entry).await;
            cache.observe(CacheOperation::RedisSet, began);
        });
    }

    fn observe(&self, operation: CacheOperation, began: Duration) {
        let took = self.inner.clock.monotonic().saturating_sub(began);
        let durations = &self.inner.metrics.cache_operation_duration_seconds;
        durations.with_label_values(&[operation.as_str()]).observe(seconds(took));
    }

    /// Locks the change log. No code panics while it holds the lock, so a poisoned lock is usable.
    fn change_log(&self) -> MutexGuard<'_, ChangeLog> {
        self.inner.change_log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("is_enabled", &self.is_enabled()).finish_non_exhaustive()
    }
}
