//! The entries of the stream: one sealed envelope each.

use ::redis::Value;
use uuid::Uuid;

use crate::domain::published::Position;
use crate::error::Result;
use crate::events::envelope::Envelope;
use crate::storage::seal::KeyRing;

/// The field of an entry that contains the sealed envelope.
const FIELD: &str = "e";
pub(super) fn seal(keys: &KeyRing, key: &str, epoch: Uuid, event: &Envelope) -> Result<Vec<u8>> {
    keys.seal_copy(&location(key, event.offset), &event.to_json(epoch)?)
}

/// `None` for any invalid entry; the database has the event too.
pub(super) fn open(keys: &KeyRing, key: &str, epoch: Uuid, entry: &Value) -> Option<Envelope> {
    let [name, fields] = elements(entry) else { return None };
    let [field, sealed] = elements(fields) else { return None };
    if bytes(field)? != FIELD.as_bytes() {
        return None;
    }
    let offset = offset_of(std::str::from_utf8(bytes(name)?).ok()?)?;
    let json = keys.open_copy(&location(key, offset), bytes(sealed)?).ok()?;
    Envelope::from_json(&json, Position { epoch, offset })
}

/// The location that an entry is sealed for. It cannot be opened at another offset or in another stream.
fn location(key: &str, offset: i64) -> String {
    format!("{key}/{offset}")
}

/// The offset in the id of an entry, if Aval can have appended it.
fn offset_of(entry_id: &str) -> Option<i64> {
    let digits = entry_id.strip_suffix("-1")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// The elements of an array; empty for any other value.
pub(super) fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) => elements,
        _ => &[],
    }
}

/// The bytes of a string; `None` for any other value.
fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_the_first_part_of_an_entry_id() {
        for (name, offset) in [
            ("17-1", Some(17)),
            ("9223372036854775807-1", Some(i64::MAX)),
            ("18446744073709551615-1", None),
            ("17-0", None),
            ("17-11", None),
            ("+17-1", None),
            ("17", None),
            ("x-1", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(offset_of(name), offset, "{name}");
        }
    }
}
