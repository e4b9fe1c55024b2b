//! The WebSocket sessions of this instance: accounts, subscriptions, and the delivered position of the bus.
//!
//! [`Sessions`] outlives the broadcaster. A replacement finds all sessions, subscriptions, unfinished replays and the
//! position here, and continues. All state is changed under one lock, which is held for one event or one page at a time
//! and never while waiting.
//!
//! A session is either *live* or *recovering*. A live session gets each event when the instance's position passes it. A
//! recovering session has resumed from an earlier position. It has its own cursor, which advances through the bus until
//! it has caught up. Meanwhile the session gets no live events, because its cursor will reach them. Therefore no event is
//! duplicated, missing or out of order. A session in a long replay needs no additional memory and delays no other session.

mod registry;
mod replay;
mod session;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::registry::Registry;
use self::session::SessionId;
use super::feed::Update;
use super::frame::Frame;
use super::session_queue::SessionQueue;
use super::topic::Topic;
use crate::config::WebSocketSettings;
use crate::domain::published::Position;
use crate::events::bus::Extent;
use crate::telemetry::metrics::Metrics;

pub use self::session::{Subscription, Viewer};

/// The sessions of this instance. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    registry: Arc<Mutex<Registry>>,
    settings: WebSocketSettings,
    metrics: Arc<Metrics>,
    next_id: Arc<AtomicU64>,
}

impl Sessions {
    pub fn new(settings: &WebSocketSettings, metrics: Arc<Metrics>) -> Self {
        Self { registry: Arc::default(), settings: settings.clone(), metrics, next_id: Arc::default() }
    }

    /// Adds a session, which gets no events until it is admitted. It is removed when its membership is dropped.
    pub fn join(&self) -> Membership {
        let id = SessionId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let dropped = self.metrics.websocket_messages_dropped_total.clone();
        let queue = Arc::new(SessionQueue::new(&self.settings, dropped));
        self.lock().join(id, Arc::clone(&queue));
        self.metrics.websocket_connections_active.inc();
        Membership { sessions: self.clone(), id, queue }
    }

    /// The number of open sessions. A session that was closed because its client was too slow does not count.
    pub fn count(&self) -> usize {
        self.lock().count()
    }

    /// Closes all sessions with close code 1001 after their waiting frames, and rejects new ones.
    pub fn close_all(&self) {
        self.lock().close_all();
    }

    /// The delivered position of the bus; `None` before the first broadcaster has read it.
    pub(super) fn position(&self) -> Option<Position> {
        self.lock().position
    }

    /// Whether any session has an active or waiting subscription.
    pub(super) fn has_listeners(&self) -> bool {
        self.lock().has_listeners()
    }

    /// Moves the position to `end` without delivering, if there are no listeners or a new epoch began. If a new epoch began,
    /// all sessions are closed, because their offsets are no longer valid.
    pub(super) fn skip_to(&self, end: Position) {
        self.lock().skip_to(end);
    }

    /// Delivers `updates` in order to the live sessions that may see them. Ignores updates at or before the position. Then
    /// moves the position to `end`, which also passes events that cannot be delivered.
    pub(super) fn deliver(&self, updates: &[Update], end: Option<i64>) {
        for update in updates {
            self.lock().deliver(update);
        }
        self.lock().advance_to(end);
    }

    /// Whether a subscription waits for its response or a replay can continue.
    pub(super) fn needs_recovery(&self) -> bool {
        let registry = self.lock();
        registry.has_waiting_subscriptions() || registry.next_cursor().is_some()
    }

    /// Responds to waiting subscriptions, given the extent of the bus.
    pub(super) fn answer_waiting(&self, extent: &Extent) {
        self.lock().answer_waiting(extent, self.settings.max_replay);
    }

    /// Marks the sessions that have caught up as live. Then returns the lowest cursor of the recovering sessions with
    /// space in their queues.
    pub(super) fn next_cursor(&self) -> Option<i64> {
        let mut registry = self.lock();
        registry.release_recovered();
        registry.next_cursor()
    }

    /// Replays one page to every recovering session whose cursor is within the page. `updates` are the events of the bus
    /// after the offset `after` up to `end`.
    pub(super) fn replay(&self, after: i64, updates: &[Update], end: Option<i64>) {
        let recovering = self.lock().recovering();
        for id in recovering {
            self.lock().replay(id, after, updates, end);
        }
    }

    /// Ignores poisoning: if a thread panicked while it held the lock, at worst one event reached only some sessions. It is
    /// delivered again, and queues that already have it ignore it.
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Membership of a session in [`Sessions`]. Dropping it removes the session.
pub struct Membership {
    sessions: Sessions,
    id: SessionId,
    queue: Arc<SessionQueue>,
}

impl Membership {
    pub fn queue(&self) -> &Arc<SessionQueue> {
        &self.queue
    }

    /// Authorizes the session as `viewer`. Returns `false` without a change if the account has reached its maximum number
    /// of sessions on this instance.
    pub fn admit(&self, viewer: Viewer) -> bool {
        let max = self.sessions.settings.max_sockets_per_account;
        self.sessions.lock().admit(self.id, viewer, max)
    }

    /// Changes what an admitted session may see, for the same account.
    pub fn set_viewer(&self, viewer: Viewer) {
        self.sessions.lock().set_viewer(self.id, viewer);
    }

    /// Subscribes to `topic`, from the position `resume` if given. The response is queued before the first update of
    /// the subscription. Subscribing again only repeats the response.
    pub fn subscribe(&self, topic: Topic, resume: Option<Position>) -> Subscription {
        self.sessions.lock().subscribe(self.id, topic, resume, self.sessions.settings.max_subscriptions)
    }

    /// Ends a subscription, if there is one. The response is queued.
    pub fn unsubscribe(&self, topic: Topic) {
        self.sessions.lock().unsubscribe(self.id, topic);
        self.queue.push_response(&Frame::unsubscribed(topic));
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.sessions.lock().leave(self.id);
        self.sessions.metrics.websocket_connections_active.dec();
    }
}

#[cfg(test)]
mod tests;
