//! The opaque cursor of a list: the start of the next page, bound to the list that it was issued for.
//!
//! A cursor holds a format version, the last identifier of the page, and a keyed digest of both and the list's name,
//! order and filters. A cursor that was altered, forged or issued for a different list has a different digest and is
//! refused. Cursors become invalid when the key of the blind index changes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::storage::seal::KeyRing;

const FORMAT: u8 = 2;
/// The format of a cursor that also holds a time.
const FORMAT_WITH_TIME: u8 = 3;
/// The format of a cursor that holds a time and a text.
const FORMAT_WITH_TEXT: u8 = 4;
const DIGEST_BYTES: usize = 12;
const LENGTH: usize = 1 + 16 + DIGEST_BYTES;
const LENGTH_WITH_TIME: usize = LENGTH + 8;
/// Maximum length of an unpadded cursor in characters.
const MAX_CHARS: usize = LENGTH_WITH_TIME.div_ceil(3) * 4;
/// The longest text in a cursor, in bytes: 64 characters.
const MAX_TEXT_BYTES: usize = 256;
/// Maximum length of an unpadded cursor with a text, in characters.
const MAX_CHARS_WITH_TEXT: usize = (1 + 8 + MAX_TEXT_BYTES + DIGEST_BYTES).div_ceil(3) * 4;

/// Encodes the cursor that continues `list` after `last`.
pub(super) fn encode(keys: &KeyRing, last: Uuid, list: &str) -> String {
    URL_SAFE_NO_PAD.encode(bytes(keys, None, last, list))
}

/// Encodes the cursor that continues a list ordered by time after `last`, whose time is `at`.
pub(super) fn encode_with_time(keys: &KeyRing, at: DateTime<Utc>, last: Uuid, list: &str) -> String {
    URL_SAFE_NO_PAD.encode(bytes(keys, Some(at), last, list))
}

/// Decodes a cursor; `None` if it was not issued for this list.
pub(super) fn decode(keys: &KeyRing, text: &str, list: &str) -> Option<Uuid> {
    let decoded = read(text)?;
    let last = decoded.get(1..17).and_then(|id| Uuid::from_slice(id).ok())?;
    (decoded == bytes(keys, None, last, list)).then_some(last)
}

/// Decodes a cursor of a list ordered by time; `None` if it was not issued for this list.
pub(super) fn decode_with_time(keys: &KeyRing, text: &str, list: &str) -> Option<(DateTime<Utc>, Uuid)> {
    let decoded = read(text)?;
    let last = decoded.get(1..17).and_then(|id| Uuid::from_slice(id).ok())?;
    let micros = decoded.get(17..25).and_then(|at| at.try_into().ok()).map(i64::from_be_bytes)?;
    let at = DateTime::from_timestamp_micros(micros)?;
    (decoded == bytes(keys, Some(at), last, list)).then_some((at, last))
}

/// Encodes the cursor that continues a list ordered by time and a text after the entry with `at` and `last`.
pub(super) fn encode_with_text(keys: &KeyRing, at: DateTime<Utc>, last: &str, list: &str) -> String {
    URL_SAFE_NO_PAD.encode(bytes_with_text(keys, at, last, list))
}

/// Decodes a cursor of a list ordered by time and a text; `None` if it was not issued for this list.
pub(super) fn decode_with_text(keys: &KeyRing, text: &str, list: &str) -> Option<(DateTime<Utc>, String)> {
    if text.len() > MAX_CHARS_WITH_TEXT {
        return None;
    }
    let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
    let micros = decoded.get(1..9).and_then(|at| at.try_into().ok()).map(i64::from_be_bytes)?;
    let last = decoded.get(9..decoded.len().checked_sub(DIGEST_BYTES)?)?;
    let (at, last) = (DateTime::from_timestamp_micros(micros)?, std::str::from_utf8(last).ok()?);
    (decoded == bytes_with_text(keys, at, last, list)).then(|| (at, last.to_owned()))
}

fn bytes_with_text(keys: &KeyRing, at: DateTime<Utc>, last: &str, list: &str) -> Vec<u8> {
    let mut bytes = vec![FORMAT_WITH_TEXT];
    bytes.extend(at.timestamp_micros().to_be_bytes());
    bytes.extend(last.as_bytes());
    let digest = keys.keyed_hash("cursor", &[&bytes, list.as_bytes()]);
    bytes.extend(digest.into_iter().take(DIGEST_BYTES));
    bytes
}

fn read(text: &str) -> Option<Vec<u8>> {
    if text.len() > MAX_CHARS {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn bytes(keys: &KeyRing, at: Option<DateTime<Utc>>, last: Uuid, list: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LENGTH_WITH_TIME);
    bytes.push(if at.is_some() { FORMAT_WITH_TIME } else { FORMAT });
    bytes.extend(last.as_bytes());
    bytes.extend(at.into_iter().flat_map(|at| at.timestamp_micros().to_be_bytes()));
    let digest = keys.keyed_hash("cursor", &[&bytes, list.as_bytes()]);
    bytes.extend(digest.into_iter().take(DIGEST_BYTES));
    bytes
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A key ring for tests that only use its hashes.
    pub(in crate::http) fn keys(index: u8) -> KeyRing {
        KeyRing::new([([0; 4], &[1; 32])], &[index; 32]).unwrap()
    }

    proptest! {
        #[test]
        fn a_cursor_is_decoded_only_for_its_own_list(id in any::<u128>(), list in "[a-z]{0,9}") {
            let id = Uuid::from_u128(id);
            let cursor = encode(&keys(1), id, &list);
            prop_assert!(cursor.len() <= MAX_CHARS);
            prop_assert_eq!(decode(&keys(1), &cursor, &list), Some(id));
            prop_assert_eq!(decode(&keys(1), &cursor, &format!("{list}!")), None);
            prop_assert_eq!(decode(&keys(2), &cursor, &list), None, "a cursor cannot be forged without the key");
        }

        #[test]
        fn a_cursor_with_a_time_is_decoded_only_as_such(
            id in any::<u128>(), micros in 0_i64..4_000_000_000_000_000
        ) {
            let (id, at) = (Uuid::from_u128(id), DateTime::from_timestamp_micros(micros).unwrap());
            let cursor = encode_with_time(&keys(1), at, id, "list");
            prop_assert!(cursor.len() <= MAX_CHARS);
            prop_assert_eq!(decode_with_time(&keys(1), &cursor, "list"), Some((at, id)));
            prop_assert_eq!(decode_with_time(&keys(1), &cursor, "other"), None);
            prop_assert_eq!(decode(&keys(1), &cursor, "list"), None);
            prop_assert_eq!(decode_with_time(&keys(1), &encode(&keys(1), id, "list"), "list"), None);
        }

        #[test]
        fn a_cursor_with_a_text_is_decoded_only_for_its_own_list(
            last in "\\PC{0,64}", micros in 0_i64..4_000_000_000_000_000
        ) {
            let at = DateTime::from_timestamp_micros(micros).unwrap();
            let cursor = encode_with_text(&keys(1), at, &last, "list");
            prop_assert!(cursor.len() <= MAX_CHARS_WITH_TEXT);
            prop_assert_eq!(decode_with_text(&keys(1), &cursor, "list"), Some((at, last)));
            prop_assert_eq!(decode_with_text(&keys(1), &cursor, "other"), None);
            prop_assert_eq!(decode_with_text(&keys(2), &cursor, "list"), None);
        }

        #[test]
        fn a_cursor_with_any_bit_changed_is_refused(id in any::<u128>(), bit in 0..LENGTH * 8) {
            let mut bytes = bytes(&keys(1), None, Uuid::from_u128(id), "list");
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(&keys(1), &URL_SAFE_NO_PAD.encode(bytes), "list"), None);
        }

        #[test]
        fn arbitrary_text_is_not_a_cursor(text in "\\PC{0,60}", like in "[A-Za-z0-9_-]{36,40}") {
            prop_assert_eq!(decode(&keys(1), &text, "list"), None);
            prop_assert_eq!(decode(&keys(1), &like, "list"), None);
        }
    }
}
