//! Reads the streams for one consumer of this instance, on a connection of its own.
//!
//! The reader is an asynchronous task that belongs to the run of a consumer. It waits for new entries of the partitions that
//! the instance holds and passes them on in batches. At intervals, it takes over entries that another instance left pending,
//! and removes consumers of the group that have been idle for long, such as former pods. It waits while the last batch has not
//! been taken, so at most two batches are in memory.
//!
//! The reader acknowledges nothing: the run does, after its transaction ([`StreamReader::acknowledge`]). If the group is lost,
//! the reader creates it again at the position in the database. If Redis is unavailable, the run reads the outbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::streams::{StreamAutoClaimReply, StreamId, StreamReadReply};
use ::redis::{Cmd, FromRedisValue, RedisError, Script, Value, cmd, pipe};
use slog::{debug, warn};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::{Entry, PartitionStreams, scripts};
use crate::error::{Error, Result};
use crate::redis::{NAME, Operation};
use crate::storage::consumers::leases::HeldPartition;

/// How long a read waits for entries.
const WAIT: Duration = Duration::from_secs(1);
/// The additional time in which the reply must arrive.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a failure.
const RETRY: Duration = Duration::from_millis(500);

/// Entries that were read together, by partition in order.
pub type Batch = Vec<Entry>;

/// Called when a batch is ready.
pub type OnBatch = Arc<dyn Fn() + Send + Sync>;

/// The reader of one consumer. Dropping it ends the asynchronous task.
pub struct StreamReader {
    streams: PartitionStreams,
    group: String,
    batches: mpsc::Receiver<Batch>,
    held: watch::Sender<Vec<HeldPartition>>,
    is_reading: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl StreamReader {
    /// Starts a reader for `consumer` under the name `instance` in its group. `on_batch` is called when a batch is ready.
    pub fn start(streams: PartitionStreams, consumer: &str, instance: &str, on_batch: OnBatch) -> Self {
        let settings = &streams.inner.settings;
        let name = if settings.consumer.is_empty() { instance } else { &settings.consumer }.to_owned();
        let group = streams.group(consumer);
        let (sender, batches) = mpsc::channel(1);
        let (held, watched) = watch::channel(Vec::new());
        let is_reading = Arc::new(AtomicBool::new(false));
        let reading = Reading {
            streams: streams.clone(),
            group: group.clone(),
            name,
            held: watched,
            batches: sender,
            on_batch,
            is_reading: Arc::clone(&is_reading),
            claim_due_at: streams.inner.clock.monotonic() + settings.claim_interval(),
            removal_due_at: streams.inner.clock.monotonic() + settings.claim_idle(),
        };
        Self { streams, group, batches, held, is_reading, task: tokio::spawn(reading.run()) }
    }

    /// Reads these partitions from now on.
    pub fn follow(&self, held: &[HeldPartition]) {
        self.held.send_if_modified(|current| {
            let changed = current != held;
            if changed {
                *current = held.to_vec();
            }
            changed
        });
    }

    /// Whether the reader is connected and its streams exist.
    pub fn is_reading(&self) -> bool {
        self.is_reading.load(Ordering::Relaxed)
    }

    /// Whether a batch is ready.
    pub fn has_batch(&self) -> bool {
        !self.batches.is_empty()
    }

    /// The next batch, if one is ready.
    pub fn take(&mut self) -> Option<Batch> {
        self.batches.try_recv().ok()
    }

    /// Acknowledges entries whose events are handled, deferred or known from elsewhere. If it fails, the entries are taken
    /// over and acknowledged later.
    ///
    /// # Errors
    /// If Redis is unavailable.
    pub async fn acknowledge(&self, entries: &[(i16, String)]) -> Result<()> {
        let mut by_partition: BTreeMap<i16, Vec<&str>> = BTreeMap::new();
        for (partition, id) in entries {
            by_partition.entry(*partition).or_default().push(id);
        }
        let mut commands = pipe();
        for (partition, ids) in by_partition {
            commands.cmd("XACK").arg(self.streams.key(partition)).arg(&self.group).arg(ids);
        }
        let redis = &self.streams.inner.redis;
        redis.pipe::<Vec<Value>>(Operation::EventsAcknowledge, &commands).await?;
        Ok(())
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The state of the asynchronous task.
struct Reading {
    streams: PartitionStreams,
    group: String,
    /// The name in the group.
    name: String,
    held: watch::Receiver<Vec<HeldPartition>>,
    batches: mpsc::Sender<Batch>,
    on_batch: OnBatch,
    is_reading: Arc<AtomicBool>,
    /// When entries are taken over, in monotonic time.
    claim_due_at: Duration,
    /// When idle consumers are removed, in monotonic time.
    removal_due_at: Duration,
}

impl Reading {
    async fn run(mut self) {
        loop {
            let ended = self.read().await;
            self.is_reading.store(false, Ordering::Relaxed);
            match ended {
                // The run is gone.
                Ok(()) => return,
                Err(Error::Unavailable { .. }) => {}
                Err(error) => warn!(self.streams.inner.logger, "cannot read event streams; retrying"; error),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Reads until a failure, or until the run is gone.
    async fn read(&mut self) -> Result<()> {
        if !self.streams.is_suitable().await? {
            return Err(Error::unavailable(NAME, "the server cannot hold event streams"));
        }
        let mut connection = self.streams.inner.redis.dedicated().await?;
        loop {
            let held = self.held.borrow_and_update().clone();
            if held.is_empty() {
                self.is_reading.store(false, Ordering::Relaxed);
                if self.held.changed().await.is_err() {
                    return Ok(());
                }
                continue;
            }
            self.maintain(&mut connection, &held).await?;
            let command = self.read_command(&held);
            let entries = match request::<StreamReadReply>(&mut connection, &command).await {
                Ok(reply) => self.entries(reply),
                Err(failure) if failure.code() == Some("NOGROUP") => {
                    self.create_groups(&mut connection, &held).await?;
                    continue;
                }
                // The stream was deleted while the read waited.
                Err(failure) if failure.code() == Some("UNBLOCKED") => continue,
                Err(failure) => return Err(unavailable(failure)),
            };
            self.is_reading.store(true, Ordering::Relaxed);
            if !self.pass_on(entries).await {
                return Ok(());
            }
        }
    }

    fn read_command(&self, held: &[HeldPartition]) -> Cmd {
        let wait = WAIT.min(self.streams.inner.settings.claim_interval());
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(&self.group).arg(&self.name);
        command.arg("COUNT").arg(self.streams.inner.settings.batch);
        command.arg("BLOCK").arg(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)).arg("STREAMS");
        for partition in held {
            command.arg(self.streams.key(partition.partition));
        }
        for _ in held {
            command.arg(">");
        }
        command
    }

    fn entries(&self, reply: StreamReadReply) -> Batch {
        let with_partition = |stream: ::redis::streams::StreamKey| {
            let partition = self.streams.partition(&stream.key);
            partition.map(|partition| self.opened(partition, &stream.ids))
        };
        reply.keys.into_iter().filter_map(with_partition).flatten().collect()
    }

    fn opened(&self, partition: i16, found: &[StreamId]) -> Batch {
        let (keys, key) = (self.streams.inner.database.keys(), self.streams.key(partition));
        found.iter().map(|found| Entry::read(keys, key, partition, found)).collect()
    }

    /// Passes a batch to the run. Returns whether the run still exists.
    async fn pass_on(&self, entries: Batch) -> bool {
        if entries.is_empty() {
            return !self.batches.is_closed();
        }
        let sent = self.batches.send(entries).await.is_ok();
        (self.on_batch)();
        sent
    }

    /// Creates the group in the streams that lack it, at the positions in the database.
    async fn create_groups(
        &self,
        connection: &mut MultiplexedConnection,
        held: &[HeldPartition],
    ) -> Result<()> {
        for partition in held {
            let mut create = cmd("XGROUP");
            create.arg("CREATE").arg(self.streams.key(partition.partition)).arg(&self.group);
            create.arg(format!("{}-1", partition.position)).arg("MKSTREAM");
            match request::<Value>(connection, &create).await {
                Ok(_) => {}
                Err(failure) if failure.code() == Some("BUSYGROUP") => {}
                Err(failure) => return Err(unavailable(failure)),
            }
        }
        debug!(self.streams.inner.logger, "consumer group created"; "group" => &self.group);
        Ok(())
    }

    /// Takes over pending entries and removes idle consumers, if that is due.
    async fn maintain(
        &mut self,
        connection: &mut MultiplexedConnection,
        held: &[HeldPartition],
    ) -> Result<()> {
        let now = self.streams.inner.clock.monotonic();
        if now >= self.claim_due_at {
            self.claim_due_at = now + self.streams.inner.settings.claim_interval();
            for partition in held {
                let claimed = self.claim(connection, partition.partition).await?;
                self.pass_on(claimed).await;
            }
        }
        if now >= self.removal_due_at {
            self.removal_due_at = now + self.streams.inner.settings.claim_idle();
            for partition in held {
                self.remove_consumers(connection, partition.partition).await?;
            }
        }
        Ok(())
    }

    /// Takes over the oldest entries that have been pending for long. The server forgets those that no longer exist.
    async fn claim(&self, connection: &mut MultiplexedConnection, partition: i16) -> Result<Batch> {
        let settings = &self.streams.inner.settings;
        let mut command = cmd("XAUTOCLAIM");
        command.arg(self.streams.key(partition)).arg(&self.group).arg(&self.name);
        command.arg(settings.claim_idle_ms).arg("0-0").arg("COUNT").arg(settings.batch);
        match request::<StreamAutoClaimReply>(connection, &command).await {
            Ok(reply) => Ok(self.opened(partition, &reply.claimed)),
            Err(failure) if failure.code() == Some("NOGROUP") => Ok(Batch::new()),
            Err(failure) => Err(unavailable(failure)),
        }
    }

    async fn remove_consumers(&self, connection: &mut MultiplexedConnection, partition: i16) -> Result<()> {
        let script = Script::new(scripts::REMOVE_CONSUMERS);
        let mut script = script.key(self.streams.key(partition));
        script.arg(&self.group).arg(&self.name).arg(self.streams.inner.settings.claim_idle_ms);
        let removed = tokio::time::timeout(REPLY_TIMEOUT, script.invoke_async::<i64>(connection)).await;
        match removed.map_err(|late| Error::unavailable(NAME, late))? {
            Ok(0) => Ok(()),
            Ok(removed) => {
                debug!(self.streams.inner.logger, "idle consumers removed from a group"; "group" => &self.group,
                    "partition" => partition, "removed" => removed);
                Ok(())
            }
            Err(failure)
                if failure.code() == Some("NOGROUP") || failure.to_string().contains("no such key") =>
            {
                Ok(())
            }
            Err(failure) => Err(Error::unavailable(NAME, failure)),
        }
    }
}

/// Why a request failed.
enum Failure {
    Redis(RedisError),
    TimedOut,
}

impl Failure {
    fn code(&self) -> Option<&str> {
        match self {
            Self::Redis(error) => error.code(),
            Self::TimedOut => None,
        }
    }
}

fn unavailable(failure: Failure) -> Error {
    match failure {
        Failure::Redis(error) => Error::unavailable(NAME, error),
        Failure::TimedOut => Error::unavailable(NAME, "no reply in time"),
    }
}

async fn request<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
) -> Result<T, Failure> {
    match tokio::time::timeout(WAIT + REPLY_TIMEOUT, command.query_async(connection)).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(Failure::Redis(error)),
        Err(_) => Err(Failure::TimedOut),
    }
}
