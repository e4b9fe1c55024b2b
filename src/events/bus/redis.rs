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

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use ::redis::{Script, Value};
use futures_util::future::{BoxFuture, FutureExt as _};
use slog::{Logger, info, warn};
use uuid::Uuid;

use super::postgres::PostgresBus;
use super::{EventBus, Extent};
use crate::config::Settings;
use crate::domain::published::Position;
use crate::error::{Error, Result};
use crate::events::envelope::Envelope;
use crate::redis::{Operation, Redis};
use crate::storage::seal::KeyRing;
use crate::storage::{Database, outbox, transaction};
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

/// The field of an entry that contains the sealed envelope.
const FIELD: &str = "e";
/// The number of events to read from the database and append at a time.
const APPEND_PAGE: u32 = 512;
/// How long a read waits for the next entry. An empty result also shows that the connection is intact.
const WATCH_WAIT: Duration = Duration::from_secs(1);
/// The additional time in which the result must arrive.
const WATCH_TIMEOUT: Duration = Duration::from_secs(2);
/// After this many empty waits, the watch checks the epoch again.
const WAITS_PER_EPOCH_CHECK: u32 = 5;
/// The delay of the watch after a failure.
const WATCH_RETRY: Duration = Duration::from_secs(1);

/// Appends events after the newest entry, without a gap. Returns the offset of the entry that is then the newest, or
/// -1 if Aval cannot have appended the previous newest entry. Numbers of 15 digits are exact in Lua.
///
/// KEYS: the stream. ARGV: entries to keep, milliseconds to keep the stream, `1` to recreate it; then for each event
/// its offset and the sealed event.
const APPEND: &str = "\
local top = 0
if ARGV[3] == '1' then
  redis.call('DEL', KEYS[1])
else
  local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  if newest then
    local digits = string.match(newest[1], '^(%d+)%-1$')
    if not digits or #digits > 15 then return -1 end
    top = tonumber(digits)
  end
end
for i = 4, #ARGV, 2 do
  local offset = tonumber(ARGV[i])
  if top > 0 and offset > top + 1 then break end
  if offset > top then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], ARGV[i] .. '-1', 'e', ARGV[i + 1])
    top = offset
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return top";

/// Returns the newest entry as a list of at most one. For a key that is not a stream, the list has an invalid entry.
const NEWEST: &str = "\
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {} end
if kind ~= 'stream' then return {kind} end
return redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)";

/// The newest entry of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Newest {
    /// The stream is empty or does not exist.
    None,
    /// An event that this deployment sealed for its location.
    Event(i64),
    /// Anything else, such as an entry of another writer.
    Foreign,
}

/// The stream. Cheap to clone.
#[derive(Clone)]
pub struct EventStream {
    redis: Redis,
    database: Database,
    append: Arc<Script>,
    newest: Arc<Script>,
    max_events: u32,
    keep_ms: u64,
    /// Whether the stream may lack published events.
    behind: Arc<AtomicBool>,
    logger: Logger,
}

impl EventStream {
    /// The stream of the events in `database`.
    pub fn new(redis: Redis, database: Database, settings: &Settings, logger: &Logger) -> Self {
        Self {
            redis,
            database,
            append: Arc::new(Script::new(APPEND)),
            newest: Arc::new(Script::new(NEWEST)),
            max_events: settings.redis.stream_max_events,
            keep_ms: u64::from(settings.outbox.retention_hours).saturating_mul(3_600_000),
            behind: Arc::new(AtomicBool::new(true)),
            logger: logger.new(slog::o!("logger" => "event_stream")),
        }
    }

    /// Whether the stream may lack published events.
    pub fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Appends all published events that the stream lacks. A failure does not affect the relay: readers get the events
    /// from the database, and the next call continues.
    pub async fn catch_up(&self) {
        self.behind.store(true, Ordering::Relaxed);
        // The stream's watch detects when Redis is available again. Until then there is no need to query the database.
        if self.redis.is_degraded() {
            return;
        }
        match self.append_missing().await {
            Ok(()) => self.behind.store(false, Ordering::Relaxed),
            // The Redis client logs its own unavailability.
            Err(Error::Unavailable { .. }) => {}
            Err(error) => warn!(self.logger, "cannot append events to the stream"; error),
        }
    }

    async fn append_missing(&self) -> Result<()> {
        let mut end = self.database.run(outbox::position).await?;
        let mut top = match self.newest(end.epoch).await? {
            Newest::None => 0,
            Newest::Event(offset) => offset,
            Newest::Foreign => {
                let key = self.key(end.epoch);
                warn!(self.logger, "newest stream entry was not written by Aval; recreating the stream"; "key" => &key);
                self.redis.call::<Value>(Operation::StreamDrop, ::redis::cmd("DEL").arg(&key)).await?;
                0
            }
        };
        // The stream is ahead of the database. The database has lost events, unless another relay has published meanwhile.
        if top > end.offset
            && self
                .database
                .run(async |connection| outbox::begin_new_epoch(connection, end.epoch, top).await)
                .await?
        {
            warn!(self.logger, "the database has lost announced events; beginning a new epoch";
                "announced" => top, "stored" => end.offset);
            end = self.database.run(outbox::position).await?;
            top = 0;
        }
        // A stream that is too far behind is recreated.
        let mut recreate = top == 0 || end.offset - top > i64::from(self.max_events);
        if recreate {
            top = (end.offset - i64::from(APPEND_PAGE)).max(0);
        }
        while top < end.offset {
            let events = self.read_after(top).await?;
            let Some(first) = events.first() else { break };
            if first.offset != top + 1 && !recreate {
                info!(self.logger, "events missing from the stream have expired; recreating the stream"; "offset" => first.offset);
                recreate = true;
            }
            let appended = events.last().map_or(top, |event| event.offset);
            top = self.append(end.epoch, &events, std::mem::take(&mut recreate)).await?;
            if top != appended {
                // Another writer uses the stream. The next call finds out whether it is a relay.
                return Err(Error::unavailable(
                    crate::redis::NAME,
                    "the newest entry is not the appended one",
                ));
            }
        }
        Ok(())
    }

    async fn read_after(&self, offset: i64) -> Result<Vec<Envelope>> {
        let mut connection = self.database.get().await?;
        let read = async |connection: &mut _| outbox::read_after(connection, offset, APPEND_PAGE).await;
        let events = transaction::single(&mut connection, read).await?;
        Ok(events.into_iter().map(Envelope::from).collect())
    }

    /// The newest entry of the stream.
    async fn newest(&self, epoch: Uuid) -> Result<Newest> {
        let key = self.key(epoch);
        let reply: Value = self.redis.run(Operation::StreamNewest, &self.newest.key(&key)).await?;
        Ok(match elements(&reply) {
            [] => Newest::None,
            [entry] => open(self.database.keys(), &key, epoch, entry)
                .map_or(Newest::Foreign, |event| Newest::Event(event.offset)),
            _ => Newest::Foreign,
        })
    }

    async fn append(&self, epoch: Uuid, events: &[Envelope], recreate: bool) -> Result<i64> {
        let key = self.key(epoch);
        let mut script = self.append.key(&key);
        script.arg(self.max_events).arg(self.keep_ms).arg(u8::from(recreate));
        for event in events {
            script.arg(event.offset).arg(seal(self.database.keys(), &key, epoch, event)?);
        }
        self.redis.run(Operation::StreamAppend, &script).await
    }

    /// The events directly after the position `after`, at most `limit`.
    async fn read(&self, after: Position, limit: u32) -> Result<Vec<Envelope>> {
        let key = self.key(after.epoch);
        let mut range = ::redis::cmd("XRANGE");
        let from = format!("{}-0", after.offset.saturating_add(1));
        range.arg(&key).arg(from).arg("+").arg("COUNT").arg(limit);
        let reply: Value = self.redis.call(Operation::StreamRead, &range).await?;
        let keys = self.database.keys();
        let events = elements(&reply).iter().map_while(|entry| open(keys, &key, after.epoch, entry));
        let expected = after.offset.saturating_add(1)..;
        let whole = events.zip(expected).take_while(|(event, offset)| event.offset == *offset);
        Ok(whole.map(|(event, _)| event).collect())
    }

    fn key(&self, epoch: Uuid) -> String {
        self.redis.key(&format!("events:{epoch}"))
    }
}

fn seal(keys: &KeyRing, key: &str, epoch: Uuid, event: &Envelope) -> Result<Vec<u8>> {
    keys.seal_copy(&location(key, event.offset), &event.to_json(epoch)?)
}

/// `None` for any invalid entry; the database has the event too.
fn open(keys: &KeyRing, key: &str, epoch: Uuid, entry: &Value) -> Option<Envelope> {
    let [name, fields] = elements(entry) else { return None };
    let [field, sealed] = elements(fields) else { return None };
    if bytes(field)? != FIELD.as_bytes() {
        return None;
    }
    let offset = offset_of(std::str::from_utf8(bytes(name)?).ok()?)?;
    let json = keys.open_copy(&location(key, offset), bytes(sealed)?).ok()?;
    Envelope::from_json(&json, Position { epoch, offset })
}

/// The location that an entry is sealed for. It cannot be opened at another offset or in another stream.
fn location(key: &str, offset: i64) -> String {
    format!("{key}/{offset}")
}

/// The offset in the id of an entry, if Aval can have appended it.
fn offset_of(entry_id: &str) -> Option<i64> {
    let digits = entry_id.strip_suffix("-1")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// The elements of an array; empty for any other value.
fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) => elements,
        _ => &[],
    }
}

/// The bytes of a string; `None` for any other value.
fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_the_first_part_of_an_entry_id() {
        for (name, offset) in [
            ("17-1", Some(17)),
            ("9223372036854775807-1", Some(i64::MAX)),
            ("18446744073709551615-1", None),
            ("17-0", None),
            ("17-11", None),
            ("+17-1", None),
            ("17", None),
            ("x-1", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(offset_of(name), offset, "{name}");
        }
    }
}
