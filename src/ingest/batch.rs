//! The events of a request.
//!
//! A body is one event, an object with the member `events`, or one event in each line (NDJSON). A body that is not JSON is
//! refused as a whole. A single event that is not valid is rejected, and the others are stored.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::MAX_EVENTS;
use super::event::{self, RejectedEvent};
use crate::error::{Error, FieldError, PublicMessage, Result};
use crate::json::Members;
use crate::storage::ingest::NewIngestedEvent;

/// The member that holds the events of a request.
const EVENTS: &str = "events";

/// How the events of a body are separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// One JSON object: an event, or `{"events": […]}`.
    Json,
    /// One event in each line.
    Lines,
}

/// Where the events are in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The body is the event.
    Body,
    /// In the member `events`.
    Member,
    /// In lines.
    Lines,
}

/// The events of a request, checked.
#[derive(Debug)]
pub struct Batch {
    pub events: Vec<NewIngestedEvent>,
    pub rejected: Vec<RejectedEvent>,
    place: Place,
}

impl Batch {
    /// Reads the events of a body. Times are compared with `now`.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the body is not JSON, or [`Error::Validation`] if it has no events or too many. Neither
    /// quotes the body.
    pub fn read(body: &Bytes, format: BodyFormat, now: DateTime<Utc>) -> Result<Self> {
        let text = std::str::from_utf8(body).ok().ok_or_else(|| malformed("The body is not UTF-8."))?;
        if text.trim_ascii().is_empty() {
            return Err(malformed("The body is empty."));
        }
        let (sent, place) = match format {
            BodyFormat::Json => of_object(text)?,
            BodyFormat::Lines => (of_lines(text)?, Place::Lines),
        };
        let mut batch = Self { events: Vec::with_capacity(sent.len()), rejected: Vec::new(), place };
        for (index, sent) in sent.into_iter().enumerate() {
            batch.add(event::read(body, sent, index, now));
        }
        Ok(batch)
    }

    /// Reads a body that is one event.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the body is not JSON.
    pub fn of_event(body: &Bytes, now: DateTime<Utc>) -> Result<Self> {
        let sent = serde_json::from_slice(body).map_err(|error| bad_json(&error))?;
        let mut batch = Self { events: Vec::new(), rejected: Vec::new(), place: Place::Body };
        batch.add(event::read(body, sent, 0, now));
        Ok(batch)
    }

    fn add(&mut self, event: std::result::Result<NewIngestedEvent, RejectedEvent>) {
        match event {
            Ok(event) => self.events.push(event),
            Err(rejected) => self.rejected.push(rejected),
        }
    }

    /// The number of events, including the rejected ones.
    pub fn len(&self) -> usize {
        self.events.len() + self.rejected.len()
    }

    /// Never true: a batch without events is refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The error of a request without a valid event. Pointers name the index of each event.
    pub fn refusal(&self) -> Option<Error> {
        let field_error = |rejected: &RejectedEvent| {
            let member = match rejected.member {
                "" => String::new(),
                member => format!("/{member}"),
            };
            let pointer = match self.place {
                Place::Body => member,
                Place::Member => format!("/{EVENTS}/{}{member}", rejected.index),
                Place::Lines => format!("/{}{member}", rejected.index),
            };
            FieldError::new(pointer, rejected.code, rejected.reason.clone())
        };
        self.events.is_empty().then(|| Error::Validation(self.rejected.iter().map(field_error).collect()))
    }
}

fn malformed(text: impl Into<String>) -> Error {
    Error::Malformed(PublicMessage::new(text))
}

/// Describes a syntax error without quoting the text.
fn bad_json(error: &serde_json::Error) -> Error {
    let what = match error.classify() {
        serde_json::error::Category::Data => "The body must be a JSON object",
        serde_json::error::Category::Eof => "The JSON is incomplete",
        _ => "The body is not valid JSON",
    };
    malformed(format!("{what} (line {}, column {}).", error.line(), error.column()))
}

/// The events of a JSON object.
fn of_object(text: &str) -> Result<(Vec<&RawValue>, Place)> {
    let members: Members<'_> = serde_json::from_str(text).map_err(|error| bad_json(&error))?;
    let Some(events) = members.get(EVENTS) else {
        let body = serde_json::from_str(text).map_err(|error| bad_json(&error))?;
        return Ok((vec![body], Place::Body));
    };
    if members.iter().count() > 1 {
        let rule = "must be the only member of a request with several events";
        return Err(Error::field(format!("/{EVENTS}"), "not_allowed", rule));
    }
    let refuse = |code, rule: String| Err(Error::field(format!("/{EVENTS}"), code, rule));
    let events: Vec<&RawValue> = match serde_json::from_str(events.get()) {
        Ok(events) => events,
        Err(_) => return refuse("bad_type", "must be an array".to_owned()),
    };
    match events.len() {
        0 => refuse("required", "must not be empty".to_owned()),
        1..=MAX_EVENTS => Ok((events, Place::Member)),
        _ => refuse("too_many", format!("must be at most {MAX_EVENTS} events")),
    }
}

/// The events of a text with one in each line. Blank lines are ignored.
fn of_lines(text: &str) -> Result<Vec<&RawValue>> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim_ascii().is_empty());
    let mut events = Vec::new();
    for (number, line) in lines {
        let index = events.len();
        if index == MAX_EVENTS {
            return Err(Error::field("", "too_many", format!("must be at most {MAX_EVENTS} events")));
        }
        let event = serde_json::from_str(line).map_err(|error| {
            let column = error.column();
            malformed(format!(
                "The event with index {index} is not valid JSON (line {number}, column {column})."
            ))
        })?;
        events.push(event);
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-03-10T12:00:00Z";

    fn event(id: &str) -> String {
        format!(r#"{{"id":"{id}","user_id":"u","type":"t","occurred_at":"{NOW}","properties":{{}}}}"#)
    }

    fn read(text: &str, format: BodyFormat) -> Result<Batch> {
        Batch::read(&Bytes::from(text.to_owned()), format, NOW.parse().unwrap())
    }

    fn ids(batch: &Batch) -> Vec<&str> {
        batch.events.iter().map(|event| event.id.as_str()).collect()
    }

    #[test]
    fn a_body_is_one_event_an_array_of_events_or_lines() {
        let one = read(&event("a"), BodyFormat::Json).unwrap();
        assert_eq!(ids(&one), ["a"]);
        let array = format!(r#"{{ "events" : [ {} , 7, {} ] }}"#, event("a"), event("b"));
        let batch = read(&array, BodyFormat::Json).unwrap();
        assert_eq!((ids(&batch), batch.len()), (vec!["a", "b"], 3));
        assert_eq!((batch.rejected[0].index, batch.rejected[0].code), (1, "bad_type"));
        let lines = format!("{}\r\n\n  \n{}", event("a"), event("b"));
        assert_eq!(ids(&read(&lines, BodyFormat::Lines).unwrap()), ["a", "b"]);
    }

    #[test]
    fn a_body_that_is_not_json_is_malformed_and_the_line_is_named() {
        for text in ["", " \n", "{", "[]", "7", r#"{"a":1}x"#, "nope"] {
            assert!(matches!(read(text, BodyFormat::Json), Err(Error::Malformed(_))), "{text}");
        }
        let Err(Error::Malformed(text)) = read(&format!("{}\n\n{{", event("a")), BodyFormat::Lines) else {
            panic!("must be malformed")
        };
        assert_eq!(text.to_string(), "The event with index 1 is not valid JSON (line 3, column 1).");
    }

    #[test]
    fn the_number_of_events_is_limited() {
        let array = |count: usize| format!(r#"{{"events":[{}]}}"#, vec![event("a"); count].join(","));
        assert_eq!(read(&array(MAX_EVENTS), BodyFormat::Json).unwrap().len(), MAX_EVENTS);
        let codes = |text: &str, format| match read(text, format) {
            Err(Error::Validation(fields)) => fields.iter().map(|f| (f.pointer.clone(), f.code)).collect(),
            other => vec![(format!("{other:?}"), "")],
        };
        assert_eq!(codes(&array(0), BodyFormat::Json), [("/events".to_owned(), "required")]);
        assert_eq!(codes(&array(MAX_EVENTS + 1), BodyFormat::Json), [("/events".to_owned(), "too_many")]);
        let lines = vec![event("a"); MAX_EVENTS + 1].join("\n");
        assert_eq!(codes(&lines, BodyFormat::Lines), [(String::new(), "too_many")]);
        assert_eq!(codes(r#"{"events":{}}"#, BodyFormat::Json), [("/events".to_owned(), "bad_type")]);
        assert_eq!(
            codes(r#"{"events":[],"a":1}"#, BodyFormat::Json),
            [("/events".to_owned(), "not_allowed")]
        );
    }

    #[test]
    fn a_request_without_a_valid_event_is_refused_with_the_index_of_each() {
        let pointers = |text: &str, format| match read(text, format).unwrap().refusal() {
            Some(Error::Validation(fields)) => fields.into_iter().map(|field| field.pointer).collect(),
            _ => Vec::new(),
        };
        assert_eq!(pointers(r#"{"id":1}"#, BodyFormat::Json), ["/id"]);
        assert_eq!(pointers(r#"{"events":[{"id":1},7]}"#, BodyFormat::Json), ["/events/0/id", "/events/1"]);
        assert_eq!(pointers("{\"id\":1}\n7", BodyFormat::Lines), ["/0/id", "/1"]);
        assert!(pointers(&format!("{}\n7", event("a")), BodyFormat::Lines).is_empty());
    }
}
