//! Latency statistics.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// docs/specification.md, section 1: the median time from acceptance to the pushed decision on an idle machine is below
/// this.
pub(super) const GOAL_P50: Duration = Duration::from_millis(50);

/// Percentiles of measured durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Figures {
    #[serde(rename = "p50_ms", serialize_with = "as_ms")]
    pub(super) p50: Duration,
    #[serde(rename = "p95_ms", serialize_with = "as_ms")]
    pub(super) p95: Duration,
    #[serde(rename = "p99_ms", serialize_with = "as_ms")]
    pub(super) p99: Duration,
    #[serde(rename = "max_ms", serialize_with = "as_ms")]
    pub(super) max: Duration,
}

impl Figures {
    /// `None` without durations.
    pub(super) fn of(durations: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<Duration> = durations.into_iter().collect();
        sorted.sort_unstable();
        Some(Self {
            p50: percentile(&sorted, 50)?,
            p95: percentile(&sorted, 95)?,
            p99: percentile(&sorted, 99)?,
            max: percentile(&sorted, 100)?,
        })
    }
}

/// The smallest value in `sorted` that at least `percent` % of the values do not exceed (nearest rank). `percent` is
/// from 1 to 100.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// Milliseconds with one decimal place, such as `12.3`, rounded up.
pub(super) fn ms(duration: Duration) -> String {
    let tenths = duration.as_micros().div_ceil(100);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Serializes milliseconds as a JSON number with a resolution of a microsecond.
pub(super) fn as_ms<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    serializer.serialize_f64(f64::from(micros) / 1000.0)
}

/// As [`as_ms`]; `null` if there is no duration.
pub(super) fn as_ms_or_null<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => as_ms(duration, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(durations_ms: impl IntoIterator<Item = u64>) -> Option<[u128; 4]> {
        let figures = Figures::of(durations_ms.into_iter().map(Duration::from_millis))?;
        Some([figures.p50, figures.p95, figures.p99, figures.max].map(|duration| duration.as_millis()))
    }

    #[test]
    fn percentiles_are_the_nearest_rank_whatever_the_order() {
        assert_eq!(figures([]), None);
        assert_eq!(figures([7]), Some([7, 7, 7, 7]));
        assert_eq!(figures([9, 1]), Some([1, 9, 9, 9]));
        assert_eq!(figures([3, 1, 2]), Some([2, 3, 3, 3]));
        assert_eq!(figures((1..=100).rev()), Some([50, 95, 99, 100]));
        assert_eq!(figures(1..=200), Some([100, 190, 198, 200]));
    }

    #[test]
    fn milliseconds_have_one_decimal() {
        for (micros, shown) in [(0, "0.0"), (1, "0.1"), (100, "0.1"), (12_345, "12.4"), (1_000_000, "1000.0")]
        {
            assert_eq!(ms(Duration::from_micros(micros)), shown);
        }
    }
}
