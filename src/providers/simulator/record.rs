//! What a simulated bureau holds about a person, and the believable records it makes up.
//!
//! A made-up record follows from its document alone: SHA-256 of country and document picks one of a million
//! profiles, and everything else is worked out from the profile's number. The same document therefore gets the same
//! report for ever, on every instance, with nothing stored. The profile's number, and not the hash, stands in the
//! report's reference: documents are few enough to try them all, so that a hash of one would be personal data.
//!
//! Figures are of the country's own order of magnitude, and about nine in ten would pass its rules for a loan of
//! ordinary size.

use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};

use crate::domain::application::Country;
use crate::domain::banking::{AccountStatus, CreditScore};
use crate::domain::money::Money;

/// How many different profiles there are for each country.
const PROFILES: u64 = 1_000_000;

/// What one bureau holds about one person. What is `None` the bureau leaves out of its report; what a format has
/// no place for (`average_monthly_income`, `verified`) its report leaves out as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BureauRecord {
    /// The bureau's own reference of the report: letters, digits and `-`, at most 25 characters.
    pub reference: String,
    /// How many accounts the figures come from.
    pub accounts: Option<u16>,
    /// The standing of the accounts.
    pub account_status: Option<AccountStatus>,
    /// The score on the common scale; a format with a scale of its own maps it back.
    pub credit_score: Option<CreditScore>,
    /// Everything owed, in the country's currency.
    pub total_debt: Option<Money>,
    /// Paid on debts each month, in the country's currency.
    pub monthly_obligations: Option<Money>,
    /// Whether there are unpaid debts past due.
    pub has_defaults: Option<bool>,
    /// What comes in each month, in the country's currency. Told by CRIF, DataCrédito and Serasa.
    pub average_monthly_income: Option<Money>,
    /// Whether the person's record is verified. Told by DataCrédito.
    pub verified: Option<bool>,
}

/// A monthly income that is ordinary for an applicant in `country`, in whole units of its currency.
pub const fn typical_monthly_income(country: Country) -> u64 {
    match country {
        Country::Es => 2_500,
        Country::Pt => 1_500,
        Country::It => 3_000,
        Country::Mx => 20_000,
        Country::Co => 4_000_000,
        Country::Br => 6_000,
    }
}

/// An amount in whole units of the currency. Zero when it is beyond what [`Money`] holds, which none here is.
pub(super) fn units(amount: u64) -> Money {
    Money::from_decimal(Decimal::from(amount)).unwrap_or_default()
}

impl BureauRecord {
    /// The record that `country`'s bureau makes up for `document`.
    pub fn believable(country: Country, document: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(country.code());
        hash.update(b":");
        hash.update(document);
        let digest = hash.finalize();
        let number = digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        Self::of_profile(country, number % PROFILES)
    }

    /// Works a profile's figures out of its number. The two lowest digits choose how good the record is, the rest
    /// moves each figure within its band.
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
    fn the_same_document_has_the_same_record_and_another_country_another() {
        let one = BureauRecord::believable(Country::Es, "12345678Z");
        assert_eq!(one, BureauRecord::believable(Country::Es, "12345678Z"));
        assert_ne!(one.reference, BureauRecord::believable(Country::Es, "87654321X").reference);
        assert_ne!(
            one.reference.split_once('-').unwrap().1,
            BureauRecord::believable(Country::Pt, "12345678Z").reference.split_once('-').unwrap().1
        );
    }

    #[test]
    fn a_record_never_carries_its_document() {
        let record = BureauRecord::believable(Country::Co, "1234567890");
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
                    let told = record.average_monthly_income.unwrap().amount();
                    assert!((told - income).abs() * Decimal::from(10) <= income);
                    passes
                })
                .count();
            let seen = usize::try_from(PROFILES.div_ceil(101)).unwrap();
            assert!(good * 100 >= seen * 88 && good < seen, "{country}: {good} of {seen}");
        }
    }
}
