//! The sessions of this instance: who is connected, who wants what, and how far the bus was delivered.
//!
//! It outlives the broadcaster: a replacement finds every session, subscription, unfinished replay and the position
//! here, and goes on where the last one stopped. Everything is changed under one lock, held for one event or one page
//! at a time, and never while waiting.
//!
//! A session is either *live*, and gets each event as the instance's position passes it, or *recovering*: it asked for
//! what it had missed, and a cursor of its own walks the bus until it has caught up with the position. Meanwhile live
//! events pass it by; its cursor finds them. So nothing is delivered twice, missing or out of order, and a session in
//! a long replay costs no memory and delays nobody.

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
    /// No sessions yet.
    pub fn new(settings: &WebSocketSettings, metrics: Arc<Metrics>) -> Self {
        Self { registry: Arc::default(), settings: settings.clone(), metrics, next_id: Arc::default() }
    }

    /// Takes in a session that sees nothing yet; it stays until its membership is dropped.
    pub fn join(&self) -> Membership {
        let id = SessionId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let dropped = self.metrics.websocket_messages_dropped_total.clone();
        let queue = Arc::new(SessionQueue::new(&self.settings, dropped));
        self.lock().join(id, Arc::clone(&queue));
        self.metrics.websocket_connections_active.inc();
        Membership { sessions: self.clone(), id, queue }
    }

    /// How many sessions can still get something: those that were cut off for slowness are not counted.
    pub fn count(&self) -> usize {
        self.lock().count()
    }

    /// Ends every session with 1001, once it has got what waits for it, and refuses new ones.
    pub fn close_all(&self) {
        self.lock().close_all();
    }

    /// How far the bus was delivered; `None` before the first broadcaster has asked.
    pub(super) fn position(&self) -> Option<Position> {
        self.lock().position
    }

    /// Whether somebody subscribes or wants to.
    pub(super) fn anybody_listens(&self) -> bool {
        self.lock().anybody_listens()
    }

    /// Moves to `end` without delivering, if nobody listens that could miss something, or if the sequence started
    /// anew: then every session is ended, because offsets mean nothing any more.
    pub(super) fn skip_to(&self, end: Position) {
        self.lock().skip_to(end);
    }

    /// Delivers `updates`, in order, to the live sessions that may see them. What is at or below the position was
    /// delivered before.
    /// The position moves to `end`, past events that cannot be read.
    pub(super) fn deliver(&self, updates: &[Update], end: Option<i64>) {
        for update in updates {
            self.lock().deliver(update);
        }
        self.lock().pass(end);
    }

    /// Whether a subscription waits for an answer or a replay can go on.
    pub(super) fn anybody_recovers(&self) -> bool {
        let registry = self.lock();
        registry.anybody_waits() || registry.next_cursor().is_some()
    }

    /// Answers the subscriptions that wait, given what the bus holds.
    pub(super) fn answer_waiting(&self, extent: &Extent) {
        self.lock().answer_waiting(extent, self.settings.max_replay);
    }

    /// Lets the sessions that have caught up go live; then the lowest cursor of those that have not and can take more.
    pub(super) fn next_cursor(&self) -> Option<i64> {
        let mut registry = self.lock();
        registry.release_recovered();
        registry.next_cursor()
    }

    /// Moves every cursor that stands within a page on: through `updates`, all that the bus has after `after`.
    /// The page ends at `end`.
    pub(super) fn replay(&self, after: i64, updates: &[Update], end: Option<i64>) {
        let recovering = self.lock().recovering();
        for id in recovering {
            self.lock().replay(id, after, updates, end);
        }
    }

    /// A panic under the lock leaves at worst an event half delivered; it is delivered again, and the queues that have
    /// it ignore it.
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's place among the [`Sessions`]; dropping it takes the session out.
pub struct Membership {
    sessions: Sessions,
    id: SessionId,
    queue: Arc<SessionQueue>,
}

impl Membership {
    /// The session's queue.
    pub fn queue(&self) -> &Arc<SessionQueue> {
        &self.queue
    }

    /// Lets the session see what `viewer` may see. `false`, and nothing changes, when that account has as many sessions on
    /// this instance as it may.
    pub fn admit(&self, viewer: Viewer) -> bool {
        let most = self.sessions.settings.max_sockets_per_account;
        self.sessions.lock().admit(self.id, viewer, most)
    }

    /// Changes what an admitted session sees, for the same account.
    pub fn see(&self, viewer: Viewer) {
        self.sessions.lock().see(self.id, viewer);
    }

    /// Subscribes to `topic`; with `resume`, from that position on. The answer comes through the queue, before the
    /// first update that the subscription lets in. Subscribing twice is answered again and changes nothing.
    pub fn subscribe(&self, topic: Topic, resume: Option<Position>) -> Subscription {
        self.sessions.lock().subscribe(self.id, topic, resume, self.sessions.settings.max_subscriptions)
    }

    /// Ends a subscription, if there is one. The answer comes through the queue.
    pub fn unsubscribe(&self, topic: Topic) {
        self.sessions.lock().unsubscribe(self.id, topic);
        self.queue.push_answer(&Frame::unsubscribed(topic));
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
