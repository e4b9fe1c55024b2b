//! Builds what instances share besides the database: Redis and the event bus. Also builds the cache, which uses both.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::event_types::event_types;
use crate::actors::broadcaster::{self, Broadcaster};
use crate::actors::event_consumer::{self, ConsumerHandles};
use crate::actors::outbox_relay::OnPublished;
use crate::cache::Cache;
use crate::cache::follower::{self, CacheUpdatingBus};
use crate::config::InstanceRole;
use crate::error::Result;
use crate::events::bus::EventBus;
use crate::events::bus::postgres::PostgresBus;
use crate::events::bus::redis::{self, EventStream, RedisBus};
use crate::events::consumers::Sources;
use crate::events::feed::Feed;
use crate::events::streams::{self, PartitionStreams, appender};
use crate::redis::Redis;
use crate::resources::Resources;
use crate::storage::replica;
use crate::supervision::handle::Handle;
use crate::supervision::root::Root;

/// The name of the asynchronous task that checks Redis.
pub(super) const REDIS_WATCH: &str = "redis_watch";

/// How long the stream may take to deliver events that the database has announced.
const STREAM_GRACE: Duration = Duration::from_millis(20);

/// Handles a notification; must not block.
pub(super) type OnNotification = Arc<dyn Fn(Option<i64>) + Send + Sync>;

/// The actors of this instance that read published events.
#[derive(Clone)]
pub(super) struct Readers {
    pub broadcaster: Handle<Broadcaster>,
    pub consumers: ConsumerHandles,
}

/// Redis, the event bus and the cache.
pub struct Shared {
    /// `None` if Redis is not configured.
    pub redis: Option<Redis>,
    pub cache: Cache,
    /// The stream that the leading relay appends to, if Redis is configured.
    pub(super) stream: Option<EventStream>,
    /// The streams that the leading relay appends to and consumers read, if Redis is configured.
    pub(super) partition_streams: Option<PartitionStreams>,
    bus: Arc<dyn EventBus>,
    /// The same bus as `bus`, if it reads the stream in Redis.
    watched: Option<RedisBus>,
    /// Wakes the cache follower.
    published: Arc<Notify>,
    /// Wakes all requests that wait for events.
    feed_readers: Arc<Notify>,
}

impl Shared {
    /// Builds all parts. Starts no asynchronous task.
    pub(super) fn new(resources: &Resources) -> Result<Self> {
        let Resources { settings, database, clock, metrics, logger, .. } = resources;
        let redis = Redis::new(&settings.redis, clock, metrics, logger)?;
        let stream = redis.clone().map(|redis| EventStream::new(redis, database.clone(), settings, logger));
        let partition_streams = redis.clone().and_then(|redis| PartitionStreams::new(redis, resources));
        let watched =
            stream.clone().map(|stream| RedisBus::new(stream, database.clone(), Arc::clone(metrics)));
        let bus: Arc<dyn EventBus> = match &watched {
            Some(bus) => Arc::new(bus.clone()),
            None => Arc::new(PostgresBus::new(database.clone())),
        };
        let cache = Cache::new(&settings.cache, database, redis.as_ref(), clock, metrics);
        Ok(Self {
            redis,
            cache,
            stream,
            partition_streams,
            bus,
            watched,
            published: Arc::default(),
            feed_readers: Arc::default(),
        })
    }

    /// Checks whether Redis can hold the streams, if this instance uses them.
    ///
    /// # Errors
    /// [`Error::Configuration`](crate::error::Error::Configuration) if it cannot. An unreachable Redis passes.
    pub(super) async fn check_redis(&self, resources: &Resources) -> Result<()> {
        let uses_streams = [InstanceRole::Relay, InstanceRole::Consumer]
            .into_iter()
            .any(|role| resources.settings.instance.is(role));
        match (&self.redis, &self.partition_streams) {
            (Some(redis), Some(_)) if uses_streams => streams::check_server(redis, &resources.logger).await,
            _ => Ok(()),
        }
    }

    /// The broadcaster's bus, which updates the cache before sessions receive an event.
    pub(super) fn broadcaster_bus(&self) -> Arc<dyn EventBus> {
        Arc::new(CacheUpdatingBus::new(Arc::clone(&self.bus), self.cache.clone()))
    }

    /// Where consumers read events. Their positions are in the database.
    pub fn consumer_sources(&self, resources: &Resources) -> Sources {
        let outbox = Arc::new(PostgresBus::new(resources.database.clone()));
        Sources { outbox, streams: self.partition_streams.clone() }
    }

    /// The feed, which reads the outbox: its clients may be far behind the newest events.
    pub(super) fn feed(&self, resources: &Resources) -> Feed {
        let bus = Arc::new(PostgresBus::new(resources.database.clone()));
        Feed::new(bus, event_types(), Arc::clone(&self.feed_readers))
    }

    /// Returns a function that wakes all readers of events.
    pub(super) fn on_published(&self, readers: &Readers) -> OnPublished {
        let (readers, published) = (readers.clone(), Arc::clone(&self.published));
        let (feed_readers, streams) = (Arc::clone(&self.feed_readers), self.partition_streams.clone());
        Arc::new(move || {
            if let Some(streams) = &streams {
                streams.wake_appender();
            }
            published.notify_one();
            feed_readers.notify_waiters();
            readers.broadcaster.hint(broadcaster::Wake);
            for consumer in readers.consumers.iter() {
                consumer.hint(event_consumer::Wake);
            }
        })
    }

    /// Returns the handler of the notification that events were published. Its argument is the last offset, if known.
    ///
    /// The notification is sent before the relay has appended the events to the stream. If the readers of every instance
    /// were woken immediately, they would find nothing in the stream and read the database. Therefore, while the stream is
    /// watched, the readers are woken only if the stream has not delivered all events within [`STREAM_GRACE`].
    pub(super) fn on_notification(&self, readers: &Readers) -> OnNotification {
        let (on_published, watched) = (self.on_published(readers), self.watched.clone());
        Arc::new(move |end| match (end, watched.clone().filter(RedisBus::is_watching)) {
            (Some(end), Some(bus)) => {
                let on_published = Arc::clone(&on_published);
                tokio::spawn(async move {
                    tokio::time::sleep(STREAM_GRACE).await;
                    if !bus.has_seen(end) {
                        on_published();
                    }
                });
            }
            _ => on_published(),
        })
    }

    /// Starts the asynchronous tasks. Only instances that serve requests need them all.
    pub(super) fn keep(&self, root: &Root, resources: &Resources, readers: &Readers) {
        if let Some(redis) = self.redis.clone() {
            root.keep_task(REDIS_WATCH, move || redis.clone().ping_periodically());
        }
        if let Some(streams) = self.partition_streams.clone()
            && resources.settings.instance.is(InstanceRole::Relay)
        {
            let resources = resources.named(appender::NAME);
            root.keep_task(appender::NAME, move || appender::append(streams.clone(), resources.clone()));
        }
        if !resources.settings.instance.is(InstanceRole::Api) {
            return;
        }
        if resources.database.may_read_old() {
            let watched = resources.named(replica::WATCH);
            root.keep_task(replica::WATCH, move || {
                let Resources { database, metrics, logger, .. } = watched.clone();
                database.watch_replica(metrics, logger)
            });
        }
        if let Some(bus) = self.watched.clone() {
            let on_published = self.on_published(readers);
            root.keep_task(redis::WATCH, move || bus.clone().watch(Arc::clone(&on_published)));
        }
        if self.cache.is_enabled() {
            let (resources, bus) = (resources.named(follower::NAME), Arc::clone(&self.bus));
            let (cache, published) = (self.cache.clone(), Arc::clone(&self.published));
            root.keep_task(follower::NAME, move || {
                let (bus, published) = (Arc::clone(&bus), Arc::clone(&published));
                follower::follow(resources.clone(), bus, cache.clone(), published)
            });
        }
    }
}
