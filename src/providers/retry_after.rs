//! Parses a bureau's `Retry-After`: seconds or a date (RFC 9110, section 10.2.3), limited to a range.
//!
//! Numbers and years that are too large to represent result in the longest delay. Invalid, past and missing values
//! result in the shortest.

use std::str::FromStr as _;
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Month, NaiveDate, NaiveTime, Utc};

/// The shortest delay.
const MIN_DELAY: Duration = Duration::from_secs(1);
/// The longest delay. If the bureau needs more time, it can respond with `Retry-After` again after this delay.
const MAX_DELAY: Duration = Duration::from_secs(300);

/// The delay requested by the header's value.
pub fn delay(value: Option<&str>, now: DateTime<Utc>) -> Duration {
    let value = value.map(str::trim).unwrap_or_default();
    seconds(value).or_else(|| wait_until(value, now)).unwrap_or(MIN_DELAY).clamp(MIN_DELAY, MAX_DELAY)
}

/// Parses `delay-seconds` with any number of digits.
fn seconds(text: &str) -> Option<Duration> {
    is_number(text).then(|| text.parse().map_or(Duration::MAX, Duration::from_secs))
}

/// The time until an `HTTP-date` (RFC 9110, section 5.6.7): IMF-fixdate, RFC 850 or asctime. The weekday is ignored.
fn wait_until(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let words: Vec<&str> = text.split([' ', ',', '-']).filter(|word| !word.is_empty()).collect();
    let (day, month, year, time) = match *words.as_slice() {
        [_, day, month, year, time, zone] if zone.eq_ignore_ascii_case("GMT") => (day, month, year, time),
        [_, month, day, time, year] => (day, month, year, time),
        _ => return None,
    };
    let month = Month::from_str(month).ok()?.number_from_month();
    let year = match (is_number(year), year.len(), year.parse()) {
        (true, 2, Ok(last_two)) => full_year(last_two, now.year()),
        (true, 0..=4, Ok(year)) => year,
        // The grammar allows years up to 9999. A later year is treated as the distant future.
        (true, _, _) => return Some(Duration::MAX),
        (false, _, _) => return None,
    };
    let date = NaiveDate::from_ymd_opt(year, month, day.parse().ok()?)?;
    let until = date.and_time(NaiveTime::parse_from_str(time, "%H:%M:%S").ok()?).and_utc();
    Some((until - now).to_std().unwrap_or(Duration::ZERO))
}

/// The year with these two digits that is at most 50 years in the future (RFC 9110, section 5.6.7).
const fn full_year(last_two: i32, this_year: i32) -> i32 {
    let latest = this_year + 50;
    latest - (latest - last_two).rem_euclid(100)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_parsed_and_limited_to_the_range() {
        // Sunday, 6 November 1994, 08:49:37.
        let now = DateTime::from_timestamp(784_111_777, 0).unwrap();
        let long = "9".repeat(400);
        for (value, seconds) in [
            (Some("7"), 7),
            (Some(" 120 "), 120),
            (Some("0"), 1),
            (Some("86400"), 300),
            (Some("18446744073709551615"), 300),
            (Some("18446744073709551616"), 300),
            (Some("99999999999999999999"), 300),
            (Some(long.as_str()), 300),
            (Some("-5"), 1),
            (Some("+5"), 1),
            (Some("7.5"), 1),
            (Some("Sun, 06 Nov 1994 08:50:07 GMT"), 30),
            (Some("Sunday, 06-Nov-94 08:50:07 GMT"), 30),
            (Some("Sun Nov  6 08:50:07 1994"), 30),
            (Some("Sun Nov 06 08:50:07 1994"), 30),
            (Some("Mon, 06 Nov 1994 08:50:07 GMT"), 30),
            (Some("Sun, 06 Nov 1994 08:49:60 GMT"), 23),
            (Some("Sun, 06 Nov 1994 08:49:00 GMT"), 1),
            (Some("Sunday, 06-Nov-44 08:49:37 GMT"), 300),
            (Some("Sunday, 06-Nov-45 08:49:37 GMT"), 1),
            (Some("Mon, 06 Nov 2034 08:49:00 GMT"), 300),
            (Some("Fri, 31 Dec 9999 23:59:59 GMT"), 300),
            (Some("Fri, 31 Dec 10000 23:59:59 GMT"), 300),
            (Some("Fri, 31 Dec 99999999999999999999 23:59:59 GMT"), 300),
            (Some("Fri Dec 31 23:59:59 99999999999999999999"), 300),
            (Some("Thu, 01 Jan 1900 00:00:00 GMT"), 1),
            (Some("Sun, 06 Nov 1994 08:50:07 CET"), 1),
            (Some("Sun, 31 Feb 1995 08:50:07 GMT"), 1),
            (Some("soon"), 1),
            (Some(""), 1),
            (None, 1),
        ] {
            assert_eq!(delay(value, now), Duration::from_secs(seconds), "{value:?}");
        }
    }
}
