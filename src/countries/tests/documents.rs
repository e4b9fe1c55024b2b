//! Properties of generated documents. The generators implement the same published algorithms as the checks but share no
//! code with them.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::table::moment;
use super::super::{Countries, DocumentVerdict};
use crate::domain::application::Country;

thread_local! {
    static COUNTRIES: Countries = Countries::built_in().unwrap();
}

fn check(country: Country, text: &str) -> DocumentVerdict {
    COUNTRIES.with(|countries| countries.rules(country).check_document(text, moment()))
}

/// The sum of the digits multiplied by their weights.
fn weighted(text: &str, first_weight: u32) -> u32 {
    text.chars().zip((2..=first_weight).rev()).map(|(c, weight)| c.to_digit(10).unwrap() * weight).sum()
}

fn spanish() -> impl Strategy<Value = String> {
    (0usize..100_000_000, select(vec!["", "X", "Y", "Z"])).prop_map(|(number, prefix)| {
        let (shown, number) = match prefix {
            "" => (format!("{number:08}"), number),
            prefix => {
                let number = number % 10_000_000;
                (format!("{prefix}{number:07}"), number + 10_000_000 * "XYZ".find(prefix).unwrap())
            }
        };
        let letter = "TRWAGMYFPDXBNJZSQVHLCKE".chars().nth(number % 23).unwrap();
        format!("{shown}{letter}")
    })
}

fn portuguese() -> impl Strategy<Value = String> {
    prop_oneof!["[123][0-9]{7}", "45[0-9]{6}"].prop_map(|body| {
        let check = match weighted(&body, 9) % 11 {
            0 | 1 => 0,
            remainder => 11 - remainder,
        };
        format!("{body}{check}")
    })
}

fn italian() -> impl Strategy<Value = String> {
    let day = (0u32..100, 0usize..12, 1u32..=28, any::<bool>());
    ("[A-Z]{6}", day, "[A-Z][0-9]{3}", proptest::collection::vec(any::<bool>(), 7)).prop_filter_map(
        "of age",
        |(names, (year, month, day, woman), place, replaced)| {
            if (8..=26).contains(&year) {
                return None;
            }
            let month = "ABCDEHLMPRST".chars().nth(month).unwrap();
            let plain = format!("{names}{year:02}{month}{:02}{place}", if woman { day + 40 } else { day });
            let mut places = replaced.into_iter();
            let body: String = plain
                .chars()
                .map(|c| match c.to_digit(10) {
                    Some(digit) if places.next().unwrap() => {
                        "LMNPQRSTUV".chars().nth(digit.try_into().unwrap()).unwrap()
                    }
                    _ => c,
                })
                .collect();
            let sum: usize = body.chars().enumerate().map(|(at, c)| italian_value(at, c)).sum();
            Some(format!("{body}{}", ('A'..='Z').nth(sum % 26).unwrap()))
        },
    )
}

/// The decree's two tables as printed: a line of characters above a line of values.
fn italian_value(at: usize, c: char) -> usize {
    let odd = [
        ("0A", 1),
        ("1B", 0),
        ("2C", 5),
        ("3D", 7),
        ("4E", 9),
        ("5F", 13),
        ("6G", 15),
        ("7H", 17),
        ("8I", 19),
        ("9J", 21),
        ("K", 2),
        ("L", 4),
        ("M", 18),
        ("N", 20),
        ("O", 11),
        ("P", 3),
        ("Q", 6),
        ("R", 8),
        ("S", 12),
        ("T", 14),
        ("U", 16),
        ("V", 10),
        ("W", 22),
        ("X", 25),
        ("Y", 24),
        ("Z", 23),
    ];
    let row = odd.iter().position(|(characters, _)| characters.contains(c)).unwrap();
    if at.is_multiple_of(2) { odd[row].1 } else { row }
}

const MEXICAN_ALPHABET: &str = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ";

fn mexican_place(c: char) -> usize {
    MEXICAN_ALPHABET.chars().position(|other| other == c).unwrap()
}

fn mexican() -> impl Strategy<Value = String> {
    let states =
        "AS BC BS CC CL CM CS CH DF DG GT GR HG JC MC MN MS NT NL OC PL QT QR SP SL SR TC TS TL VZ YN ZS NE";
    let states: Vec<&str> = states.split(' ').collect();
    // No blocked word has Q as its fourth letter.
    let name = "[A-Z][AEIOUX][A-Z]Q";
    let day = (1900u32..2008, 1u32..=12, 1u32..=28);
    let end = ("[HMX]", select(states), "[B-DF-HJ-NP-TV-Z]{3}", "[0-9]", "[A-Z]");
    (name, day, end).prop_map(|(name, (year, month, day), (sex, state, consonants, old, young))| {
        let homonym = if year < 2000 { old } else { young };
        let body = format!("{name}{:02}{month:02}{day:02}{sex}{state}{consonants}{homonym}", year % 100);
        let sum: usize = body.chars().enumerate().map(|(at, c)| mexican_place(c) * (18 - at)).sum();
        format!("{body}{}", (10 - sum % 10) % 10)
    })
}

fn brazilian() -> impl Strategy<Value = String> {
    "[0-9]{9}".prop_filter_map("digits that differ", |mut text| {
        let first = text.chars().next()?;
        if text.chars().all(|c| c == first) {
            return None;
        }
        for first_weight in [10, 11] {
            let check = match weighted(&text, first_weight) % 11 {
                0 | 1 => 0,
                remainder => 11 - remainder,
            };
            text.push_str(&check.to_string());
        }
        Some(text)
    })
}

fn any_valid() -> impl Strategy<Value = (Country, String)> {
    prop_oneof![
        spanish().prop_map(|text| (Country::Es, text)),
        portuguese().prop_map(|text| (Country::Pt, text)),
        italian().prop_map(|text| (Country::It, text)),
        mexican().prop_map(|text| (Country::Mx, text)),
        "[1-9][0-9]{5,9}".prop_map(|text| (Country::Co, text)),
        brazilian().prop_map(|text| (Country::Br, text)),
    ]
}

/// `text` with a different character at a position, and that position.
fn changed(text: &str, place: Index, replacement: char) -> Option<(String, usize)> {
    let place = place.index(text.len());
    let mut characters: Vec<char> = text.chars().collect();
    let differs = characters[place] != replacement;
    characters[place] = replacement;
    differs.then(|| (characters.into_iter().collect(), place))
}

fn replacement() -> impl Strategy<Value = char> {
    select("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".chars().collect::<Vec<_>>())
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

    /// Except for a first digit 0, 1 or 2 and the letter X, Y or Z: both stand for the same number.
    #[test]
    fn any_single_change_of_a_spanish_document_is_refused(
        text in spanish(), place in any::<Index>(), c in replacement(),
    ) {
        let Some((other, place)) = changed(&text, place, c) else { return Ok(()) };
        let twins = [('0', 'X'), ('1', 'Y'), ('2', 'Z')];
        let first = text.chars().next().unwrap();
        let twin = place == 0 && (twins.contains(&(first, c)) || twins.contains(&(c, first)));
        prop_assert_eq!(check(Country::Es, &other).valid, twin, "{} -> {}", text, other);
    }

    /// The digit 0 stands for two remainders, so only changes of a NIF with another last digit are always detected.
    #[test]
    fn any_single_change_of_a_nif_that_does_not_end_in_0_is_refused(
        text in portuguese(), place in any::<Index>(), c in replacement(),
    ) {
        let Some((other, place)) = changed(&text, place, c) else { return Ok(()) };
        if text.ends_with('0') && place < 8 {
            return Ok(());
        }
        prop_assert!(!check(Country::Pt, &other).valid, "{} -> {}", text, other);
    }

    #[test]
    fn any_single_change_of_a_codice_fiscale_is_refused(
        text in italian(), place in any::<Index>(), c in replacement(),
    ) {
        let Some((other, _)) = changed(&text, place, c) else { return Ok(()) };
        prop_assert!(!check(Country::It, &other).valid, "{} -> {}", text, other);
    }

    /// Modulo 10, a change is detected unless its weight times the difference of the values is a multiple of 10.
    #[test]
    fn any_single_change_of_a_curp_that_its_modulus_can_see_is_refused(
        text in mexican(), place in any::<Index>(), c in replacement(),
    ) {
        let Some((other, place)) = changed(&text, place, c) else { return Ok(()) };
        let before = mexican_place(text.chars().nth(place).unwrap());
        let weight = if place == 17 { 1 } else { 18 - place };
        if (weight * before.abs_diff(mexican_place(c))).is_multiple_of(10) {
            return Ok(());
        }
        prop_assert!(!check(Country::Mx, &other).valid, "{} -> {}", text, other);
    }

    /// As in Portugal, 0 stands for two remainders. The first check digit depends on all nine digits.
    #[test]
    fn any_single_change_of_a_cpf_whose_first_check_digit_is_not_0_is_refused(
        text in brazilian(), place in any::<Index>(), c in replacement(),
    ) {
        let Some((other, place)) = changed(&text, place, c) else { return Ok(()) };
        if text.chars().nth(9) == Some('0') && place < 9 {
            return Ok(());
        }
        prop_assert!(!check(Country::Br, &other).valid, "{} -> {}", text, other);
    }

    #[test]
    fn no_text_or_date_causes_a_panic_and_every_rejection_has_a_reason(
        text in prop_oneof![any::<String>(), "\\PC{0,60}", "[0-9A-Za-zÑñ ./-]{0,24}"],
        seconds in any::<i64>(),
    ) {
        let as_of = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC);
        for country in Country::ALL {
            let verdict = COUNTRIES.with(|countries| countries.rules(country).check_document(&text, as_of));
            prop_assert_eq!(verdict.valid, verdict.reasons.is_empty());
            prop_assert_eq!(verdict.valid, verdict.normalized.is_some());
            if let Some(normalized) = verdict.normalized {
                prop_assert!(normalized.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()));
            }
        }
    }
}

/// Undetectable changes exist: the properties above do not exclude more than necessary.
#[test]
fn undetectable_changes_are_accepted() {
    for (country, text, unseen) in [
        (Country::Es, "12345678Z", "Y2345678Z"),
        (Country::Pt, "123456720", "163456720"),
        (Country::Mx, "HERM850101MDFRRR08", "HERM850111MDFRRR08"),
        (Country::Br, "12345670401", "02345670401"),
        (Country::Co, "1234567890", "1234567891"),
    ] {
        assert_eq!(text.bytes().zip(unseen.bytes()).filter(|(a, b)| a != b).count(), 1);
        assert!(check(country, text).valid && check(country, unseen).valid, "{country}");
    }
}
