//! The cache follower, which reads every published event and applies it to the change log.
//!
//! It is an asynchronous task, not an actor. After each notification and on each poll, it reads the bus from its last
//! position. If it has not reached the end within the last few polls, for any reason, the cache is bypassed; after an
//! error it is bypassed immediately. Its position is stored in the cache and outlives the task, so a restarted follower
//! continues without a gap.
//!
//! A client that receives a change over its WebSocket may read the application immediately. Therefore the broadcaster's
//! own bus also updates the cache before the event is sent ([`CacheUpdatingBus`]).

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use slog::{info, warn};
use tokio::sync::Notify;

use crate::cache::Cache;
use crate::domain::published::Position;
use crate::error::Result;
use crate::events::bus::{EventBus, Extent};
use crate::events::envelope::Envelope;
use crate::resources::Resources;

/// The name of the asynchronous task in logs and metrics.
pub const NAME: &str = "cache_follower";

/// The number of events per read.
const PAGE: u32 = 512;

/// The cache is bypassed if the follower has not reached the end of the bus for this many polls.
const MISSED_POLLS: u32 = 3;

/// Follows the bus. Never returns. `published` is a hint that there are new events.
pub async fn follow(resources: Resources, bus: Arc<dyn EventBus>, cache: Cache, published: Arc<Notify>) {
    let poll = Duration::from_millis(resources.settings.outbox.poll_interval_ms);
    loop {
        // Also bypasses the cache when this task is dropped or panics.
        let bypass_on_drop = BypassOnDrop(cache.clone());
        if let Err(error) = run(&resources, &*bus, &cache, &published, poll).await {
            warn!(resources.logger, "cache follower failed; bypassing the cache"; error);
        }
        drop(bypass_on_drop);
        tokio::time::sleep(poll).await;
    }
}

struct BypassOnDrop(Cache);

impl Drop for BypassOnDrop {
    fn drop(&mut self) {
        self.0.stop_following();
    }
}

async fn run(
    resources: &Resources,
    bus: &dyn EventBus,
    cache: &Cache,
    published: &Notify,
    poll: Duration,
) -> Result<()> {
    info!(resources.logger, "cache follower started");
    loop {
        let began_at = resources.clock.monotonic();
        read_to_the_end(bus, cache).await?;
        cache.follow(began_at, poll * MISSED_POLLS);
        // A hint that arrived in the meantime ends this wait immediately.
        let _ = tokio::time::timeout(poll, published.notified()).await;
    }
}

async fn read_to_the_end(bus: &dyn EventBus, cache: &Cache) -> Result<()> {
    loop {
        let Some(position) = cache.position() else {
            cache.begin(bus.position().await?);
            continue;
        };
        let events = bus.read_after(position, PAGE).await?;
        let Some(first) = events.first() else {
            let end = bus.position().await?;
            if end.epoch != position.epoch {
                cache.begin(end);
            }
            return Ok(());
        };
        if first.offset != position.offset + 1 {
            // Events in between have expired.
            cache.begin(bus.position().await?);
            continue;
        }
        cache.apply(&events);
        if events.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

/// A bus that updates the cache with all events that are read from it.
pub struct CacheUpdatingBus {
    bus: Arc<dyn EventBus>,
    cache: Cache,
}

impl CacheUpdatingBus {
    /// A bus that reads from `bus` and updates `cache`.
    pub fn new(bus: Arc<dyn EventBus>, cache: Cache) -> Self {
        Self { bus, cache }
    }
}

impl EventBus for CacheUpdatingBus {
    fn position(&self) -> BoxFuture<'_, Result<Position>> {
        self.bus.position()
    }

    fn extent(&self) -> BoxFuture<'_, Result<Extent>> {
        self.bus.extent()
    }

    fn read_after(&self, after: Position, limit: u32) -> BoxFuture<'_, Result<Vec<Envelope>>> {
        async move {
            let events = self.bus.read_after(after, limit).await?;
            self.cache.apply_early(&events);
            Ok(events)
        }
        .boxed()
    }
}
