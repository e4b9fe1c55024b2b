//! Maps a bureau's score to the common scale from 300 to 850.
//!
//! The mapping is linear: `300 + (score - low) * 550 / (high - low)`, in integers and rounded half to even. Because it uses
//! no floats, a report has the same score on every machine and in every replay. The ends of a bureau's scale map exactly to
//! the ends of the common scale.

use crate::domain::banking::CreditScore;

/// A bureau's range of scores, inclusive.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScoreScale {
    /// The worst score.
    pub(super) low: i64,
    /// The best score; above `low`.
    pub(super) high: i64,
}

impl ScoreScale {
    /// The score on the common scale; `None` when `native` is outside the bureau's range.
    pub(super) fn to_common(self, native: i64) -> Option<CreditScore> {
        if !(self.low..=self.high).contains(&native) {
            return None;
        }
        let common_span = i64::from(CreditScore::MAX - CreditScore::MIN);
        let above_worst = divide_half_even((native - self.low) * common_span, self.high - self.low);
        CreditScore::new(i64::from(CreditScore::MIN) + above_worst)
    }

    /// The bureau's score that is closest to `common`. If the bureau's scale is at least as fine as the common scale,
    /// [`ScoreScale::to_common`] converts the result back to `common`.
    pub(super) fn nearest_to(self, common: CreditScore) -> i64 {
        let common_span = i64::from(CreditScore::MAX - CreditScore::MIN);
        let above_worst = i64::from(common.get() - CreditScore::MIN);
        self.low + divide_half_even(above_worst * (self.high - self.low), common_span)
    }
}

/// `numerator / denominator`, rounded half to even. The numerator must not be negative, and the denominator must be
/// positive.
fn divide_half_even(numerator: i64, denominator: i64) -> i64 {
    let (quotient, remainder) = (numerator / denominator, numerator % denominator);
    let up = match (remainder * 2).cmp(&denominator) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    quotient + i64::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERASA: ScoreScale = ScoreScale { low: 0, high: 1000 };

    #[test]
    fn the_serasa_scale_is_mapped_linearly_and_rounded_half_to_even() {
        // One native point is 0.55 common points, so the halves are at 10, 30, 50, … (5.5, 16.5, 27.5).
        for (native, common) in [
            (0, 300),
            (1, 301),
            (2, 301),
            (10, 306),
            (30, 316),
            (50, 328),
            (500, 575),
            (545, 600),
            (999, 849),
            (1000, 850),
        ] {
            assert_eq!(SERASA.to_common(native).unwrap().get(), common, "{native}");
        }
    }

    #[test]
    fn scores_outside_the_scale_are_rejected() {
        for native in [-1, 1001, i64::MIN, i64::MAX] {
            assert_eq!(SERASA.to_common(native), None);
        }
    }

    #[test]
    fn the_mapping_is_monotonic_and_every_common_score_survives_a_round_trip() {
        for scale in [SERASA, ScoreScale { low: 150, high: 950 }] {
            let mapped: Vec<_> =
                (scale.low..=scale.high).map(|native| scale.to_common(native).unwrap()).collect();
            assert!(mapped.is_sorted());
            for common in CreditScore::MIN..=CreditScore::MAX {
                let common = CreditScore::new(i64::from(common)).unwrap();
                assert_eq!(scale.to_common(scale.nearest_to(common)), Some(common));
            }
        }
    }
}
