//! Bureau reports in a common format.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::money::Money;
use super::personal_data::IdentityDocument;

/// The state of the person's bank accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountStatus {
    /// Open and in use.
    Active,
    /// Open but not used.
    Inactive,
    /// Blocked by the bank.
    Suspended,
    /// Closed.
    Closed,
    /// Unknown, or any other state.
    #[serde(other)]
    Unknown,
}

impl AccountStatus {
    pub(crate) const ALL: [Self; 5] =
        [Self::Active, Self::Inactive, Self::Suspended, Self::Closed, Self::Unknown];
}

/// A credit score on the common scale from 300 (worst) to 850 (best).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct CreditScore(u16);

impl CreditScore {
    /// The worst score.
    pub const MIN: u16 = 300;
    /// The best score.
    pub const MAX: u16 = 850;

    /// `None` outside the range.
    pub fn new(score: i64) -> Option<Self> {
        let score = u16::try_from(score).ok()?;
        (Self::MIN..=Self::MAX).contains(&score).then_some(Self(score))
    }

    pub(crate) const fn get(self) -> u16 {
        self.0
    }
}

impl<'de> Deserialize<'de> for CreditScore {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let score = i64::deserialize(deserializer)?;
        Self::new(score).ok_or_else(|| serde::de::Error::custom("must be a whole number from 300 to 850"))
    }
}

/// A bureau's report. `None` means that the bureau did not report the value. Aval never substitutes a
/// value, either in favour of the applicant or against them (docs/specification.md, section 3.5).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankingData {
    /// The bureau's name.
    #[serde(default)]
    pub provider_name: String,
    /// The state of the accounts.
    #[serde(default)]
    pub account_status: Option<AccountStatus>,
    /// The score, on the common scale.
    #[serde(default)]
    pub credit_score: Option<CreditScore>,
    /// Total debt in the country's currency.
    #[serde(default)]
    pub total_debt: Option<Money>,
    /// Monthly payments on debts in the country's currency.
    #[serde(default)]
    pub monthly_obligations: Option<Money>,
    /// Whether there are overdue debts.
    #[serde(default)]
    pub has_defaults: Option<bool>,
    /// Average monthly income in the country's currency.
    #[serde(default)]
    pub average_monthly_income: Option<Money>,
    /// Whether the bureau has verified the person's record (Colombia).
    #[serde(default)]
    pub verified: Option<bool>,
    /// Other data from the bureau that is not personal, and Aval's markers (`fallback`, `thin_file`).
    #[serde(default)]
    pub additional_data: Map<String, Value>,
}

impl fmt::Debug for BankingData {
    /// Omits `additional_data`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BankingData")
            .field("provider_name", &self.provider_name)
            .field("account_status", &self.account_status)
            .field("credit_score", &self.credit_score)
            .field("total_debt", &self.total_debt)
            .field("monthly_obligations", &self.monthly_obligations)
            .field("has_defaults", &self.has_defaults)
            .field("average_monthly_income", &self.average_monthly_income)
            .field("verified", &self.verified)
            .finish_non_exhaustive()
    }
}

impl BankingData {
    /// A report without any values.
    pub fn empty(provider_name: impl Into<String>) -> Self {
        Self {
            provider_name: provider_name.into(),
            account_status: None,
            credit_score: None,
            total_debt: None,
            monthly_obligations: None,
            has_defaults: None,
            average_monthly_income: None,
            verified: None,
            additional_data: Map::new(),
        }
    }

    /// The report for a person without a record at the bureau.
    pub fn thin_file(provider_name: impl Into<String>) -> Self {
        let mut data = Self::empty(provider_name);
        data.additional_data.insert("thin_file".to_owned(), json!(true));
        data
    }

    /// The figures recorded if the bureau is unavailable (docs/specification.md, section 4). They are marked as
    /// fallback figures, and rules that need bureau data are not evaluated on them.
    pub fn fallback(provider_name: &str, reason: FallbackReason, circuit_state: &str) -> Self {
        let amount = |text: &str| Money::parse(text).ok();
        let mut data = Self::empty(format!("{provider_name} (FALLBACK - {})", reason.title()));
        data.account_status = Some(AccountStatus::Unknown);
        data.credit_score = CreditScore::new(500);
        data.total_debt = amount("50000.00");
        data.monthly_obligations = amount("2000.00");
        data.has_defaults = Some(false);
        data.additional_data.insert("fallback".to_owned(), json!(true));
        data.additional_data.insert("reason".to_owned(), json!(reason.to_string()));
        data.additional_data.insert("circuit_state".to_owned(), json!(circuit_state));
        if reason == FallbackReason::NeverAnswered {
            data.additional_data.insert("timed_out".to_owned(), json!(true));
        }
        data
    }

    /// Removes additional data that contains the person's document, with or without hyphens, because reports are stored
    /// unencrypted.
    pub fn without_document(mut self, document: &IdentityDocument) -> Self {
        let contains_document =
            |text: &str| text.replace('-', "").to_ascii_uppercase().contains(document.reveal());
        self.additional_data.retain(|_, value| !value.as_str().is_some_and(contains_document));
        self
    }

    /// Whether these are fallback figures.
    pub fn is_fallback(&self) -> bool {
        self.additional_data.get("fallback").and_then(Value::as_bool) == Some(true)
    }

    /// Whether these are fallback figures because an announced report did not arrive in time.
    pub fn is_timed_out(&self) -> bool {
        self.is_fallback() && self.additional_data.get("timed_out").and_then(Value::as_bool) == Some(true)
    }

    /// Whether the bureau has no record of the person.
    pub fn is_thin_file(&self) -> bool {
        self.additional_data.get("thin_file").and_then(Value::as_bool) == Some(true)
    }
}

/// Why fallback figures replace a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FallbackReason {
    /// The circuit breaker was open, and the bureau was not called.
    CircuitOpen,
    /// Every call of the job's last attempt failed.
    CallsFailed,
    /// The bureau requested a longer delay than a job may wait.
    RateLimited,
    /// The bureau announced a report but did not send it in time.
    NeverAnswered,
}

impl FallbackReason {
    const fn title(self) -> &'static str {
        match self {
            Self::CircuitOpen => "Circuit Open",
            Self::CallsFailed => "Calls Failed",
            Self::RateLimited => "Rate Limited",
            Self::NeverAnswered => "Never Answered",
        }
    }
}

impl fmt::Display for FallbackReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CircuitOpen => "circuit breaker open: provider unavailable",
            Self::CallsFailed => "provider unavailable: every call of the last attempt failed",
            Self::RateLimited => "provider unavailable: it requested a longer delay than a job may wait",
            Self::NeverAnswered => "the provider accepted the request but did not send its report in time",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fallback_figures_are_the_documented_ones_and_are_marked() {
        let data = BankingData::fallback("ASNEF-CIRBE", FallbackReason::CircuitOpen, "open");
        assert!(data.is_fallback());
        let value = serde_json::to_value(&data).unwrap();
        assert_eq!(
            value,
            json!({
                "provider_name": "ASNEF-CIRBE (FALLBACK - Circuit Open)",
                "account_status": "unknown",
                "credit_score": 500,
                "total_debt": "50000.00",
                "monthly_obligations": "2000.00",
                "has_defaults": false,
                "average_monthly_income": null,
                "verified": null,
                "additional_data": {
                    "fallback": true,
                    "reason": "circuit breaker open: provider unavailable",
                    "circuit_state": "open",
                },
            })
        );
        assert_eq!(serde_json::from_value::<BankingData>(value).unwrap(), data);
    }

    #[test]
    fn references_that_contain_the_document_are_removed_and_debug_output_omits_additional_data() {
        let document = IdentityDocument::from_normalized("12345678Z".to_owned());
        for (reference, is_kept) in [("A-1", true), ("x-12345678z-9", false), ("1234-5678-Z", false)] {
            let mut data = BankingData::empty("CRIF");
            data.additional_data.insert("report_reference".to_owned(), json!(reference));
            data.additional_data.insert("number_of_accounts".to_owned(), json!(3));
            assert!(!format!("{data:?}").contains(reference));
            let kept = data.without_document(&document).additional_data;
            assert_eq!(kept.contains_key("report_reference"), is_kept, "{reference}");
            assert_eq!(kept["number_of_accounts"], 3);
        }
    }

    #[test]
    fn unreported_values_stay_unknown() {
        let data: BankingData = serde_json::from_str(r#"{"credit_score": 700}"#).unwrap();
        assert_eq!(data.has_defaults, None);
        assert!(!data.is_thin_file() && BankingData::thin_file("x").is_thin_file());
        for bad in ["299", "851", "700.5", "-1"] {
            assert!(serde_json::from_str::<BankingData>(&format!(r#"{{"credit_score": {bad}}}"#)).is_err());
        }
    }
}
