//! The opaque cursor of a list: where the next page starts, bound to the list that it was made for.
//!
//! It holds a format version, the last identifier of the page, and a keyed digest of both with the list's own text: its
//! name, order and filters. A cursor that was altered, made up, or used with another list has another digest and is
//! refused: it would give a page of a list that does not exist. Cursors end with the key of the blind index.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::storage::seal::KeyRing;

const FORMAT: u8 = 2;
const DIGEST_BYTES: usize = 12;
const LENGTH: usize = 1 + 16 + DIGEST_BYTES;
/// Characters of a cursor: `LENGTH` bytes without padding.
const MAX_CHARS: usize = LENGTH.div_ceil(3) * 4;

/// Writes the cursor that continues `list` after `last`.
pub(super) fn encode(keys: &KeyRing, last: Uuid, list: &str) -> String {
    URL_SAFE_NO_PAD.encode(bytes(keys, last, list))
}

/// Reads a cursor; `None` unless it was made for this list.
pub(super) fn decode(keys: &KeyRing, text: &str, list: &str) -> Option<Uuid> {
    if text.len() > MAX_CHARS {
        return None;
    }
    let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
    let last = decoded.get(1..17).and_then(|id| Uuid::from_slice(id).ok())?;
    (decoded == bytes(keys, last, list)).then_some(last)
}

fn bytes(keys: &KeyRing, last: Uuid, list: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.push(FORMAT);
    bytes.extend(last.as_bytes());
    let digest = keys.keyed_hash("cursor", &[&bytes, list.as_bytes()]);
    bytes.extend(digest.into_iter().take(DIGEST_BYTES));
    bytes
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::PlainEnvelopes;
    use proptest::prelude::*;

    /// A key ring for tests that only need its hashes.
    pub(in crate::http) fn keys(index: u8) -> KeyRing {
        KeyRing::new([([0; 4], &[1; 32])], &[index; 32], PlainEnvelopes::Refused).unwrap()
    }

    proptest! {
        #[test]
        fn a_cursor_gives_back_its_identifier_to_its_own_list_alone(id in any::<u128>(), list in "[a-z]{0,9}") {
            let id = Uuid::from_u128(id);
            let cursor = encode(&keys(1), id, &list);
            prop_assert!(cursor.len() <= MAX_CHARS);
            prop_assert_eq!(decode(&keys(1), &cursor, &list), Some(id));
            prop_assert_eq!(decode(&keys(1), &cursor, &format!("{list}!")), None);
            prop_assert_eq!(decode(&keys(2), &cursor, &list), None, "who has not the key cannot make one");
        }

        #[test]
        fn a_cursor_with_any_bit_changed_is_refused(id in any::<u128>(), bit in 0..LENGTH * 8) {
            let mut bytes = bytes(&keys(1), Uuid::from_u128(id), "list");
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(&keys(1), &URL_SAFE_NO_PAD.encode(bytes), "list"), None);
        }

        #[test]
        fn no_text_is_taken_for_a_cursor(text in "\\PC{0,60}", like in "[A-Za-z0-9_-]{36,40}") {
            prop_assert_eq!(decode(&keys(1), &text, "list"), None);
            prop_assert_eq!(decode(&keys(1), &like, "list"), None);
        }
    }
}
