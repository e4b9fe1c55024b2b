//! The application itself, and the country it is made in.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ids::{ApplicationId, ChangeId, RequestId};
use super::money::Money;
use super::personal_data::{BirthDate, FullName, IdentityDocument, PersonalMembers};
use super::status::Status;

/// A country that Aval lends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Country {
    /// Spain.
    Es,
    /// Portugal.
    Pt,
    /// Italy.
    It,
    /// Mexico.
    Mx,
    /// Colombia.
    Co,
    /// Brazil.
    Br,
}

impl Country {
    /// Every country, in the order of the specification.
    pub const ALL: [Self; 6] = [Self::Es, Self::Pt, Self::It, Self::Mx, Self::Co, Self::Br];

    /// The ISO 3166-1 alpha-2 code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Es => "ES",
            Self::Pt => "PT",
            Self::It => "IT",
            Self::Mx => "MX",
            Self::Co => "CO",
            Self::Br => "BR",
        }
    }

    /// The code in lower case, as file names and URLs of providers have it.
    pub const fn lower_code(self) -> &'static str {
        match self {
            Self::Es => "es",
            Self::Pt => "pt",
            Self::It => "it",
            Self::Mx => "mx",
            Self::Co => "co",
            Self::Br => "br",
        }
    }

    /// The English name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es => "Spain",
            Self::Pt => "Portugal",
            Self::It => "Italy",
            Self::Mx => "Mexico",
            Self::Co => "Colombia",
            Self::Br => "Brazil",
        }
    }

    /// The ISO 4217 code of the currency that its amounts are in.
    pub const fn currency(self) -> &'static str {
        match self {
            Self::Es | Self::Pt | Self::It => "EUR",
            Self::Mx => "MXN",
            Self::Co => "COP",
            Self::Br => "BRL",
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A text that is not the code of a country that Aval lends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of ES, PT, IT, MX, CO, BR")]
pub struct UnknownCountry;

impl FromStr for Country {
    type Err = UnknownCountry;

    /// Accepts the code in either case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|c| c.code().eq_ignore_ascii_case(text)).ok_or(UnknownCountry)
    }
}

/// The number of monthly instalments: 6 to 84.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TermMonths(u16);

impl TermMonths {
    /// The shortest term.
    pub const MIN: u16 = 6;
    /// The longest term.
    pub const MAX: u16 = 84;
    /// What an application gets that names none.
    pub const DEFAULT: Self = Self(36);

    /// Checks the range.
    pub fn new(months: i64) -> Option<Self> {
        let months = u16::try_from(months).ok()?;
        (Self::MIN..=Self::MAX).contains(&months).then_some(Self(months))
    }

    /// The number of months.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl<'de> Deserialize<'de> for TermMonths {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let months = i64::deserialize(deserializer)?;
        Self::new(months).ok_or_else(|| serde::de::Error::custom("must be a whole number from 6 to 84"))
    }
}

/// Who makes a change, why, and on which request. Every change carries one, so that changes by different people
/// can share a transaction (docs/specification.md 2).
#[derive(Debug, Clone)]
pub struct Attribution {
    /// A fresh identifier: a change without one is audited as direct SQL.
    pub change_id: ChangeId,
    /// The account or the part of the system, such as `system:application-actor`.
    pub changed_by: String,
    /// Why, when a reason was given. The applicant may read it.
    pub reason: Option<String>,
    /// The request that led to it.
    pub request_id: Option<RequestId>,
}

/// An application that passed validation and is about to be stored.
#[derive(Clone)]
pub struct NewApplication {
    /// Made by Aval, never by the database.
    pub id: ApplicationId,
    /// Where it is made.
    pub country: Country,
    /// The applicant's name.
    pub full_name: FullName,
    /// The applicant's document, normalised.
    pub identity_document: IdentityDocument,
    /// How much is asked for.
    pub requested_amount: Money,
    /// What the applicant declares to earn.
    pub monthly_income: Money,
    /// Over how many instalments.
    pub term_months: TermMonths,
    /// The applicant's birth date, when the document or the client tells it.
    pub birth_date: Option<BirthDate>,
    /// What the client said, and what the document tells (sex); without the birth date and what is personal.
    pub country_specific_data: Map<String, Value>,
    /// The personal part of it.
    pub personal_data: PersonalMembers,
    /// The account that made it.
    pub created_by: String,
    /// Who, why, which request.
    pub attribution: Attribution,
    /// The W3C trace context that the job continues.
    pub traceparent: Option<String>,
}

impl NewApplication {
    /// The version that an application begins with.
    pub const VERSION: i64 = 1;
}

impl fmt::Debug for NewApplication {
    /// What the log may know of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewApplication")
            .field("id", &self.id)
            .field("country", &self.country)
            .field("created_by", &self.created_by)
            .finish_non_exhaustive()
    }
}

/// Members of the country's data to set, or to remove where there is no value.
#[derive(Clone)]
pub struct DataChange {
    /// Those that are stored in the clear.
    pub open: Vec<(&'static str, Option<Value>)>,
    /// Those that are sealed.
    pub personal: Vec<(&'static str, Option<Value>)>,
}

impl fmt::Debug for DataChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataChange(****)")
    }
}

/// An application as it is stored.
#[derive(Clone)]
pub struct Application {
    /// The identifier.
    pub id: ApplicationId,
    /// Where it was made.
    pub country: Country,
    /// The applicant's name.
    pub full_name: FullName,
    /// The applicant's document, normalised.
    pub identity_document: IdentityDocument,
    /// How much is asked for.
    pub requested_amount: Money,
    /// What the applicant declares to earn.
    pub monthly_income: Money,
    /// Over how many instalments.
    pub term_months: TermMonths,
    /// Where it stands.
    pub status: Status,
    /// The applicant's birth date, when the document or the client told it.
    pub birth_date: Option<BirthDate>,
    /// Data of the country; without the birth date and what is personal.
    pub country_specific_data: Map<String, Value>,
    /// The personal part of it.
    pub personal_data: PersonalMembers,
    /// What the bureau said last.
    pub banking_data: Option<Value>,
    /// The last decision's risk, 0.00 to 100.00.
    pub risk_score: Option<rust_decimal::Decimal>,
    /// What went wrong while it was processed.
    pub validation_errors: Option<Value>,
    /// Counts the changes; the `ETag` is made of it.
    pub version: i64,
    /// The account that made it.
    pub created_by: String,
    /// When it was made, from the identifier.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was deleted, if it was.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for Application {
    /// What the log may know of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("id", &self.id)
            .field("country", &self.country)
            .field("status", &self.status)
            .field("version", &self.version)
            .field("created_by", &self.created_by)
            .finish_non_exhaustive()
    }
}
