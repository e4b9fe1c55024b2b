//! Countries. Each has a file with its document, its rules and their tests.
//!
//! Adding a country touches its own file, [`Countries`] here, the enum migration, its thresholds file in
//! `config/countries/` and its provider adapter. The compiler finds all other places: the registry is an exhaustive
//! match, and [`CountryRules`] has no default methods.
//!
//! All functions are pure: the clock is passed in as `as_of`, and thresholds are read at startup. The content hash of
//! the rule pack and its thresholds is stored with every decision.
//!
//! Shared parts have files of their own: documents ([`document`]), types of thresholds (`thresholds`), the instalment
//! and ratios (`ratios`), the kinds of rules (`rule`), the risk score (`risk`), the evaluation of rules
//! ([`evaluation`]), the description of a country ([`description`]) and country-specific data ([`data`]).
#![deny(clippy::as_conversions, clippy::float_arithmetic)]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};

pub mod brazil;
pub mod colombia;
pub mod data;
pub mod description;
pub mod document;
pub mod evaluation;
pub mod italy;
pub mod mexico;
pub mod personal_text;
pub mod portugal;
mod ratios;
mod risk;
mod rule;
pub mod spain;
mod thresholds;

#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;

pub use description::CountryDescription;
pub use document::{DocumentKind, DocumentVerdict, DocumentedPerson, ReasonCode, Sex};

use crate::domain::application::Country;
use crate::domain::decision::{Case, Decision};
use crate::error::{Error, Result};
use thresholds::ThresholdsFile;

/// The rules of one country.
pub trait CountryRules: Send + Sync {
    /// The country that these rules belong to.
    fn country(&self) -> Country;

    /// The answer of `GET /countries/{code}`.
    fn describe(&self) -> CountryDescription;

    /// Checks an identity document as sent by a client. `as_of` is the time of the application: ages are computed for
    /// the local date at that time.
    fn check_document(&self, text: &str, as_of: DateTime<Utc>) -> DocumentVerdict;

    /// Decides a case. Every case has a decision, and the same case always has the same one.
    fn evaluate(&self, case: &Case) -> Decision;

    /// The content hash of the rules and thresholds, such as `es-0123456789abcdef`.
    fn rules_version(&self) -> &str;
}

/// The rules of every country, read at startup.
#[derive(Debug)]
pub struct Countries {
    spain: spain::Spain,
    portugal: portugal::Portugal,
    italy: italy::Italy,
    mexico: mexico::Mexico,
    colombia: colombia::Colombia,
    brazil: brazil::Brazil,
}

impl Countries {
    /// Every country with the built-in thresholds.
    ///
    /// # Errors
    /// [`Error::Configuration`] if they are not valid, which tests exclude.
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
        let file = |country| thresholds_file(dir, country);
        Ok(Self {
            spain: spain::Spain::new(&file(Country::Es)?)?,
            portugal: portugal::Portugal::new(&file(Country::Pt)?)?,
            italy: italy::Italy::new(&file(Country::It)?)?,
            mexico: mexico::Mexico::new(&file(Country::Mx)?)?,
            colombia: colombia::Colombia::new(&file(Country::Co)?)?,
            brazil: brazil::Brazil::new(&file(Country::Br)?)?,
        })
    }

    /// The rules of `country`.
    pub fn rules(&self, country: Country) -> &dyn CountryRules {
        match country {
            Country::Es => &self.spain,
            Country::Pt => &self.portugal,
            Country::It => &self.italy,
            Country::Mx => &self.mexico,
            Country::Co => &self.colombia,
            Country::Br => &self.brazil,
        }
    }
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
            let text = format_args!("{}: no country has this code (es, pt, it, mx, co, br)", path.display());
            return Err(Error::configuration(text));
        }
    }
    Ok(())
}

fn thresholds_file(dir: Option<&Path>, country: Country) -> Result<ThresholdsFile> {
    let Some(path) = dir.map(|dir| dir.join(country.lower_code()).with_extension("toml")) else {
        return Ok(ThresholdsFile::built_in(country));
    };
    match fs::read_to_string(&path) {
        Ok(text) => Ok(ThresholdsFile::new(path.display().to_string(), text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(ThresholdsFile::built_in(country)),
        Err(error) => Err(Error::configuration(format_args!("{}: {error}", path.display()))),
    }
}
