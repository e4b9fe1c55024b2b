//! Round trips between the simulator and the adapters in each format.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::super::record::BureauRecord;
use super::super::simulated;
use crate::domain::application::Country;
use crate::domain::banking::{AccountStatus, BankingData, CreditScore};
use crate::domain::money::Money;
use crate::domain::personal_data::{FullName, IdentityDocument};
use crate::providers::tests::samples;
use crate::providers::{Subject, provider_for};

fn any_money() -> impl Strategy<Value = Money> {
    prop_oneof![Just(0), Just(999_999_999_999_i64), 0..=999_999_999_999_i64, 0..10_000_i64]
        .prop_map(|cents| Money::from_decimal(Decimal::new(cents, 2)).unwrap())
}

fn any_status() -> impl Strategy<Value = AccountStatus> {
    prop::sample::select(vec![
        AccountStatus::Active,
        AccountStatus::Inactive,
        AccountStatus::Suspended,
        AccountStatus::Closed,
        AccountStatus::Unknown,
    ])
}

prop_compose! {
    fn any_record()(
        reference in "[A-Z0-9]([A-Za-z0-9-]{0,24})",
        accounts in prop::option::of(0..=9999_u16),
        account_status in prop::option::of(any_status()),
        score in prop::option::of(300..=850_i64),
        total_debt in prop::option::of(any_money()),
        monthly_obligations in prop::option::of(any_money()),
        has_defaults in any::<Option<bool>>(),
        average_monthly_income in prop::option::of(any_money()),
        verified in any::<Option<bool>>(),
    ) -> BureauRecord {
        BureauRecord {
            reference,
            accounts,
            account_status,
            credit_score: score.and_then(CreditScore::new),
            total_debt,
            monthly_obligations,
            has_defaults,
            average_monthly_income,
            verified,
        }
    }
}

/// The report that an adapter should parse from `record`.
fn expected(country: Country, record: &BureauRecord) -> BankingData {
    let mut data = BankingData::empty(provider_for(country).name());
    data.account_status = record.account_status;
    data.credit_score = record.credit_score;
    data.total_debt = record.total_debt;
    data.monthly_obligations = record.monthly_obligations;
    data.has_defaults = record.has_defaults;
    if samples(country).has_income {
        data.average_monthly_income = record.average_monthly_income;
    }
    if samples(country).has_verification {
        data.verified = record.verified;
    }
    data.additional_data.insert("report_reference".to_owned(), record.reference.clone().into());
    if let Some(accounts) = record.accounts {
        data.additional_data.insert("number_of_accounts".to_owned(), accounts.into());
    }
    data
}

/// Whether every value in `data` is in the range of [`Money`] and [`CreditScore`].
fn in_range(data: &BankingData) -> bool {
    let amounts = [data.total_debt, data.monthly_obligations, data.average_monthly_income];
    let sound = |money: Money| Money::parse(&money.to_string()) == Ok(money);
    amounts.into_iter().flatten().all(sound)
        && data.credit_score.is_none_or(|score| (300..=850).contains(&score.get()))
        && data.additional_data.keys().all(|key| key == "report_reference" || key == "number_of_accounts")
}

proptest! {
    #[test]
    fn a_record_survives_a_round_trip_in_every_format(record in any_record()) {
        for country in Country::ALL {
            let body = simulated(country).format.write_report(&record);
            prop_assert_eq!(provider_for(country).parse(body.as_bytes()), Ok(expected(country, &record)));
        }
    }

    #[test]
    fn a_request_survives_a_round_trip_in_every_format(name in "\\PC{1,255}", document in "[A-Z0-9]{6,18}") {
        let subject = Subject {
            full_name: FullName::from_storage(name),
            identity_document: IdentityDocument::from_normalized(document.clone()),
        };
        for country in Country::ALL {
            let request = provider_for(country).request(&subject);
            prop_assert_eq!(request.path, simulated(country).format.path());
            prop_assert_eq!(simulated(country).format.read_document(&request.body), Some(document.clone()), "{}", country);
        }
    }

    #[test]
    fn a_report_truncated_anywhere_is_rejected(record in any_record(), at in any::<prop::sample::Index>()) {
        for country in Country::ALL {
            let body = simulated(country).format.write_report(&record).into_bytes();
            let cut = &body[..at.index(body.len())];
            prop_assert!(provider_for(country).parse(cut).is_err(), "{} at {}", country, cut.len());
        }
    }

    #[test]
    fn a_report_with_a_changed_byte_is_rejected_or_in_range(
        record in any_record(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        for country in Country::ALL {
            let mut body = simulated(country).format.write_report(&record).into_bytes();
            let at = at.index(body.len());
            body[at] = byte;
            if let Ok(data) = provider_for(country).parse(&body) {
                prop_assert!(in_range(&data), "{}: {:?}", country, data);
            }
        }
    }

    #[test]
    fn garbage_is_not_a_request(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for country in Country::ALL {
            prop_assert_eq!(simulated(country).format.read_document(&body), None);
        }
    }
}

#[test]
fn adapters_reject_the_reports_of_other_bureaus() {
    let record = BureauRecord::generated(Country::Es, "12345678Z");
    for writer in Country::ALL {
        for reader in Country::ALL {
            let parsed =
                provider_for(reader).parse(simulated(writer).format.write_report(&record).as_bytes());
            assert_eq!(parsed.is_ok(), writer == reader, "{reader} reads {writer}");
        }
    }
}

#[test]
fn an_error_response_is_not_a_report() {
    for country in Country::ALL {
        let body = simulated(country).format.write_error("UNAVAILABLE");
        assert!(provider_for(country).parse(body.as_bytes()).is_err(), "{country}");
    }
}
