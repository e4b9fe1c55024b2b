//! What instances share besides the database, and what each keeps of what it has heard: Redis, the bus, the cache.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::actors::broadcaster::{self, Broadcaster};
use crate::actors::outbox_relay::OnPublished;
use crate::cache::Cache;
use crate::cache::follower::{self, CacheUpdatingBus};
use crate::config::InstanceRole;
use crate::error::Result;
use crate::events::bus::EventBus;
use crate::events::bus::postgres::PostgresBus;
use crate::events::bus::redis::{self, EventStream, RedisBus};
use crate::redis::Redis;
use crate::resources::Resources;
use crate::storage::replica;
use crate::supervision::handle::Handle;
use crate::supervision::root::Root;

/// The task that asks Redis for a sign of life.
const REDIS_WATCH: &str = "redis_watch";

/// How long the stream may take to bring what the database has announced.
const STREAM_GRACE: Duration = Duration::from_millis(20);

/// Takes a notification; it must not block.
pub(super) type OnAnnounced = Arc<dyn Fn(Option<i64>) + Send + Sync>;

/// What instances share besides the database, and the copies of answers.
pub struct Shared {
    /// Redis, where there is one.
    pub redis: Option<Redis>,
    /// Copies of answers.
    pub cache: Cache,
    /// Where the leading relay appends what it publishes, where there is a Redis.
    pub(super) stream: Option<EventStream>,
    bus: Arc<dyn EventBus>,
    watched: Option<RedisBus>,
    /// Tells the cache's follower that there is something to read.
    published: Arc<Notify>,
}

impl Shared {
    /// Everything, with nothing running yet.
    pub(super) fn new(resources: &Resources) -> Result<Self> {
        let Resources { settings, database, clock, metrics, logger, .. } = resources;
        let redis = Redis::new(&settings.redis, clock, metrics, logger)?;
        let stream = redis.clone().map(|redis| EventStream::new(redis, database.clone(), settings, logger));
        let watched =
            stream.clone().map(|stream| RedisBus::new(stream, database.clone(), Arc::clone(metrics)));
        let bus: Arc<dyn EventBus> = match &watched {
            Some(bus) => Arc::new(bus.clone()),
            None => Arc::new(PostgresBus::new(database.clone())),
        };
        let cache = Cache::new(&settings.cache, database, redis.as_ref(), clock, metrics);
        Ok(Self { redis, cache, stream, bus, watched, published: Arc::default() })
    }

    /// The bus that the broadcaster reads: what it tells its sessions, the cache knows before.
    pub(super) fn broadcasters_bus(&self) -> Arc<dyn EventBus> {
        Arc::new(CacheUpdatingBus::new(Arc::clone(&self.bus), self.cache.clone()))
    }

    /// Wakes everybody who reads the bus.
    pub(super) fn on_published(&self, broadcaster: &Handle<Broadcaster>) -> OnPublished {
        let (broadcaster, published) = (broadcaster.clone(), Arc::clone(&self.published));
        Arc::new(move || {
            published.notify_one();
            broadcaster.hint(broadcaster::Wake);
        })
    }

    /// Takes what the database announces: that events are published, up to an offset where it is known.
    ///
    /// The notification is out before the relay has appended the events to the stream. Whoever went for them at once would
    /// not find them there and read the database, on every instance. So while the stream is watched its own wake is given a
    /// moment; when that has not brought everything, the notification counts.
    pub(super) fn on_announced(&self, broadcaster: &Handle<Broadcaster>) -> OnAnnounced {
        let (on_published, watched) = (self.on_published(broadcaster), self.watched.clone());
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

    /// Starts what runs by itself. Only who answers requests reads events.
    pub(super) fn keep(&self, root: &Root, resources: &Resources, broadcaster: &Handle<Broadcaster>) {
        if let Some(redis) = self.redis.clone() {
            root.keep_task(REDIS_WATCH, move || redis.clone().keep_watch());
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
            let on_published = self.on_published(broadcaster);
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
