//! Families of test documents: many documents per scenario.
//!
//! While an application is open, its account cannot create another one for the same document (docs/specification.md,
//! section 9). The documents of a scenario's family all have the same outcome, so an account can have several open
//! applications with that outcome. In a country's pattern, `n` and `c` stand for digits of a serial number (`c` as
//! consonants), `s` for the scenario's two digits from the table of test documents, and `?` for check characters.

use super::scenario::Scenario;
use super::simulated;
use crate::domain::application::Country;

/// The number of documents in each family.
pub const MEMBERS: u32 = 10_000;

/// The consonants that stand for the digits of a serial number.
const CONSONANTS: &[u8; 10] = b"BCDFGHJKLM";

/// A member of a family, with `?` for the check characters, which depend on the country's rules.
pub fn member(country: Country, scenario: Scenario, serial: u32) -> String {
    let serial = format!("{:04}", serial % MEMBERS);
    let scenario = format!("{:02}", scenario.number());
    let (mut serial, mut scenario) = (serial.bytes(), scenario.bytes());
    let consonant = |digit: u8| CONSONANTS.get(usize::from(digit - b'0')).copied();
    let written = simulated(country).family.bytes().filter_map(|symbol| match symbol {
        b'n' => serial.next(),
        b'c' => serial.next().and_then(consonant),
        b's' => scenario.next(),
        fixed => Some(fixed),
    });
    written.map(char::from).collect()
}

/// The scenario of the family that `document` belongs to.
pub(super) fn scenario_of(country: Country, document: &str) -> Option<Scenario> {
    let bureau = simulated(country);
    if bureau.family.len() != document.len() {
        return None;
    }
    let mut number = 0;
    for (symbol, byte) in bureau.family.bytes().zip(document.bytes()) {
        let fits = match symbol {
            b'n' => byte.is_ascii_digit(),
            b'c' => CONSONANTS.contains(&byte),
            b's' if byte.is_ascii_digit() => {
                number = number * 10 + u32::from(byte - b'0');
                true
            }
            b'?' => byte.is_ascii_alphanumeric(),
            fixed => byte == fixed,
        };
        if !fits {
            return None;
        }
    }
    let mut scenarios = bureau.documents.iter().map(|(scenario, _)| *scenario);
    scenarios.find(|scenario| scenario.number() == number)
}

#[cfg(test)]
mod tests {
    use super::super::test_documents::{Outcome, outcome_of, test_documents};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_member_behaves_like_its_test_document() {
        for row in test_documents() {
            for serial in [0, 7, 1234, 9999] {
                let document = member(row.country, row.scenario, serial).replace('?', "5");
                assert_eq!(outcome_of(row.country, &document), row.outcome(), "{} {document}", row.country);
            }
        }
        assert_eq!(member(Country::Es, Scenario::Defaults, 42), "99004204?");
        assert_eq!(member(Country::Mx, Scenario::ThinFile, 1203), "HERM7101".to_owned() + "08MDFDBF0?");
    }

    #[test]
    fn similar_documents_get_a_generated_report() {
        for document in ["990042", "99004299A", "9900420", "9x004204S", "HERM710108MDFDBA0?"] {
            assert!(matches!(outcome_of(Country::Es, document), Outcome::Report(_)), "{document}");
            assert!(scenario_of(Country::Mx, document).is_none(), "{document}");
        }
    }

    proptest! {
        #[test]
        fn no_document_causes_a_panic(text in any::<String>()) {
            for country in Country::ALL {
                let _ = scenario_of(country, &text);
            }
        }
    }
}
