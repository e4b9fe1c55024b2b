//! The definition of a country, and the country's rules with the thresholds that are read at startup.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use super::data::{self, DataMember};
use super::description::{CountryDescription, DocumentDescription};
use super::document::{self, DocumentVerdict, ReasonCode};
use super::evaluation::RulePack;
#[cfg(test)]
use super::table::Expected;
use super::thresholds::ThresholdsFile;
use crate::domain::application::Country;
use crate::domain::decision::{Case, Decision};
use crate::error::Result;

/// A country, as defined in its file.
pub(super) struct Definition {
    pub(super) country: Country,
    /// The name of the credit bureau.
    pub(super) bureau: &'static str,
    pub(super) document: DocumentDescription,
    pub(super) check: DocumentCheck,
    /// Whether documents contain check characters. Without them, a document in a text cannot be distinguished from other
    /// numbers.
    pub(super) has_check_characters: bool,
    /// The members of `country_specific_data` that follow the members that every country has.
    pub(super) members: &'static [DataMember],
    /// The text of `config/countries/<code>.toml`.
    pub(super) thresholds: &'static str,
    /// Creates the rules from the thresholds.
    pub(super) rules: fn(&ThresholdsFile) -> Result<RulePack>,
    /// The expected results of the table tests.
    #[cfg(test)]
    pub(super) expected: Expected,
}

/// How a string is checked as a document.
pub(super) enum DocumentCheck {
    /// The document contains no date.
    Undated(fn(&str) -> Result<DocumentVerdict, ReasonCode>),
    /// The document contains birth date and sex. The age is computed for the current date in this time zone.
    Dated(Tz, fn(&str, NaiveDate) -> Result<DocumentVerdict, ReasonCode>),
}

impl Definition {
    /// The members of `country_specific_data`, in the order of the description.
    pub(super) fn data_members(&self) -> impl Iterator<Item = &'static DataMember> {
        let person = match self.check {
            DocumentCheck::Undated(_) => &data::FROM_CLIENT,
            DocumentCheck::Dated(..) => &data::FROM_DOCUMENT,
        };
        person.iter().chain(data::FOR_ALL_COUNTRIES).chain(self.members)
    }

    /// Whether `text` is a valid document, whatever the age of the person.
    pub(super) fn is_document(&self, text: &str) -> bool {
        let verdict = match self.check {
            DocumentCheck::Undated(check) => check(text),
            DocumentCheck::Dated(_, check) => check(text, NaiveDate::MAX),
        };
        verdict.is_ok_and(|verdict| verdict.valid)
    }
}

/// The rules of one country.
pub struct CountryRules {
    definition: &'static Definition,
    pack: RulePack,
}

impl CountryRules {
    /// The rules of a country with the thresholds of `file`.
    ///
    /// # Errors
    /// [`Error::Configuration`](crate::error::Error::Configuration) if the thresholds are not valid.
    pub(super) fn new(definition: &'static Definition, file: &ThresholdsFile) -> Result<Self> {
        Ok(Self { definition, pack: (definition.rules)(file)? })
    }

    /// The country that these rules belong to.
    pub fn country(&self) -> Country {
        self.definition.country
    }

    /// The response of `GET /countries/{code}`.
    pub fn describe(&self) -> CountryDescription {
        let Definition { country, document, bureau, .. } = self.definition;
        let members = self.definition.data_members();
        CountryDescription::new(*country, document.clone(), bureau, members, &self.pack)
    }

    /// Checks an identity document as sent by a client. `as_of` is the time of the application: ages are computed for
    /// the local date at that time.
    pub fn check_document(&self, text: &str, as_of: DateTime<Utc>) -> DocumentVerdict {
        let verdict = match self.definition.check {
            DocumentCheck::Undated(check) => check(text),
            DocumentCheck::Dated(zone, check) => check(text, document::local_date(as_of, zone)),
        };
        verdict.unwrap_or_else(DocumentVerdict::unrecognized)
    }

    /// Decides a case. Every case has a decision, and the same case always has the same decision.
    pub fn evaluate(&self, case: &Case) -> Decision {
        self.pack.evaluate(case)
    }

    /// The content hash of the rules and thresholds, such as `es-0123456789abcdef`.
    pub fn rules_version(&self) -> &str {
        self.pack.version()
    }
}

impl fmt::Debug for CountryRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CountryRules").field(&self.rules_version()).finish()
    }
}
