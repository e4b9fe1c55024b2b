//! Destinations: formats, check digits and normalization, without a call to a rail.
//!
//! A destination that passes can still be refused by the rail's look-up. Errors carry a stable code and never quote the
//! value.

mod clabe;
mod co_account;
mod iban;
mod pix;

use crate::domain::disbursement::rail::DestinationKind;
use crate::domain::named::named;

named! {
    /// Why a value is not a destination.
    BadDestination {
        BadLength = "bad_length",
        BadFormat = "bad_format",
        BadCheckDigit = "bad_check_digit",
        /// The country of the account cannot be reached by the rail.
        UnreachableCountry = "unreachable_country",
    }
}

impl BadDestination {
    /// A sentence for the client.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::BadLength => "does not have the length of such an account number or key",
            Self::BadFormat => "does not have the format of such an account number or key",
            Self::BadCheckDigit => "has wrong check digits",
            Self::UnreachableCountry => "is an account in a country that the rail does not reach",
        }
    }
}

/// Validates a value and returns its normalized form.
///
/// # Errors
/// Why it is not a destination of this kind.
pub fn parse(kind: DestinationKind, text: &str) -> Result<String, BadDestination> {
    match kind {
        DestinationKind::Iban => iban::parse(text),
        DestinationKind::Clabe => clabe::parse(text),
        DestinationKind::Pix => pix::parse(text),
        DestinationKind::CoAccount => co_account::parse(text),
    }
}

/// The value without the separators that people write, in ASCII upper case; `None` if another character remains.
fn compact(text: &str) -> Option<String> {
    let kept = text.trim_ascii().chars().filter(|c| !matches!(c, ' ' | '.' | '-' | '/'));
    let compact: String = kept.map(|c| c.to_ascii_uppercase()).collect();
    compact.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(compact)
}

/// The value of an ASCII digit or capital letter relative to `0`, as in alphanumeric CNPJs.
fn weight_of(byte: u8) -> u32 {
    u32::from(byte).saturating_sub(u32::from(b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_causes_a_panic_and_normal_forms_are_stable(
            kind in proptest::sample::select(DestinationKind::ALL), text in "\\PC{0,40}|[0-9A-Z@.+-]{0,40}"
        ) {
            if let Ok(normal) = parse(kind, &text) {
                prop_assert_eq!(parse(kind, &normal), Ok(normal.clone()));
            }
        }
    }
}
