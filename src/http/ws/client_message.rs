//! Messages from WebSocket clients.

use serde::Deserialize;
use uuid::Uuid;

use crate::actors::broadcaster::Topic;
use crate::domain::published::Position;

/// A parsed client message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientMessage {
    /// Authenticate the connection.
    Authenticate {
        /// An access token or an API key.
        credential: Credential,
    },
    /// Subscribe to a topic, optionally from a position.
    Subscribe {
        /// The topic.
        topic: Topic,
        /// The last position that the client received.
        resume: Option<Position>,
    },
    /// Unsubscribe from a topic.
    Unsubscribe {
        /// The topic.
        topic: Topic,
    },
    /// Request a pong.
    Ping,
}

/// A client's credential.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// An access token.
    Token(String),
    /// An API key.
    ApiKey(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(****)")
    }
}

/// Why a message was refused: the content of an `error` frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseError {
    /// The stable error code.
    pub code: &'static str,
    /// An explanation for developers. It never repeats client input.
    pub detail: &'static str,
}

const MALFORMED: ParseError = ParseError {
    code: "malformed_message",
    detail: "a message must be a JSON object with a string \"action\" and fields of the documented types",
};
const UNKNOWN_ACTION: ParseError = ParseError {
    code: "unknown_action",
    detail: "\"action\" must be \"auth\", \"subscribe\", \"unsubscribe\" or \"ping\"",
};
const BAD_CREDENTIAL: ParseError =
    ParseError { code: "bad_credential", detail: "send exactly one of \"token\" and \"api_key\"" };
const BAD_TOPIC: ParseError = ParseError {
    code: "bad_topic",
    detail: "send exactly one of \"application_id\", \"country\" and \"channel\"",
};
const BAD_APPLICATION_ID: ParseError =
    ParseError { code: "bad_application_id", detail: "\"application_id\" must be a UUID" };
const UNKNOWN_COUNTRY: ParseError = ParseError {
    code: "unknown_country",
    detail: "\"country\" must be a code that GET /api/v1/countries lists",
};
const UNKNOWN_CHANNEL: ParseError = ParseError {
    code: "unknown_channel",
    detail: "\"channel\" must be \"applications\", \"reviews\" or \"operations\"",
};
const BAD_POSITION: ParseError = ParseError {
    code: "bad_position",
    detail: "send \"epoch\" (a UUID) and \"offset\" (an integer) together, as received from the server",
};

/// The fields of all messages. Unknown fields are ignored, so that newer clients work with older servers.
#[derive(Deserialize)]
struct Fields {
    action: String,
    token: Option<String>,
    api_key: Option<String>,
    application_id: Option<String>,
    country: Option<String>,
    channel: Option<String>,
    epoch: Option<String>,
    offset: Option<i64>,
}

/// Parses a client message. The error is the content of the `error` frame for the client.
pub fn parse_client_message(text: &str) -> Result<ClientMessage, ParseError> {
    let fields: Fields = serde_json::from_str(text).map_err(|_parse_error| MALFORMED)?;
    match fields.action.as_str() {
        "subscribe" => Ok(ClientMessage::Subscribe { topic: topic(&fields)?, resume: position(&fields)? }),
        "unsubscribe" => Ok(ClientMessage::Unsubscribe { topic: topic(&fields)? }),
        "ping" => Ok(ClientMessage::Ping),
        "auth" => match (fields.token, fields.api_key) {
            (Some(token), None) => Ok(ClientMessage::Authenticate { credential: Credential::Token(token) }),
            (None, Some(key)) => Ok(ClientMessage::Authenticate { credential: Credential::ApiKey(key) }),
            _ => Err(BAD_CREDENTIAL),
        },
        _ => Err(UNKNOWN_ACTION),
    }
}

fn topic(fields: &Fields) -> Result<Topic, ParseError> {
    match (fields.application_id.as_deref(), fields.country.as_deref(), fields.channel.as_deref()) {
        (Some(id), None, None) => {
            id.parse().map(Topic::Application).map_err(|_not_a_uuid| BAD_APPLICATION_ID)
        }
        (None, Some(code), None) => code.parse().map(Topic::Country).map_err(|_unknown| UNKNOWN_COUNTRY),
        (None, None, Some(Topic::ALL_CHANNEL)) => Ok(Topic::All),
        (None, None, Some(Topic::REVIEWS_CHANNEL)) => Ok(Topic::Reviews),
        (None, None, Some(Topic::OPERATIONS_CHANNEL)) => Ok(Topic::Operations),
        (None, None, Some(_)) => Err(UNKNOWN_CHANNEL),
        _ => Err(BAD_TOPIC),
    }
}

fn position(fields: &Fields) -> Result<Option<Position>, ParseError> {
    match (fields.epoch.as_deref(), fields.offset) {
        (None, None) => Ok(None),
        (Some(epoch), Some(offset)) => {
            let epoch = Uuid::try_parse(epoch).map_err(|_not_a_uuid| BAD_POSITION)?;
            Ok(Some(Position { epoch, offset }))
        }
        _ => Err(BAD_POSITION),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::application::Country;
    use proptest::prelude::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn every_message_of_the_protocol_is_parsed() {
        let id = Topic::Application(ID.parse().unwrap());
        let at = Some(Position { epoch: ID.parse().unwrap(), offset: 7 });
        let subscribe = |topic, resume| ClientMessage::Subscribe { topic, resume };
        for (text, message) in [
            (r#"{"action":"ping"}"#.to_owned(), ClientMessage::Ping),
            (
                r#"{"action":"auth","token":"a.b.c"}"#.to_owned(),
                ClientMessage::Authenticate { credential: Credential::Token("a.b.c".to_owned()) },
            ),
            (
                r#"{"action":"auth","api_key":"aval_1_2"}"#.to_owned(),
                ClientMessage::Authenticate { credential: Credential::ApiKey("aval_1_2".to_owned()) },
            ),
            (r#" { "action" : "ping", "later": {"than": ["this"]} } "#.to_owned(), ClientMessage::Ping),
            (r#"{"action":"subscribe","channel":"applications"}"#.to_owned(), subscribe(Topic::All, None)),
            (r#"{"action":"subscribe","channel":"reviews"}"#.to_owned(), subscribe(Topic::Reviews, None)),
            (
                r#"{"action":"subscribe","channel":"operations"}"#.to_owned(),
                subscribe(Topic::Operations, None),
            ),
            (
                r#"{"action":"subscribe","country":"ES"}"#.to_owned(),
                subscribe(Topic::Country(Country::Es), None),
            ),
            (format!(r#"{{"action":"subscribe","application_id":"{ID}"}}"#), subscribe(id, None)),
            (
                format!(r#"{{"action":"subscribe","country":"br","epoch":"{ID}","offset":7}}"#),
                subscribe(Topic::Country(Country::Br), at),
            ),
            (
                r#"{"action":"subscribe","country":"MX","epoch":null,"offset":null}"#.to_owned(),
                subscribe(Topic::Country(Country::Mx), None),
            ),
            (
                r#"{"action":"unsubscribe","channel":"applications"}"#.to_owned(),
                ClientMessage::Unsubscribe { topic: Topic::All },
            ),
            (
                format!(r#"{{"action":"unsubscribe","application_id":"{ID}"}}"#),
                ClientMessage::Unsubscribe { topic: id },
            ),
        ] {
            assert_eq!(parse_client_message(&text), Ok(message), "{text}");
        }
    }

    #[test]
    fn every_invalid_message_is_refused_with_the_matching_error() {
        for (text, problem) in [
            ("", MALFORMED),
            ("ping", MALFORMED),
            ("null", MALFORMED),
            ("[]", MALFORMED),
            ("{}", MALFORMED),
            (r#"{"action":1}"#, MALFORMED),
            (r#"{"action":"ping"} x"#, MALFORMED),
            (r#"{"action":"ping","action":"ping"}"#, MALFORMED),
            (r#"{"action":"subscribe","country":5}"#, MALFORMED),
            (r#"{"action":"subscribe","country":"ES","epoch":"x","offset":1.5}"#, MALFORMED),
            (r#"{"action":"subscribe","country":"ES","offset":99999999999999999999}"#, MALFORMED),
            (r#"{"action":"Subscribe","country":"ES"}"#, UNKNOWN_ACTION),
            (r#"{"action":""}"#, UNKNOWN_ACTION),
            (r#"{"action":"auth"}"#, BAD_CREDENTIAL),
            (r#"{"action":"auth","token":"a","api_key":"b"}"#, BAD_CREDENTIAL),
            (r#"{"action":"auth","token":1}"#, MALFORMED),
            (r#"{"action":"subscribe"}"#, BAD_TOPIC),
            (r#"{"action":"subscribe","country":"ES","channel":"applications"}"#, BAD_TOPIC),
            (r#"{"action":"subscribe","application_id":"1"}"#, BAD_APPLICATION_ID),
            (r#"{"action":"subscribe","country":"FR"}"#, UNKNOWN_COUNTRY),
            (r#"{"action":"subscribe","channel":"jobs"}"#, UNKNOWN_CHANNEL),
            (r#"{"action":"subscribe","country":"ES","offset":1}"#, BAD_POSITION),
            (r#"{"action":"subscribe","country":"ES","epoch":"x","offset":1}"#, BAD_POSITION),
            (r#"{"action":"unsubscribe"}"#, BAD_TOPIC),
        ] {
            assert_eq!(parse_client_message(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_exhausting_the_stack() {
        let deep = format!(r#"{{"action":"ping","x":{}}}"#, "[".repeat(100_000));
        assert_eq!(parse_client_message(&deep), Err(MALFORMED));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _ = parse_client_message(&text);
        }

        #[test]
        fn no_values_make_the_parser_panic(
            action in "auth|subscribe|unsubscribe|ping|.*",
            field in "token|api_key|application_id|country|channel|.*",
            value in any::<String>(),
            epoch in any::<String>(),
            offset in any::<i64>(),
        ) {
            let message = serde_json::json!({
                "action": action, field: value, "epoch": epoch, "offset": offset,
            });
            let _ = parse_client_message(&message.to_string());
        }
    }
}
