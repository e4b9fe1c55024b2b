//! The streams of events in Redis: one for each partition, for the consumers in Aval and for other systems.
//!
//! ```text
//! <events.stream>:{00} … {15}     streams; entry <offset>-1 has the event as CloudEvents JSON
//! <events.stream>:state           a hash: the epoch, the end, and the last entry of each stream
//! <events.stream>:dead-letters    a stream of the dead letters of consumers
//! ```
//!
//! The leading relay appends published events ([`appender`]); consumers read the partitions that they hold a lease on
//! ([`reader`]). The outbox is the source of truth: positions, leases and dead letters are in the database, and a consumer
//! reads the outbox if a stream lacks an event. Therefore Redis can lose any of its data. Other systems depend on the streams
//! alone; docs/events.md describes their contract. The relay notices lost data and appends the events again.
//!
//! Anyone with write access to Redis can add entries. Aval handles only entries with a valid seal ([`entry`]).

pub mod appender;
mod dead_letters;
mod entry;
mod inspection;
mod reader;
mod scripts;
mod server;

use std::sync::Arc;

use ::redis::ScriptInvocation;
use slog::Logger;
use tokio::sync::Notify;

pub use self::entry::{Entry, StreamedEvent};
pub use self::reader::{Batch, OnBatch, StreamReader};
use self::server::Suitability;
pub use self::server::check as check_server;
use crate::clock::Clock;
use crate::config::EventSettings;
use crate::error::Result;
use crate::redis::Redis;
use crate::resources::Resources;
use crate::storage::Database;
use crate::storage::consumers::PARTITIONS;
use crate::telemetry::metrics::Metrics;

/// The number of streams.
const STREAMS: usize = PARTITIONS.unsigned_abs() as usize;

/// The streams of a deployment. Cheap to clone.
#[derive(Clone)]
pub struct PartitionStreams {
    inner: Arc<Inner>,
}

struct Inner {
    redis: Redis,
    database: Database,
    settings: EventSettings,
    keys: Vec<String>,
    suitability: Suitability,
    /// Wakes the appender.
    published: Notify,
    clock: Clock,
    metrics: Arc<Metrics>,
    logger: Logger,
}

impl PartitionStreams {
    /// The streams in `redis`; `None` if `events.stream` is empty.
    pub fn new(redis: Redis, resources: &Resources) -> Option<Self> {
        let settings = resources.settings.events.clone();
        if settings.stream.is_empty() {
            return None;
        }
        let inner = Inner {
            redis,
            database: resources.database.clone(),
            keys: (0..PARTITIONS)
                .map(|partition| format!("{}:{{{partition:02}}}", settings.stream))
                .collect(),
            settings,
            suitability: Suitability::default(),
            published: Notify::new(),
            clock: resources.clock.clone(),
            metrics: Arc::clone(&resources.metrics),
            logger: resources.named("event_streams").logger,
        };
        Some(Self { inner: Arc::new(inner) })
    }

    /// Wakes the appender because events were published.
    pub fn wake_appender(&self) {
        self.inner.published.notify_one();
    }

    /// Why the Redis server cannot hold the streams; `None` if it can, or has not been checked yet.
    pub fn problem(&self) -> Option<String> {
        self.inner.suitability.problem()
    }

    /// Checks the server unless this has been done. Returns whether it can hold the streams.
    ///
    /// # Errors
    /// If Redis is unavailable.
    async fn is_suitable(&self) -> Result<bool> {
        self.inner.suitability.check(&self.inner.redis, &self.inner.logger).await
    }

    /// The key of a partition's stream.
    fn key(&self, partition: i16) -> &str {
        let index = usize::try_from(partition).unwrap_or(usize::MAX);
        self.inner.keys.get(index).map_or("", String::as_str)
    }

    /// The partition whose stream has this key.
    fn partition(&self, key: &str) -> Option<i16> {
        let index = self.inner.keys.iter().position(|known| known == key)?;
        i16::try_from(index).ok()
    }

    /// Adds the keys of the scripts that use all streams.
    fn name_keys(&self, script: &mut ScriptInvocation<'_>) {
        for key in &self.inner.keys {
            script.key(key);
        }
        script.key(self.state_key());
    }

    fn state_key(&self) -> String {
        format!("{}:state", self.inner.settings.stream)
    }

    fn dead_letter_key(&self) -> String {
        match self.inner.settings.dead_letter_stream.as_str() {
            "" => format!("{}:dead-letters", self.inner.settings.stream),
            named => named.to_owned(),
        }
    }

    /// The consumer group of a consumer in Aval.
    fn group(&self, consumer: &str) -> String {
        format!("{}.{consumer}", self.inner.settings.group)
    }
}
