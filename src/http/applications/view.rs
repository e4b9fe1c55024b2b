//! Response types for applications. Documents are masked, amounts and scores are strings with two decimal places, and
//! bureau reports are reduced to the values common to all bureaus.

use std::fmt;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize as _, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::country_data;
use crate::domain::application::{Application, Country, NewApplication};
use crate::domain::banking::{AccountStatus, BankingData};
use crate::domain::decision::RiskBand;
use crate::domain::ids::ApplicationId;
use crate::domain::label::Label;
use crate::domain::money::Money;
use crate::domain::status::Status;
use crate::error::{Error, Result};
use crate::lending::list::ListedApplication;

/// Formats a risk score.
pub(in crate::http) fn score_text(score: Decimal) -> String {
    format!("{score:.2}")
}

/// An application.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub struct ApplicationView {
    /// The identifier.
    #[schema(value_type = uuid::Uuid, example = "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21")]
    pub id: ApplicationId,
    /// The country of the application.
    #[schema(value_type = crate::http::schemas::CountryCode)]
    pub country: Country,
    /// The applicant's name.
    #[schema(example = "Ana García López")]
    pub full_name: String,
    /// The applicant's identity document, masked except for its last four characters.
    #[schema(example = "****678Z")]
    pub identity_document: String,
    /// The requested amount.
    #[schema(value_type = String, example = "15000.00")]
    pub requested_amount: Money,
    /// The monthly income that the applicant declared.
    #[schema(value_type = String, example = "3500.00")]
    pub monthly_income: Money,
    /// The number of monthly instalments.
    #[schema(example = 36)]
    pub term_months: u16,
    /// ISO 4217 currency code.
    #[schema(value_type = crate::http::schemas::CurrencyCode, example = "EUR")]
    pub currency: &'static str,
    /// The current status.
    #[schema(value_type = crate::http::schemas::ApplicationStatus)]
    pub status: Status,
    /// The risk score of the latest decision, 0.00 to 100.00; `null` before the first decision or if it cannot be
    /// calculated.
    #[schema(example = "25.96")]
    pub risk_score: Option<String>,
    /// The risk band that the score falls into.
    #[schema(value_type = Option<crate::http::schemas::RiskBandName>)]
    pub risk_band: Option<RiskBand>,
    /// The data that the client sent and the values derived from the document (`birth_date`, `sex`). Personal values
    /// are masked except for their first and last characters.
    #[schema(value_type = Object)]
    pub country_specific_data: Map<String, Value>,
    /// The latest banking data from the bureau.
    pub banking_data: Option<BankingView>,
    /// The codes of errors that occurred during processing; absent if there were none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub processing_errors: Vec<String>,
    /// The version, which increases with every change; the `ETag` is derived from it.
    #[schema(example = 3)]
    pub version: i64,
    /// The account that created the application.
    #[schema(example = "admin")]
    pub created_by: String,
    /// Time of creation.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub created_at: DateTime<Utc>,
    /// Time of the last change.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub updated_at: DateTime<Utc>,
}

impl fmt::Debug for ApplicationView {
    /// Omits personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplicationView")
            .field("id", &self.id)
            .field("country", &self.country)
            .field("status", &self.status)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl From<Application> for ApplicationView {
    fn from(application: Application) -> Self {
        Self {
            id: application.id,
            country: application.country,
            full_name: application.full_name.reveal().to_owned(),
            identity_document: application.identity_document.masked(),
            requested_amount: application.requested_amount,
            monthly_income: application.monthly_income,
            term_months: application.term_months.get(),
            currency: application.country.currency(),
            status: application.status,
            risk_score: application.risk_score.map(score_text),
            risk_band: application.risk_score.map(RiskBand::of),
            country_specific_data: country_data::shown(
                application.country_specific_data,
                &application.personal_data,
                application.birth_date.as_ref(),
            ),
            banking_data: application.banking_data.as_ref().and_then(BankingView::read),
            processing_errors: codes(application.validation_errors.as_ref()),
            version: application.version,
            created_by: application.created_by,
            created_at: application.created_at,
            updated_at: application.updated_at,
        }
    }
}

impl ApplicationView {
    /// The view of an application that is about to be inserted. The database derives `created_at` from the identifier;
    /// the same value is computed here.
    pub(super) fn of_new(application: &NewApplication) -> Result<Self> {
        let created_at =
            application.id.created_at().ok_or_else(|| Error::internal("an id without a time"))?;
        Ok(Self {
            id: application.id,
            country: application.country,
            full_name: application.full_name.reveal().to_owned(),
            identity_document: application.identity_document.masked(),
            requested_amount: application.requested_amount,
            monthly_income: application.monthly_income,
            term_months: application.term_months.get(),
            currency: application.country.currency(),
            status: Status::Pending,
            risk_score: None,
            risk_band: None,
            country_specific_data: country_data::shown(
                application.country_specific_data.clone(),
                &application.personal_data,
                application.birth_date.as_ref(),
            ),
            banking_data: None,
            processing_errors: Vec::new(),
            version: NewApplication::VERSION,
            created_by: application.created_by.clone(),
            created_at,
            updated_at: created_at,
        })
    }
}

/// The codes of stored processing errors. The details are for operators only.
fn codes(errors: Option<&Value>) -> Vec<String> {
    let entries = errors.and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(|entry| entry.get("code")?.as_str().map(str::to_owned)).collect()
}

/// An application in a list.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedView {
    /// The identifier.
    #[schema(value_type = uuid::Uuid, example = "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21")]
    pub id: ApplicationId,
    /// The country of the application.
    #[schema(value_type = crate::http::schemas::CountryCode)]
    pub country: Label<Country>,
    /// The applicant's name.
    #[schema(example = "Ana García López")]
    pub full_name: String,
    /// The applicant's identity document, masked except for its last four characters.
    #[schema(example = "****678Z")]
    pub identity_document: String,
    /// The requested amount.
    #[schema(value_type = String, example = "15000.00")]
    pub requested_amount: Money,
    /// The monthly income that the applicant declared.
    #[schema(value_type = String, example = "3500.00")]
    pub monthly_income: Money,
    /// The number of monthly instalments.
    #[schema(example = 36)]
    pub term_months: u16,
    /// ISO 4217 currency code.
    #[schema(value_type = crate::http::schemas::CurrencyCode, example = "EUR")]
    pub currency: String,
    /// The current status.
    #[schema(value_type = crate::http::schemas::ApplicationStatus)]
    pub status: Label<Status>,
    /// The risk score of the latest decision.
    #[schema(example = "25.96")]
    pub risk_score: Option<String>,
    /// The risk band that the score falls into.
    #[schema(value_type = Option<crate::http::schemas::RiskBandName>)]
    pub risk_band: Option<RiskBand>,
    /// The version, which increases with every change.
    #[schema(example = 3)]
    pub version: i64,
    /// Time of creation.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub created_at: DateTime<Utc>,
    /// Time of the last change.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub updated_at: DateTime<Utc>,
}

impl fmt::Debug for ListedView {
    /// Omits personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedView")
            .field("id", &self.id)
            .field("country", &self.country)
            .field("status", &self.status)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl From<ListedApplication> for ListedView {
    fn from(listed: ListedApplication) -> Self {
        Self {
            id: listed.id,
            country: listed.country,
            full_name: listed.full_name.reveal().to_owned(),
            identity_document: listed.identity_document.masked(),
            requested_amount: listed.requested_amount,
            monthly_income: listed.monthly_income,
            term_months: listed.term_months.get(),
            currency: listed.currency,
            status: listed.status,
            risk_score: listed.risk_score.map(score_text),
            risk_band: listed.risk_score.map(RiskBand::of),
            version: listed.version,
            created_at: listed.created_at,
            updated_at: listed.updated_at,
        }
    }
}

/// Banking data in the common form of all bureaus. Values that the bureau did not provide are `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BankingView {
    /// The name of the bureau; for fallback figures, it contains `FALLBACK`.
    #[schema(example = "ASNEF-CIRBE")]
    pub provider_name: String,
    /// `active`, `inactive`, `suspended`, `closed` or `unknown`.
    #[schema(value_type = Option<crate::http::schemas::AccountStatusName>, example = "active")]
    pub account_status: Option<AccountStatus>,
    /// 300 (worst) to 850 (best).
    #[schema(example = 720)]
    pub credit_score: Option<u16>,
    /// Total outstanding debt.
    #[schema(value_type = Option<String>, example = "12000.00")]
    pub total_debt: Option<Money>,
    /// Monthly debt payments.
    #[schema(value_type = Option<String>, example = "300.00")]
    pub monthly_obligations: Option<Money>,
    /// Whether there are overdue debts.
    #[schema(example = false)]
    pub has_defaults: Option<bool>,
    /// Average monthly income.
    #[schema(value_type = Option<String>, example = "3450.00")]
    pub average_monthly_income: Option<Money>,
    /// Whether the bureau has verified the person's record.
    pub verified: Option<bool>,
    /// Whether these are fallback figures because the bureau was unavailable. No rule was evaluated on them.
    #[schema(example = false)]
    pub fallback: bool,
    /// Whether the bureau has no record of the person.
    #[schema(example = false)]
    pub thin_file: bool,
}

impl BankingView {
    /// Reads a stored report; `None` if it is not in Aval's common form.
    pub(super) fn read(report: &Value) -> Option<Self> {
        BankingData::deserialize(report).ok().map(Self::from)
    }
}

impl From<BankingData> for BankingView {
    fn from(data: BankingData) -> Self {
        let (fallback, thin_file) = (data.is_fallback(), data.is_thin_file());
        Self {
            provider_name: data.provider_name,
            account_status: data.account_status,
            credit_score: data.credit_score.map(|score| score.get()),
            total_debt: data.total_debt,
            monthly_obligations: data.monthly_obligations,
            has_defaults: data.has_defaults,
            average_monthly_income: data.average_monthly_income,
            verified: data.verified,
            fallback,
            thin_file,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::banking::FallbackReason;
    use serde_json::json;

    #[test]
    fn only_the_common_figures_of_a_report_are_shown() {
        let mut data = BankingData::fallback("CRIF", FallbackReason::CircuitOpen, "open");
        data.additional_data.insert("raw".to_owned(), json!("everything about the person"));
        let stored = serde_json::to_value(&data).unwrap();
        let shown = serde_json::to_value(BankingView::read(&stored).unwrap()).unwrap();
        assert_eq!(
            shown,
            json!({
                "provider_name": "CRIF (FALLBACK - Circuit Open)", "account_status": "unknown", "credit_score": 500,
                "total_debt": "50000.00", "monthly_obligations": "2000.00", "has_defaults": false,
                "average_monthly_income": null, "verified": null, "fallback": true, "thin_file": false,
            })
        );
        assert!(BankingView::read(&BankingData::thin_file("CRIF").additional_data.into()).is_none());
        for invalid in [json!(null), json!([1]), json!({"credit_score": 9000}), json!({"surprise": 1})] {
            assert_eq!(BankingView::read(&invalid), None, "{invalid}");
        }
    }

    #[test]
    fn only_the_codes_of_processing_errors_are_shown() {
        let errors = json!([{"code": "panicked", "detail": "secret"}, {"detail": "x"}, 7]);
        assert_eq!(codes(Some(&errors)), ["panicked"]);
        assert!(codes(Some(&json!("x"))).is_empty() && codes(None).is_empty());
    }
}
