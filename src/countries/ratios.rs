//! The instalment, and the quotients for the ratios of section 3 of docs/specification.md, in exact arithmetic.
//!
//! Comparisons do not divide: `a / b > limit` is evaluated as `a > limit * b`, which is exact in decimal arithmetic and valid for
//! an income of zero. Only displayed values are divided and rounded.
//!
//! Overflow is impossible. Amounts are below 10^10 with two decimal places ([`Money`]), thresholds at most 10 with six
//! decimal places, annual rates at most 5, and terms at most 84 months. The largest product is of the order of 10^13
//! with eight decimal places, and a [`Decimal`] holds 28 digits.

use rust_decimal::{Decimal, MathematicalOps as _, RoundingStrategy};

use super::thresholds::{AnnualRate, Ratio};
use crate::domain::application::TermMonths;
use crate::domain::money::Money;

/// The number of decimal places of a displayed ratio.
const SHOWN_DECIMALS: u32 = 6;

/// The monthly instalment of `amount` over `term`, rounded half to even to cents: an annuity at one twelfth of the
/// nominal annual rate, or equal parts without interest.
///
/// With the monthly rate `i` and `v = (1 + i)^-n` it is `amount * i / (1 - v)`.
pub(super) fn instalment(amount: Money, annual_rate: AnnualRate, term: TermMonths) -> Decimal {
    let months = Decimal::from(term.get());
    let monthly_rate = annual_rate.get() / Decimal::from(12);
    let growth = (Decimal::ONE + monthly_rate).powu(u64::from(term.get()));
    let unrounded = if growth == Decimal::ONE {
        amount.amount() / months
    } else {
        amount.amount() * monthly_rate / (Decimal::ONE - Decimal::ONE / growth)
    };
    unrounded.round_dp_with_strategy(2, RoundingStrategy::MidpointNearestEven)
}

/// An undivided quotient. The denominator is not negative.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quotient {
    pub(super) numerator: Decimal,
    pub(super) denominator: Decimal,
}

impl Quotient {
    /// Whether the quotient exceeds `limit`. A positive number over zero exceeds every limit.
    pub(super) fn is_above(self, limit: Ratio) -> bool {
        self.numerator > limit.get() * self.denominator
    }

    /// Whether the quotient is at least `limit`.
    pub(super) fn reaches(self, limit: Ratio) -> bool {
        self.numerator >= limit.get() * self.denominator
    }

    /// The quotient for display, with six decimal places; `None` if the denominator is zero.
    pub(super) fn displayed(self) -> Option<Decimal> {
        let exact = self.numerator.checked_div(self.denominator)?;
        Some(exact.round_dp_with_strategy(SHOWN_DECIMALS, RoundingStrategy::MidpointNearestEven).normalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instalment_of(amount: &str, rate: &str, months: i64) -> String {
        let rate: AnnualRate = serde_json::from_str(&format!("\"{rate}\"")).unwrap();
        let amount = Money::parse(amount).unwrap();
        instalment(amount, rate, TermMonths::new(months).unwrap()).to_string()
    }

    /// The expected values were computed separately in exact fractions.
    #[test]
    fn the_instalment_is_an_annuity_rounded_to_cents() {
        for (amount, rate, months, expected) in [
            ("15000", "0.08", 36, "470.05"),
            ("25000", "0.08", 48, "610.32"),
            ("10000", "0.085", 36, "315.68"),
            ("10000", "0.30", 84, "285.93"),
            ("10000", "0.25", 6, "1790.28"),
            ("9999999999.99", "5", 84, "4166666666.66"),
            ("9999999999.99", "0.000001", 6, "1666667152.78"),
            ("0.01", "0.08", 84, "0.00"),
        ] {
            assert_eq!(instalment_of(amount, rate, months), expected, "{amount} at {rate} over {months}");
        }
    }

    #[test]
    fn without_interest_the_instalment_is_an_equal_part_rounded_half_to_even() {
        assert_eq!(instalment_of("3600", "0", 36), "100.00");
        assert_eq!(instalment_of("0.03", "0", 6), "0.00");
        assert_eq!(instalment_of("0.09", "0", 6), "0.02");
        assert_eq!(instalment_of("100", "0", 7).as_str(), "14.29");
    }
}
