//! Published events: the feed, and the consumers and dead letters for operators.

pub mod act;
pub mod consumers;
pub mod dead_letters;
pub mod feed;

use super::extract::RequestContext;
use crate::accounts::ChangeOrigin;
use crate::events::consumers::operators::{Operator, OperatorRequest};
use crate::json::Refusal;

/// The operator and the reason of an action.
fn operator(origin: &ChangeOrigin, context: &RequestContext, reason: String) -> Operator {
    Operator {
        account: origin.by().to_owned(),
        reason,
        request: Some(OperatorRequest {
            request_id: context.request_id.to_string(),
            address: origin.address().map(|address| address.to_string()),
        }),
    }
}

/// Reads the name of an event type.
fn event_type(text: &str) -> Result<String, Refusal> {
    let is_part = |part: &str| {
        let is_allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        !part.is_empty() && part.bytes().all(is_allowed)
    };
    let is_name = text.len() <= 100 && text.contains('.') && text.split('.').all(is_part);
    is_name
        .then(|| text.to_owned())
        .ok_or_else(|| ("bad_identifier", "is not the name of an event type".to_owned()))
}
