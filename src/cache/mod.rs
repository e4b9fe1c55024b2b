//! Answers that are kept for a while: one application, a part of a list, statistics.
//!
//! Never a source of truth. A copy is used only while this instance hears of every change, and only if nothing that it is
//! about has changed since it was loaded; what counts as changed stands in the [`change_log`]. So a read is never older than
//! the relay's lag, and whoever got the answer to a write through this instance reads what was written.
//!
//! There are two levels. The first is this instance's memory ([`memory`]): bounded in bytes, with one load at a time for
//! the same question. The second is Redis, where there is one ([`redis`]): it spares the database what another instance
//! has loaded already, above all after a restart. It is a second level and not the only one, because a look into memory
//! costs a microsecond and no connection, and because it is also the one that works when Redis does not. Nobody is told
//! to delete anything from Redis: its copies carry the offset that they hold, and each reader judges them by its own
//! change log. So nothing depends on an invalidation that could be lost while Redis is slow, away, or restarted with old
//! contents, and a copy that was stored late is as harmless as any.
//!
//! Copies are found by a keyed hash of what was asked and who may see the answer, and those in Redis are sealed, with
//! their key as associated data. In memory they are in the clear, like everything that is being answered.
//!
//! Statistics over everybody's applications change with every event. So that a busy system does not compute them anew at
//! every look, they may be `cache.statistics_grace_ms` (one second) older than the last change; an account's own
//! statistics may not.
//!
//! What is read from a replica of the database may lack changes that were heard of long ago, so that nobody could say when
//! a copy of it is old. Where lists and statistics come from one, they are not kept: the replica does that work.
//!
//! What can go wrong: the events cannot be read (copies are bypassed and dropped, until they can); memory is full (what is
//! asked for least goes); the change log is full (older copies are not used any more).

mod change_log;
pub mod follower;
mod memory;
mod redis;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use self::change_log::{ChangeLog, Look};
use self::memory::{Kept, Memory, Slot};
use self::redis::SharedCopies;
use crate::clock::Clock;
use crate::config::CacheSettings;
use crate::domain::ids::ApplicationId;
use crate::domain::published::Position;
use crate::error::Result;
use crate::events::envelope::Envelope;
use crate::redis::Redis;
use crate::storage::Database;
use crate::storage::applications::Visibility;
use crate::telemetry::metrics::{Metrics, seconds};

/// What an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One application: changes with it.
    Application(ApplicationId),
    /// A part of a list: changes with every application that its reader may see.
    List,
    /// Figures over many applications: change like lists, but may be a little late (see the module).
    Statistics,
}

impl Subject {
    /// The name in metrics and keys.
    const fn pattern(self) -> &'static str {
        match self {
            Self::Application(_) => "application",
            Self::List => "list",
            Self::Statistics => "statistics",
        }
    }
}

/// An answer that was just made.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The answer.
    pub body: Bytes,
    /// Whether only an event can make it old.
    pub may_be_kept: bool,
}

/// Kept answers. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    settings: CacheSettings,
    change_log: Mutex<ChangeLog>,
    memory: Memory,
    shared: Option<SharedCopies>,
    database: Database,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Cache {
    /// An empty cache that hears nothing yet. `database` has the keys that seal what goes to Redis.
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
            shared: redis.map(|redis| SharedCopies::new(redis.clone(), database.clone(), clock.clone())),
            settings: settings.clone(),
            database: database.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether anything is kept.
    pub fn is_enabled(&self) -> bool {
        self.inner.settings.enabled
    }

    /// A kept answer, or what `load` gives, which is then kept. `query` tells questions about one subject apart, and must
    /// hold everything that the answer depends on but the subject and who asks.
    ///
    /// # Errors
    /// What `load` fails with; that is not kept.
    pub async fn get(
        &self,
        subject: Subject,
        visibility: &Visibility,
        query: &str,
        load: impl Future<Output = Result<Bytes>>,
    ) -> Result<Bytes> {
        let load = async { Ok(Loaded { body: load.await?, may_be_kept: true }) };
        self.get_if_kept(subject, visibility, query, load).await
    }

    /// The same, where `load` knows whether its answer may be kept. One that may not is given to those who wait for it now.
    ///
    /// # Errors
    /// As [`Cache::get`].
    pub async fn get_if_kept(
        &self,
        subject: Subject,
        visibility: &Visibility,
        query: &str,
        load: impl Future<Output = Result<Loaded>>,
    ) -> Result<Bytes> {
        let inner = &*self.inner;
        let pattern = [subject.pattern()];
        let started = inner.clock.monotonic();
        let Some(look) = self.look(subject, visibility, started) else {
            inner.metrics.cache_misses_total.with_label_values(&pattern).inc();
            return load.await.map(|loaded| loaded.body);
        };
        let key = self.key(&look, subject, visibility, query);
        let was_loaded = AtomicBool::new(false);
        let fill = async {
            if let Some(kept) = self.find_shared(&key, &look, self.ttl(subject)).await {
                return Ok(kept);
            }
            was_loaded.store(true, Ordering::Relaxed);
            let began = inner.clock.monotonic();
            let Loaded { body, may_be_kept } = load.await?;
            self.observe("load", began);
            if !may_be_kept {
                return Ok(Kept { body, ttl: Duration::ZERO });
            }
            let kept = Kept { body, ttl: self.ttl(subject) };
            self.share(&key, &look, &kept);
            Ok(kept)
        };
        let kept = inner.memory.get_or_fill(Slot { key, stamp: look.stamp }, fill).await;
        let counted = if was_loaded.into_inner() {
            &inner.metrics.cache_misses_total
        } else {
            &inner.metrics.cache_hits_total
        };
        counted.with_label_values(&pattern).inc();
        self.observe("get", started);
        kept.map(|kept| kept.body)
    }

    /// A change was committed through this instance: from now on nothing older is read here. To be called before the change
    /// is answered.
    pub fn note_change(&self, id: ApplicationId, version: i64, owner: &str) {
        if self.is_enabled() {
            self.change_log().note_own(id, version, owner, self.inner.clock.monotonic());
        }
    }

    /// How far the events were heard; `None` before [`Cache::begin`].
    pub fn position(&self) -> Option<Position> {
        self.change_log().position()
    }

    /// Hears events from `position` on, and forgets everything from before.
    pub fn begin(&self, position: Position) {
        self.change_log().begin(position);
        self.inner.memory.clear();
    }

    /// Hears the next events after the position, without a gap.
    pub fn hear(&self, events: &[Envelope]) {
        self.change_log().hear(events);
    }

    /// Hears events that somebody else of this instance is about to tell of. Whoever learns of a change from it must not
    /// read an older copy.
    pub fn hear_early(&self, events: &[Envelope]) {
        self.change_log().hear_early(events);
    }

    /// At `asked_at` everything had been heard: that is good enough for `lease`.
    pub fn follow(&self, asked_at: Duration, lease: Duration) {
        self.change_log().follow_until(asked_at + lease, asked_at);
    }

    /// Events cannot be heard: nothing is taken from copies, and those of this instance are dropped.
    pub fn stop_following(&self) {
        self.change_log().follow_until(Duration::ZERO, self.inner.clock.monotonic());
        self.inner.memory.clear();
    }

    /// Whether copies are used now.
    pub fn is_following(&self) -> bool {
        let now = self.inner.clock.monotonic();
        self.look(Subject::Application(ApplicationId::new(uuid::Uuid::nil())), &Visibility::All, now)
            .is_some()
    }

    fn look(&self, subject: Subject, visibility: &Visibility, now: Duration) -> Option<Look> {
        let is_from_replica = match subject {
            Subject::Application(_) => false,
            Subject::List | Subject::Statistics => self.inner.database.may_read_old(),
        };
        if !self.is_enabled() || is_from_replica {
            return None;
        }
        self.change_log().look(subject, visibility, now)
    }

    fn key(&self, look: &Look, subject: Subject, visibility: &Visibility, query: &str) -> [u8; 32] {
        let id = match subject {
            Subject::Application(id) => id.as_uuid(),
            Subject::List | Subject::Statistics => uuid::Uuid::nil(),
        };
        let (who, account) = match visibility {
            Visibility::All => ("all", ""),
            Visibility::OwnedBy(account) => ("owned-by", account.as_str()),
        };
        let version = env!("CARGO_PKG_VERSION");
        let texts = [version, subject.pattern(), who, account, query].map(str::as_bytes);
        let parts = [&[look.epoch.as_bytes().as_slice(), id.as_bytes()], texts.as_slice()].concat();
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

    /// A copy of another instance. While an own change waits for its event, the others' copies may be older than it.
    async fn find_shared(&self, key: &[u8; 32], look: &Look, longest: Duration) -> Option<Kept> {
        let shared = self.inner.shared.as_ref().filter(|_| look.stamp.own == 0)?;
        let began = self.inner.clock.monotonic();
        let found = shared.find(key, look.stamp.changed, longest).await;
        self.observe("redis_get", began);
        found
    }

    /// Gives a copy to the others, without anybody waiting for it.
    fn share(&self, key: &[u8; 32], look: &Look, kept: &Kept) {
        let Some(shared) = self.inner.shared.clone() else { return };
        let (cache, key, as_of, kept) = (self.clone(), *key, look.as_of, kept.clone());
        tokio::spawn(async move {
            let began = cache.inner.clock.monotonic();
            shared.keep(&key, as_of, &kept).await;
            cache.observe("redis_set", began);
        });
    }

    fn observe(&self, operation: &str, began: Duration) {
        let took = self.inner.clock.monotonic().saturating_sub(began);
        let durations = &self.inner.metrics.cache_operation_duration_seconds;
        durations.with_label_values(&[operation]).observe(seconds(took));
    }

    /// Nobody panics under the lock in the middle of a change.
    fn change_log(&self) -> MutexGuard<'_, ChangeLog> {
        self.inner.change_log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("is_enabled", &self.is_enabled()).finish_non_exhaustive()
    }
}
