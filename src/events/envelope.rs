//! Envelopes: published events as they are passed between instances.
//!
//! The relay, the buses, the cache follower and the broadcaster pass envelopes. They only use what all events have in
//! common: identifier, type, subject, time and offset. The data stays JSON text until a consumer that knows the type
//! decodes it ([`Envelope::data`]). Consumers of the same envelope share the decoded data.
//!
//! The JSON form of an envelope is a CloudEvents 1.0 event in structured mode ([`Envelope::to_json`]).

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::ids::{EventId, RequestId};
use crate::domain::published::{EventData, Position};
use crate::error::{Error, Result};
use crate::storage::outbox::StoredEvent;

/// The `source` of every event.
pub const SOURCE: &str = "/aval";

/// The member of the data with the name of the owner. It determines who may see an event, and is not sent to others.
const OWNER: &str = "created_by";

type Decoded = Option<Arc<dyn Any + Send + Sync>>;

/// A published event.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The same for every delivery.
    pub id: EventId,
    /// The type with its version, such as `application.status_changed.v1`.
    pub event_type: String,
    /// The identifier of the changed object.
    pub subject: Uuid,
    /// When the event was written.
    pub time: DateTime<Utc>,
    pub offset: i64,
    /// The request that caused the event.
    pub request_id: Option<RequestId>,
    pub traceparent: Option<String>,
    json: Box<RawValue>,
    decoded: OnceLock<Decoded>,
}

/// The JSON form for writing. CloudEvents limits the names of extension attributes to lower-case letters and digits
/// (1.0, section 3.1). `sequence` is a string because CloudEvents integers have 32 bits.
#[derive(Serialize)]
struct Written<'a> {
    specversion: &'static str,
    id: EventId,
    source: &'static str,
    #[serde(rename = "type")]
    event_type: &'a str,
    subject: Uuid,
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    time: &'a DateTime<Utc>,
    datacontenttype: &'static str,
    epoch: Uuid,
    sequence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    requestid: Option<&'a RequestId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: &'a RawValue,
}

/// The JSON form for reading: the attributes that an envelope keeps.
#[derive(Deserialize)]
struct Read {
    id: EventId,
    #[serde(rename = "type")]
    event_type: String,
    subject: Uuid,
    time: DateTime<Utc>,
    epoch: Uuid,
    sequence: String,
    requestid: Option<String>,
    traceparent: Option<String>,
    data: Box<RawValue>,
}

impl Envelope {
    pub fn json(&self) -> &RawValue {
        &self.json
    }

    pub fn is_of<T: EventData>(&self) -> bool {
        self.event_type.starts_with(T::FAMILY)
    }

    /// The decoded data; `None` for a type of another family, or data of a shape unknown to this version. Each
    /// envelope is decoded at most once.
    pub fn data<T: EventData>(&self) -> Option<&T> {
        if !self.is_of::<T>() {
            return None;
        }
        let decode = || -> Decoded { Some(Arc::new(serde_json::from_str::<T>(self.json.get()).ok()?)) };
        self.decoded.get_or_init(decode).as_deref()?.downcast_ref()
    }

    /// The CloudEvents JSON of the envelope in epoch `epoch`.
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be serialized, which does not happen for stored events.
    pub fn to_json(&self, epoch: Uuid) -> Result<Vec<u8>> {
        self.write(epoch, &self.json)
    }

    /// The CloudEvents JSON without the owner, and the owner as JSON.
    ///
    /// # Errors
    /// As [`Envelope::to_json`].
    pub fn to_public_json(&self, epoch: Uuid) -> Result<(Vec<u8>, Option<Box<RawValue>>)> {
        if !self.json.get().contains(OWNER) {
            return Ok((self.to_json(epoch)?, None));
        }
        let mut members: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(self.json.get()).map_err(Error::internal)?;
        let owner = members.remove(OWNER);
        let data = serde_json::value::to_raw_value(&members).map_err(Error::internal)?;
        Ok((self.write(epoch, &data)?, owner))
    }

    /// The event with an owner, which is JSON; `None` if the data is not an object or the owner is not JSON.
    pub fn with_owner(mut self, owner: &str) -> Option<Self> {
        let members = self.json.get().trim_start().strip_prefix('{')?.trim_start();
        let separator = if members.starts_with('}') { "" } else { "," };
        self.json = RawValue::from_string(format!("{{\"{OWNER}\":{owner}{separator}{members}")).ok()?;
        Some(self)
    }

    fn write(&self, epoch: Uuid, data: &RawValue) -> Result<Vec<u8>> {
        let written = Written {
            specversion: "1.0",
            id: self.id,
            source: SOURCE,
            event_type: &self.event_type,
            subject: self.subject,
            time: &self.time,
            datacontenttype: "application/json",
            epoch,
            sequence: self.offset.to_string(),
            requestid: self.request_id.as_ref(),
            traceparent: self.traceparent.as_deref(),
            data,
        };
        serde_json::to_vec(&written).map_err(Error::internal)
    }

    /// Parses the output of [`Envelope::to_json`]. Returns `None` unless it is the event at `position`.
    pub fn from_json(json: &[u8], position: Position) -> Option<Self> {
        let read: Read = serde_json::from_slice(json).ok()?;
        let stated = Position { epoch: read.epoch, offset: read.sequence.parse().ok()? };
        (stated == position).then(|| Self {
            id: read.id,
            event_type: read.event_type,
            subject: read.subject,
            time: read.time,
            offset: position.offset,
            request_id: read.requestid.as_deref().and_then(RequestId::parse),
            traceparent: read.traceparent,
            json: read.data,
            decoded: OnceLock::new(),
        })
    }
}

impl From<StoredEvent> for Envelope {
    fn from(stored: StoredEvent) -> Self {
        Self {
            id: stored.id,
            event_type: stored.event_type,
            subject: stored.subject,
            time: stored.time,
            offset: stored.offset,
            request_id: stored.request_id,
            traceparent: stored.traceparent,
            json: stored.data,
            decoded: OnceLock::new(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// An envelope with this type, offset and data.
    pub(crate) fn envelope(event_type: &str, offset: i64, data: &Value) -> Envelope {
        Envelope::from(StoredEvent {
            id: EventId::new(Uuid::from_u128(900)),
            event_type: event_type.to_owned(),
            subject: Uuid::from_u128(7),
            time: DateTime::UNIX_EPOCH,
            offset,
            request_id: RequestId::parse("r-1"),
            traceparent: Some("00-1-2-01".to_owned()),
            data: RawValue::from_string(data.to_string()).unwrap(),
        })
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Toy {
        size: u8,
    }

    impl EventData for Toy {
        const FAMILY: &'static str = "toy.";
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Other {}

    impl EventData for Other {
        const FAMILY: &'static str = "other.";
    }

    #[test]
    fn the_json_of_an_envelope_is_a_cloud_event() {
        let json = envelope("toy.made.v1", 9, &json!({"size": 3})).to_json(Uuid::nil()).unwrap();
        let expected = json!({
            "specversion": "1.0",
            "id": Uuid::from_u128(900),
            "source": "/aval",
            "type": "toy.made.v1",
            "subject": Uuid::from_u128(7),
            "time": "1970-01-01T00:00:00.000000Z",
            "datacontenttype": "application/json",
            "epoch": Uuid::nil(),
            "sequence": "9",
            "requestid": "r-1",
            "traceparent": "00-1-2-01",
            "data": {"size": 3},
        });
        assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), expected);
    }

    #[test]
    fn an_envelope_is_parsed_at_its_own_position_only() {
        let at = |epoch, offset| Position { epoch: Uuid::from_u128(epoch), offset };
        let written = envelope("toy.made.v1", 9, &json!({"size": 3}));
        let json = written.to_json(Uuid::from_u128(1)).unwrap();
        let read = Envelope::from_json(&json, at(1, 9)).unwrap();
        assert_eq!(read.to_json(Uuid::from_u128(1)).unwrap(), json);
        assert!(Envelope::from_json(&json, at(1, 8)).is_none());
        assert!(Envelope::from_json(&json, at(2, 9)).is_none());
        assert!(Envelope::from_json(b"{}", at(1, 9)).is_none());
    }

    #[test]
    fn the_owner_is_removed_from_the_data_and_can_be_restored() {
        for (data, public) in [
            (json!({"created_by": "ana", "size": 3}), json!({"size": 3})),
            (json!({"created_by": "ana"}), json!({})),
            (json!({"size": {"created_by": "ana"}}), json!({"size": {"created_by": "ana"}})),
        ] {
            let written = envelope("toy.made.v1", 9, &data);
            let (json, owner) = written.to_public_json(Uuid::nil()).unwrap();
            let read = Envelope::from_json(&json, Position { epoch: Uuid::nil(), offset: 9 }).unwrap();
            let data_of = |event: &Envelope| serde_json::from_str::<Value>(event.json().get()).unwrap();
            assert_eq!(data_of(&read), public);
            let restored = match owner {
                Some(owner) => read.with_owner(owner.get()).unwrap(),
                None => read,
            };
            assert_eq!(data_of(&restored), data);
        }
    }

    #[test]
    fn data_is_decoded_for_its_own_family_and_shape_only() {
        let made = envelope("toy.made.v1", 1, &json!({"size": 3, "newer": [1e300]}));
        assert!(made.data::<Other>().is_none());
        assert_eq!(made.data(), Some(&Toy { size: 3 }));
        assert!(
            std::ptr::eq(made.data::<Toy>().unwrap(), made.data::<Toy>().unwrap()),
            "data must be decoded once"
        );
        for strange in [json!({}), json!([]), json!({"size": "large"})] {
            assert!(envelope("toy.made.v1", 1, &strange).data::<Toy>().is_none(), "{strange}");
        }
    }
}
