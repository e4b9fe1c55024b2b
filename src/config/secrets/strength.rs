//! Detects guessable secrets.
//!
//! No check can prove that a secret is random. These checks find repetitions, sequences, keyboard rows and words from
//! documentation, even if the secret is encoded in Base64 or hex. Each check rejects a random secret with a probability
//! below one in a million.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// Words in the example secrets of documentation, and in common passwords.
const KNOWN_WORDS: [&str; 13] = [
    "change",
    "secret",
    "password",
    "passwd",
    "example",
    "default",
    "insecure",
    "development",
    "placeholder",
    "replace",
    "letmein",
    "welcome",
    "testing",
];

/// Rows of a keyboard.
const ROWS: [&[u8]; 4] = [b"1234567890-=", b"qwertyuiop[]", b"asdfghjkl;'", b"zxcvbnm,./"];

/// Distances at which bytes are compared. `a1b2c3` is a sequence at distance 2.
const DISTANCES: std::ops::RangeInclusive<usize> = 1..=4;

/// The minimum number of decoded bytes that are checked. Fewer bytes allow no conclusion.
const DECODED_MIN_BYTES: usize = 16;
/// The minimum number of distinct bytes in a decoded secret.
const DECODED_MIN_DIFFERENT: usize = 8;

/// Whether the bytes follow a pattern.
pub(super) fn is_patterned(bytes: &[u8]) -> bool {
    is_repetitive(bytes) || has_constant_steps(bytes) || is_mostly_one_byte(bytes) || follows_keyboard(bytes)
}

/// Whether a string follows a pattern, possibly after decoding it from Base64 or hex, or contains a well-known word.
pub(super) fn is_guessable(text: &str) -> bool {
    let lower = Zeroizing::new(text.to_lowercase());
    KNOWN_WORDS.iter().any(|word| lower.contains(word))
        || is_patterned(text.as_bytes())
        || decoded(text).any(|bytes| {
            bytes.len() >= DECODED_MIN_BYTES
                && (is_patterned(&bytes) || different(&bytes) < DECODED_MIN_DIFFERENT)
        })
}

/// Whether a key consists of typed text. The probability that 24 random bytes look like text is 10^-10.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

/// The number of distinct bytes.
pub(super) fn different(bytes: &[u8]) -> usize {
    counts(bytes.iter().copied()).iter().filter(|count| **count > 0).count()
}

/// Whether, for some distance, three quarters of the bytes equal the byte at that distance.
fn is_repetitive(bytes: &[u8]) -> bool {
    (1..=bytes.len() / 2).any(|period| {
        let pairs = bytes.iter().zip(bytes.iter().skip(period));
        let equal = pairs.filter(|(a, b)| a == b).count();
        equal * 4 >= (bytes.len() - period) * 3
    })
}

/// Whether, for some distance, two fifths of the bytes differ from the byte at that distance by the same amount.
fn has_constant_steps(bytes: &[u8]) -> bool {
    DISTANCES.filter(|distance| *distance < bytes.len()).any(|distance| {
        let pairs = bytes.iter().zip(bytes.iter().skip(distance));
        let most = counts(pairs.map(|(a, b)| b.wrapping_sub(*a))).into_iter().max();
        most.unwrap_or(0) * 5 >= (bytes.len() - distance) * 2
    })
}

fn is_mostly_one_byte(bytes: &[u8]) -> bool {
    counts(bytes.iter().copied()).into_iter().max().unwrap_or(0) * 2 >= bytes.len()
}

/// Whether half of the bytes are next to their predecessor on a keyboard.
fn follows_keyboard(bytes: &[u8]) -> bool {
    let position = |byte: u8| {
        let byte = byte.to_ascii_lowercase();
        let in_row = |(row, keys): (usize, &&[u8])| Some((row, keys.iter().position(|key| *key == byte)?));
        ROWS.iter().enumerate().find_map(in_row)
    };
    let beside = |(a, b): (&u8, &u8)| match (position(*a), position(*b)) {
        (Some((row, column)), Some((other_row, other))) => row == other_row && column.abs_diff(other) == 1,
        _ => false,
    };
    let neighbours = bytes.iter().zip(bytes.iter().skip(1)).filter(|pair| beside(*pair)).count();
    bytes.len() > 1 && neighbours * 2 >= bytes.len() - 1
}

/// The text decoded as hex and as every form of Base64.
fn decoded(text: &str) -> impl Iterator<Item = Zeroizing<Vec<u8>>> {
    let base64 = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD];
    let base64 = base64.into_iter().filter_map(move |engine| engine.decode(text).ok());
    base64.chain(from_hex(text)).map(Zeroizing::new)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |character: char| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = text.chars().map(digit).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// The number of occurrences of each value.
fn counts(values: impl Iterator<Item = u8>) -> [usize; 256] {
    let mut counts = [0; 256];
    for value in values {
        if let Some(count) = counts.get_mut(usize::from(value)) {
            *count += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn typical_non_random_secrets_are_guessable() {
        let counting: Vec<u8> = (0..32).collect();
        let hex_counting: String = counting.iter().map(|byte| format!("{byte:02x}")).collect();
        for text in [
            "0123456789abcdef0123456789abcdef",
            "0123456789012345678901234567890123456789",
            "abcdefghijklmnopqrstuvwxyzABCDEF",
            "zyxwvutsrqponmlkjihgfedcba9876543210",
            "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6",
            "qwertyuiopasdfghjklzxcvbnm123456",
            "QwErTyUiOpAsDfGhJkLzXcVbNm123456",
            "1qaz2wsx3edc4rfv1qaz2wsx3edc4rfv",
            "aaaaaaaaaaaaaaaaaaaaaaabcdefghijk",
            "kT8w2Zr5kT8w2Zr5kT8w2Zr5kT8w2Zr5",
            "please-change-me-kT8w2Zr5Vx1Qm9Lc4Yb7",
            "MySuperSecretKey-kT8w2Zr5Vx1Qm9Lc4Yb7",
            &STANDARD.encode(&counting),
            &URL_SAFE_NO_PAD.encode(&counting),
            &STANDARD.encode([7_u8; 32]),
            &STANDARD.encode("0123456789abcdef0123456789abcdef"),
            &hex_counting,
        ] {
            assert!(is_guessable(text), "{text}");
        }
    }

    #[test]
    fn keys_of_counting_repeated_and_evenly_spaced_bytes_are_patterned() {
        let key = |byte: fn(u8) -> u8| (0..32).map(byte).collect::<Vec<u8>>();
        for bytes in [
            key(|n| n),
            key(|n| n + 1),
            key(|n| 255 - n),
            key(|n| n.wrapping_mul(7)),
            key(|n| n.wrapping_mul(8)),
            key(|n| n % 16),
            key(|n| n ^ 1),
            key(|n| if n < 16 { n } else { 31 - n }),
            key(|n| if n == 31 { 200 } else { n }),
            key(|_| 0),
        ] {
            assert!(is_patterned(&bytes), "{bytes:?}");
        }
        assert!(is_text(b"this is my key of 32 characters!") && !is_text(&key(|n| n)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn random_secrets_are_accepted_in_every_form(bytes in any::<[u8; 32]>(), short in any::<[u8; 24]>()) {
            prop_assume!(different(&bytes) >= 16 && different(&short) >= 12);
            prop_assert!(!is_patterned(&bytes) && !is_patterned(&short) && !is_text(&short));
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            for text in [STANDARD.encode(bytes), URL_SAFE_NO_PAD.encode(short), hex(&bytes), hex(&short)] {
                prop_assert!(!is_guessable(&text), "{text}");
            }
        }
    }
}
