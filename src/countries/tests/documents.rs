//! Properties of generated documents.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::table::check;
use super::super::{Countries, definition_of};
use crate::domain::application::Country;

/// A country and one of its valid documents.
fn any_valid() -> impl Strategy<Value = (Country, String)> {
    select(Country::ALL.to_vec()).prop_flat_map(|country| {
        (definition_of(country).expected.valid_document)().prop_map(move |text| (country, text))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn generated_documents_are_accepted_and_already_normalized((country, text) in any_valid()) {
        let verdict = check(country, &text);
        prop_assert!(verdict.valid, "{} {}: {:?}", country, text, verdict.reasons);
        prop_assert_eq!(verdict.normalized, Some(text));
    }

    #[test]
    fn case_separators_and_surrounding_white_space_are_ignored(
        (country, text) in any_valid(),
        separators in proptest::collection::vec(select(vec!["", "", "", " ", ".", "-", "/", "--"]), 20),
    ) {
        let written: String = text.to_lowercase().chars().zip(separators).map(|(c, s)| format!("{c}{s}")).collect();
        if written.len() > 46 {
            return Ok(());
        }
        let verdict = check(country, &format!(" \t{written}\r\n"));
        prop_assert_eq!(verdict.normalized, Some(text));
    }

    #[test]
    fn no_text_or_date_causes_a_panic_and_every_rejection_has_a_reason(
        text in prop_oneof![any::<String>(), "\\PC{0,60}", "[0-9A-Za-zÑñ ./-]{0,24}"],
        seconds in any::<i64>(),
    ) {
        let as_of = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC);
        let countries = Countries::built_in().unwrap();
        for country in Country::ALL {
            let verdict = countries.rules(country).check_document(&text, as_of);
            prop_assert_eq!(verdict.valid, verdict.reasons.is_empty());
            prop_assert_eq!(verdict.valid, verdict.normalized.is_some());
            if let Some(normalized) = verdict.normalized {
                prop_assert!(normalized.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()));
            }
        }
    }
}
