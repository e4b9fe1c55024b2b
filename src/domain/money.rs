//! Money as exact decimals, never binary floats.
//!
//! Amounts are parsed from the exact text of a JSON number or string. Other forms, such as `1e3`, `1_000`, `+5` and
//! `0.001`, are rejected (docs/specification.md, section 3.7). Amounts are written as strings with two decimal places. An
//! amount does not include its currency, which follows from the country.

use std::fmt;

use rust_decimal::Decimal;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// An amount from 0.00 to 9,999,999,999.99 with two decimal places, the range of `NUMERIC(12,2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(Decimal);

/// Why a string is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is not 1 to 10 digits with at most two decimal places.
    #[error("must be 1 to 10 digits, optionally followed by a point and 1 or 2 digits")]
    BadFormat,
    /// Zero where a positive amount is required.
    #[error("must be above zero")]
    NotPositive,
}

impl MoneyError {
    /// The stable reason code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadFormat => "bad_amount",
            Self::NotPositive => "not_positive",
        }
    }
}

impl Money {
    /// 0.00.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Parses an amount from its exact text: `\d{1,10}(\.\d{1,2})?`.
    ///
    /// # Errors
    /// [`MoneyError::BadFormat`] for any other text.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let digits =
            |s: &str, max: usize| !s.is_empty() && s.len() <= max && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole, 10) || !fraction.is_none_or(|f| digits(f, 2)) {
            return Err(MoneyError::BadFormat);
        }
        let value = Decimal::from_str_exact(text).ok().ok_or(MoneyError::BadFormat)?;
        Ok(Self::rescaled(value))
    }

    /// Parses an amount above zero.
    ///
    /// # Errors
    /// As [`Money::parse`], and [`MoneyError::NotPositive`] for zero.
    pub fn parse_positive(text: &str) -> Result<Self, MoneyError> {
        let money = Self::parse(text)?;
        if money.0.is_zero() { Err(MoneyError::NotPositive) } else { Ok(money) }
    }

    /// `None` if the decimal is out of range or has more than two decimal places, not counting trailing zeros.
    pub fn from_decimal(value: Decimal) -> Option<Self> {
        let is_not_negative = !value.is_sign_negative() || value.is_zero();
        let max = Decimal::from_i128_with_scale(999_999_999_999, 2);
        let exact = value.round_dp(2) == value;
        (is_not_negative && exact && value <= max).then(|| Self::rescaled(value))
    }

    /// The amount as a decimal, in the country's currency unit.
    pub const fn amount(self) -> Decimal {
        self.0
    }

    fn rescaled(mut value: Decimal) -> Self {
        value.rescale(2);
        Self(value)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.0)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    /// Works only with JSON, which preserves the exact text of a number.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(exact_text(&raw)).map_err(D::Error::custom)
    }
}

/// The text of a JSON number, or the text between the quotes of a JSON string. Escape sequences are not decoded, because
/// amounts contain none.
pub fn exact_text(raw: &RawValue) -> &str {
    let text = raw.get();
    text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_parsed_from_their_exact_text() {
        for (text, shown) in [
            ("0", "0.00"),
            ("1", "1.00"),
            ("0.5", "0.50"),
            ("9999999999.99", "9999999999.99"),
            ("007", "7.00"),
        ] {
            assert_eq!(Money::parse(text).unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "-1",
            "+1",
            "1e3",
            "1E3",
            "1_000",
            "1,5",
            "1.",
            ".5",
            "1.234",
            "1.2.3",
            "NaN",
            "inf",
            " 1",
            "1 ",
            "12345678901",
            "１",
            "0x10",
            "1.-5",
        ] {
            assert_eq!(Money::parse(bad), Err(MoneyError::BadFormat), "{bad:?}");
        }
        assert_eq!(Money::parse_positive("0.00"), Err(MoneyError::NotPositive));
    }

    #[test]
    fn json_numbers_and_strings_parse_alike() {
        for json in ["15000", "15000.0", "15000.00", "\"15000\"", "\"15000.00\""] {
            assert_eq!(
                serde_json::from_str::<Money>(json).unwrap(),
                Money::parse("15000").unwrap(),
                "{json}"
            );
        }
        for json in ["1.5e4", "15000.000", "null", "true", "[1]", "{\"a\":1}", "\"\"", "\"\\u0031\""] {
            assert!(serde_json::from_str::<Money>(json).is_err(), "{json}");
        }
        let value = serde_json::json!({"total": "12.30"});
        assert_eq!(Money::deserialize(&value["total"]).unwrap().to_string(), "12.30");
        assert_eq!(serde_json::to_string(&Money::parse("12.3").unwrap()).unwrap(), "\"12.30\"");
    }

    #[test]
    fn decimals_outside_the_range_of_the_column_are_rejected() {
        let dec = |s: &str| Decimal::from_str_exact(s).unwrap();
        assert!(Money::from_decimal(dec("9999999999.99")).is_some());
        assert!(Money::from_decimal(dec("1.500")).is_some());
        for bad in ["10000000000", "-0.01", "0.001"] {
            assert_eq!(Money::from_decimal(dec(bad)), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn amounts_survive_a_round_trip_through_text(cents in 0u64..=999_999_999_999) {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            let money = Money::parse(&text).unwrap();
            prop_assert_eq!(money.to_string(), text);
            prop_assert_eq!(serde_json::from_str::<Money>(&serde_json::to_string(&money).unwrap()).unwrap(), money);
        }

        #[test]
        fn no_text_causes_a_panic(text in "\\PC{0,20}") {
            let _ = Money::parse(&text);
        }
    }
}
