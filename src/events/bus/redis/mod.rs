//! The bus over Redis: a stream with the newest events, backed by the database.
//!
//! ```text
//! <prefix>:events:<epoch>    a stream; entry <offset>-1 has one field, the sealed envelope as JSON
//! ```
//!
//! The leading relay appends published events ([`EventStream::catch_up`]). The script that appends them refuses to leave a
//! gap and ignores existing entries. It therefore does not matter which relay appends, how often, or what Redis has lost.
//! If events are missing from the stream, the relay reads them from the database. If the whole stream is lost, a new one
//! begins with the newest events.
//!
//! Readers keep their own position. They read events from the stream as long as the events follow without a gap. They read
//! all others from the database: events not yet appended, trimmed events, and all events while Redis is unavailable
//! ([`RedisBus::read_after`]). With the stream, not every instance has to read every event from the database. The stream also
//! wakes readers ([`RedisBus::watch`]). `NOTIFY` and the poll wake them as well.
//!
//! Anyone with write access to Redis can add entries of any shape with any id. Therefore an entry is valid only if it can be
//! decrypted and was sealed for its location, which is the epoch and the offset in its id. If the newest entry of a stream is
//! invalid ([`Newest::Foreign`]), readers use the database and the relay recreates the stream.

mod entry;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ::redis::Value;
use futures_util::future::{BoxFuture, FutureExt as _};
use slog::warn;

pub use self::stream::EventStream;
use self::stream::Newest;
use super::postgres::PostgresBus;
use super::{EventBus, Extent};
use crate::domain::published::Position;
use crate::error::{Error, Result};
use crate::events::envelope::Envelope;
use crate::storage::Database;
use crate::telemetry::labels::label_values;
use crate::telemetry::metrics::Metrics;

/// The name of the watch in logs and metrics.
pub const WATCH: &str = "event_stream_watch";

/// The label of this push channel in metrics and the health report.
pub const CHANNEL: &str = "redis";

label_values! {
    /// Where an instance read events, the label `source` of `bus_events_read_total`.
    pub enum EventSource {
        Redis = "redis",
        Database = "database",
    }
}

/// How long a read waits for the next entry. An empty result also shows that the connection is intact.
const WATCH_WAIT: Duration = Duration::from_secs(1);
/// The additional time in which the result must arrive.
const WATCH_TIMEOUT: Duration = Duration::from_secs(2);
/// After this many empty waits, the watch checks the epoch again.
const WAITS_PER_EPOCH_CHECK: u32 = 5;
/// The delay of the watch after a failure.
const WATCH_RETRY: Duration = Duration::from_secs(1);

/// The stream with the database as its fallback. Several readers can share it.
#[derive(Clone)]
pub struct RedisBus {
    stream: EventStream,
    database: PostgresBus,
    /// The offset up to which the watch has seen the stream; [`UNWATCHED`] while it is not watching.
    seen: Arc<AtomicI64>,
    metrics: Arc<Metrics>,
}

/// The value of [`RedisBus::seen`] while the stream is not watched.
const UNWATCHED: i64 = -1;

impl RedisBus {
    pub fn new(stream: EventStream, database: Database, metrics: Arc<Metrics>) -> Self {
        let seen = Arc::new(AtomicI64::new(UNWATCHED));
        Self { stream, database: PostgresBus::new(database), seen, metrics }
    }

    /// Whether the stream is watched. If so, the watch wakes readers.
    pub fn is_watching(&self) -> bool {
        self.seen.load(Ordering::SeqCst) != UNWATCHED && !self.stream.redis.is_degraded()
    }

    /// Whether the watch has seen all events up to `offset` and called its callback.
    pub fn has_seen(&self, offset: i64) -> bool {
        self.seen.load(Ordering::SeqCst) >= offset
    }

    /// Calls `on_published` whenever the stream has grown. Never returns.
    pub async fn watch(self, on_published: Arc<dyn Fn() + Send + Sync>) {
        loop {
            let unwatch_on_drop = UnwatchOnDrop(Arc::clone(&self.seen));
            let watched = self.watch_once(&*on_published).await;
            drop(unwatch_on_drop);
            self.metrics.push_channel_up.with_label_values(&[CHANNEL]).set(0);
            self.metrics.push_channel_losses_total.with_label_values(&[CHANNEL]).inc();
            if let Err(error) = watched
                && !matches!(error, Error::Unavailable { .. })
            {
                warn!(self.stream.logger, "stream watch failed; retrying"; error);
            }
            tokio::time::sleep(WATCH_RETRY).await;
        }
    }

    async fn watch_once(&self, on_published: &(dyn Fn() + Send + Sync)) -> Result<()> {
        let up = self.metrics.push_channel_up.with_label_values(&[CHANNEL]);
        let mut connection = self.stream.redis.dedicated().await?;
        let wait_ms = u64::try_from(WATCH_WAIT.as_millis()).unwrap_or(u64::MAX);
        loop {
            let epoch = self.database.position().await?.epoch;
            let key = self.stream.key(epoch);
            let mut empty_waits = 0;
            while empty_waits < WAITS_PER_EPOCH_CHECK {
                let last = match self.stream.newest(epoch).await? {
                    Newest::None => 0,
                    Newest::Event(offset) => offset,
                    // A read that waits for entries after an invalid one would return immediately, again and again.
                    Newest::Foreign => return Ok(()),
                };
                // Readers may have missed entries that were added while the stream was not watched.
                on_published();
                self.seen.store(last, Ordering::SeqCst);
                up.set(1);
                let mut read = ::redis::cmd("XREAD");
                read.arg("COUNT").arg(1).arg("BLOCK").arg(wait_ms).arg("STREAMS").arg(&key);
                read.arg(format!("{last}-1"));
                let waiting = read.query_async::<Value>(&mut connection);
                let answered = tokio::time::timeout(WATCH_WAIT + WATCH_TIMEOUT, waiting).await;
                let grown =
                    answered.map_err(|late| unavailable(&late))?.map_err(|error| unavailable(&error))?;
                empty_waits = if grown == Value::Nil { empty_waits + 1 } else { 0 };
            }
        }
    }
}

/// Also resets `seen` when the watch is dropped or panics.
struct UnwatchOnDrop(Arc<AtomicI64>);

impl Drop for UnwatchOnDrop {
    fn drop(&mut self) {
        self.0.store(UNWATCHED, Ordering::SeqCst);
    }
}

fn unavailable(cause: &dyn std::fmt::Display) -> Error {
    Error::unavailable(crate::redis::NAME, cause)
}

impl EventBus for RedisBus {
    fn position(&self) -> BoxFuture<'_, Result<Position>> {
        self.database.position()
    }

    fn extent(&self) -> BoxFuture<'_, Result<Extent>> {
        self.database.extent()
    }

    fn read_after(&self, after: Position, limit: u32) -> BoxFuture<'_, Result<Vec<Envelope>>> {
        async move {
            let count = |source: EventSource, events: &[Envelope]| {
                let number = u64::try_from(events.len()).unwrap_or(u64::MAX);
                self.metrics.bus_events_read_total.with_label_values(&[source.as_str()]).inc_by(number);
            };
            let events = self.stream.read(after, limit).await.unwrap_or_default();
            if !events.is_empty() {
                count(EventSource::Redis, &events);
                return Ok(events);
            }
            let events = self.database.read_after(after, limit).await?;
            count(EventSource::Database, &events);
            Ok(events)
        }
        .boxed()
    }
}
