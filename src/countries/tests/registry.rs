//! The registry: every country, its thresholds and their replacement.

use std::fs;

use tempfile::TempDir;

use super::super::table::{case, moment, report};
use super::super::{Countries, DocumentKind, DocumentVerdict, ReasonCode, definition_of};
use crate::domain::application::Country;
use crate::domain::decision::Outcome;
use crate::error::Error;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

const SPAIN: &str = include_str!("../../../config/countries/es.toml");

#[test]
fn every_country_is_registered_under_its_code_and_accepts_its_sample() {
    let countries = Countries::built_in().unwrap();
    for country in Country::ALL {
        let rules = countries.rules(country);
        assert_eq!(rules.country(), country);
        let description = rules.describe();
        assert_eq!((description.code, description.name), (country.code(), country.name()));
        assert_eq!(description.currency, country.currency());
        assert_eq!(description.rules_version, rules.rules_version());
        let verdict = rules.check_document(description.document.sample, moment());
        assert_eq!(verdict.normalized.as_deref(), Some(description.document.sample));
        assert!(verdict.kind.is_some_and(|kind| description.document.kinds.contains(&kind)));
    }
}

#[test]
fn the_built_in_rules_match_the_specification() {
    let countries = Countries::built_in().unwrap();
    for country in Country::ALL {
        let expected = &definition_of(country).expected;
        let description = countries.rules(country).describe();
        assert_eq!(description.limits.reference_annual_rate, expected.reference_annual_rate, "{country}");
        let found: Vec<_> =
            description.rules.iter().map(|rule| (rule.code, rule.kind, rule.threshold.as_deref())).collect();
        assert_eq!(found, expected.rules, "{country}");
    }
}

/// Clients rely on the specification, so it must describe the document and the rules of every country.
#[test]
fn the_specification_and_the_changelog_mention_every_country() {
    let page = include_str!("../../../docs/specification.md");
    for country in Country::ALL {
        let rows = page.lines().filter(|line| line.starts_with(&format!("| {country} |"))).count();
        assert_eq!(rows, 2, "docs/specification.md needs a row for {country} in sections 3.1 and 3.3");
        let sample = definition_of(country).document.sample;
        assert!(
            page.contains(&format!("`{sample}`")),
            "section 3.1 of docs/specification.md lacks the sample {sample}"
        );
        let changes = include_str!("../../../CHANGELOG.md");
        assert!(changes.contains(country.name()), "CHANGELOG.md does not mention {}", country.name());
    }
}

#[test]
fn a_country_description_has_everything_that_a_client_needs() {
    let description = Countries::built_in().unwrap().rules(Country::Es).describe();
    assert_eq!(description.document.kinds, [DocumentKind::Dni, DocumentKind::Nie]);
    let mut json = serde_json::to_value(&description).unwrap();
    let rules = json["rules"].take();
    let members = json["country_specific_data"].take();
    assert_eq!(
        members[2],
        serde_json::json!({
            "name": "email",
            "kind": "email",
            "bounds": "at most 254 bytes",
            "personal": true,
            "description": "The applicant's e-mail address",
        })
    );
    assert_eq!(
        json,
        serde_json::json!({
            "code": "ES",
            "name": "Spain",
            "document": {
                "kinds": ["DNI", "NIE"],
                "description": "DNI (8 digits and a check letter) or NIE (X, Y or Z, 7 digits and a check letter), \
                    optionally with the prefix ES",
                "format": "^([0-9]{8}|[XYZ][0-9]{7})[A-Z]$",
                "sample": "12345678Z",
            },
            "currency": "EUR",
            "provider": "ASNEF-CIRBE",
            "limits": {
                "requested_amount": {"min": "0.01", "max": "9999999999.99"},
                "monthly_income": {"min": "0.01", "max": "9999999999.99"},
                "term_months": {"min": 6, "max": 84, "default": 36},
                "reference_annual_rate": "0.08",
            },
            "country_specific_data": null,
            "rules": null,
            "rules_version": "es-4a4024c70bb027c9",
        })
    );
    assert_eq!(
        rules[3],
        serde_json::json!({
            "code": "AMOUNT_NEEDS_REVIEW",
            "kind": "review",
            "description": "The requested amount must not exceed 20000.00.",
            "threshold": "20000.00",
        })
    );
}

#[test]
fn the_schema_of_a_verdict_matches_its_json() {
    use utoipa::PartialSchema as _;
    let schema = serde_json::to_value(DocumentVerdict::schema()).unwrap();
    let mut properties: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    properties.sort_unstable();
    assert_eq!(properties, ["kind", "normalized", "reasons", "valid"]);
    let reasons = serde_json::to_value(ReasonCode::schema()).unwrap();
    assert!(reasons["enum"].as_array().unwrap().contains(&"bad_check_digit".into()), "{reasons}");
}

/// Versions are stored with decisions for years. A failure of this test means that cases are decided differently:
/// increment a revision or change a threshold on purpose.
#[test]
fn rule_pack_versions_do_not_change_unintentionally() {
    let countries = Countries::built_in().unwrap();
    for country in Country::ALL {
        let version = definition_of(country).expected.rules_version;
        assert_eq!(countries.rules(country).rules_version(), version);
        let decision = countries.rules(country).evaluate(&case("1000", "9000000", 36, report("0", 800)));
        assert_eq!(decision.rules_version, version);
    }
}

#[test]
fn a_file_replaces_the_thresholds_of_one_country_and_changes_its_version() {
    let strict = SPAIN.replace("min_credit_score = 600", "min_credit_score = 750");
    let dir = folder(&[("es.toml", &strict), ("README.md", "not a country")]);
    let (custom, built_in) = (Countries::load(Some(dir.path())).unwrap(), Countries::built_in().unwrap());
    let case = case("15000", "3500", 36, report("300", 720));
    assert_eq!(built_in.rules(Country::Es).evaluate(&case).status, Outcome::Approved);
    assert_eq!(custom.rules(Country::Es).evaluate(&case).status, Outcome::Rejected);
    assert_ne!(custom.rules(Country::Es).rules_version(), built_in.rules(Country::Es).rules_version());
    assert_eq!(custom.rules(Country::Pt).rules_version(), built_in.rules(Country::Pt).rules_version());
}

#[test]
fn equal_thresholds_have_the_same_version_in_any_notation() {
    let rewritten = SPAIN
        .replace("dti_limit = \"0.40\"", "\n# A comment.\ndti_limit = \"0.4000\"")
        .replace("\"20000.00\"", "20000");
    assert_ne!(rewritten, SPAIN);
    let dir = folder(&[("es.toml", &rewritten)]);
    let (custom, built_in) = (Countries::load(Some(dir.path())).unwrap(), Countries::built_in().unwrap());
    assert_eq!(custom.rules(Country::Es).rules_version(), built_in.rules(Country::Es).rules_version());
}

#[test]
fn an_invalid_file_is_an_error_that_names_the_file_and_the_key() {
    let unknown_key = format!("{SPAIN}\nmax_age = 99\n");
    let missing_key = SPAIN.replace("min_credit_score = 600", "");
    let out_of_range = SPAIN.replace("min_credit_score = 600", "min_credit_score = 900");
    for (name, text, names) in [
        ("es.toml", unknown_key.as_str(), "max_age"),
        ("es.toml", missing_key.as_str(), "min_credit_score"),
        ("es.toml", out_of_range.as_str(), "min_credit_score = 900"),
        ("fr.toml", SPAIN, "no country"),
        ("ES.toml", SPAIN, "no country"),
    ] {
        let dir = folder(&[(name, text)]);
        let error = Countries::load(Some(dir.path())).unwrap_err();
        assert!(matches!(error, Error::Configuration(_)), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(name) && message.contains(names), "{message}");
    }
    let gone = folder(&[]).path().join("gone");
    assert!(matches!(Countries::load(Some(&gone)), Err(Error::Configuration(_))));
}

#[cfg(unix)]
#[test]
fn a_file_that_is_not_text_is_an_error() {
    let dir = folder(&[]);
    fs::write(dir.path().join("mx.toml"), [0xff, 0xfe]).unwrap();
    let message = Countries::load(Some(dir.path())).unwrap_err().to_string();
    assert!(message.contains("mx.toml"), "{message}");
}
