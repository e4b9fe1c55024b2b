//! The feed: published events in order, for clients that remember their own position.
//!
//! A read scans the sequence from a position and keeps the events that the caller may see and asked for. It returns the
//! position up to which it has scanned, so a client passes events that it did not ask for only once. If there is no new
//! event, the read waits for one, for a limited time and without a connection to the database.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::bus::EventBus;
use super::consumers::type_filter::TypeFilter;
use super::envelope::Envelope;
use super::registry::{Audience, EventRegistry};
use crate::domain::published::Position;
use crate::error::{Error, Result};

/// The number of events per read of the bus.
const PAGE: u32 = 500;
/// The maximum number of pages that one request scans.
const MAX_PAGES: u32 = 20;
/// The pause after which a waiting read looks again, in case a notification was lost.
const POLL: Duration = Duration::from_secs(1);

/// Where a read starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAfter {
    /// With the oldest event that is still available.
    Beginning,
    /// With the next event that is published.
    End,
    Position(Position),
}

/// What a caller asks for.
#[derive(Debug, Clone)]
pub struct FeedQuery {
    pub after: StartAfter,
    pub types: TypeFilter,
    pub subject: Option<Uuid>,
    /// The audiences that the caller belongs to. Types that this version does not know are shown to `Operations`.
    pub audiences: Vec<Audience>,
    /// The maximum number of events.
    pub limit: usize,
    /// How long to wait if there is no event.
    pub wait: Duration,
}

/// The result of a read.
#[derive(Debug)]
pub struct FeedPage {
    pub events: Vec<Envelope>,
    /// Where the next read starts.
    pub next: Position,
    /// Whether more events were published after `next` when the read ended.
    pub more: bool,
}

/// The feed of an instance. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    bus: Arc<dyn EventBus>,
    types: Arc<EventRegistry>,
    published: Arc<Notify>,
    closing: CancellationToken,
}

impl Feed {
    /// A feed of the events on `bus`. `published` wakes waiting reads.
    pub fn new(bus: Arc<dyn EventBus>, types: EventRegistry, published: Arc<Notify>) -> Self {
        Self { bus, types: Arc::new(types), published, closing: CancellationToken::new() }
    }

    /// Ends all waiting reads with what they have found.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Reads events.
    ///
    /// # Errors
    /// [`Error::EventsExpired`] if events after the position are no longer available, or if the position belongs to another
    /// epoch.
    pub async fn read(&self, query: &FeedQuery) -> Result<FeedPage> {
        let mut position = self.start(query.after).await?;
        let deadline = tokio::time::sleep(query.wait);
        tokio::pin!(deadline);
        let mut is_last = query.wait.is_zero();
        loop {
            let published = self.published.notified();
            tokio::pin!(published);
            published.as_mut().enable();
            let page = self.scan(query, position).await?;
            if !page.events.is_empty() || page.more || is_last || self.closing.is_cancelled() {
                return Ok(page);
            }
            position = page.next;
            tokio::select! {
                () = published => {}
                () = tokio::time::sleep(POLL) => {}
                () = &mut deadline => is_last = true,
                () = self.closing.cancelled() => {}
            }
        }
    }

    async fn start(&self, after: StartAfter) -> Result<Position> {
        let extent = self.bus.extent().await?;
        let Position { epoch, offset: end } = extent.end;
        match after {
            StartAfter::End => Ok(extent.end),
            StartAfter::Beginning => {
                Ok(Position { epoch, offset: extent.oldest_offset.map_or(end, |oldest| oldest - 1) })
            }
            StartAfter::Position(position) if extent.holds_everything_after(position) => Ok(position),
            StartAfter::Position(_) => Err(Error::EventsExpired { oldest_offset: extent.oldest_offset }),
        }
    }

    async fn scan(&self, query: &FeedQuery, from: Position) -> Result<FeedPage> {
        let mut page = FeedPage { events: Vec::new(), next: from, more: true };
        for _ in 0..MAX_PAGES {
            let found = self.bus.read_after(page.next, PAGE).await?;
            let is_last = found.len() < PAGE as usize;
            for event in found {
                if page.events.len() == query.limit {
                    return Ok(page);
                }
                page.next.offset = event.offset;
                if self.is_visible(query, &event) {
                    page.events.push(event);
                }
            }
            if is_last {
                page.more = false;
                break;
            }
        }
        Ok(page)
    }

    fn is_visible(&self, query: &FeedQuery, event: &Envelope) -> bool {
        let audience =
            self.types.find(&event.event_type).map_or(Audience::Operations, |known| known.audience);
        query.audiences.contains(&audience)
            && query.types.contains(&event.event_type)
            && query.subject.is_none_or(|subject| subject == event.subject)
    }
}
