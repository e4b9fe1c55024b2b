//! The state that the lock of [`Sessions`](super::Sessions) protects. This file contains joining, subscribing and
//! delivering; [`replay`](super::replay) contains the replay of missed events.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::session::{Request, Session, SessionId, Subscription, Viewer};
use crate::actors::broadcaster::feed::Update;
use crate::actors::broadcaster::frame::Frame;
use crate::actors::broadcaster::session_queue::{Closing, Push, SessionQueue};
use crate::actors::broadcaster::topic::Topic;
use crate::domain::published::Position;

#[derive(Default)]
pub(super) struct Registry {
    pub(super) position: Option<Position>,
    pub(super) sessions: HashMap<SessionId, Session>,
    subscribers: HashMap<Topic, HashSet<SessionId>>,
    /// The number of sessions per account.
    accounts: HashMap<Arc<str>, usize>,
    closing: bool,
}

impl Registry {
    pub(super) fn join(&mut self, id: SessionId, queue: Arc<SessionQueue>) {
        if self.closing {
            queue.close(Closing::ShuttingDown);
            return;
        }
        self.sessions.insert(id, Session::new(queue));
    }

    /// Authorizes a session. Returns `false` if the account has reached its maximum number of sessions.
    pub(super) fn admit(&mut self, id: SessionId, viewer: Viewer, max: usize) -> bool {
        // A session that is no longer in the registry is closed and does not count.
        let Some(session) = self.sessions.get_mut(&id) else { return true };
        let count = self.accounts.entry(Arc::clone(&viewer.account)).or_insert(0);
        if *count >= max {
            return false;
        }
        *count += 1;
        session.viewer = Some(viewer);
        true
    }

    /// Changes what an admitted session may see.
    pub(super) fn set_viewer(&mut self, id: SessionId, viewer: Viewer) {
        if let Some(session) = self.sessions.get_mut(&id)
            && session.viewer.is_some()
        {
            session.viewer = Some(viewer);
        }
    }

    pub(super) fn leave(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        if let Some(viewer) = session.viewer
            && let Some(count) = self.accounts.get_mut(&viewer.account)
        {
            *count -= 1;
            if *count == 0 {
                self.accounts.remove(&viewer.account);
            }
        }
        for topic in session.topics.into_keys() {
            self.remove_subscriber(topic, id);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn close_all(&mut self) {
        self.closing = true;
        self.end_all(Closing::ShuttingDown);
    }

    fn end_all(&mut self, closing: Closing) {
        for session in std::mem::take(&mut self.sessions).into_values() {
            session.queue.close(closing);
        }
        self.subscribers.clear();
        self.accounts.clear();
    }

    pub(super) fn has_listeners(&self) -> bool {
        self.sessions.values().any(|session| !session.topics.is_empty() || session.is_behind())
    }

    pub(super) fn skip_to(&mut self, end: Position) {
        match self.position {
            Some(position) if position.epoch != end.epoch => {
                self.end_all(Closing::SequenceRestarted);
                self.position = Some(end);
            }
            Some(position) if position.offset >= end.offset || self.has_listeners() => {}
            Some(_) | None => self.position = Some(end),
        }
    }

    pub(super) fn subscribe(
        &mut self,
        id: SessionId,
        topic: Topic,
        resume: Option<Position>,
        max: usize,
    ) -> Subscription {
        let position = self.position;
        // A closed session gets no response.
        let Some(session) = self.sessions.get_mut(&id) else { return Subscription::Active };
        let known = session.topics.contains_key(&topic) || session.requests.iter().any(|r| r.topic == topic);
        if !known && session.topics.len() + session.requests.len() >= max {
            return Subscription::TooMany;
        }
        match position {
            Some(position) if resume.is_none() && !session.is_behind() => {
                session.queue.push_response(&Frame::subscribed(topic, position, None));
                session.topics.entry(topic).or_insert(position.offset);
                self.add_subscriber(topic, id);
                Subscription::Active
            }
            Some(_) | None => {
                // A repeated request replaces the one that is still waiting.
                session.requests.retain(|request| request.topic != topic);
                session.requests.push(Request { topic, resume });
                Subscription::AwaitsBroadcaster
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, id: SessionId, topic: Topic) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.requests.retain(|request| request.topic != topic);
        if session.topics.remove(&topic).is_some() {
            self.remove_subscriber(topic, id);
        }
    }

    /// Moves the position to `end`, unless it is already past it.
    pub(super) fn advance_to(&mut self, end: Option<i64>) {
        if let (Some(position), Some(end)) = (self.position.as_mut(), end) {
            position.offset = position.offset.max(end);
        }
    }

    /// Delivers one event to the live sessions that are subscribed to it, and moves the position past it.
    pub(super) fn deliver(&mut self, update: &Update) {
        let Some(position) = self.position.as_mut() else { return };
        if update.offset <= position.offset {
            return;
        }
        let mut too_slow = Vec::new();
        for id in update.topics.iter().filter_map(|topic| self.subscribers.get(topic)).flatten() {
            // A session can be found through several topics. Its queue accepts the event once.
            let Some(session) = self.sessions.get(id) else { continue };
            if session.recovery.is_none()
                && session.receives(update, |_| true)
                && session.queue.push_live(update) == Push::Closed
            {
                too_slow.push(*id);
            }
        }
        position.offset = update.offset;
        for id in too_slow {
            self.leave(id);
        }
    }

    pub(super) fn add_subscriber(&mut self, topic: Topic, id: SessionId) {
        self.subscribers.entry(topic).or_default().insert(id);
    }

    fn remove_subscriber(&mut self, topic: Topic, id: SessionId) {
        if let Some(subscribers) = self.subscribers.get_mut(&topic) {
            subscribers.remove(&id);
            if subscribers.is_empty() {
                self.subscribers.remove(&topic);
            }
        }
    }
}
