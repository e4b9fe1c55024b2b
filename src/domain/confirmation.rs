//! Confirmations: webhook payloads in which a bank or bureau reports on an application (docs/specification.md, section
//! 6).
//!
//! `http::webhooks` rejects payloads with unknown members, as in client requests. Otherwise a decision would silently
//! ignore a value whose name is misspelled. Figures that a payload omits keep their previous values. The `reason` is free
//! text and is shown to users only if it does not identify the applicant.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use icu_normalizer::DecomposingNormalizerBorrowed;
use serde::Deserialize;
use serde_json::json;

use super::banking::{AccountStatus, BankingData, CreditScore};
use super::ids::ApplicationId;
use super::money::Money;
use super::personal_data::{FullName, IdentityDocument};
use crate::error::{Error, Result};

/// The maximum age of an event whose signature has no timestamp (the legacy scheme). Deliveries are kept for one day
/// longer, so a replayed event is either recognized as a duplicate or too old.
pub const LEGACY_MAX_AGE: TimeDelta = TimeDelta::days(29);

/// The maximum length of a reference, in characters.
pub const MAX_REFERENCE_CHARS: usize = 128;
/// The longest sequence of digits in a reason that is shown. A longer one may be a document or account number.
const MAX_SHOWN_DIGITS: usize = 4;
/// The shortest part of a name that is searched for. Shorter parts ("de", "la") do not identify anyone.
const MIN_NAME_CHARS: usize = 3;

/// The key in [`BankingData::additional_data`] of the reference under which the bureau announced its report.
const REFERENCE_KEY: &str = "provider_reference";
/// The key in [`BankingData::additional_data`] of the reported outcome.
const OUTCOME_KEY: &str = "reported_outcome";

/// The outcome that the bureau reports for the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportedOutcome {
    /// The report is complete: decide based on its figures.
    Confirmed,
    /// Reject the application.
    Rejected,
    /// Send the application to review.
    NeedsReview,
}

impl ReportedOutcome {
    pub(crate) const ALL: [Self; 3] = [Self::Confirmed, Self::Rejected, Self::NeedsReview];

    /// The name in payloads.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::NeedsReview => "needs_review",
        }
    }
}

/// A parsed payload. `Deserialize` reads stored payloads, which were checked when they arrived.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The bureau's reference from its first response.
    pub provider_reference: String,
    /// The application that the report is about.
    pub application_id: ApplicationId,
    /// The reported outcome.
    pub outcome: ReportedOutcome,
    /// The score, on the common scale.
    pub credit_score: Option<CreditScore>,
    /// Total debt in the country's currency.
    pub total_debt: Option<Money>,
    /// Monthly payments on debts in the country's currency.
    pub monthly_obligations: Option<Money>,
    /// Whether there are overdue debts.
    pub has_defaults: Option<bool>,
    /// The state of the applicant's bank accounts.
    pub account_status: Option<AccountStatus>,
    /// Average monthly income in the country's currency. Used by Italy's rules.
    pub average_monthly_income: Option<Money>,
    /// Whether the person's record is verified. Used by Colombia's rules.
    pub verified: Option<bool>,
    /// The bureau's reason.
    pub reason: Option<String>,
    /// The time of the event according to the bureau.
    pub occurred_at: DateTime<Utc>,
}

impl fmt::Debug for Confirmation {
    /// Omits the reason because it may contain personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmation")
            .field("application_id", &self.application_id)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

impl Confirmation {
    /// Checks that the event is not dated in the future, apart from a `tolerance` for differences between clocks. Such
    /// an event would supersede all other events of its application until that date. If its signature has no timestamp,
    /// it could also be replayed after the record of its delivery is deleted.
    ///
    /// # Errors
    /// [`Error::Validation`] if the event is in the future.
    pub fn check_not_ahead(&self, now: DateTime<Utc>, tolerance: TimeDelta) -> Result<()> {
        if self.occurred_at - now > tolerance {
            return Err(Error::field("/occurred_at", "in_the_future", "must not be in the future"));
        }
        Ok(())
    }

    /// Checks the age of an event whose signature has no timestamp. Only the event's date limits how long it can be
    /// replayed.
    ///
    /// # Errors
    /// [`Error::Validation`] if the event is older than [`LEGACY_MAX_AGE`].
    pub fn check_legacy_age(&self, now: DateTime<Utc>) -> Result<()> {
        if now - self.occurred_at > LEGACY_MAX_AGE {
            let days = LEGACY_MAX_AGE.num_days();
            return Err(Error::field("/occurred_at", "too_old", format!("must be at most {days} days ago")));
        }
        Ok(())
    }

    /// The figures for a decision: the figures in this confirmation, and the `known` figures where it has none. Fallback
    /// figures do not count as known. `issued` is the reference under which the bureau announced its report, if any.
    pub fn merged_into(
        &self,
        known: Option<BankingData>,
        provider_name: &str,
        issued: Option<&str>,
    ) -> BankingData {
        let known = known.filter(|data| !data.is_fallback());
        let mut data = known.unwrap_or_else(|| BankingData::empty(provider_name));
        if let Some(reference) = issued {
            set_issued_reference(&mut data, reference);
        }
        if self.has_figures() {
            data.additional_data.remove("thin_file");
        }
        data.credit_score = self.credit_score.or(data.credit_score);
        data.total_debt = self.total_debt.or(data.total_debt);
        data.monthly_obligations = self.monthly_obligations.or(data.monthly_obligations);
        data.has_defaults = self.has_defaults.or(data.has_defaults);
        data.account_status = self.account_status.or(data.account_status);
        data.average_monthly_income = self.average_monthly_income.or(data.average_monthly_income);
        data.verified = self.verified.or(data.verified);
        data.additional_data.insert(OUTCOME_KEY.to_owned(), json!(self.outcome.as_str()));
        data
    }

    fn has_figures(&self) -> bool {
        self.credit_score.is_some()
            || self.total_debt.is_some()
            || self.monthly_obligations.is_some()
            || self.has_defaults.is_some()
            || self.average_monthly_income.is_some()
    }

    /// The reason, unless it may contain personal data: a part of the applicant's name, the applicant's document, or a
    /// long sequence of digits.
    pub fn showable_reason(&self, name: &FullName, document: &IdentityDocument) -> Option<&str> {
        let reason = self.reason.as_deref()?;
        let mut runs = reason.split(|c: char| !c.is_ascii_digit());
        let has_number = runs.any(|run| run.len() > MAX_SHOWN_DIGITS);
        (!identifies_applicant(reason, name, document) && !has_number).then_some(reason)
    }

    /// Checks that the reference, which is stored and listed unencrypted, does not identify the applicant. Unlike in a
    /// reason, long sequences of digits are allowed: many references consist of them.
    ///
    /// # Errors
    /// [`Error::Validation`] if it contains a part of the applicant's name or the document.
    pub fn check_reference_is_not_personal(
        &self,
        name: &FullName,
        document: &IdentityDocument,
    ) -> Result<()> {
        if identifies_applicant(&self.provider_reference, name, document) {
            let detail = "must not contain the applicant's name or document";
            return Err(Error::field("/provider_reference", "personal_data", detail));
        }
        Ok(())
    }
}

/// Whether a string contains a part of the applicant's name, ignoring case and accents, or the document.
fn identifies_applicant(text: &str, name: &FullName, document: &IdentityDocument) -> bool {
    let folded: String = text.chars().map(fold).collect();
    let name: String = name.reveal().chars().map(fold).collect();
    let mut names = words(&name).filter(|word| word.chars().count() >= MIN_NAME_CHARS);
    document.occurs_in(text) || names.any(|name| words(&folded).any(|word| word == name))
}

/// The reference under which the bureau announced its report. Confirmations with another reference are not accepted.
pub fn issued_reference(data: &BankingData) -> Option<&str> {
    data.additional_data.get(REFERENCE_KEY)?.as_str()
}

/// Stores the reference under which the bureau announced its report.
pub fn set_issued_reference(data: &mut BankingData, reference: &str) {
    data.additional_data.insert(REFERENCE_KEY.to_owned(), json!(reference));
}

/// The outcome that the bureau reported, if the figures come from a confirmation.
pub fn reported_outcome(data: &BankingData) -> Option<ReportedOutcome> {
    let name = data.additional_data.get(OUTCOME_KEY)?.as_str()?;
    ReportedOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == name)
}

/// Parses a reference: 1 to 128 visible ASCII characters, which need no escaping in rows, logs and lists.
pub fn parse_reference(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= MAX_REFERENCE_CHARS;
    (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The letter in lower case without its accents: the first character of its canonical decomposition.
fn fold(letter: char) -> char {
    let lower = letter.to_lowercase().next().unwrap_or(letter);
    let mut decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize_iter(std::iter::once(lower));
    decomposed.next().unwrap_or(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn read(json: &str) -> Confirmation {
        serde_json::from_str(json).unwrap()
    }

    fn with(members: &str) -> String {
        format!(
            r#"{{"provider_reference": "ES-1", "application_id": "{ID}", "outcome": "confirmed",
                "occurred_at": "2026-01-31T12:00:00+01:00"{members}}}"#
        )
    }

    #[test]
    fn legacy_events_are_accepted_for_29_days_and_future_events_are_rejected() {
        let event = read(&with(""));
        let (tolerance, second) = (TimeDelta::seconds(300), TimeDelta::seconds(1));
        let old = |age: TimeDelta| event.check_legacy_age(event.occurred_at + age);
        assert!(old(TimeDelta::zero()).is_ok() && old(LEGACY_MAX_AGE).is_ok());
        assert!(old(LEGACY_MAX_AGE + second).is_err());
        let early = |lead: TimeDelta| event.check_not_ahead(event.occurred_at - lead, tolerance);
        assert!(early(-LEGACY_MAX_AGE).is_ok() && early(tolerance).is_ok());
        assert!(early(tolerance + second).is_err());
    }

    #[test]
    fn a_confirmation_overrides_known_figures_and_discards_fallback_figures() {
        use crate::domain::banking::FallbackReason;
        let event = read(&with(r#", "credit_score": 700"#));
        let known: BankingData =
            serde_json::from_str(r#"{"provider_name": "X", "credit_score": 500, "has_defaults": true}"#)
                .unwrap();
        let merged = event.merged_into(Some(known), "Y", Some("ES-1"));
        assert_eq!(merged.credit_score, CreditScore::new(700));
        assert_eq!((merged.has_defaults, merged.provider_name.as_str()), (Some(true), "X"));
        assert_eq!(issued_reference(&merged), Some("ES-1"));
        assert_eq!(reported_outcome(&merged), Some(ReportedOutcome::Confirmed));
        let fallback = BankingData::fallback("X", FallbackReason::CircuitOpen, "open");
        let merged = event.merged_into(Some(fallback), "Y", None);
        assert!(!merged.is_fallback());
        assert_eq!((merged.has_defaults, merged.total_debt), (None, None));
        assert!(!event.merged_into(Some(BankingData::thin_file("X")), "Y", None).is_thin_file());
        let without_figures = read(&with(""));
        assert!(without_figures.merged_into(Some(BankingData::thin_file("X")), "Y", None).is_thin_file());
    }

    #[test]
    fn a_reference_may_contain_numbers_but_must_not_identify_the_applicant() {
        let name = FullName::parse("Ana García de la O").unwrap();
        let document = IdentityDocument::from_normalized("12345678Z".to_owned());
        let refused = |reference: &str| {
            let event = Confirmation { provider_reference: reference.to_owned(), ..read(&with("")) };
            event.check_reference_is_not_personal(&name, &document).is_err()
        };
        for reference in ["ES-7f3a9c", "20260131/000417", "banana-1", "de-la-1"] {
            assert!(!refused(reference), "{reference}");
        }
        for reference in ["ANA-1", "es_garcia.2026", "ref-1234-5678-z"] {
            assert!(refused(reference), "{reference}");
        }
    }

    #[test]
    fn a_reason_that_may_identify_the_applicant_is_not_shown() {
        let name = FullName::parse("Ana García de la O").unwrap();
        let document = IdentityDocument::from_normalized("12345678Z".to_owned());
        let shown = |reason: &str| {
            let event = read(&with(&format!(r#", "reason": "{reason}""#)));
            event.showable_reason(&name, &document).is_some()
        };
        for reason in
            ["insufficient history", "Wohnsitz de la UE", "analysis of 2025 failed", "score below 600"]
        {
            assert!(shown(reason), "{reason}");
        }
        for reason in [
            "GARCIA has debts",
            "see Ana",
            "12345678-z is blocked",
            "1 2 3 4 5 6 7 8 Z",
            "account 00491",
            "garcía",
        ] {
            assert!(!shown(reason), "{reason}");
        }
    }
}
