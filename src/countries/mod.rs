//! Countries: each file holds ALL of one country, its document, its rules and their tests.
//!
//! Adding a country touches its own file, [`Countries`] here, the enum migration, its thresholds file in
//! `config/countries/` and its provider adapter; the compiler finds every other place, because the registry is an
//! exhaustive match and [`CountryRules`] has no default methods.
//!
//! Everything here is a pure function of its arguments: the clock comes in as `as_of`, thresholds were read at
//! boot. Thresholds are data: the content hash of a country's rule pack is stored with every decision.
//!
//! What the countries share stands beside them, each in one file: the normalisation and verdict of documents
//! ([`document`]), the kinds of threshold (`thresholds`), the instalment and ratios (`ratios`), the vocabulary of
//! rules (`rule`), the risk score (`risk`), the engine that decides ([`evaluation`]), what a country tells about
//! itself ([`description`]), the members of its data ([`data`]), personal data that a text must not contain
//! ([`personal_text`]) and the reading of a case ([`case`]).
#![deny(clippy::as_conversions, clippy::float_arithmetic)]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};

pub mod brazil;
pub mod case;
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

/// Everything that Aval knows about lending in one country.
pub trait CountryRules: Send + Sync {
    /// The country.
    fn country(&self) -> Country;

    /// What the country tells about itself.
    fn describe(&self) -> CountryDescription;

    /// Checks an identity document as a client sent it. `as_of` is the moment of the application: ages are
    /// reckoned on the country's own date at that moment.
    fn check_document(&self, text: &str, as_of: DateTime<Utc>) -> DocumentVerdict;

    /// Decides a case. Any case gets a decision, and the same case always the same one.
    fn evaluate(&self, case: &Case) -> Decision;

    /// The content hash of the rules and their thresholds, such as `es-0123456789abcdef`.
    fn rules_version(&self) -> &str;
}

/// The rules of every country, read once at boot.
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
    /// Every country with the thresholds that are compiled in.
    ///
    /// # Errors
    /// [`Error::Configuration`] when they do not hold together, which the tests rule out.
    pub fn built_in() -> Result<Self> {
        Self::load(None)
    }

    /// Every country; a file `<code>.toml` in `dir` replaces the thresholds that are compiled in.
    ///
    /// # Errors
    /// [`Error::Configuration`], naming the file and the key, when a file cannot be read, is no country's, or
    /// holds a figure that is missing, unknown or out of range.
    pub fn load(dir: Option<&Path>) -> Result<Self> {
        if let Some(dir) = dir {
            refuse_strangers(dir)?;
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

    /// The rules of one country.
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

/// The codes of every country's rules, each once, in alphabetical order.
pub fn rule_codes() -> Vec<&'static str> {
    let countries = Countries::built_in().into_iter();
    let described =
        countries.flat_map(|known| Country::ALL.map(|country| known.rules(country).describe().rules));
    let mut codes: Vec<_> = described.flatten().map(|rule| rule.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// Every code that a decision may give as a reason, each once, in alphabetical order.
pub fn reason_codes() -> Vec<&'static str> {
    let mut codes = rule_codes();
    codes.extend(evaluation::GENERAL_REASONS);
    codes.extend(rule::MISSING_INPUTS);
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// A thresholds file that no country reads is a typing error that would otherwise go unnoticed.
fn refuse_strangers(dir: &Path) -> Result<()> {
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
