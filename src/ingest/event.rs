//! One event: reading and checking it (section 17 of docs/specification.md).
//!
//! The members are read from the text of the event. Their values stay parts of the request's body, so nothing is copied
//! unless a string contains an escape.

use bytes::Bytes;
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};
use serde_json::value::RawValue;

use super::properties;
use crate::json::{Members, Refusal, bad_type, string};
use crate::storage::ingest::{NewIngestedEvent, SharedText};

/// The longest identifier, in characters.
pub const MAX_ID_CHARS: usize = 64;
/// The longest type, in characters.
pub const MAX_TYPE_CHARS: usize = 64;
/// How old an event may be.
pub const MAX_AGE: TimeDelta = TimeDelta::days(7);
/// How far in the future an event may be, to allow for wrong clocks.
pub const MAX_AHEAD: TimeDelta = TimeDelta::minutes(5);

/// The digits of a fraction of a second that are stored.
const FRACTION_DIGITS: u16 = 6;

/// An event that is not valid.
#[derive(Debug, Clone)]
pub struct RejectedEvent {
    /// Its position in the request, counted from 0.
    pub index: usize,
    /// The member that is not valid; empty for the event as a whole.
    pub member: &'static str,
    /// A code of docs/errors.md.
    pub code: &'static str,
    /// What is wrong with the member, such as `must be a string`.
    pub reason: String,
    /// The event as it was sent.
    pub sent: SharedText,
}

impl RejectedEvent {
    /// A sentence that names the member.
    pub fn detail(&self) -> String {
        let subject = if self.member.is_empty() { "the event" } else { self.member };
        format!("{subject} {}", self.reason)
    }
}

/// The values of an event's members.
#[derive(Default)]
struct Values<'a> {
    id: Option<&'a RawValue>,
    user_id: Option<&'a RawValue>,
    event_type: Option<&'a RawValue>,
    occurred_at: Option<&'a RawValue>,
    properties: Option<&'a RawValue>,
}

/// The refusal of a member.
type MemberRefusal = (&'static str, Refusal);

/// Reads the event `sent`, a part of `body`.
///
/// # Errors
/// The first member that is not valid.
pub fn read(
    body: &Bytes,
    sent: &RawValue,
    index: usize,
    now: DateTime<Utc>,
) -> Result<NewIngestedEvent, RejectedEvent> {
    parse(body, sent, now).map_err(|(member, (code, reason))| RejectedEvent {
        index,
        member,
        code,
        reason,
        sent: SharedText::part_of(body, sent.get()),
    })
}

fn parse(body: &Bytes, sent: &RawValue, now: DateTime<Utc>) -> Result<NewIngestedEvent, MemberRefusal> {
    let values = values(sent)?;
    let id = required("id", values.id, |raw| identifier(body, raw))?;
    let user_id = required("user_id", values.user_id, |raw| identifier(body, raw))?;
    let event_type = required("type", values.event_type, |raw| event_type(body, raw))?;
    let occurred_at = required("occurred_at", values.occurred_at, |raw| moment(raw, now))?;
    let properties = match values.properties {
        Some(raw) => properties::check(raw).map_err(|refusal| ("properties", refusal))?,
        None => return Err(("properties", missing())),
    };
    Ok(NewIngestedEvent {
        user_id,
        occurred_at,
        id,
        event_type,
        properties: SharedText::part_of(body, properties),
    })
}

fn values(sent: &RawValue) -> Result<Values<'_>, MemberRefusal> {
    let members: Members<'_> =
        serde_json::from_str(sent.get()).ok().ok_or_else(|| ("", bad_type("an object")))?;
    let mut values = Values::default();
    for (name, raw) in members.iter() {
        let (member, value) = match name {
            "id" => ("id", &mut values.id),
            "user_id" => ("user_id", &mut values.user_id),
            "type" => ("type", &mut values.event_type),
            "occurred_at" => ("occurred_at", &mut values.occurred_at),
            "properties" => ("properties", &mut values.properties),
            _ => return Err(("", ("unknown_field", "has a member that events do not have".to_owned()))),
        };
        if value.replace(raw).is_some() {
            return Err((member, ("duplicate_field", "occurs more than once".to_owned())));
        }
    }
    Ok(values)
}

fn missing() -> Refusal {
    ("required", "is required".to_owned())
}

fn required<'a, T>(
    member: &'static str,
    value: Option<&'a RawValue>,
    read: impl FnOnce(&'a RawValue) -> Result<T, Refusal>,
) -> Result<T, MemberRefusal> {
    let raw = value.filter(|raw| raw.get() != "null").ok_or_else(|| (member, missing()))?;
    read(raw).map_err(|refusal| (member, refusal))
}

/// A string, as a part of the body unless it contains an escape.
fn text(body: &Bytes, raw: &RawValue) -> Result<SharedText, Refusal> {
    let inner = raw.get().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match inner {
        Some(plain) if !plain.contains('\\') => Ok(SharedText::part_of(body, plain)),
        _ => Ok(SharedText::from(string(raw)?)),
    }
}

/// An identifier: 1 to 64 printable characters.
fn identifier(body: &Bytes, raw: &RawValue) -> Result<SharedText, Refusal> {
    let text = text(body, raw)?;
    check_identifier(text.as_str())?;
    Ok(text)
}

/// Checks an identifier.
///
/// # Errors
/// `bad_text` if it is empty, too long or contains a character that is not printable.
pub fn check_identifier(text: &str) -> Result<(), Refusal> {
    let is_ascii = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let is_printable = is_ascii || text.chars().all(is_printable);
    let length = if is_ascii { text.len() } else { text.chars().count() };
    if is_printable && (1..=MAX_ID_CHARS).contains(&length) {
        return Ok(());
    }
    Err(("bad_text", format!("must be 1 to {MAX_ID_CHARS} printable characters")))
}

/// Whether a character is visible or a space. Control, format, private-use, unassigned and line-breaking characters are
/// not.
fn is_printable(character: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    let breaks_line =
        matches!(category, GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator);
    !GeneralCategoryGroup::Other.contains(category) && !breaks_line
}

/// A type. It is restricted to ASCII because it appears in statistics.
fn event_type(body: &Bytes, raw: &RawValue) -> Result<SharedText, Refusal> {
    let text = text(body, raw)?;
    check_type(text.as_str())?;
    Ok(text)
}

/// Checks a type.
///
/// # Errors
/// `bad_text` if it is empty, too long or contains another character than letters, digits and `._-:/`.
pub fn check_type(text: &str) -> Result<(), Refusal> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte);
    if (1..=MAX_TYPE_CHARS).contains(&text.len()) && text.bytes().all(is_allowed) {
        return Ok(());
    }
    let rule = format!("must be 1 to {MAX_TYPE_CHARS} ASCII letters, digits and characters of ._-:/");
    Err(("bad_text", rule))
}

/// When an event happened, truncated to the precision of the store.
fn moment(raw: &RawValue, now: DateTime<Utc>) -> Result<DateTime<Utc>, Refusal> {
    let refusal = || ("bad_time", "must be an RFC 3339 time such as 2026-01-31T12:00:00Z".to_owned());
    let text = raw.get().strip_prefix('"').and_then(|text| text.strip_suffix('"')).ok_or_else(refusal)?;
    let time = DateTime::parse_from_rfc3339(text).ok().ok_or_else(refusal)?.to_utc();
    if time < now - MAX_AGE {
        return Err(("too_old", format!("must be at most {} days ago", MAX_AGE.num_days())));
    }
    if time > now + MAX_AHEAD {
        let rule = format!("must be at most {} minutes in the future", MAX_AHEAD.num_minutes());
        return Err(("in_the_future", rule));
    }
    Ok(time.trunc_subsecs(FRACTION_DIGITS))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-10T12:00:00Z".parse().unwrap()
    }

    fn valid() -> Value {
        json!({
            "id": "e-1", "user_id": "u-1", "type": "page.viewed", "occurred_at": "2026-03-10T11:59:59.1234567Z",
            "properties": {"page": "/apply"},
        })
    }

    fn read_text(text: &str) -> Result<NewIngestedEvent, (&'static str, &'static str)> {
        let body = Bytes::from(text.to_owned());
        let sent: &RawValue = serde_json::from_slice(&body).unwrap();
        read(&body, sent, 0, now()).map_err(|rejected| (rejected.member, rejected.code))
    }

    fn with(member: &str, value: Value) -> Result<NewIngestedEvent, (&'static str, &'static str)> {
        let mut event = valid();
        event[member] = value;
        read_text(&event.to_string())
    }

    #[test]
    fn the_members_of_an_event_are_read_and_its_time_is_truncated_to_microseconds() {
        let event = read_text(&valid().to_string()).unwrap();
        assert_eq!((event.id.as_str(), event.user_id.as_str()), ("e-1", "u-1"));
        assert_eq!(event.occurred_at.to_rfc3339(), "2026-03-10T11:59:59.123456+00:00");
        assert_eq!(event.properties.as_str(), r#"{"page":"/apply"}"#);
        let escaped = read_text(&valid().to_string().replace("u-1", "\\u00e9\\\"")).unwrap();
        assert_eq!(escaped.user_id.as_str(), "é\"");
    }

    #[test]
    fn each_member_has_its_limits() {
        for (member, value, code) in [
            ("id", json!(""), "bad_text"),
            ("id", json!("x".repeat(65)), "bad_text"),
            ("id", json!("é".repeat(65)), "bad_text"),
            ("id", json!("a\nb"), "bad_text"),
            ("id", json!("a\u{0}b"), "bad_text"),
            ("id", json!("a\u{202e}b"), "bad_text"),
            ("id", json!("a\u{2028}b"), "bad_text"),
            ("id", json!(7), "bad_type"),
            ("id", json!(null), "required"),
            ("user_id", json!(["u"]), "bad_type"),
            ("type", json!("page viewed"), "bad_text"),
            ("type", json!("é"), "bad_text"),
            ("type", json!(""), "bad_text"),
            ("occurred_at", json!("yesterday"), "bad_time"),
            ("occurred_at", json!(1_700_000_000), "bad_time"),
            ("occurred_at", json!("2026-03-10"), "bad_time"),
            ("occurred_at", json!("2026-03-03T11:59:59Z"), "too_old"),
            ("occurred_at", json!("2026-03-10T12:05:01Z"), "in_the_future"),
            ("properties", json!([]), "bad_type"),
            ("properties", json!("x"), "bad_type"),
            ("properties", json!(null), "bad_type"),
            ("properties", json!({"x": "y".repeat(8192)}), "too_large"),
        ] {
            assert_eq!(with(member, value.clone()).unwrap_err(), (member, code), "{value}");
        }
        for (member, value) in [
            ("id", json!("é".repeat(64))),
            ("id", json!("with space")),
            ("type", json!("a/b:c.d_e-f")),
            ("occurred_at", json!("2026-03-03T12:00:00Z")),
            ("occurred_at", json!("2026-03-10T14:05:00+02:00")),
            ("properties", json!({})),
        ] {
            assert!(with(member, value.clone()).is_ok(), "{value}");
        }
    }

    #[test]
    fn missing_unknown_and_repeated_members_are_refused() {
        for member in ["id", "user_id", "type", "occurred_at", "properties"] {
            let mut event = valid();
            event.as_object_mut().unwrap().remove(member);
            assert_eq!(read_text(&event.to_string()).unwrap_err(), (member, "required"));
        }
        assert_eq!(with("more", json!(1)).unwrap_err(), ("", "unknown_field"));
        assert_eq!(read_text("[1]").unwrap_err(), ("", "bad_type"));
        let twice = valid().to_string().replacen('{', r#"{"id": "other", "#, 1);
        assert_eq!(read_text(&twice).unwrap_err(), ("id", "duplicate_field"));
    }
}
