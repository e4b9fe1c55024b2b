//! The text format of timestamps: RFC 3339 in UTC with `Z` and exactly six fractional digits.
//!
//! It preserves PostgreSQL's microseconds, and formatted timestamps sort chronologically. The event triggers use the
//! same format (`append_event`).

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serializer;

/// Formats a timestamp, such as `2026-01-31T12:00:00.000000Z`.
pub fn text(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// [`text`] for `#[serde(serialize_with)]`.
pub fn serialize<S: Serializer>(moment: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*moment))
}

/// [`serialize`] for optional fields.
pub fn serialize_option<S: Serializer>(
    moment: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match moment {
        Some(moment) => serialize(moment, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_six_decimals_and_a_z() {
        for (given, written) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z"),
            ("2026-01-31T13:00:00.5+01:00", "2026-01-31T12:00:00.500000Z"),
            ("2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.123456Z"),
        ] {
            assert_eq!(text(given.parse().unwrap()), written);
        }
    }
}
