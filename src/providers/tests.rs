//! Properties of all adapters, and hand-written bodies for each.

use proptest::prelude::*;

use super::*;
use crate::domain::banking::{AccountStatus, BankingData, CreditScore};
use crate::domain::money::Money;

fn subject(name: &str, document: &str) -> Subject {
    Subject {
        full_name: FullName::from_storage(name.to_owned()),
        identity_document: IdentityDocument::from_normalized(document.to_owned()),
    }
}

fn parse(country: Country, body: &str) -> Result<BankingData, MalformedReport> {
    provider_for(country).parse(body.as_bytes())
}

/// Reports of one bureau, written by hand. Every report has the same figures, as far as the format supports them.
pub(super) struct Samples {
    /// A complete report over several lines, with parts that the adapter ignores.
    pub(super) full: &'static str,
    /// The smallest valid report: an envelope that contains only a reference.
    pub(super) bare: &'static str,
    /// JSON: a part of the complete report that the adapter ignores. XML: a part before which the adapter ignores any
    /// elements. Other formats: `None`.
    pub(super) ignored: Option<&'static str>,
    /// Whether the format supports the average income.
    pub(super) has_income: bool,
    /// Whether the format supports the verification of the record.
    pub(super) has_verification: bool,
    /// The account status in the complete report, and a word that the adapter does not recognize.
    pub(super) account_status: (&'static str, &'static str),
    /// Parts of the complete report with a replacement that the adapter must reject. At least five.
    pub(super) malformed: &'static [(&'static str, &'static str)],
}

/// The samples of `country`'s bureau.
pub(super) fn samples(country: Country) -> &'static Samples {
    &bureau_of(country).samples
}

fn is_xml(country: Country) -> bool {
    provider_for(country).request(&subject("Ana", "1")).content_type.contains("xml")
}

fn is_json(country: Country) -> bool {
    provider_for(country).request(&subject("Ana", "1")).content_type.contains("json")
}

#[test]
fn every_country_has_its_own_bureau_and_its_rules_contain_the_name() {
    let countries = crate::countries::Countries::built_in().unwrap();
    let mut names = std::collections::BTreeSet::new();
    for country in Country::ALL {
        let provider = provider_for(country);
        assert_eq!(provider.country(), country);
        assert_eq!(provider.name(), countries.rules(country).describe().provider);
        assert!(names.insert(provider.name()), "{country}");
    }
}

#[test]
fn a_complete_report_is_parsed_exactly() {
    for country in Country::ALL {
        let body = samples(country).full;
        let mut expected = BankingData::empty(provider_for(country).name());
        expected.account_status = Some(AccountStatus::Suspended);
        expected.credit_score = CreditScore::new(640);
        expected.total_debt = Money::parse("12345.60").ok();
        expected.monthly_obligations = Money::parse("410.05").ok();
        expected.has_defaults = Some(true);
        if samples(country).has_income {
            expected.average_monthly_income = Money::parse("2100.99").ok();
        }
        expected.verified = samples(country).has_verification.then_some(false);
        expected.additional_data.insert("report_reference".to_owned(), "R-1".into());
        expected.additional_data.insert("number_of_accounts".to_owned(), 4.into());
        assert_eq!(parse(country, body), Ok(expected), "{country}");
    }
}

#[test]
fn white_space_around_xml_text_is_ignored() {
    for country in Country::ALL.into_iter().filter(|country| is_xml(*country)) {
        let full = samples(country).full;
        let values = [
            "R-1",
            "640",
            "645",
            "12345.60",
            "410.05",
            ">4<",
            "\"4\"",
            ">S<",
            "\"S\"",
            "\"N\"",
            "EUR",
            "COP",
            "SUSPENSA",
            "EMBARGADA",
            "2100.99",
        ];
        let mut spaced = full.to_owned();
        let found: Vec<&str> = values.into_iter().filter(|value| full.contains(value)).collect();
        assert!(
            found.len() >= 8,
            "{country}: the list above lacks values of the report, it has only {found:?}"
        );
        for value in found {
            let bare = value.trim_matches(['<', '>', '"']);
            spaced = spaced.replace(value, &value.replace(bare, &format!(" \r\n\t{bare}\n ")));
        }
        assert_eq!(parse(country, &spaced), parse(country, full), "{country}");
        let apart = full.replacen("640", "64 0", 1).replacen("645", "64 5", 1);
        assert!(parse(country, &apart).is_err(), "{country}: white space inside a number");
    }
}

#[test]
fn omitted_values_are_unknown() {
    for country in Country::ALL {
        let body = samples(country).bare;
        let mut expected = BankingData::empty(provider_for(country).name());
        expected.additional_data.insert("report_reference".to_owned(), "R-2".into());
        assert_eq!(parse(country, body), Ok(expected), "{country}");
    }
}

#[test]
fn an_unrecognized_account_state_is_unknown() {
    for country in Country::ALL {
        let body = samples(country).full;
        let (word, strange) = samples(country).account_status;
        assert!(body.contains(word), "{country}: {word}");
        let data = parse(country, &body.replace(word, strange)).unwrap();
        assert_eq!(data.account_status, Some(AccountStatus::Unknown), "{country}");
    }
}

/// Replaces a part of the complete report and expects a rejection.
fn assert_rejected(country: Country, part: &str, instead: &str) {
    let full = samples(country).full;
    assert!(full.contains(part), "{country} has no {part}");
    let body = full.replacen(part, instead, 1);
    assert!(parse(country, &body).is_err(), "{country} accepted {instead} instead of {part}");
}

#[test]
fn wrong_types_and_out_of_range_values_are_rejected() {
    for country in Country::ALL {
        let malformed = samples(country).malformed;
        assert!(malformed.len() >= 5, "{country} has only {} malformed reports", malformed.len());
        for (part, instead) in malformed {
            assert_rejected(country, part, instead);
        }
    }
}

#[test]
fn other_bodies_are_rejected() {
    let html = "<!DOCTYPE html><html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>";
    let flood = "9".repeat(report_body::MAX_BYTES + 1);
    let deep_json = "[".repeat(100_000);
    let deep_xml = "<respostaCRC>".repeat(15_000);
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><respostaCRC><cabecalho><referencia>&b;\
                </referencia></cabecalho></respostaCRC>";
    for country in Country::ALL {
        for body in [
            "",
            " \r\n",
            "null",
            "{}",
            "[]",
            "0",
            "\"\"",
            "{\"reports\": []}",
            html,
            &flood,
            &deep_json,
            &deep_xml,
            bomb,
            "<respostaCRC/>",
            "<Envelope><Body><Fault><faultcode>x</faultcode></Fault></Body></Envelope>",
            "INTL14",
            "ERRR",
            "\0\0\0\0",
        ] {
            assert!(parse(country, body).is_err(), "{country}: {:.60}", body);
        }
    }
}

#[test]
fn ignored_parts_may_have_any_content() {
    let elements = format!("{}{}<![CDATA[ ]]>", "<x y=\"1\">".repeat(12_000), "</x>".repeat(12_000));
    let arrays = format!("{}{}", "[".repeat(120), "]".repeat(120));
    for country in Country::ALL {
        let Samples { full, ignored, .. } = samples(country);
        let Some(part) = *ignored else {
            assert!(!is_json(country) && !is_xml(country), "{country} has no ignored part");
            continue;
        };
        assert!(full.contains(part), "{country} has no {part}");
        let instead = if is_xml(country) { format!("{elements}{part}") } else { arrays.clone() };
        assert_eq!(parse(country, &full.replacen(part, &instead, 1)), parse(country, full), "{country}");
    }
}

#[test]
fn other_encodings_are_rejected() {
    for country in Country::ALL {
        let body = samples(country).full;
        let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let latin1 = [body.as_bytes(), b" \xe9"].concat();
        let with_byte_order_mark = ["\u{feff}".as_bytes(), body.as_bytes()].concat();
        assert!(provider_for(country).parse(&utf16).is_err(), "{country}");
        assert!(provider_for(country).parse(&latin1).is_err(), "{country}");
        // XML allows a byte order mark; JSON (RFC 8259, 8.1) and INTL do not.
        let is_accepted = provider_for(country).parse(&with_byte_order_mark).is_ok();
        assert_eq!(is_accepted, is_xml(country), "{country}");
    }
}

#[test]
fn trailing_data_is_rejected() {
    for country in Country::ALL {
        let body = samples(country).full;
        for tail in ["x", "{}", "<a/>", body] {
            assert!(parse(country, &format!("{}{tail}", body.trim_end())).is_err(), "{country}: {tail:.20}");
        }
    }
}

#[test]
fn error_texts_never_quote_the_body() {
    let secret = "PEREZ12345678Z";
    for country in Country::ALL {
        let Samples { full, malformed, .. } = samples(country);
        for (part, _) in *malformed {
            for value in [format!("\"{secret}\""), format!("{secret}!"), format!("{{\"{secret}\": 1}}")] {
                if let Err(MalformedReport(text)) = parse(country, &full.replacen(part, &value, 1)) {
                    assert!(!text.contains("PEREZ"), "{country}: {text}");
                }
            }
        }
    }
}

#[test]
fn requests_escape_the_name_and_keep_documents_out_of_the_path() {
    let awkward = "Zoë \"O'Hara\" <b>&amp; \\ Núñez";
    for country in Country::ALL {
        let request = provider_for(country).request(&subject(awkward, "12345678Z"));
        let body = String::from_utf8(request.body).unwrap();
        assert!(request.path.starts_with('/') && !request.path.contains("12345678Z"));
        assert_eq!(body.matches("12345678Z").count(), 1, "{country}");
        assert_eq!(body.is_ascii(), !is_json(country) && !is_xml(country), "{country}");
        if is_json(country) {
            let value: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert!(value.to_string().contains("Núñez"), "{country}");
        }
        if is_xml(country) {
            assert!(body.contains("&lt;b&gt;&amp;amp;") && !body.contains("<b>"), "{country}: {body}");
        }
    }
}

#[test]
fn the_spanish_request_distinguishes_dni_and_nie() {
    let kind = |document| {
        let body = provider_for(Country::Es).request(&subject("Ana", document)).body;
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        value["titular"]["tipo_documento"].as_str().unwrap().to_owned()
    };
    assert_eq!(kind("12345678Z"), "DNI");
    assert_eq!(kind("X1234567L"), "NIE");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_cause_a_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
        for country in Country::ALL {
            prop_assert!(provider_for(country).parse(&body).is_err());
        }
    }

    #[test]
    fn no_text_with_format_characters_causes_a_panic(
        body in "(INTL14 {25}MXMXN)?([<>{}\\[\\]\"':,/=&;]|RS02|SC08|ES05|0[0-9]{3}|Envelope|respostaCRC|reports| ){0,60}",
    ) {
        for country in Country::ALL {
            let _ = parse(country, &body);
        }
    }

    #[test]
    fn no_name_breaks_a_request(name in "\\PC{1,255}") {
        for country in Country::ALL {
            prop_assert!(!provider_for(country).request(&subject(&name, "1234567890")).body.is_empty());
        }
    }
}
