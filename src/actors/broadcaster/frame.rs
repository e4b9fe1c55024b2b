//! The WebSocket frames that the server sends, and their JSON.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::topic::Topic;
use crate::domain::account::Role;
use crate::domain::application::Country;
use crate::domain::event::ApplicationChanged;
use crate::domain::ids::ApplicationId;
use crate::domain::published::Position;
use crate::domain::status::Status;
use crate::domain::timestamp;
use crate::events::envelope::Envelope;

/// The kind of a frame: its `type`, and its label in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    ApplicationUpdate,
    ReviewUpdate,
    OperationsUpdate,
    /// The subscription is active.
    Subscribed,
    Unsubscribed,
    /// A client message was rejected.
    Error,
    /// The response to a JSON ping.
    Pong,
    /// The client has authenticated.
    Authenticated,
}

impl FrameKind {
    pub const ALL: [Self; 8] = [
        Self::ApplicationUpdate,
        Self::ReviewUpdate,
        Self::OperationsUpdate,
        Self::Subscribed,
        Self::Unsubscribed,
        Self::Error,
        Self::Pong,
        Self::Authenticated,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApplicationUpdate => "application_update",
            Self::ReviewUpdate => "review_update",
            Self::OperationsUpdate => "operations_update",
            Self::Subscribed => "subscribed",
            Self::Unsubscribed => "unsubscribed",
            Self::Error => "error",
            Self::Pong => "pong",
            Self::Authenticated => "authenticated",
        }
    }

    pub(super) const fn is_update(self) -> bool {
        matches!(self, Self::ApplicationUpdate | Self::ReviewUpdate | Self::OperationsUpdate)
    }
}

/// A text frame. All sessions that receive it share its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: FrameKind,
    pub text: Arc<str>,
    /// The position that the JSON contains.
    position: Option<Position>,
}

/// The JSON of each kind of frame.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a> {
    ApplicationUpdate {
        epoch: Uuid,
        offset: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        traceparent: Option<&'a str>,
        data: UpdateData<'a>,
    },
    ReviewUpdate(EventContent<'a>),
    OperationsUpdate(EventContent<'a>),
    Subscribed {
        #[serde(flatten)]
        topic: EchoedTopic,
        epoch: Uuid,
        offset: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        recovered: Option<bool>,
    },
    Unsubscribed {
        #[serde(flatten)]
        topic: EchoedTopic,
    },
    Error {
        code: &'a str,
        detail: &'a str,
        #[serde(flatten)]
        topic: Option<EchoedTopic>,
    },
    Pong,
    Authenticated {
        account: &'a str,
        role: Role,
        #[serde(serialize_with = "timestamp::serialize_option")]
        valid_until: Option<DateTime<Utc>>,
    },
}

/// An event with its published data.
#[derive(Serialize)]
struct EventContent<'a> {
    epoch: Uuid,
    offset: i64,
    event_type: &'a str,
    #[serde(serialize_with = "timestamp::serialize")]
    time: &'a DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: &'a RawValue,
}

impl<'a> EventContent<'a> {
    fn new(epoch: Uuid, event: &'a Envelope) -> Self {
        Self {
            epoch,
            offset: event.offset,
            event_type: &event.event_type,
            time: &event.time,
            traceparent: event.traceparent.as_deref(),
            data: event.json(),
        }
    }
}

/// The members of a change that subscribers may see. Version and owner are omitted.
#[derive(Serialize)]
struct UpdateData<'a> {
    id: ApplicationId,
    country: Country,
    status: Status,
    previous_status: Option<Status>,
    #[serde(with = "rust_decimal::serde::str_option")]
    risk_score: Option<Decimal>,
    #[serde(serialize_with = "timestamp::serialize")]
    updated_at: &'a DateTime<Utc>,
}

/// A topic, as the client named it in its request.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum EchoedTopic {
    Channel(&'static str),
    Country(Country),
    ApplicationId(ApplicationId),
}

impl From<Topic> for EchoedTopic {
    fn from(topic: Topic) -> Self {
        match topic {
            Topic::All => Self::Channel(Topic::ALL_CHANNEL),
            Topic::Country(country) => Self::Country(country),
            Topic::Application(id) => Self::ApplicationId(id),
            Topic::Reviews => Self::Channel(Topic::REVIEWS_CHANNEL),
            Topic::Operations => Self::Channel(Topic::OPERATIONS_CHANNEL),
        }
    }
}

impl Content<'_> {
    const fn kind(&self) -> FrameKind {
        match self {
            Self::ApplicationUpdate { .. } => FrameKind::ApplicationUpdate,
            Self::ReviewUpdate(_) => FrameKind::ReviewUpdate,
            Self::OperationsUpdate(_) => FrameKind::OperationsUpdate,
            Self::Subscribed { .. } => FrameKind::Subscribed,
            Self::Unsubscribed { .. } => FrameKind::Unsubscribed,
            Self::Error { .. } => FrameKind::Error,
            Self::Pong => FrameKind::Pong,
            Self::Authenticated { .. } => FrameKind::Authenticated,
        }
    }
}

impl Content<'_> {
    const fn position(&self) -> Option<Position> {
        match self {
            Self::ApplicationUpdate { epoch, offset, .. }
            | Self::ReviewUpdate(EventContent { epoch, offset, .. })
            | Self::OperationsUpdate(EventContent { epoch, offset, .. })
            | Self::Subscribed { epoch, offset, .. } => Some(Position { epoch: *epoch, offset: *offset }),
            Self::Unsubscribed { .. } | Self::Error { .. } | Self::Pong | Self::Authenticated { .. } => None,
        }
    }
}

impl From<Content<'_>> for Frame {
    fn from(content: Content<'_>) -> Self {
        // Serialization only fails for maps whose keys are not strings, and there are none.
        let text = serde_json::to_string(&content).unwrap_or_default();
        Self { kind: content.kind(), text: text.into(), position: content.position() }
    }
}

impl Frame {
    #[cfg(test)]
    pub(super) fn of_text(kind: FrameKind, text: &str) -> Self {
        Self { kind, text: text.into(), position: None }
    }

    /// Replaces the value of `offset`. A frame without a position is returned unchanged.
    pub fn with_offset(&self, new_offset: impl FnOnce(Position) -> i64) -> Self {
        let Some(position) = self.position else { return self.clone() };
        // Replaces the first `offset` in the text. The members before it contain no text from clients or events, so the
        // first match is always the member itself.
        let (old, new) =
            (format!("\"offset\":{}", position.offset), format!("\"offset\":{}", new_offset(position)));
        Self { text: self.text.replacen(&old, &new, 1).into(), ..self.clone() }
    }

    /// `application_update`: a change to an application, with the trace context of the change.
    pub(super) fn application_update(
        position: Position,
        traceparent: Option<&str>,
        changed: &ApplicationChanged,
    ) -> Self {
        let data = UpdateData {
            id: changed.id,
            country: changed.country,
            status: changed.status,
            previous_status: changed.previous_status,
            risk_score: changed.risk_score,
            updated_at: &changed.updated_at,
        };
        Content::ApplicationUpdate { epoch: position.epoch, offset: position.offset, traceparent, data }
            .into()
    }

    /// `review_update`: an event for analysts and admins, with its published data.
    pub(super) fn review_update(epoch: Uuid, event: &Envelope) -> Self {
        Content::ReviewUpdate(EventContent::new(epoch, event)).into()
    }

    /// `operations_update`: an event for admins, with its published data.
    pub(super) fn operations_update(epoch: Uuid, event: &Envelope) -> Self {
        Content::OperationsUpdate(EventContent::new(epoch, event)).into()
    }

    /// `subscribed`: every event of the topic after `position` follows. `recovered` is set only if the client requested
    /// to resume from a position.
    pub fn subscribed(topic: Topic, position: Position, recovered: Option<bool>) -> Self {
        let Position { epoch, offset } = position;
        Content::Subscribed { topic: topic.into(), epoch, offset, recovered }.into()
    }

    /// `authenticated`: the client's account and how long the session is valid.
    pub fn authenticated(account: &str, role: Role, valid_until: Option<DateTime<Utc>>) -> Self {
        Content::Authenticated { account, role, valid_until }.into()
    }

    /// `unsubscribed`: no further events of the topic follow.
    pub fn unsubscribed(topic: Topic) -> Self {
        Content::Unsubscribed { topic: topic.into() }.into()
    }

    /// `error`: a message was rejected. The connection stays open.
    pub fn error(code: &str, detail: &str) -> Self {
        Content::Error { code, detail, topic: None }.into()
    }

    /// `error`: a subscription to `topic` was rejected.
    pub fn subscription_refused(topic: Topic, code: &str, detail: &str) -> Self {
        Content::Error { code, detail, topic: Some(topic.into()) }.into()
    }

    pub fn pong() -> Self {
        Content::Pong.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::envelope::tests::envelope;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn every_frame_has_the_documented_json() {
        let position = Position { epoch: Uuid::nil(), offset: 7 };
        let nil = Uuid::nil();
        let application = Topic::Application(ID.parse().unwrap());
        for (frame, text) in [
            (
                Frame::subscribed(Topic::All, position, None),
                format!(r#"{{"type":"subscribed","channel":"applications","epoch":"{nil}","offset":7}}"#),
            ),
            (
                Frame::subscribed(Topic::Country(Country::Es), position, Some(true)),
                format!(
                    r#"{{"type":"subscribed","country":"ES","epoch":"{nil}","offset":7,"recovered":true}}"#
                ),
            ),
            (
                Frame::unsubscribed(application),
                format!(r#"{{"type":"unsubscribed","application_id":"{ID}"}}"#),
            ),
            (Frame::error("why", "so"), r#"{"type":"error","code":"why","detail":"so"}"#.to_owned()),
            (
                Frame::subscription_refused(application, "why", "so"),
                format!(r#"{{"type":"error","code":"why","detail":"so","application_id":"{ID}"}}"#),
            ),
            (Frame::pong(), r#"{"type":"pong"}"#.to_owned()),
        ] {
            assert_eq!(&*frame.text, text);
        }
    }

    #[test]
    fn an_application_update_contains_only_what_a_subscriber_may_see() {
        let changed = ApplicationChanged {
            id: ID.parse().unwrap(),
            country: Country::Br,
            status: Status::Approved,
            previous_status: Some(Status::Validating),
            risk_score: Some(Decimal::new(2590, 2)),
            version: 3,
            created_by: "ana".to_owned(),
            updated_at: DateTime::UNIX_EPOCH,
        };
        let nil = Uuid::nil();
        let frame =
            Frame::application_update(Position { epoch: nil, offset: 9 }, Some("00-1-2-01"), &changed);
        let expected = format!(
            r#"{{"type":"application_update","epoch":"{nil}","offset":9,"traceparent":"00-1-2-01","data":{{"id":"{ID}","country":"BR","status":"APPROVED","previous_status":"VALIDATING","risk_score":"25.90","updated_at":"1970-01-01T00:00:00.000000Z"}}}}"#
        );
        assert_eq!(&*frame.text, expected);
        assert_eq!(frame.kind.as_str(), "application_update");
    }

    #[test]
    fn an_update_of_a_channel_contains_type_time_and_data_of_its_event() {
        let event = envelope("account.disabled.v1", 9, &serde_json::json!({"role": "user"}));
        let nil = Uuid::nil();
        for (frame, kind) in [
            (Frame::operations_update(nil, &event), "operations_update"),
            (Frame::review_update(nil, &event), "review_update"),
        ] {
            let expected = format!(
                r#"{{"type":"{kind}","epoch":"{nil}","offset":9,"event_type":"account.disabled.v1","time":"1970-01-01T00:00:00.000000Z","traceparent":"00-1-2-01","data":{{"role":"user"}}}}"#
            );
            assert_eq!(&*frame.text, expected);
            assert_eq!(frame.kind.as_str(), kind);
        }
    }
}
