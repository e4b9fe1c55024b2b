//! The stream of the newest events: the relay appends to it, and readers read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::redis::{Script, Value};
use slog::{Logger, info, warn};
use uuid::Uuid;

use super::entry::{elements, open, seal};
use crate::config::Settings;
use crate::domain::published::Position;
use crate::error::{Error, Result};
use crate::events::envelope::Envelope;
use crate::redis::{Operation, Redis};
use crate::storage::{Database, outbox, transaction};

/// The number of events to read from the database and append at a time.
const APPEND_PAGE: u32 = 512;
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
pub(super) enum Newest {
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
    pub(super) redis: Redis,
    database: Database,
    append: Arc<Script>,
    newest: Arc<Script>,
    max_events: u32,
    keep_ms: u64,
    /// Whether the stream may lack published events.
    behind: Arc<AtomicBool>,
    pub(super) logger: Logger,
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
    pub(super) async fn newest(&self, epoch: Uuid) -> Result<Newest> {
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
    pub(super) async fn read(&self, after: Position, limit: u32) -> Result<Vec<Envelope>> {
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

    pub(super) fn key(&self, epoch: Uuid) -> String {
        self.redis.key(&format!("events:{epoch}"))
    }
}
