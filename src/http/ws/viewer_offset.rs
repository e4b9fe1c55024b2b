//! Encrypted event offsets for users.
//!
//! The offset of an event is its place in the sequence of all events, so two offsets reveal how many events occurred on
//! the platform in between. Users therefore get encrypted offsets. The encryption key depends on the account: an event
//! has the same number on every instance and after a reconnection, but a different one for every account. Analysts and
//! admins, who see all events, get plain offsets.
//!
//! The cipher is a balanced Feistel network over 52 bits, which fit into a JavaScript number. Its rounds use
//! HMAC-SHA-256 with the index key. When that key changes, the offsets held by users become unknown and are answered
//! with `"recovered": false`.

use crate::accounts::Principal;
use crate::actors::broadcaster::Frame;
use crate::domain::account::Role;
use crate::domain::published::Position;
use crate::storage::seal::KeyRing;

const HALF_BITS: u32 = 26;
const HALF: u64 = (1 << HALF_BITS) - 1;
const ROUNDS: [u8; 6] = [0, 1, 2, 3, 4, 5];

/// Encrypts the offsets for one viewer.
pub(super) struct ViewerOffsets<'a> {
    keys: &'a KeyRing,
    account: &'a str,
}

impl<'a> ViewerOffsets<'a> {
    /// The encryption for `principal`; `None` if it gets plain offsets.
    pub(super) fn of(keys: &'a KeyRing, principal: &'a Principal) -> Option<Self> {
        (principal.role == Role::User).then_some(Self { keys, account: &principal.account })
    }

    /// The frame with the encrypted offset.
    pub(super) fn hide(&self, frame: &Frame) -> Frame {
        frame.with_offset(|position| self.encipher(position))
    }

    /// Decrypts the position sent by the viewer. An invalid number is mapped to a position after all events.
    pub(super) fn read(&self, sent: Position) -> Position {
        let known = u64::try_from(sent.offset).ok().filter(|number| *number >> (2 * HALF_BITS) == 0);
        let offset = known.map(|number| {
            let (mut left, mut right) = halves(number);
            for round in ROUNDS.into_iter().rev() {
                (left, right) = (right ^ self.round(sent, round, left), left);
            }
            joined(left, right)
        });
        Position { offset: offset.unwrap_or(i64::MAX), ..sent }
    }

    fn encipher(&self, position: Position) -> i64 {
        let (mut left, mut right) = halves(u64::try_from(position.offset).unwrap_or(0));
        for round in ROUNDS {
            (left, right) = (right, left ^ self.round(position, round, right));
        }
        joined(left, right)
    }

    fn round(&self, position: Position, round: u8, half: u64) -> u64 {
        let parts: [&[u8]; 4] =
            [self.account.as_bytes(), position.epoch.as_bytes(), &[round], &half.to_be_bytes()];
        let [a, b, c, d, ..] = self.keys.keyed_hash("viewer-offset", &parts);
        u64::from(u32::from_be_bytes([a, b, c, d])) & HALF
    }
}

fn halves(number: u64) -> (u64, u64) {
    ((number >> HALF_BITS) & HALF, number & HALF)
}

fn joined(left: u64, right: u64) -> i64 {
    i64::try_from(left << HALF_BITS | right).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::broadcaster::Topic;
    use crate::http::cursor::tests::keys;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn at(offset: i64) -> Position {
        Position { epoch: Uuid::from_u128(7), offset }
    }

    #[test]
    fn a_frame_contains_the_encrypted_offset_of_its_viewer() {
        let keys = keys(1);
        let (ana, bea) =
            (ViewerOffsets { keys: &keys, account: "ana" }, ViewerOffsets { keys: &keys, account: "bea" });
        let shown = |viewer: &ViewerOffsets<'_>, offset| {
            let frame = viewer.hide(&Frame::subscribed(Topic::All, at(offset), None));
            let message: serde_json::Value = serde_json::from_str(&frame.text).unwrap();
            assert_eq!(
                (&message["type"], &message["channel"]),
                (&"subscribed".into(), &"applications".into())
            );
            message["offset"].as_i64().unwrap()
        };
        let first: Vec<i64> = (1..=20).map(|offset| shown(&ana, offset)).collect();
        assert_eq!(first, (1..=20).map(|offset| shown(&ana, offset)).collect::<Vec<_>>());
        assert!(first.iter().all(|number| *number > 1 << 20), "{first:?}");
        assert!(!first.is_sorted(), "{first:?}");
        assert!((1..=20).all(|offset| shown(&bea, offset) != shown(&ana, offset)));
        assert_eq!(&*ana.hide(&Frame::pong()).text, &*Frame::pong().text);
    }

    proptest! {
        #[test]
        fn every_offset_round_trips(offset in 0_i64..1 << 52, account in ".{0,8}") {
            let keys = keys(1);
            let viewer = ViewerOffsets { keys: &keys, account: &account };
            let shown = viewer.encipher(at(offset));
            prop_assert!((0..1 << 52).contains(&shown));
            prop_assert_eq!(viewer.read(at(shown)), at(offset));
        }

        #[test]
        fn a_number_that_was_not_issued_to_the_viewer_is_after_every_event(number in any::<i64>()) {
            let keys = keys(1);
            let viewer = ViewerOffsets { keys: &keys, account: "ana" };
            let read = viewer.read(at(number)).offset;
            prop_assert!((0..1 << 52).contains(&number) || read == i64::MAX);
        }
    }
}
