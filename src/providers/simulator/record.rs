//! The record that a simulated bureau has of a person, and generated records.
//!
//! A generated record depends only on the country and the document: their SHA-256 selects one of a million profiles,
//! and the profile's number determines all figures. The same document therefore always has the same report on every
//! instance, without any storage. The report's reference contains the profile's number instead of the hash, because a
//! hash would be personal data: the number of possible documents is small enough to hash all of them.
//!
//! Figures are typical of the country, and about nine in ten records pass its rules for an ordinary loan.

use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};

use super::simulated;
use crate::domain::application::Country;
use crate::domain::banking::{AccountStatus, CreditScore};
use crate::domain::money::Money;

/// The number of profiles per country.
const PROFILES: u64 = 1_000_000;

/// A bureau's record of a person. Reports omit values that are `None` and values that the format does not support
/// (`average_monthly_income`, `verified`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BureauRecord {
    /// The bureau's reference of the report: at most 25 letters, digits and `-`.
    pub reference: String,
    /// The number of accounts behind the figures.
    pub accounts: Option<u16>,
    /// The state of the accounts.
    pub account_status: Option<AccountStatus>,
    /// The score on the common scale. Formats with another scale convert it.
    pub credit_score: Option<CreditScore>,
    /// Total debt in the country's currency.
    pub total_debt: Option<Money>,
    /// Monthly payments on debts in the country's currency.
    pub monthly_obligations: Option<Money>,
    /// Whether there are overdue debts.
    pub has_defaults: Option<bool>,
    /// Average monthly income in the country's currency. Reported by CRIF, DataCrédito and Serasa.
    pub average_monthly_income: Option<Money>,
    /// Whether the person's record is verified. Reported by DataCrédito.
    pub verified: Option<bool>,
}

/// A typical monthly income of an applicant, in whole units of the country's currency.
pub fn typical_monthly_income(country: Country) -> u64 {
    simulated(country).typical_monthly_income
}

/// An amount in whole units of the currency. Zero if it exceeds the range of [`Money`], which never happens here.
pub(super) fn units(amount: u64) -> Money {
    Money::from_decimal(Decimal::from(amount)).unwrap_or_default()
}

impl BureauRecord {
    /// The generated record for `document`.
    pub fn generated(country: Country, document: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(country.code());
        hash.update(b":");
        hash.update(document);
        let digest = hash.finalize();
        let number = digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        Self::of_profile(country, number % PROFILES)
    }

    /// Derives the figures from the profile's number. The last two digits determine the quality of the record, and the
    /// others vary each figure within its band.
    fn of_profile(country: Country, profile: u64) -> Self {
        let kind = profile % 100;
        let spread = profile / 100;
        let (worst_score, obligations_percent) = match kind {
            0..=89 => (650, 2 + spread % 9),
            90..=95 => (560, 12 + spread % 14),
            _ => (430, 20 + spread % 20),
        };
        let score = worst_score + spread % 150;
        let income = typical_monthly_income(country);
        let obligations = income * obligations_percent / 100;
        Self {
            reference: format!("{}-{profile:06}", country.code()),
            accounts: u16::try_from(1 + spread % 6).ok(),
            account_status: Some(if kind == 94 { AccountStatus::Inactive } else { AccountStatus::Active }),
            credit_score: i64::try_from(score).ok().and_then(CreditScore::new),
            total_debt: Some(units(obligations * (6 + spread % 30))),
            monthly_obligations: Some(units(obligations)),
            has_defaults: Some(kind >= 98),
            average_monthly_income: Some(units(income * (90 + spread % 21) / 100)),
            verified: Some(kind != 95),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_depends_on_document_and_country() {
        let one = BureauRecord::generated(Country::Es, "12345678Z");
        assert_eq!(one, BureauRecord::generated(Country::Es, "12345678Z"));
        assert_ne!(one.reference, BureauRecord::generated(Country::Es, "87654321X").reference);
        assert_ne!(
            one.reference.split_once('-').unwrap().1,
            BureauRecord::generated(Country::Pt, "12345678Z").reference.split_once('-').unwrap().1
        );
    }

    #[test]
    fn a_record_never_contains_its_document() {
        let record = BureauRecord::generated(Country::Co, "1234567890");
        assert!(!format!("{record:?}").contains("1234567890"));
        assert_eq!(record.reference.len(), "CO-000000".len());
    }

    #[test]
    fn every_profile_is_complete_and_most_are_good() {
        for country in Country::ALL {
            let income = Decimal::from(typical_monthly_income(country));
            let good = (0..PROFILES)
                .step_by(101)
                .map(|profile| BureauRecord::of_profile(country, profile))
                .filter(|record| {
                    let obligations = record.monthly_obligations.unwrap().amount();
                    assert!(obligations > Decimal::ZERO && obligations < income);
                    assert!(record.total_debt.unwrap().amount() > obligations);
                    let passes = record.credit_score.unwrap().get() >= 600
                        && record.has_defaults == Some(false)
                        && record.verified == Some(true)
                        && obligations * Decimal::from(8) < income;
                    let reported = record.average_monthly_income.unwrap().amount();
                    assert!((reported - income).abs() * Decimal::from(10) <= income);
                    passes
                })
                .count();
            let seen = usize::try_from(PROFILES.div_ceil(101)).unwrap();
            assert!(good * 100 >= seen * 88 && good < seen, "{country}: {good} of {seen}");
        }
    }
}
