//! The cache's ear: reads every published event and tells the cache what it is about.
//!
//! Not an actor: a task that reads the bus from where it last stopped, whenever it is told that something was published,
//! and on a poll. While it has not reached the end within the last few polls, whatever the reason, the cache is bypassed;
//! when it fails it says so at once. What it knows stands in the cache and outlives it, so that the next one goes on
//! without a gap.
//!
//! A client that hears of a change over its WebSocket may ask for the application at once. So the broadcaster's own bus
//! tells the cache too, before anybody is told ([`CacheUpdatingBus`]).

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

/// The task's name, in logs and metrics.
pub const NAME: &str = "cache_follower";

/// Events read at once.
const PAGE: u32 = 512;

/// Polls that may go by without reaching the end before the cache is bypassed.
const PATIENT_POLLS: u32 = 3;

/// Follows the bus, for ever. `published` is a hint that there is something to read.
pub async fn follow(resources: Resources, bus: Arc<dyn EventBus>, cache: Cache, published: Arc<Notify>) {
    let poll = Duration::from_millis(resources.settings.outbox.poll_interval_ms);
    loop {
        // Also when this task is dropped or panics, nobody may go on believing that it hears.
        let deaf_again = BypassOnDrop(cache.clone());
        if let Err(error) = listen(&resources, &*bus, &cache, &published, poll).await {
            warn!(resources.logger, "the cache hears of no changes and is bypassed for now"; error);
        }
        drop(deaf_again);
        tokio::time::sleep(poll).await;
    }
}

struct BypassOnDrop(Cache);

impl Drop for BypassOnDrop {
    fn drop(&mut self) {
        self.0.stop_following();
    }
}

async fn listen(
    resources: &Resources,
    bus: &dyn EventBus,
    cache: &Cache,
    published: &Notify,
    poll: Duration,
) -> Result<()> {
    info!(resources.logger, "the cache hears of changes");
    loop {
        let asked_at = resources.clock.monotonic();
        read_to_the_end(bus, cache).await?;
        cache.follow(asked_at, poll * PATIENT_POLLS);
        // A hint that came meanwhile is kept for this.
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
            // What came in between has expired.
            cache.begin(bus.position().await?);
            continue;
        }
        cache.hear(&events);
        if events.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

/// A bus whose reader the cache overhears.
pub struct CacheUpdatingBus {
    bus: Arc<dyn EventBus>,
    cache: Cache,
}

impl CacheUpdatingBus {
    /// `bus`, with `cache` listening to what is read.
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
            self.cache.hear_early(&events);
            Ok(events)
        }
        .boxed()
    }
}
