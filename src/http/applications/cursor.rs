//! The opaque cursor of a list: where the next page starts, bound to the list that it was made for.
//!
//! It holds a format version, the sort order, the last identifier of the page, and a digest of all of these with the
//! list's filters. A cursor that was altered, or that is used with other filters or another order, has another digest
//! and is refused: it would give a page of a list that does not exist.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::domain::ids::ApplicationId;
use crate::storage::applications::{ListFilter, SortOrder};

const FORMAT: u8 = 1;
const DIGEST_BYTES: usize = 8;
const LENGTH: usize = 2 + 16 + DIGEST_BYTES;
/// Characters of a cursor: `LENGTH` bytes without padding.
const MAX_CHARS: usize = LENGTH.div_ceil(3) * 4;

/// Writes the cursor that continues after `last`.
pub(super) fn encode(last: ApplicationId, order: SortOrder, filter: &ListFilter) -> String {
    URL_SAFE_NO_PAD.encode(bytes(last, order, filter))
}

/// Reads a cursor; `None` unless it was made for this order and these filters.
pub(super) fn decode(text: &str, order: SortOrder, filter: &ListFilter) -> Option<ApplicationId> {
    if text.len() > MAX_CHARS {
        return None;
    }
    let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
    let id = decoded.get(2..18).and_then(|id| Uuid::from_slice(id).ok()).map(ApplicationId::new)?;
    (decoded == bytes(id, order, filter)).then_some(id)
}

fn bytes(last: ApplicationId, order: SortOrder, filter: &ListFilter) -> Vec<u8> {
    let order = match order {
        SortOrder::NewestFirst => b'-',
        SortOrder::OldestFirst => b'+',
    };
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend([FORMAT, order]);
    bytes.extend(last.as_uuid().as_bytes());
    let mut digest = Sha256::new();
    digest.update(&bytes);
    digest.update(canonical(filter));
    bytes.extend(digest.finalize().iter().take(DIGEST_BYTES));
    bytes
}

/// The filters as text, the same for the same list.
fn canonical(filter: &ListFilter) -> String {
    let ListFilter { country, status, from, to, min_amount, max_amount, risk_band } = filter;
    format!("{country:?} {status:?} {from:?} {to:?} {min_amount:?} {max_amount:?} {risk_band:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::application::Country;
    use proptest::prelude::*;

    fn order() -> impl Strategy<Value = SortOrder> {
        prop_oneof![Just(SortOrder::NewestFirst), Just(SortOrder::OldestFirst)]
    }

    fn spain() -> ListFilter {
        ListFilter { country: Some(Country::Es), ..ListFilter::default() }
    }

    proptest! {
        #[test]
        fn a_cursor_gives_back_its_identifier_to_its_own_list_alone(id in any::<u128>(), order in order()) {
            let id = ApplicationId::new(Uuid::from_u128(id));
            let cursor = encode(id, order, &spain());
            prop_assert!(cursor.len() <= MAX_CHARS);
            prop_assert_eq!(decode(&cursor, order, &spain()), Some(id));
            prop_assert_eq!(decode(&cursor, order, &ListFilter::default()), None);
            let other = if order == SortOrder::NewestFirst { SortOrder::OldestFirst } else { SortOrder::NewestFirst };
            prop_assert_eq!(decode(&cursor, other, &spain()), None);
        }

        #[test]
        fn a_cursor_with_any_bit_changed_is_refused(id in any::<u128>(), bit in 0..LENGTH * 8) {
            let mut bytes = bytes(ApplicationId::new(Uuid::from_u128(id)), SortOrder::NewestFirst, &spain());
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(&URL_SAFE_NO_PAD.encode(bytes), SortOrder::NewestFirst, &spain()), None);
        }

        #[test]
        fn no_text_is_taken_for_a_cursor(text in "\\PC{0,60}") {
            prop_assert_eq!(decode(&text, SortOrder::NewestFirst, &ListFilter::default()), None);
        }
    }
}
