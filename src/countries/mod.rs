//! The supported countries. Each country has a file with its `Definition`: its document, its rules, its data members and
//! the expected results of its tests. `definition_of` registers the definitions. `docs/how-to/add-a-country.md` lists the
//! steps of adding a country.
//!
//! All functions are pure: the clock is passed in as `as_of`, and thresholds are read at startup. The content hash of
//! the rule pack and its thresholds is stored with every decision.
//!
//! The shared parts have their own files: the definition of a country (`definition`), documents ([`document`]), types
//! of thresholds (`thresholds`), the instalment and ratios (`ratios`), the kinds of rules (`rule`), the risk score
//! (`risk`), the evaluation of rules ([`evaluation`]), the description of a country ([`description`]) and
//! country-specific data ([`data`]).
//!
//! The ratios are DTI (debt to income), PTI (payment to income) and LTI (loan to income).
#![deny(clippy::as_conversions, clippy::float_arithmetic)]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

mod brazil;
mod colombia;
pub mod data;
mod definition;
pub mod description;
pub mod document;
pub mod evaluation;
mod italy;
mod mexico;
pub mod personal_text;
mod portugal;
mod ratios;
mod risk;
mod rule;
mod spain;
mod thresholds;

#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;

pub use definition::CountryRules;
pub use description::CountryDescription;
pub use document::{DocumentKind, DocumentVerdict, DocumentedPerson, ReasonCode, Sex};

use crate::domain::application::Country;
use crate::domain::per_country::PerCountry;
use crate::error::{Error, Result};
use data::DataMember;
use definition::Definition;
use thresholds::ThresholdsFile;

/// The definition of `country`.
fn definition_of(country: Country) -> &'static Definition {
    match country {
        Country::Es => &spain::SPAIN,
        Country::Pt => &portugal::PORTUGAL,
        Country::It => &italy::ITALY,
        Country::Mx => &mexico::MEXICO,
        Country::Co => &colombia::COLOMBIA,
        Country::Br => &brazil::BRAZIL,
    }
}

/// The rules of every country, read at startup.
#[derive(Debug)]
pub struct Countries(PerCountry<CountryRules>);

impl Countries {
    /// Every country with the built-in thresholds.
    ///
    /// # Errors
    /// [`Error::Configuration`] if they are not valid; tests ensure that they are.
    pub fn built_in() -> Result<Self> {
        Self::load(None)
    }

    /// Every country. A file `<code>.toml` in `dir` replaces the built-in thresholds.
    ///
    /// # Errors
    /// [`Error::Configuration`], which names the file and the key, if a file cannot be read, does not belong to a
    /// country, or contains a missing, unknown or out-of-range value.
    pub fn load(dir: Option<&Path>) -> Result<Self> {
        if let Some(dir) = dir {
            refuse_unknown_files(dir)?;
        }
        let rules = |country| CountryRules::new(definition_of(country), &thresholds_file(dir, country)?);
        PerCountry::try_new(rules).map(Self)
    }

    /// The rules of `country`.
    pub fn rules(&self, country: Country) -> &CountryRules {
        self.0.get(country)
    }
}

/// The members of a country's data, in the order of the description.
pub fn data_members(country: Country) -> impl Iterator<Item = &'static DataMember> {
    definition_of(country).data_members()
}

/// Whether a member with this name is personal in any country.
pub fn is_personal(name: &str) -> bool {
    Country::ALL.into_iter().flat_map(data_members).any(|member| member.personal && member.name == name)
}

/// The codes of all rules, unique and in alphabetical order.
pub fn rule_codes() -> Vec<&'static str> {
    let countries = Countries::built_in().into_iter();
    let described =
        countries.flat_map(|known| Country::ALL.map(|country| known.rules(country).describe().rules));
    let mut codes: Vec<_> = described.flatten().map(|rule| rule.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// All possible reason codes, unique and in alphabetical order.
pub fn reason_codes() -> Vec<&'static str> {
    let mut codes = rule_codes();
    codes.extend(evaluation::GENERAL_REASONS);
    codes.extend(rule::MISSING_INPUTS);
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// Rejects threshold files that do not belong to a country, which would otherwise be ignored.
fn refuse_unknown_files(dir: &Path) -> Result<()> {
    let unreadable = |error| Error::configuration(format_args!("{}: {error}", dir.display()));
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let known = |stem: &OsStr| Country::ALL.iter().any(|country| stem == country.lower_code());
        if path.extension().is_some_and(|end| end == "toml") && !path.file_stem().is_some_and(known) {
            let codes = Country::LOWER_CODES.join(", ");
            let text = format_args!("{}: no country has this code ({codes})", path.display());
            return Err(Error::configuration(text));
        }
    }
    Ok(())
}

fn built_in_thresholds(country: Country) -> ThresholdsFile {
    let origin = format!("built-in {}.toml", country.lower_code());
    ThresholdsFile::new(origin, definition_of(country).thresholds.to_owned())
}

fn thresholds_file(dir: Option<&Path>, country: Country) -> Result<ThresholdsFile> {
    let Some(path) = dir.map(|dir| dir.join(country.lower_code()).with_extension("toml")) else {
        return Ok(built_in_thresholds(country));
    };
    match fs::read_to_string(&path) {
        Ok(text) => Ok(ThresholdsFile::new(path.display().to_string(), text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(built_in_thresholds(country)),
        Err(error) => Err(Error::configuration(format_args!("{}: {error}", path.display()))),
    }
}
