//! One session: who it is, what it subscribed to, and how far it has caught up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::actors::broadcaster::feed::{Update, Viewers};
use crate::actors::broadcaster::session_queue::SessionQueue;
use crate::actors::broadcaster::topic::Topic;
use crate::domain::published::Position;
use crate::storage::applications::Visibility;

/// Names a session within its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SessionId(pub(super) u64);

/// The account of a session, and what it may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// The account's name.
    pub account: Arc<str>,
    /// The applications whose updates it may see.
    pub applications: Visibility,
    /// Whether it may see the channel `operations`.
    pub operations: bool,
}

/// The result of a request to subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscription {
    /// The subscription stands, and the answer is in the queue.
    Standing,
    /// The broadcaster will answer; it should be woken.
    AwaitsBroadcaster,
    /// The session has as many subscriptions as it may.
    TooMany,
}

pub(super) struct Session {
    pub(super) queue: Arc<SessionQueue>,
    /// `None` until the client has authenticated.
    pub(super) viewer: Option<Viewer>,
    /// Each topic, with the offset after which the session gets all of it.
    pub(super) topics: HashMap<Topic, i64>,
    /// Subscriptions that the broadcaster has not answered yet, in the order they came.
    pub(super) requests: Vec<Request>,
    /// `None` while the session is live.
    pub(super) recovery: Option<Recovery>,
}

/// A subscription that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) topic: Topic,
    pub(super) resume: Option<Position>,
}

/// A walk through the bus.
pub(super) struct Recovery {
    /// The topics that it is for.
    pub(super) topics: HashSet<Topic>,
    /// Where the instance's position stood when it began.
    pub(super) live_from: i64,
    /// How far it has come.
    pub(super) cursor: i64,
}

impl Session {
    pub(super) fn new(queue: Arc<SessionQueue>) -> Self {
        Self { queue, viewer: None, topics: HashMap::new(), requests: Vec::new(), recovery: None }
    }

    /// Whether some topic that `counts` lets `update` in.
    pub(super) fn wants(&self, update: &Update, counts: impl Fn(&Topic) -> bool) -> bool {
        self.may_see(update)
            && update.topics.iter().any(|topic| {
                counts(topic) && self.topics.get(topic).is_some_and(|after| update.offset > *after)
            })
    }

    fn may_see(&self, update: &Update) -> bool {
        let Some(viewer) = &self.viewer else { return false };
        match &update.viewers {
            Viewers::Operators => viewer.operations,
            Viewers::OwnerAndStaff(owner) => match &viewer.applications {
                Visibility::All => true,
                Visibility::OwnedBy(account) => account == owner,
            },
        }
    }

    /// Whether the session must wait for the broadcaster before it can be answered or get live events.
    pub(super) fn is_behind(&self) -> bool {
        self.recovery.is_some() || !self.requests.is_empty()
    }
}
