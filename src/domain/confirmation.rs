//! The payload of a webhook: what a bank or bureau reports about an application later (docs/specification.md 6).
//!
//! It is read strictly, like a client's request: a figure under a mistyped name would otherwise be left out of a decision
//! without anybody noticing. What it does not tell stays as it was known before. Its `reason` is free text of somebody
//! else's making, so it is shown to people only when it does not name the applicant.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use serde_json::value::RawValue;

use super::banking::{AccountStatus, BankingData, CreditScore};
use super::ids::ApplicationId;
use super::members::{Fields, Members, Problems, Refusal, bad_type, boolean, money, string, whole_number};
use super::money::Money;
use super::personal_data::{FullName, IdentityDocument};
use crate::error::{Error, Result};

/// Oldest event of the legacy scheme, whose signature knows no time: a day less than events are remembered, so that none
/// can be sent again after its first delivery was forgotten.
pub const LEGACY_MAX_AGE: TimeDelta = TimeDelta::days(29);

/// Longest reference, in characters.
const MAX_REFERENCE_CHARS: usize = 128;
/// Longest reason, in characters.
const MAX_REASON_CHARS: usize = 500;
/// A longer run of digits in a reason may be a document or an account.
const MAX_SHOWN_DIGITS: usize = 4;
/// A shorter word of a name is no name by itself ("de", "la").
const MIN_NAME_CHARS: usize = 3;

/// The member of [`BankingData::additional_data`] that holds the reference under which the bureau promised to answer.
const ISSUED: &str = "provider_reference";
/// The member that holds what the bureau made of the application.
const OUTCOME: &str = "reported_outcome";

/// What the bureau makes of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReportedOutcome {
    /// Here are the figures: decide.
    Confirmed,
    /// Decline.
    Rejected,
    /// A human should decide.
    NeedsReview,
}

impl ReportedOutcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Confirmed, Self::Rejected, Self::NeedsReview];

    /// The word for it in a payload.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::NeedsReview => "needs_review",
        }
    }
}

/// A confirmation.
#[derive(Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// The bureau's own reference, which it gave when it was asked.
    pub provider_reference: String,
    /// The application that it is about.
    pub application_id: ApplicationId,
    /// What the bureau makes of it.
    pub outcome: ReportedOutcome,
    /// The score, on the common scale.
    pub credit_score: Option<CreditScore>,
    /// Everything that is owed, in the country's currency.
    pub total_debt: Option<Money>,
    /// What is paid on debts each month, in the country's currency.
    pub monthly_obligations: Option<Money>,
    /// Whether there are unpaid debts past due.
    pub has_defaults: Option<bool>,
    /// The standing of the accounts.
    pub account_status: Option<AccountStatus>,
    /// What came in each month on average, in the country's currency: Italy's rules ask for it.
    pub average_monthly_income: Option<Money>,
    /// Whether the person's record is verified: Colombia's rules ask for it.
    pub verified: Option<bool>,
    /// Why, in the bureau's words.
    pub reason: Option<String>,
    /// When it came about, by the bureau's clock.
    pub occurred_at: DateTime<Utc>,
}

impl fmt::Debug for Confirmation {
    /// Without the reason, which may name anybody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmation")
            .field("application_id", &self.application_id)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

impl Confirmation {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`Error::Validation`] with everything that is wrong.
    pub fn read(members: Members<'_>) -> Result<Self> {
        let mut problems = Problems::default();
        let mut fields = Fields::new(members, "", &mut problems);
        let provider_reference = fields.required("provider_reference", provider_reference);
        let application_id = fields.required("application_id", application_id);
        let outcome = fields.required("outcome", outcome);
        let credit_score = fields.optional("credit_score", credit_score);
        let total_debt = fields.optional("total_debt", money);
        let monthly_obligations = fields.optional("monthly_obligations", money);
        let has_defaults = fields.optional("has_defaults", boolean);
        let account_status = fields.optional("account_status", account_status);
        let average_monthly_income = fields.optional("average_monthly_income", money);
        let verified = fields.optional("verified", boolean);
        let reason = fields.optional("reason", reason);
        let occurred_at = fields.required("occurred_at", moment);
        fields.refuse_the_rest();
        match (provider_reference, application_id, outcome, occurred_at) {
            (Some(provider_reference), Some(application_id), Some(outcome), Some(occurred_at))
                if problems.0.is_empty() =>
            {
                Ok(Self {
                    provider_reference,
                    application_id,
                    outcome,
                    credit_score,
                    total_debt,
                    monthly_obligations,
                    has_defaults,
                    account_status,
                    average_monthly_income,
                    verified,
                    reason,
                    occurred_at,
                })
            }
            _ => Err(Error::Validation(problems.0)),
        }
    }

    /// Checks that it came about by now, but for a `tolerance` between two clocks: an event from the future would outdate
    /// every other of its application until then, and, where its signature knows no time, the memory of its delivery.
    ///
    /// # Errors
    /// [`Error::Validation`] when it is from the future.
    pub fn check_not_ahead(&self, now: DateTime<Utc>, tolerance: TimeDelta) -> Result<()> {
        if self.occurred_at - now > tolerance {
            return Err(Error::field("/occurred_at", "in_the_future", "must not be in the future"));
        }
        Ok(())
    }

    /// Checks what bounds the replay of an event whose signature knows no time: its own date.
    ///
    /// # Errors
    /// [`Error::Validation`] when it is older than [`LEGACY_MAX_AGE`].
    pub fn check_legacy_age(&self, now: DateTime<Utc>) -> Result<()> {
        if now - self.occurred_at > LEGACY_MAX_AGE {
            let days = LEGACY_MAX_AGE.num_days();
            return Err(Error::field("/occurred_at", "too_old", format!("must be at most {days} days ago")));
        }
        Ok(())
    }

    /// The figures to decide on: what was `known` before, with everything that this confirmation tells in its place.
    /// Fallback figures were never known. `issued` is the reference that the bureau gave for its answer, if it did.
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
        if self.tells_figures() {
            data.additional_data.remove("thin_file");
        }
        data.credit_score = self.credit_score.or(data.credit_score);
        data.total_debt = self.total_debt.or(data.total_debt);
        data.monthly_obligations = self.monthly_obligations.or(data.monthly_obligations);
        data.has_defaults = self.has_defaults.or(data.has_defaults);
        data.account_status = self.account_status.or(data.account_status);
        data.average_monthly_income = self.average_monthly_income.or(data.average_monthly_income);
        data.verified = self.verified.or(data.verified);
        data.additional_data.insert(OUTCOME.to_owned(), json!(self.outcome.as_str()));
        data
    }

    fn tells_figures(&self) -> bool {
        self.credit_score.is_some()
            || self.total_debt.is_some()
            || self.monthly_obligations.is_some()
            || self.has_defaults.is_some()
            || self.average_monthly_income.is_some()
    }

    /// The reason, unless it seems to hold personal data: a word of the applicant's name, the applicant's document, or a
    /// run of digits that could be anybody's.
    pub fn showable_reason(&self, name: &FullName, document: &IdentityDocument) -> Option<&str> {
        let reason = self.reason.as_deref()?;
        let mut runs = reason.split(|c: char| !c.is_ascii_digit());
        let has_number = runs.any(|run| run.len() > MAX_SHOWN_DIGITS);
        (!names_applicant(reason, name, document) && !has_number).then_some(reason)
    }

    /// Checks that the reference, which is stored and listed in the clear, does not name the applicant. Numbers are what
    /// references are made of.
    ///
    /// # Errors
    /// [`Error::Validation`] when it holds a word of the applicant's name, or the applicant's document.
    pub fn check_reference_is_impersonal(&self, name: &FullName, document: &IdentityDocument) -> Result<()> {
        if names_applicant(&self.provider_reference, name, document) {
            let detail = "repeats the applicant's name or document";
            return Err(Error::field("/provider_reference", "personal_data", detail));
        }
        Ok(())
    }
}

/// Whether a text holds a word of the applicant's name, however it is written, or the applicant's document.
fn names_applicant(text: &str, name: &FullName, document: &IdentityDocument) -> bool {
    let folded: String = text.chars().map(fold).collect();
    let name: String = name.reveal().chars().map(fold).collect();
    let mut names = words(&name).filter(|word| word.chars().count() >= MIN_NAME_CHARS);
    document.stands_in(text) || names.any(|name| words(&folded).any(|word| word == name))
}

/// The reference under which the bureau of these figures promised to answer: no other may speak for the application.
pub fn issued_reference(data: &BankingData) -> Option<&str> {
    data.additional_data.get(ISSUED)?.as_str()
}

/// Notes the reference under which the bureau promised to answer.
pub fn set_issued_reference(data: &mut BankingData, reference: &str) {
    data.additional_data.insert(ISSUED.to_owned(), json!(reference));
}

/// What the bureau itself made of the application, when the figures came with a confirmation.
pub fn reported_outcome(data: &BankingData) -> Option<ReportedOutcome> {
    let word = data.additional_data.get(OUTCOME)?.as_str()?;
    ReportedOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == word)
}

/// Reads a reference: 1 to 128 visible ASCII characters, so that it can stand in a row, a log or a list as it is.
pub fn parse_reference(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= MAX_REFERENCE_CHARS;
    (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// A letter in lower case and without its accent, as the six countries' languages have them.
fn fold(letter: char) -> char {
    let lower = letter.to_lowercase().next().unwrap_or(letter);
    match lower {
        'á' | 'à' | 'â' | 'ã' | 'ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        other => other,
    }
}

fn provider_reference(raw: &RawValue) -> Result<String, Refusal> {
    let refusal = || {
        (
            "bad_reference",
            format!("must be 1 to {MAX_REFERENCE_CHARS} visible ASCII characters without spaces"),
        )
    };
    parse_reference(&string(raw)?).ok_or_else(refusal)
}

fn application_id(raw: &RawValue) -> Result<ApplicationId, Refusal> {
    let text = string(raw)?;
    let hyphenated = text.len() == uuid::fmt::Hyphenated::LENGTH;
    let refusal = || ("bad_uuid", "must be a UUID".to_owned());
    text.parse().ok().filter(|_| hyphenated).ok_or_else(refusal)
}

fn outcome(raw: &RawValue) -> Result<ReportedOutcome, Refusal> {
    let text = string(raw)?;
    let refusal = || ("unknown_outcome", "must be confirmed, rejected or needs_review".to_owned());
    ReportedOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == text).ok_or_else(refusal)
}

fn credit_score(raw: &RawValue) -> Result<CreditScore, Refusal> {
    let refusal = || {
        ("out_of_range", format!("must be a whole number from {} to {}", CreditScore::MIN, CreditScore::MAX))
    };
    whole_number(raw)?.and_then(CreditScore::new).ok_or_else(refusal)
}

fn account_status(raw: &RawValue) -> Result<AccountStatus, Refusal> {
    serde_json::from_str(raw.get()).ok().ok_or_else(|| bad_type("a string"))
}

fn reason(raw: &RawValue) -> Result<String, Refusal> {
    let text = string(raw)?;
    let fits = text.chars().count() <= MAX_REASON_CHARS && !text.chars().any(char::is_control);
    let refusal = || {
        (
            "bad_reason",
            format!("must be at most {MAX_REASON_CHARS} characters, none of them a control character"),
        )
    };
    if fits { Ok(text) } else { Err(refusal()) }
}

fn moment(raw: &RawValue) -> Result<DateTime<Utc>, Refusal> {
    let text = string(raw)?;
    let refusal = || ("bad_time", "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z".to_owned());
    let in_calendar =
        |time: &DateTime<chrono::FixedOffset>| (1970..=9999).contains(&chrono::Datelike::year(time));
    let time = DateTime::parse_from_rfc3339(&text).ok().filter(in_calendar).ok_or_else(refusal)?;
    Ok(time.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn read(json: &str) -> Result<Confirmation, Vec<(String, &'static str)>> {
        Confirmation::read(serde_json::from_str(json).unwrap()).map_err(|error| match error {
            Error::Validation(fields) => fields.into_iter().map(|f| (f.pointer, f.code)).collect(),
            other => panic!("{other:?}"),
        })
    }

    fn with(members: &str) -> String {
        format!(
            r#"{{"provider_reference": "ES-1", "application_id": "{ID}", "outcome": "confirmed",
                "occurred_at": "2026-01-31T12:00:00+01:00"{members}}}"#
        )
    }

    #[test]
    fn a_confirmation_tells_what_it_tells_and_nothing_else() {
        let short = read(&with("")).unwrap();
        assert_eq!((short.outcome, short.credit_score), (ReportedOutcome::Confirmed, None));
        assert_eq!(short.occurred_at.to_rfc3339(), "2026-01-31T11:00:00+00:00");
        let full = read(&with(
            r#", "credit_score": 700, "total_debt": 9000, "monthly_obligations": "300.50", "has_defaults": false,
               "account_status": "active", "average_monthly_income": "2500", "verified": true, "reason": "ok""#,
        ))
        .unwrap();
        assert_eq!(full.monthly_obligations.unwrap().to_string(), "300.50");
        assert_eq!(full.total_debt.unwrap().to_string(), "9000.00");
        assert_eq!((full.account_status, full.verified), (Some(AccountStatus::Active), Some(true)));
    }

    #[test]
    fn everything_wrong_with_a_payload_is_told_at_once() {
        let problems = read(
            r#"{"provider_reference": "a b", "application_id": "7", "outcome": "CONFIRMED", "credit_score": 851,
                "total_debt": "-1", "monthly_obligations": 1e3, "has_defaults": "no", "account_status": 1,
                "average_monthly_income": "1.234", "verified": 0, "reason": "a\u0000", "occurred_at": "yesterday",
                "amount": 1}"#,
        )
        .unwrap_err();
        let expected = [
            ("/provider_reference", "bad_reference"),
            ("/application_id", "bad_uuid"),
            ("/outcome", "unknown_outcome"),
            ("/credit_score", "out_of_range"),
            ("/total_debt", "bad_amount"),
            ("/monthly_obligations", "bad_amount"),
            ("/has_defaults", "bad_type"),
            ("/account_status", "bad_type"),
            ("/average_monthly_income", "bad_amount"),
            ("/verified", "bad_type"),
            ("/reason", "bad_reason"),
            ("/occurred_at", "bad_time"),
            ("/amount", "unknown_field"),
        ];
        assert_eq!(problems, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
        assert_eq!(read("{}").unwrap_err().len(), 4);
    }

    #[test]
    fn a_legacy_event_is_accepted_for_29_days_and_none_before_it_came_about() {
        let event = read(&with("")).unwrap();
        let (tolerance, second) = (TimeDelta::seconds(300), TimeDelta::seconds(1));
        let old = |age: TimeDelta| event.check_legacy_age(event.occurred_at + age);
        assert!(old(TimeDelta::zero()).is_ok() && old(LEGACY_MAX_AGE).is_ok());
        assert!(old(LEGACY_MAX_AGE + second).is_err());
        let early = |lead: TimeDelta| event.check_not_ahead(event.occurred_at - lead, tolerance);
        assert!(early(-LEGACY_MAX_AGE).is_ok() && early(tolerance).is_ok());
        assert!(early(tolerance + second).is_err());
    }

    #[test]
    fn what_is_told_replaces_what_was_known_and_fallback_figures_were_never_known() {
        use crate::domain::banking::FallbackReason;
        let event = read(&with(r#", "credit_score": 700"#)).unwrap();
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
        let silent = read(&with("")).unwrap();
        assert!(silent.merged_into(Some(BankingData::thin_file("X")), "Y", None).is_thin_file());
    }

    #[test]
    fn a_reference_may_be_a_number_and_may_not_name_the_applicant() {
        let name = FullName::parse("Ana García de la O").unwrap();
        let document = IdentityDocument::from_normalized("12345678Z".to_owned());
        let refused = |reference: &str| {
            let event = Confirmation { provider_reference: reference.to_owned(), ..read(&with("")).unwrap() };
            event.check_reference_is_impersonal(&name, &document).is_err()
        };
        for reference in ["ES-7f3a9c", "20260131/000417", "banana-1", "de-la-1"] {
            assert!(!refused(reference), "{reference}");
        }
        for reference in ["ANA-1", "es_garcia.2026", "ref-1234-5678-z"] {
            assert!(refused(reference), "{reference}");
        }
    }

    #[test]
    fn a_reason_that_names_the_applicant_is_not_shown() {
        let name = FullName::parse("Ana García de la O").unwrap();
        let document = IdentityDocument::from_normalized("12345678Z".to_owned());
        let shown = |reason: &str| {
            let event = read(&with(&format!(r#", "reason": "{reason}""#))).unwrap();
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
