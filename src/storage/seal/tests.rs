use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::application::Country;
use crate::domain::personal_data::IdentityDocument;

const OLD: ([u8; 4], &[u8; 32]) = ([1, 1, 1, 1], &[1; 32]);
const NEW: ([u8; 4], &[u8; 32]) = ([2, 2, 2, 2], &[2; 32]);
/// Another key with the id of [`NEW`].
const TWIN: ([u8; 4], &[u8; 32]) = ([2, 2, 2, 2], &[3; 32]);
const ROW: Uuid = Uuid::from_u128(7);

fn ring(keys: &[([u8; 4], &'static [u8; 32])]) -> KeyRing {
    KeyRing::new(keys.iter().copied(), &[9; 32]).unwrap()
}

fn cause(result: Result<impl fmt::Debug>) -> String {
    result.unwrap_err().private_cause().unwrap().to_owned()
}

#[test]
fn an_envelope_opens_to_its_text_and_does_not_reveal_it() {
    let keys = ring(&[NEW]);
    let envelope = keys.seal(SealedField::FullName, ROW, "Ana García").unwrap();
    assert_eq!(keys.open(SealedField::FullName, ROW, &envelope).unwrap(), "Ana García");
    assert!(envelope.starts_with(&keys.active_prefix()));
    assert_eq!(envelope.len(), HEADER_BYTES + "Ana García".len() + TAG_BYTES);
    assert!(!envelope.windows(3).any(|window| window == b"Ana"));
    let again = keys.seal(SealedField::FullName, ROW, "Ana García").unwrap();
    assert_ne!(again, envelope, "equal texts must have different envelopes");
    assert_eq!(keys.open(SealedField::FullName, ROW, &again).unwrap(), "Ana García");
    assert_eq!(format!("{keys:?}"), "KeyRing { keys: 1, .. }");
}

#[test]
fn a_copy_outside_the_database_opens_only_under_its_own_key() {
    let keys = ring(&[NEW]);
    let sealed = keys.seal_copy("aval:cache:1", b"Ana").unwrap();
    assert_eq!(keys.open_copy("aval:cache:1", &sealed).unwrap(), b"Ana");
    assert!(cause(keys.open_copy("aval:cache:2", &sealed)).contains("modified or moved"));
    assert!(cause(keys.open(SealedField::FullName, b"aval:cache:1", &sealed)).contains("modified or moved"));
    for strange in [&[0, b'A'][..], &[], &[SEALED, 1]] {
        assert!(keys.open_copy("aval:cache:1", strange).is_err());
    }
}

#[test]
fn the_first_key_seals_and_each_opens_what_it_sealed() {
    let field = SealedField::BirthDate;
    let old = ring(&[OLD]).seal(field, ROW, "1980-01-01").unwrap();
    let both = ring(&[NEW, OLD]);
    assert_eq!(both.open(field, ROW, &old).unwrap(), "1980-01-01");
    let new = both.seal(field, ROW, "1980-01-01").unwrap();
    assert_eq!(ring(&[NEW]).open(field, ROW, &new).unwrap(), "1980-01-01");
    assert!(cause(ring(&[NEW]).open(field, ROW, &old)).contains("not in the key ring"));
    let twin = ring(&[TWIN]).seal(field, ROW, "1980-01-01").unwrap();
    assert_eq!(ring(&[NEW, TWIN]).open(field, ROW, &twin).unwrap(), "1980-01-01");
    assert!(ring(&[NEW]).open(field, ROW, &twin).is_err());
}

#[test]
fn an_envelope_opens_only_where_it_was_sealed() {
    let keys = ring(&[NEW]);
    for field in SealedField::ALL {
        let envelope = keys.seal(field, ROW, "text").unwrap();
        for other in SealedField::ALL {
            assert_eq!(keys.open(other, ROW, &envelope).is_ok(), other == field, "{field} as {other}");
        }
        assert!(cause(keys.open(field, Uuid::from_u128(8), &envelope)).contains("modified or moved"));
    }
}

#[test]
fn locations_have_distinct_associated_data() {
    let mut places = std::collections::HashSet::new();
    for field in SealedField::ALL {
        for row in [&b""[..], b"a", b"ab", ROW.as_bytes()] {
            for key in [OLD.0, NEW.0] {
                assert!(places.insert(EnvelopeLocation::of(field, row).associated_data(key)));
            }
        }
    }
}

#[test]
fn errors_name_the_column_but_not_the_content() {
    let keys = ring(&[NEW]);
    for broken in [&[][..], b"\0Ana", b"\x02Ana", b"\x01", b"\x01Ana Ana Ana Ana"] {
        let why = cause(keys.open(SealedField::FullName, ROW, broken));
        assert!(why.contains("applications.full_name") && !why.contains("Ana"), "{why}");
    }
}

#[test]
fn a_ring_needs_a_key() {
    let empty = KeyRing::new([], &[9; 32]);
    assert!(matches!(empty, Err(Error::Configuration(_))));
}

#[test]
fn the_blind_index_is_equal_for_equal_documents_of_one_country_under_one_key() {
    let document = |text: &str| IdentityDocument::from_normalized(text.to_owned());
    let keys = ring(&[NEW]);
    let entry = keys.document_index(Country::Es, &document("12345678Z"));
    assert_eq!(entry, ring(&[OLD]).document_index(Country::Es, &document("12345678Z")));
    assert_ne!(entry, keys.document_index(Country::Pt, &document("12345678Z")));
    assert_ne!(entry, keys.document_index(Country::Es, &document("12345678Y")));
    let other = KeyRing::new([NEW], &[8; 32]).unwrap();
    assert_ne!(entry, other.document_index(Country::Es, &document("12345678Z")));
    assert!(entry.as_bytes().starts_with(&keys.index_prefix()));
    assert_ne!(keys.index_prefix(), other.index_prefix());
    assert_eq!((entry.as_bytes().len(), format!("{entry:?}").as_str()), (20, "BlindIndex(****)"));
}

#[test]
fn keyed_hashes_depend_on_the_purpose_and_the_boundaries_of_parts() {
    let keys = ring(&[NEW]);
    let parts: [&[&[u8]]; 5] = [&[b"ab"], &[b"a", b"b"], &[b"", b"ab"], &[b"ab", b""], &[]];
    let hashes: std::collections::HashSet<_> = parts
        .iter()
        .flat_map(|parts| [keys.keyed_hash("one", parts), keys.keyed_hash("two", parts)])
        .collect();
    assert_eq!(hashes.len(), 2 * parts.len());
}

proptest! {
    #[test]
    fn any_text_round_trips(text in any::<String>(), row in any::<[u8; 16]>()) {
        let keys = ring(&[NEW, OLD]);
        let envelope = keys.seal(SealedField::FullName, row, &text).unwrap();
        prop_assert_eq!(keys.open(SealedField::FullName, row, &envelope).unwrap(), text);
    }

    #[test]
    fn arbitrary_bytes_never_open(bytes in any::<Vec<u8>>(), headed in any::<bool>()) {
        let keys = ring(&[NEW, OLD]);
        let bytes = if headed { [&keys.active_prefix()[..], &bytes].concat() } else { bytes };
        prop_assert!(keys.open_bytes(SealedField::FullName, ROW, &bytes).is_err());
    }

    #[test]
    fn a_modified_or_truncated_envelope_never_opens(
        text in any::<Vec<u8>>(),
        at in any::<prop::sample::Index>(),
        bit in 0..8u32,
    ) {
        let keys = ring(&[NEW, OLD]);
        let whole = keys.seal_bytes(SealedField::WebhookPayload, ROW, &text).unwrap();
        let at = at.index(whole.len());
        let mut changed = whole.clone();
        changed[at] ^= 1 << bit;
        prop_assert!(keys.open_bytes(SealedField::WebhookPayload, ROW, &changed).is_err());
        prop_assert!(keys.open_bytes(SealedField::WebhookPayload, ROW, &whole[..at]).is_err());
        prop_assert!(keys.open_bytes(SealedField::WebhookPayload, ROW, &[whole, vec![0]].concat()).is_err());
    }
}
