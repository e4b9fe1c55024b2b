//! The thresholds of a country's rules, read from `config/countries/<code>.toml`.
//!
//! Each country defines its thresholds in a struct with `deny_unknown_fields`, made of the types in this file. The types
//! check their range while a value is parsed, so an invalid value is reported with its file, line and key. Values are
//! exact: TOML floats are rejected.
//!
//! The version of a rule pack is a hash of the serialized thresholds. Therefore equal values have the same serialized
//! form: `0.40` becomes `0.4`.

use std::fmt;

use rust_decimal::Decimal;
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::money::Money;
use crate::error::{Error, Result};

/// The maximum number of decimal places of a ratio or rate. With this limit, no product exceeds the 96 bits of a [`Decimal`].
const MAX_SCALE: u32 = 6;

/// An unparsed thresholds file.
#[derive(Debug)]
pub(super) struct ThresholdsFile {
    /// Where the text comes from, for error messages.
    origin: String,
    text: String,
}

impl ThresholdsFile {
    pub(super) fn new(origin: String, text: String) -> Self {
        Self { origin, text }
    }

    /// Parses the thresholds.
    ///
    /// # Errors
    /// [`Error::Configuration`], which names the file and the key, if a key is missing, unknown or out of range.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        toml::from_str(&self.text)
            .map_err(|error| Error::configuration(format_args!("{}: {error}", self.origin)))
    }
}

/// A ratio: above 0 and at most 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ratio(Decimal);

impl Ratio {
    /// The ratio; 1 is 100 %.
    pub(super) const fn get(self) -> Decimal {
        self.0
    }

    /// The ratio as a percentage, such as `40 %`.
    pub(super) fn percent(self) -> String {
        format!("{} %", (self.0 * Decimal::ONE_HUNDRED).normalize())
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = exact_decimal(deserializer)?;
        let fits = value > Decimal::ZERO && value <= Decimal::TEN;
        fits.then_some(Self(value)).ok_or_else(|| {
            D::Error::custom("must be a ratio above 0 and up to 10, such as \"0.40\" for 40 %")
        })
    }
}

/// A nominal annual rate: 0 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AnnualRate(Decimal);

impl AnnualRate {
    /// The rate; 1 is 100 % a year.
    pub(super) const fn get(self) -> Decimal {
        self.0
    }
}

impl fmt::Display for AnnualRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for AnnualRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AnnualRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = exact_decimal(deserializer)?;
        let fits = value >= Decimal::ZERO && value <= Decimal::from(5);
        fits.then_some(Self(value))
            .ok_or_else(|| D::Error::custom("must be an annual rate from 0 to 5, such as \"0.08\" for 8 %"))
    }
}

/// An amount above zero in the country's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Amount(Money);

impl Amount {
    pub(super) const fn get(self) -> Decimal {
        self.0.amount()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(ExactText)?;
        Money::parse_positive(&text).map(Self).map_err(D::Error::custom)
    }
}

/// Parses a decimal with at most [`MAX_SCALE`] decimal places into its canonical form.
fn exact_decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let text = deserializer.deserialize_any(ExactText)?;
    let value = Decimal::from_str_exact(&text)
        .map_err(|error| D::Error::custom(format_args!("is not an exact decimal: {error}")))?
        .normalize();
    if value.scale() > MAX_SCALE {
        return Err(D::Error::custom(format_args!("must have at most {MAX_SCALE} decimal places")));
    }
    Ok(value)
}

/// A quoted decimal, or an unquoted integer.
struct ExactText;

impl Visitor<'_> for ExactText {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal in quotes, such as \"0.40\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_i64<E: serde::de::Error>(self, whole: i64) -> Result<String, E> {
        Ok(whole.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Figures {
        ratio: Ratio,
        rate: AnnualRate,
        amount: Amount,
    }

    fn read(text: &str) -> Result<Figures> {
        ThresholdsFile::new("test.toml".into(), text.into()).parse()
    }

    #[test]
    fn thresholds_are_exact_and_have_a_canonical_form() {
        let figures = read("ratio = \"0.400\"\nrate = 0\namount = 20000").unwrap();
        let json = serde_json::to_string(&figures).unwrap();
        assert_eq!(json, r#"{"ratio":"0.4","rate":"0","amount":"20000.00"}"#);
        assert_eq!(figures.ratio.percent(), "40 %");
    }

    #[test]
    fn an_invalid_threshold_is_reported_with_its_file_and_key() {
        for (text, names) in [
            ("ratio = 0.4\nrate = 0\namount = 1", "ratio = 0.4"),
            ("ratio = \"0\"\nrate = 0\namount = 1", "ratio = \"0\""),
            ("ratio = \"10.1\"\nrate = 0\namount = 1", "ratio = \"10.1\""),
            ("ratio = \"-1\"\nrate = 0\namount = 1", "ratio = \"-1\""),
            ("ratio = \"1e-1\"\nrate = 0\namount = 1", "ratio = \"1e-1\""),
            ("ratio = \"0.0000001\"\nrate = 0\namount = 1", "at most 6 decimal places"),
            ("ratio = 1\nrate = \"5.01\"\namount = 1", "rate = \"5.01\""),
            ("ratio = 1\nrate = -1\namount = 1", "rate = -1"),
            ("ratio = 1\nrate = 0\namount = 0", "amount = 0"),
            ("ratio = 1\nrate = 0\namount = \"1.001\"", "amount = \"1.001\""),
            ("ratio = 1\nrate = 0", "`amount`"),
            ("ratio = 1\nrate = 0\namount = 1\nfloor = 2", "floor"),
            ("ratio = ", "ratio = "),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains("test.toml"), "{message}");
            assert!(message.contains(names), "{names:?} is not named in {message}");
        }
    }
}
