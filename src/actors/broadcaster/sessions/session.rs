//! One session: its viewer, subscriptions and replay.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::actors::broadcaster::feed::{Update, Viewers};
use crate::actors::broadcaster::session_queue::SessionQueue;
use crate::actors::broadcaster::topic::Topic;
use crate::domain::published::Position;
use crate::storage::applications::Visibility;

/// Identifies a session within its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SessionId(pub(super) u64);

/// The account of a session, and what it may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    pub account: Arc<str>,
    pub applications: Visibility,
    pub operations: bool,
}

/// The result of a subscription request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscription {
    /// The subscription is active, and its response is queued.
    Active,
    /// The broadcaster will respond and must be woken.
    AwaitsBroadcaster,
    /// The session has reached its maximum number of subscriptions.
    TooMany,
}

pub(super) struct Session {
    pub(super) queue: Arc<SessionQueue>,
    /// `None` until the client has authenticated.
    pub(super) viewer: Option<Viewer>,
    /// The subscribed topics. The session gets every event of a topic after the offset stored with it.
    pub(super) topics: HashMap<Topic, i64>,
    /// Subscriptions that the broadcaster has not responded to, in the order of arrival.
    pub(super) requests: Vec<Request>,
    /// `None` while the session is live.
    pub(super) recovery: Option<Recovery>,
}

/// A subscription that waits for its response.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) topic: Topic,
    pub(super) resume: Option<Position>,
}

/// A replay of missed events.
pub(super) struct Recovery {
    /// The recovering topics.
    pub(super) topics: HashSet<Topic>,
    /// The instance's position when the replay began.
    pub(super) live_from: i64,
    /// The offset reached so far.
    pub(super) cursor: i64,
}

impl Session {
    pub(super) fn new(queue: Arc<SessionQueue>) -> Self {
        Self { queue, viewer: None, topics: HashMap::new(), requests: Vec::new(), recovery: None }
    }

    /// Whether the session may see `update` and is subscribed to it through a topic for which `counts` is true.
    pub(super) fn receives(&self, update: &Update, counts: impl Fn(&Topic) -> bool) -> bool {
        self.may_see(update)
            && update.topics.iter().any(|topic| {
                counts(topic) && self.topics.get(topic).is_some_and(|after| update.offset > *after)
            })
    }

    fn may_see(&self, update: &Update) -> bool {
        let Some(viewer) = &self.viewer else { return false };
        match &update.viewers {
            Viewers::Operators => viewer.operations,
            Viewers::Staff => viewer.applications == Visibility::All,
            Viewers::OwnerAndStaff(owner) => match &viewer.applications {
                Visibility::All => true,
                Visibility::OwnedBy(account) => account == owner,
            },
        }
    }

    /// Whether the session needs the broadcaster before it gets responses or live events.
    pub(super) fn is_behind(&self) -> bool {
        self.recovery.is_some() || !self.requests.is_empty()
    }
}
