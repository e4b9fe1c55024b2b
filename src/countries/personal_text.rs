//! Detects personal data in text that is stored unencrypted, such as an employer's name.

use super::definition_of;
use crate::domain::application::Country;

/// The minimum and maximum lengths of an IBAN (ISO 13616).
const IBAN_CHARS: std::ops::RangeInclusive<usize> = 15..=34;
/// IBANs are printed in groups of this many characters; only the last group may be shorter.
const IBAN_GROUP: usize = 4;
/// The maximum number of words that a document may be written in, as in `529 982 247 25`.
const MAX_DOCUMENT_WORDS: usize = 4;

/// The kind of personal data that `text` contains, if any: an e-mail address, an IBAN, or a valid identity document
/// number of `country`.
///
/// Only document numbers with check characters are found. Document numbers without them, such as Colombian ones, cannot be
/// distinguished from other numbers.
pub fn find(country: Country, text: &str) -> Option<&'static str> {
    let is_delimiter = |c: char| c.is_whitespace() || ",;:=()[]<>\"'".contains(c);
    let words = text.split(is_delimiter).map(|word| word.trim_matches(['.', '-', '/', '!', '?']));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    if words.iter().any(|word| is_email(word)) {
        Some("an e-mail address")
    } else if has_iban(text) {
        Some("an IBAN")
    } else if has_document(country, &words) {
        Some("an identity document")
    } else {
        None
    }
}

fn is_email(word: &str) -> bool {
    let address = word.rsplit_once('@').and_then(|(local, domain)| Some((local, domain.rsplit_once('.')?)));
    address.is_some_and(|(local, (host, top))| !local.is_empty() && !host.is_empty() && !top.is_empty())
}

fn has_iban(text: &str) -> bool {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    (0..words.len()).any(|start| {
        let mut candidate = String::new();
        for word in words.iter().skip(start) {
            candidate.push_str(word);
            if is_iban(&candidate) {
                return true;
            }
            if word.len() != IBAN_GROUP || candidate.len() > *IBAN_CHARS.end() {
                break;
            }
        }
        false
    })
}

/// Whether a string of ASCII letters and digits is an IBAN: it starts with two letters and two digits, and its remainder
/// modulo 97 is 1 (ISO 7064).
fn is_iban(text: &str) -> bool {
    let has_iban_prefix = matches!(text.as_bytes(), [a, b, c, d, ..]
        if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() && c.is_ascii_digit() && d.is_ascii_digit());
    let Some((head, tail)) = text.split_at_checked(IBAN_GROUP) else { return false };
    let values = tail.chars().chain(head.chars()).filter_map(|c| c.to_digit(36));
    let remainder = values.fold(0, |sum, value| (sum * if value < 10 { 10 } else { 100 } + value) % 97);
    has_iban_prefix && IBAN_CHARS.contains(&text.len()) && remainder == 1
}

fn has_document(country: Country, words: &[&str]) -> bool {
    let definition = definition_of(country);
    definition.has_check_characters
        && (0..words.len()).any(|start| {
            let mut candidate = String::new();
            words.iter().skip(start).take(MAX_DOCUMENT_WORDS).any(|word| {
                candidate.push_str(word);
                definition.is_document(&candidate)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_address_an_iban_or_a_document_is_found_anywhere() {
        let (email, iban, document) = ("an e-mail address", "an IBAN", "an identity document");
        for (country, text, expected) in [
            (Country::Es, "Acme (ana.perez@example.com)", email),
            (Country::Es, "mail: ana@example.es.", email),
            (Country::Es, "ES9121000418450200051332", iban),
            (Country::Es, "pay es91 2100 0418 4502 0005 1332 please", iban),
            (Country::Co, "DE89-3704-0044-0532-0130-00", iban),
            (Country::Es, "Reform for 12345678Z", document),
            (Country::Es, "DNI:12.345.678-z", document),
            (Country::Es, "12345678 Z", document),
            (Country::Pt, "NIF 123 456 789", document),
            (Country::It, "RSSMRA85T10A562S", document),
            (Country::Mx, "HEGG560427MVZRRL04", document),
            (Country::Br, "529 982 247 25", document),
            (Country::Br, "CPF=529.982.247-25", document),
        ] {
            assert_eq!(find(country, text), Some(expected), "{country} {text}");
        }
    }

    #[test]
    fn ordinary_texts_are_accepted() {
        for country in Country::ALL {
            for text in [
                "",
                "Acme S.A.",
                "Café @ Plaza Mayor",
                "@acme",
                "3 months at 20@5",
                "Reform, 12.000,00 in 24 months",
                "Renault Clio 2019, 4500 km",
                "ES91 2100 0418 4502 0005 1333",
                "12345678A",
                "DE24 MONTHS",
                "Calle 26 # 59-51, Bogotá",
                "Ñandú & Søn — 100 % 日本",
            ] {
                assert_eq!(find(country, text), None, "{country} {text}");
            }
        }
        assert_eq!(find(Country::Co, "1234567890"), None);
        // A company's number is not personal data.
        assert_eq!(find(Country::Pt, "NIF 501964843"), None);
    }
}
