//! The entries of the streams.
//!
//! | field | content |
//! |---|---|
//! | `event` | CloudEvents JSON, without the owner |
//! | `epoch` | the epoch of the offset |
//! | `previous` | the partition has no event between this offset and the entry |
//! | `seal` | proves that Aval wrote the entry, and contains the owner; only Aval can read it |
//!
//! The seal is bound to the stream and to all other fields, so an entry cannot be changed or copied to another place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redis::streams::StreamId;
use redis::{FromRedisValue, from_redis_value_ref};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::domain::published::Position;
use crate::error::Result;
use crate::events::envelope::Envelope;
use crate::storage::seal::KeyRing;

/// An entry to append.
#[derive(Debug)]
pub(super) struct NewEntry {
    pub(super) partition: i16,
    pub(super) offset: i64,
    pub(super) previous: i64,
    pub(super) event: Vec<u8>,
    pub(super) seal: String,
}

impl NewEntry {
    /// The entry of an event in the stream `key`.
    ///
    /// # Errors
    /// If the event cannot be serialized or sealed.
    pub(super) fn new(
        keys: &KeyRing,
        key: &str,
        (partition, previous): (i16, i64),
        event: &Envelope,
        epoch: Uuid,
    ) -> Result<Self> {
        let (json, owner) = event.to_public_json(epoch)?;
        let owner = owner.as_deref().map_or("", serde_json::value::RawValue::get);
        let seal = keys.seal_copy(&location(key, previous, &json), owner.as_bytes())?;
        Ok(Self { partition, offset: event.offset, previous, event: json, seal: STANDARD.encode(seal) })
    }
}

/// An entry that was read.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The identifier in Redis.
    pub id: String,
    pub partition: i16,
    /// `None` if Aval has not written the entry.
    pub event: Option<StreamedEvent>,
}

/// The event of an entry.
#[derive(Debug, Clone)]
pub struct StreamedEvent {
    pub epoch: Uuid,
    /// The partition has no event between this offset and the event.
    pub previous: i64,
    pub envelope: Envelope,
}

impl Entry {
    pub(super) fn read(keys: &KeyRing, key: &str, partition: i16, found: &StreamId) -> Self {
        Self { id: found.id.clone(), partition, event: open(keys, key, found) }
    }

    /// The offset in the identifier; `None` for an identifier that Aval does not use.
    pub fn offset(&self) -> Option<i64> {
        offset_of(&self.id)
    }
}

/// `None` if Aval has not written the entry.
fn open(keys: &KeyRing, key: &str, found: &StreamId) -> Option<StreamedEvent> {
    let offset = offset_of(&found.id)?;
    let epoch: Uuid = field::<String>(found, "epoch")?.parse().ok()?;
    let previous: i64 = field(found, "previous")?;
    let json: Vec<u8> = field(found, "event")?;
    let seal = STANDARD.decode(field::<Vec<u8>>(found, "seal")?).ok()?;
    let owner = keys.open_copy(&location(key, previous, &json), &seal).ok()?;
    let envelope = Envelope::from_json(&json, Position { epoch, offset })?;
    let envelope = match std::str::from_utf8(&owner).ok()? {
        "" => envelope,
        owner => envelope.with_owner(owner)?,
    };
    Some(StreamedEvent { epoch, previous, envelope })
}

fn field<T: FromRedisValue>(found: &StreamId, name: &str) -> Option<T> {
    from_redis_value_ref(found.map.get(name)?).ok()
}

/// What a seal is bound to. The JSON contains the epoch and the offset.
fn location(key: &str, previous: i64, json: &[u8]) -> String {
    let digest = Sha256::digest(json);
    format!("{key}/{previous}/{}", STANDARD.encode(digest))
}

/// The offset in the identifier of an entry.
pub(super) fn offset_of(id: &str) -> Option<i64> {
    let digits = id.strip_suffix("-1")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}
