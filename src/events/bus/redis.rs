//! The bus over Redis: the newest events in a stream, and the database for whatever the stream lacks.
//!
//! ```text
//! <prefix>:events:<epoch>    a stream; entry <offset>-1 has one field, the sealed envelope as JSON
//! ```
//!
//! The leading relay appends what it has published ([`EventStream::catch_up`]). The script that does it refuses to leave a
//! gap and ignores what is already there, so that it does not matter who appends, how often, or what Redis has forgotten
//! meanwhile: after a pause the relay reads from the database what is missing, and after a loss of everything a new stream
//! begins with the newest events.
//!
//! Readers keep their own position. They take from the stream what follows it without a gap, and everything else from the
//! database: what is not there yet, what was trimmed, all of it while Redis is away ([`RedisBus::read_after`]). So the
//! stream is an index of nothing and a backlog of nobody; it saves the database one read of each event for each
//! instance, and wakes them ([`RedisBus::watch`]). `NOTIFY` and the poll wake them too, for what does not come that way.
//!
//! Nothing in the stream is believed before it is opened: anybody who can write to Redis can add entries, of any shape and
//! with any number. An entry counts when its seal holds for its place, the epoch and the offset in its name. A stream whose
//! newest entry does not count is [`Newest::Foreign`]: its readers take the database, and the relay begins it anew.

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
use crate::redis::Redis;
use crate::storage::seal::KeyRing;
use crate::storage::{Database, outbox, transaction};
use crate::telemetry::metrics::Metrics;

/// The watch's name, in logs and metrics.
pub const WATCH: &str = "event_stream_watch";

/// The channel's name, in metrics and health.
pub const CHANNEL: &str = "redis";

/// The field of an entry.
const FIELD: &str = "e";
/// Events that are read from the database and appended at once.
const APPEND_PAGE: u32 = 512;
/// Longest wait for the next entry: the answer that there is none tells that the connection is whole.
const WATCH_WAIT: Duration = Duration::from_secs(1);
/// Longest wait for that answer beyond it.
const WATCH_PATIENCE: Duration = Duration::from_secs(2);
/// After so many waits in vain the watch looks at the epoch again.
const WAITS_OF_AN_EPOCH: u32 = 5;
/// Pause of the watch after a failure.
const WATCH_RETRY: Duration = Duration::from_secs(1);

/// Appends events after the newest entry, without a gap; returns the offset of the newest entry then, or -1 when that
/// is not one that Aval could have appended. A number of 15 digits is exact in Lua.
///
/// KEYS: the stream. ARGV: entries to keep, milliseconds to keep the stream, `1` to begin it anew; then for each event its
/// offset and the sealed event.
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

/// The newest entry, as a list of at most one. For a key that is no stream, a list with something that is no entry.
const NEWEST: &str = "\
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {} end
if kind ~= 'stream' then return {kind} end
return redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)";

/// What a stream ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Newest {
    /// Nothing: it is empty or is not there.
    None,
    /// An event that this deployment has sealed for its place.
    Event(i64),
    /// Something else.
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
    /// The stream may lack what was published.
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

    /// Whether the stream may lack what was published.
    pub fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Appends everything that was published and is not there. A failure is no failure of the relay: readers find the
    /// events in the database, and the next call goes on where this one stopped.
    pub async fn catch_up(&self) {
        self.behind.store(true, Ordering::Relaxed);
        // Its watch notices when it is back; until then nobody need ask the database what it lacks.
        if self.redis.is_degraded() {
            return;
        }
        match self.append_missing().await {
            Ok(()) => self.behind.store(false, Ordering::Relaxed),
            // Redis itself tells once that it is away.
            Err(Error::Unavailable { .. }) => {}
            Err(error) => warn!(self.logger, "events were not appended"; error),
        }
    }

    async fn append_missing(&self) -> Result<()> {
        let mut end = self.database.run(outbox::position).await?;
        let mut top = match self.newest(end.epoch).await? {
            Newest::None => 0,
            Newest::Event(offset) => offset,
            Newest::Foreign => {
                let key = self.key(end.epoch);
                warn!(self.logger, "the newest entry of the stream is not Aval's: the stream begins anew"; "key" => &key);
                self.redis.call::<Value>("stream_drop", ::redis::cmd("DEL").arg(&key)).await?;
                0
            }
        };
        // Unless another relay has published meanwhile, the database has lost what the stream still tells.
        if top > end.offset
            && self
                .database
                .run(async |connection| outbox::begin_new_epoch(connection, end.epoch, top).await)
                .await?
        {
            warn!(self.logger, "the database has lost events that were told of: their sequence begins anew";
                "told_of" => top, "kept" => end.offset);
            end = self.database.run(outbox::position).await?;
            top = 0;
        }
        // A stream that is too far behind is as good as none.
        let mut anew = top == 0 || end.offset - top > i64::from(self.max_events);
        if anew {
            top = (end.offset - i64::from(APPEND_PAGE)).max(0);
        }
        while top < end.offset {
            let events = self.read_after(top).await?;
            let Some(first) = events.first() else { break };
            if first.offset != top + 1 && !anew {
                info!(self.logger, "what the stream lacks has expired: it begins anew"; "offset" => first.offset);
                anew = true;
            }
            let appended = events.last().map_or(top, |event| event.offset);
            top = self.append(end.epoch, &events, std::mem::take(&mut anew)).await?;
            if top != appended {
                // Another relay, or somebody else, writes to the stream: the next call finds out which.
                return Err(Error::unavailable(
                    crate::redis::NAME,
                    "the stream does not end with what was appended",
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

    /// What the stream ends with.
    async fn newest(&self, epoch: Uuid) -> Result<Newest> {
        let key = self.key(epoch);
        let reply: Value = self.redis.run("stream_newest", &self.newest.key(&key)).await?;
        Ok(match elements(&reply) {
            [] => Newest::None,
            [entry] => open(self.database.keys(), &key, epoch, entry)
                .map_or(Newest::Foreign, |event| Newest::Event(event.offset)),
            _ => Newest::Foreign,
        })
    }

    async fn append(&self, epoch: Uuid, events: &[Envelope], anew: bool) -> Result<i64> {
        let key = self.key(epoch);
        let mut script = self.append.key(&key);
        script.arg(self.max_events).arg(self.keep_ms).arg(u8::from(anew));
        for event in events {
            script.arg(event.offset).arg(seal(self.database.keys(), &key, epoch, event)?);
        }
        self.redis.run("stream_append", &script).await
    }

    /// The entries right after `offset`, at most `limit`.
    async fn read(&self, after: Position, limit: u32) -> Result<Vec<Envelope>> {
        let key = self.key(after.epoch);
        let mut range = ::redis::cmd("XRANGE");
        let from = format!("{}-0", after.offset.saturating_add(1));
        range.arg(&key).arg(from).arg("+").arg("COUNT").arg(limit);
        let reply: Value = self.redis.call("stream_read", &range).await?;
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
    keys.seal_copy(&place(key, event.offset), &event.to_json(epoch)?)
}

/// `None` for what cannot be used, whatever the reason: the database has it too.
fn open(keys: &KeyRing, key: &str, epoch: Uuid, entry: &Value) -> Option<Envelope> {
    let [name, fields] = elements(entry) else { return None };
    let [field, sealed] = elements(fields) else { return None };
    if bytes(field)? != FIELD.as_bytes() {
        return None;
    }
    let offset = offset_of(std::str::from_utf8(bytes(name)?).ok()?)?;
    let json = keys.open_copy(&place(key, offset), bytes(sealed)?).ok()?;
    Envelope::from_json(&json, Position { epoch, offset })
}

/// What an entry is sealed for: it opens at no other offset and in no other stream.
fn place(key: &str, offset: i64) -> String {
    format!("{key}/{offset}")
}

/// The offset in the name of an entry that Aval could have appended.
fn offset_of(entry_id: &str) -> Option<i64> {
    let digits = entry_id.strip_suffix("-1")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// The elements of an array; none of anything else.
fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) => elements,
        _ => &[],
    }
}

/// The bytes of a text; `None` for anything else.
fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

/// The stream and the database behind it, for one reader or several.
#[derive(Clone)]
pub struct RedisBus {
    stream: EventStream,
    database: PostgresBus,
    /// The offset up to which the watch has seen the stream; [`UNWATCHED`] while it does not look.
    seen: Arc<AtomicI64>,
    metrics: Arc<Metrics>,
}

/// No offset.
const UNWATCHED: i64 = -1;

impl RedisBus {
    /// The bus over `stream`.
    pub fn new(stream: EventStream, database: Database, metrics: Arc<Metrics>) -> Self {
        let seen = Arc::new(AtomicI64::new(UNWATCHED));
        Self { stream, database: PostgresBus::new(database), seen, metrics }
    }

    /// Whether the watch sees the stream, so that it wakes its readers.
    pub fn is_watching(&self) -> bool {
        self.seen.load(Ordering::SeqCst) != UNWATCHED && !self.stream.redis.is_degraded()
    }

    /// Whether the watch has seen everything up to `offset`, and has told of it.
    pub fn has_seen(&self, offset: i64) -> bool {
        self.seen.load(Ordering::SeqCst) >= offset
    }

    /// Calls `on_published` whenever the stream has grown. Never ends.
    pub async fn watch(self, on_published: Arc<dyn Fn() + Send + Sync>) {
        loop {
            let blind_again = Blind(Arc::clone(&self.seen));
            let watched = self.watch_once(&*on_published).await;
            drop(blind_again);
            self.metrics.push_channel_up.with_label_values(&[CHANNEL]).set(0);
            self.metrics.push_channel_losses_total.with_label_values(&[CHANNEL]).inc();
            if let Err(error) = watched
                && !matches!(error, Error::Unavailable { .. })
            {
                warn!(self.stream.logger, "not watching the stream for now"; error);
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
            let mut in_vain = 0;
            while in_vain < WAITS_OF_AN_EPOCH {
                let last = match self.stream.newest(epoch).await? {
                    Newest::None => 0,
                    Newest::Event(offset) => offset,
                    // Waiting behind it would end at once, for ever.
                    Newest::Foreign => return Ok(()),
                };
                // Also for what came while nobody watched.
                on_published();
                self.seen.store(last, Ordering::SeqCst);
                up.set(1);
                let mut read = ::redis::cmd("XREAD");
                read.arg("COUNT").arg(1).arg("BLOCK").arg(wait_ms).arg("STREAMS").arg(&key);
                read.arg(format!("{last}-1"));
                let waiting = read.query_async::<Value>(&mut connection);
                let answered = tokio::time::timeout(WATCH_WAIT + WATCH_PATIENCE, waiting).await;
                let grown = answered.map_err(|late| away(&late))?.map_err(|error| away(&error))?;
                in_vain = if grown == Value::Nil { in_vain + 1 } else { 0 };
            }
        }
    }
}

/// Also when the watch is dropped or panics, nobody may go on relying on it.
struct Blind(Arc<AtomicI64>);

impl Drop for Blind {
    fn drop(&mut self) {
        self.0.store(UNWATCHED, Ordering::SeqCst);
    }
}

fn away(cause: &dyn std::fmt::Display) -> Error {
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
            let count = |source, events: &[Envelope]| {
                let number = u64::try_from(events.len()).unwrap_or(u64::MAX);
                self.metrics.bus_events_read_total.with_label_values(&[source]).inc_by(number);
            };
            let events = self.stream.read(after, limit).await.unwrap_or_default();
            if !events.is_empty() {
                count("redis", &events);
                return Ok(events);
            }
            let events = self.database.read_after(after, limit).await?;
            count("database", &events);
            Ok(events)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_of_an_entry_is_the_first_half_of_its_name() {
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
