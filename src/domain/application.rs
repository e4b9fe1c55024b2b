//! The application and its country.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ids::{ApplicationId, ChangeId, RequestId};
use super::money::Money;
use super::personal_data::{BirthDate, FullName, IdentityDocument, PersonalMembers};
use super::status::Status;

/// Declares the countries and generates everything that lists them. Each line contains a variant, its ISO 3166-1 alpha-2
/// code in upper and in lower case, its English name and the ISO 4217 code of its currency.
macro_rules! countries {
    (
        $first:ident: $first_code:literal $first_lower:literal $first_name:literal $first_currency:literal,
        $($next:ident: $code:literal $lower:literal $name:literal $currency:literal,)*
    ) => {
        /// A country that Aval supports.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "UPPERCASE")]
        pub enum Country {
            #[doc = $first_name]
            $first,
            $(#[doc = $name] $next,)*
        }

        impl Country {
            /// Every country, in the order of declaration.
            pub const ALL: [Self; [$first_code $(, $code)*].len()] = [Self::$first $(, Self::$next)*];

            /// The codes of all countries, for messages: `ES, PT, …`.
            pub const CODES: &'static str = concat!($first_code $(, ", ", $code)*);

            /// The codes of all countries in lower case.
            pub const LOWER_CODES: [&'static str; Self::ALL.len()] = [$first_lower $(, $lower)*];

            /// The ISO 3166-1 alpha-2 code.
            pub const fn code(self) -> &'static str {
                match self {
                    Self::$first => $first_code,
                    $(Self::$next => $code,)*
                }
            }

            /// The code in lower case, used in file names, configuration keys and provider URLs.
            pub const fn lower_code(self) -> &'static str {
                match self {
                    Self::$first => $first_lower,
                    $(Self::$next => $lower,)*
                }
            }

            /// The English name.
            pub const fn name(self) -> &'static str {
                match self {
                    Self::$first => $first_name,
                    $(Self::$next => $name,)*
                }
            }

            /// The ISO 4217 code of the currency of amounts in this country.
            pub const fn currency(self) -> &'static str {
                match self {
                    Self::$first => $first_currency,
                    $(Self::$next => $currency,)*
                }
            }
        }
    };
}

countries! {
    Es: "ES" "es" "Spain" "EUR",
    Pt: "PT" "pt" "Portugal" "EUR",
    It: "IT" "it" "Italy" "EUR",
    Mx: "MX" "mx" "Mexico" "MXN",
    Co: "CO" "co" "Colombia" "COP",
    Br: "BR" "br" "Brazil" "BRL",
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The error for a string that is not the code of a supported country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of {}", Country::CODES)]
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
    /// The term of an application that does not specify one.
    pub const DEFAULT: Self = Self(36);

    /// `None` outside the range.
    pub fn new(months: i64) -> Option<Self> {
        let months = u16::try_from(months).ok()?;
        (Self::MIN..=Self::MAX).contains(&months).then_some(Self(months))
    }

    pub(crate) const fn get(self) -> u16 {
        self.0
    }
}

impl<'de> Deserialize<'de> for TermMonths {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let months = i64::deserialize(deserializer)?;
        Self::new(months).ok_or_else(|| serde::de::Error::custom("must be a whole number from 6 to 84"))
    }
}

/// The account that made a change, its reason and its request. Each change has its own attribution, even if several
/// changes share a transaction (docs/specification.md, section 2).
#[derive(Debug, Clone)]
pub struct Attribution {
    /// A new identifier for each change. The audit trail attributes a change without one to plain SQL.
    pub change_id: ChangeId,
    /// An account, or a component such as `system:application-actor`.
    pub changed_by: String,
    /// The reason, if given. The applicant can read it.
    pub reason: Option<String>,
    /// The request that caused the change.
    pub request_id: Option<RequestId>,
}

/// A validated application that is not stored yet.
#[derive(Clone)]
pub struct NewApplication {
    /// Generated by Aval, never by the database.
    pub id: ApplicationId,
    /// The applicant's country.
    pub country: Country,
    /// The applicant's name.
    pub full_name: FullName,
    /// The applicant's document, normalized.
    pub identity_document: IdentityDocument,
    /// In the country's currency.
    pub requested_amount: Money,
    /// The declared income per month, in the country's currency.
    pub monthly_income: Money,
    /// The number of monthly instalments.
    pub term_months: TermMonths,
    /// Derived from the document, or sent by the client.
    pub birth_date: Option<BirthDate>,
    /// Country-specific data from the client, and the sex stated in the document. The birth date and the personal
    /// members are not included.
    pub country_specific_data: Map<String, Value>,
    /// The personal members of the country-specific data.
    pub personal_data: PersonalMembers,
    /// The account that created the application.
    pub created_by: String,
    /// Attribution of the creation.
    pub attribution: Attribution,
    /// The W3C trace context for the job.
    pub traceparent: Option<String>,
}

impl NewApplication {
    /// The version of a new application.
    pub const VERSION: i64 = 1;
}

impl fmt::Debug for NewApplication {
    /// Omits personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewApplication")
            .field("id", &self.id)
            .field("country", &self.country)
            .field("created_by", &self.created_by)
            .finish_non_exhaustive()
    }
}

/// Changes to members of the country-specific data. A member whose value is `None` is removed.
#[derive(Clone, Default)]
pub struct DataChange {
    /// Changes to members that are stored in clear text.
    pub open: Vec<(&'static str, Option<Value>)>,
    /// Changes to members that are stored encrypted.
    pub personal: Vec<(&'static str, Option<Value>)>,
}

impl fmt::Debug for DataChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataChange(****)")
    }
}

/// A stored application.
#[derive(Clone)]
pub struct Application {
    /// Its UUID also encodes the creation time.
    pub id: ApplicationId,
    /// The applicant's country.
    pub country: Country,
    /// The applicant's name.
    pub full_name: FullName,
    /// The applicant's document, normalized.
    pub identity_document: IdentityDocument,
    /// In the country's currency.
    pub requested_amount: Money,
    /// The declared income per month, in the country's currency.
    pub monthly_income: Money,
    /// The number of monthly instalments.
    pub term_months: TermMonths,
    /// The current status.
    pub status: Status,
    /// Derived from the document, or sent by the client.
    pub birth_date: Option<BirthDate>,
    /// Country-specific data, without the birth date and personal members.
    pub country_specific_data: Map<String, Value>,
    /// The personal members of the country-specific data.
    pub personal_data: PersonalMembers,
    /// The latest report of the bureau.
    pub banking_data: Option<Value>,
    /// The risk score of the latest decision, 0.00 to 100.00.
    pub risk_score: Option<rust_decimal::Decimal>,
    /// Errors during processing.
    pub validation_errors: Option<Value>,
    /// Incremented with each change. The `ETag` is derived from it.
    pub version: i64,
    /// The account that created the application.
    pub created_by: String,
    /// The creation time, from the identifier.
    pub created_at: DateTime<Utc>,
    /// The time of the latest change.
    pub updated_at: DateTime<Utc>,
    /// The time of deletion, if deleted.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for Application {
    /// Omits personal data.
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
