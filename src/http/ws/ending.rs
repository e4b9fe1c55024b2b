//! The reasons why the server closes a WebSocket.
//!
//! A close frame carries a code and a reason. If the client can act on the cause, an `error` message with its own code
//! is sent first, because browsers do not show the content of close frames in their logs.

use actix_web_actors::ws::{CloseCode, CloseReason};

use crate::actors::broadcaster::Closing;

/// Why the server closes a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client reads too slowly.
    TooSlow,
    /// The server is shutting down.
    Stopping,
    /// The event sequence was restarted.
    SequenceRestarted,
    /// No credential was received in time.
    NoCredential,
    /// The credential is invalid.
    BadCredential,
    /// The credential is valid, but lacks the required scope.
    MissingScope,
    /// The credential has expired.
    Expired,
    /// The credential was revoked or its account was disabled.
    Revoked,
    /// The credential cannot be checked at the moment.
    Unavailable,
    /// A ping was not answered.
    NoPong,
    /// The account has too many connections.
    TooManyConnections,
    /// Too many messages in one second.
    TooManyMessages,
    /// Too many credentials were tried from the client's address.
    RateLimited,
    /// A message is too long.
    MessageTooLong,
    /// A text message is not UTF-8.
    NotUtf8,
    /// The client violated RFC 6455.
    Protocol,
}

impl From<Closing> for Ending {
    fn from(closing: Closing) -> Self {
        match closing {
            Closing::TooSlow => Self::TooSlow,
            Closing::ShuttingDown => Self::Stopping,
            Closing::SequenceRestarted => Self::SequenceRestarted,
        }
    }
}

impl Ending {
    /// The close code. Codes from 4000 are for applications (RFC 6455, section 7.4.2); they end with the digits of the
    /// HTTP status of the same meaning.
    const fn close_code(self) -> u16 {
        match self {
            Self::Stopping => 1001,
            Self::Protocol => 1002,
            Self::NotUtf8 => 1007,
            Self::MessageTooLong => 1009,
            Self::SequenceRestarted => 1012,
            Self::Unavailable => 1013,
            Self::TooSlow => 4008,
            Self::NoCredential | Self::BadCredential | Self::MissingScope | Self::Expired | Self::Revoked => {
                4401
            }
            Self::NoPong => 4408,
            Self::TooManyConnections | Self::TooManyMessages | Self::RateLimited => 4429,
        }
    }

    /// The reason in the close frame: at most 123 bytes (RFC 6455, section 5.5).
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::TooSlow => "the client reads too slowly",
            Self::Stopping => "the server is shutting down; reconnect",
            Self::SequenceRestarted => "the event sequence was restarted; reconnect and reload all data",
            Self::NoCredential => "no credential was sent in time",
            Self::BadCredential => "the credential is invalid",
            Self::MissingScope => "the API key needs the scope applications:read",
            Self::Expired => "the credential has expired",
            Self::Revoked => "the credential was revoked",
            Self::Unavailable => "the credential cannot be checked at the moment; reconnect later",
            Self::NoPong => "a ping was not answered in time",
            Self::TooManyConnections => "the account has too many connections",
            Self::TooManyMessages => "too many messages per second",
            Self::RateLimited => "too many credentials were tried; reconnect later",
            Self::MessageTooLong => "the message is too long",
            Self::NotUtf8 => "a text message must be UTF-8",
            Self::Protocol => "the frames violate RFC 6455",
        }
    }

    /// The code of the `error` message sent before the close frame, if there is one.
    pub(super) const fn error_code(self) -> Option<&'static str> {
        match self {
            Self::NoCredential => Some("authentication_timeout"),
            Self::BadCredential => Some("invalid_credential"),
            Self::MissingScope => Some("insufficient_scope"),
            Self::Expired => Some("credential_expired"),
            Self::Revoked => Some("credential_revoked"),
            Self::Unavailable => Some("unavailable"),
            Self::TooManyConnections => Some("too_many_connections"),
            Self::TooManyMessages => Some("too_many_messages"),
            Self::RateLimited => Some("rate_limited"),
            Self::TooSlow
            | Self::Stopping
            | Self::SequenceRestarted
            | Self::NoPong
            | Self::MessageTooLong
            | Self::NotUtf8
            | Self::Protocol => None,
        }
    }

    /// The close code and reason.
    pub(super) fn close_reason(self) -> CloseReason {
        let description = Some(self.reason().to_owned());
        CloseReason { code: CloseCode::from(self.close_code()), description }
    }
}
