//! Where a disbursement is paid to. Account numbers and names are personal data: nothing here prints them.

use std::fmt;

use icu_normalizer::DecomposingNormalizerBorrowed;
use serde::{Deserialize, Serialize};

use super::rail::DestinationKind;

/// The number of characters at the end of a value that are shown.
const SHOWN_CHARS: usize = 4;

/// A validated destination.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    pub kind: DestinationKind,
    /// The normalized account number or key.
    value: String,
    holder_name: String,
}

impl Destination {
    /// A destination whose value was validated and normalized.
    pub fn new(kind: DestinationKind, value: String, holder_name: String) -> Self {
        Self { kind, value, holder_name }
    }

    /// The account number or key in plain text.
    pub fn reveal(&self) -> &str {
        &self.value
    }

    /// The name of the holder in plain text.
    pub fn reveal_holder(&self) -> &str {
        &self.holder_name
    }

    /// The value for display: `****` and its last four characters, or less of a short value.
    pub fn masked(&self) -> String {
        mask(&self.value)
    }
}

/// Hides a value except for its last characters. Of a value with fewer than 12 characters, only two are shown.
pub fn mask(value: &str) -> String {
    let count = value.chars().count();
    let shown = if count < 3 * SHOWN_CHARS { 2 } else { SHOWN_CHARS };
    let tail: String = value.chars().skip(count.saturating_sub(shown)).collect();
    format!("****{tail}")
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Whether two names belong to the same person, as far as a comparison of texts can tell: case, accents, punctuation and
/// the order of the parts do not matter.
pub fn is_same_holder(one: &str, other: &str) -> bool {
    let (one, other) = (name_parts(one), name_parts(other));
    !one.is_empty() && one == other
}

/// The parts of a name in lower case without accents, sorted.
fn name_parts(name: &str) -> Vec<String> {
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(name).to_lowercase();
    let plain: String = decomposed
        .chars()
        .filter(|c| !matches!(c, '\u{300}'..='\u{36f}'))
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .collect();
    let mut parts: Vec<String> = plain.split_whitespace().map(str::to_owned).collect();
    parts.sort_unstable();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_never_printed() {
        let value = "ES9121000418450200051332".to_owned();
        let destination = Destination::new(DestinationKind::Iban, value, "María Pérez".to_owned());
        let shown = format!("{destination:?}");
        assert!(!shown.contains("1332") && !shown.contains("Mar"), "{shown}");
        assert_eq!(destination.masked(), "****1332");
        assert_eq!(mask("a@b.co"), "****co");
    }

    #[test]
    fn names_are_compared_without_case_accents_punctuation_and_order() {
        assert!(is_same_holder("María José Pérez-Núñez", "PEREZ NUNEZ, Maria Jose"));
        assert!(is_same_holder("João da Silva", "joao DA silva"));
        for other in ["María Pérez", "María José Pérez Núñez Gil", "", "-"] {
            assert!(!is_same_holder("María José Pérez Núñez", other), "{other}");
        }
        assert!(!is_same_holder("", ""));
    }
}
