//! Replays missed events to sessions that resume.
//!
//! A session recovers all its waiting subscriptions in one pass, so an event that belongs to several topics is delivered
//! once and in order. Until `live_from`, the session was live with its other topics. Up to that offset, the replay sends
//! only events of the recovering topics and skips an event if the session already got it through another topic. After
//! `live_from`, it sends the events of all topics.
//!
//! In one case the order cannot be kept: the session has another topic that overlaps with the recovering one but began at
//! a later offset. The session may already have got newer updates of an application through that topic. Then nothing is
//! replayed and the response is `recovered: false`. This does not happen to clients that reconnect and resume all topics
//! from one position.

use std::collections::HashSet;

use super::registry::Registry;
use super::session::{Recovery, Request, Session, SessionId};
use crate::actors::broadcaster::feed::Update;
use crate::actors::broadcaster::frame::Frame;
use crate::actors::broadcaster::session_queue::Push;
use crate::actors::broadcaster::topic::Topic;
use crate::domain::published::Position;
use crate::events::bus::Extent;

impl Registry {
    /// Whether a live session's subscription waits for its response.
    pub(super) fn has_waiting_subscriptions(&self) -> bool {
        self.sessions.values().any(|session| session.recovery.is_none() && !session.requests.is_empty())
    }

    pub(super) fn recovering(&self) -> Vec<SessionId> {
        let recovering = self.sessions.iter().filter(|(_, session)| session.recovery.is_some());
        recovering.map(|(id, _)| *id).collect()
    }

    pub(super) fn answer_waiting(&mut self, extent: &Extent, max_replay: u32) {
        let Some(at) = self.position else { return };
        // The extent may have been read before the position moved.
        let mut extent = *extent;
        extent.end.offset = extent.end.offset.max(at.offset);
        let mut subscribed = Vec::new();
        for (id, session) in &mut self.sessions {
            if session.recovery.is_none() && !session.requests.is_empty() {
                let topics = session.answer_requests(at, &extent, max_replay);
                subscribed.extend(topics.into_iter().map(|topic| (topic, *id)));
            }
        }
        for (topic, id) in subscribed {
            self.add_subscriber(topic, id);
        }
    }

    /// Marks the sessions whose cursor has reached the position as live.
    pub(super) fn release_recovered(&mut self) {
        let Some(at) = self.position else { return };
        for session in self.sessions.values_mut() {
            if session.recovery.as_ref().is_some_and(|recovery| recovery.cursor >= at.offset) {
                session.recovery = None;
            }
        }
    }

    /// The lowest cursor of a session with space in its queue.
    pub(super) fn next_cursor(&self) -> Option<i64> {
        let recovering =
            self.sessions.values().filter_map(|session| Some((session, session.recovery.as_ref()?)));
        recovering
            .filter(|(session, _)| session.queue.room_for_replay())
            .map(|(_, recovery)| recovery.cursor)
            .min()
    }

    /// Advances a session's cursor if it is within the page of `updates` that begins after `after`. Events beyond the
    /// position are left to live delivery.
    pub(super) fn replay(&mut self, id: SessionId, after: i64, updates: &[Update], end: Option<i64>) {
        let Some(at) = self.position else { return };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(mut recovery) = session.recovery.take() else { return };
        let page_end = end.map_or(at.offset, |end| end.min(at.offset));
        if recovery.cursor >= after && recovery.cursor < page_end {
            let pushed = session.queue_missed(&mut recovery, updates, page_end);
            if pushed == Push::Closed {
                return self.leave(id);
            }
        }
        session.recovery = Some(recovery);
    }
}

impl Session {
    /// Responds to all waiting subscriptions and begins the replay that they need. Returns the topics that became
    /// active.
    fn answer_requests(&mut self, at: Position, extent: &Extent, max_replay: u32) -> Vec<Topic> {
        let before = self.topics.clone();
        let mut recovery = Recovery { topics: HashSet::new(), live_from: at.offset, cursor: at.offset };
        let mut active = Vec::new();
        for Request { topic, resume } in std::mem::take(&mut self.requests) {
            let resumable = resume.filter(|from| {
                let keeps_order =
                    |(other, since): (&Topic, &i64)| !other.may_overlap(topic) || *since <= from.offset;
                from.epoch == at.epoch
                    && extent.holds_everything_after(*from)
                    && at.offset - from.offset <= i64::from(max_replay)
                    && before.iter().all(keeps_order)
            });
            let from = resumable.unwrap_or(at);
            self.queue.push_response(&Frame::subscribed(topic, from, resume.map(|_| resumable.is_some())));
            if before.contains_key(&topic) {
                continue;
            }
            self.topics.insert(topic, from.offset);
            active.push(topic);
            if resumable.is_some() {
                recovery.topics.insert(topic);
                recovery.cursor = recovery.cursor.min(from.offset);
            }
        }
        self.recovery = (recovery.cursor < at.offset).then_some(recovery);
        active
    }

    /// Queues the missed events of a page and advances the cursor as far as the queue has space.
    fn queue_missed(&self, recovery: &mut Recovery, updates: &[Update], page_end: i64) -> Push {
        let due = recovery.cursor + 1..=page_end;
        for update in updates.iter().filter(|update| due.contains(&update.offset)) {
            if !self.queue.room_for_replay() {
                return Push::Queued;
            }
            if self.missed(recovery, update) && self.queue.push_missed(update) == Push::Closed {
                return Push::Closed;
            }
            recovery.cursor = update.offset;
        }
        recovery.cursor = page_end;
        Push::Queued
    }

    /// Whether the session should have `update` but has not got it yet.
    fn missed(&self, recovery: &Recovery, update: &Update) -> bool {
        if update.offset > recovery.live_from {
            return self.receives(update, |_| true);
        }
        self.receives(update, |topic| recovery.topics.contains(topic))
            && !self.receives(update, |topic| !recovery.topics.contains(topic))
    }
}
