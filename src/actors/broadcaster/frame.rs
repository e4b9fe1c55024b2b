//! What the server says on a WebSocket: every frame's JSON, in one place.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::topic::Topic;
use crate::domain::application::Country;
use crate::domain::event::{Position, PublishedEvent};
use crate::domain::ids::ApplicationId;

/// The kind of a frame: its `type`, and its label in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// An application changed.
    ApplicationUpdate,
    /// A subscription stands.
    Subscribed,
    /// A subscription has ended.
    Unsubscribed,
    /// A message of the client was refused.
    Error,
    /// The answer to a ping in JSON.
    Pong,
}

impl FrameKind {
    /// The frame's `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApplicationUpdate => "application_update",
            Self::Subscribed => "subscribed",
            Self::Unsubscribed => "unsubscribed",
            Self::Error => "error",
            Self::Pong => "pong",
        }
    }
}

/// One text frame. Its text is shared by all sessions that it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// Its JSON.
    pub text: Arc<str>,
}

impl Frame {
    fn new(kind: FrameKind, mut content: Value) -> Self {
        if let Some(object) = content.as_object_mut() {
            object.insert("type".to_owned(), kind.as_str().into());
        }
        Self { kind, text: content.to_string().into() }
    }

    /// `subscribed`: every event of the topic after `position` follows. `recovered` answers a client that asked for
    /// what it had missed.
    pub fn subscribed(topic: Topic, position: Position, recovered: Option<bool>) -> Self {
        let mut content = echo(topic);
        content["epoch"] = json!(position.epoch);
        content["offset"] = json!(position.offset);
        if let Some(recovered) = recovered {
            content["recovered"] = json!(recovered);
        }
        Self::new(FrameKind::Subscribed, content)
    }

    /// `unsubscribed`: nothing of the topic follows.
    pub fn unsubscribed(topic: Topic) -> Self {
        Self::new(FrameKind::Unsubscribed, echo(topic))
    }

    /// `error`: a message was refused, and why. The connection stays.
    pub fn error(code: &str, detail: &str) -> Self {
        Self::new(FrameKind::Error, json!({ "code": code, "detail": detail }))
    }

    /// `pong`.
    pub fn pong() -> Self {
        Self::new(FrameKind::Pong, json!({}))
    }
}

/// The topic as the client named it.
fn echo(topic: Topic) -> Value {
    match topic {
        Topic::All => json!({ "channel": Topic::ALL_CHANNEL }),
        Topic::Country(country) => json!({ "country": country }),
        Topic::Application(id) => json!({ "application_id": id }),
    }
}

/// An event as it goes out: its JSON, made once, and what decides who gets it.
#[derive(Debug, Clone)]
pub(super) struct Update {
    pub(super) offset: i64,
    pub(super) application: ApplicationId,
    pub(super) country: Country,
    /// The account that may see it, beside those who see all.
    pub(super) created_by: String,
    pub(super) frame: Frame,
}

impl Update {
    pub(super) fn new(epoch: Uuid, event: PublishedEvent) -> Self {
        let data = event.data;
        let content = json!({
            "epoch": epoch,
            "offset": event.offset,
            "data": {
                "id": data.id,
                "country": data.country,
                "status": data.status,
                "previous_status": data.previous_status,
                "risk_score": data.risk_score.map(|score| score.to_string()),
                "updated_at": data.updated_at,
            },
        });
        Self {
            offset: event.offset,
            application: data.id,
            country: data.country,
            created_by: data.created_by,
            frame: Frame::new(FrameKind::ApplicationUpdate, content),
        }
    }
}
