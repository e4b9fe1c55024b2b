//! Parsers of single values that several requests share, for JSON values and query parameters.

use std::ops::RangeInclusive;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as ValueError;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::application::{Country, TermMonths, UnknownCountry};
use crate::domain::banking::{AccountStatus, CreditScore};
use crate::domain::ids::ApplicationId;
use crate::domain::personal_data::{Email, FullName};
use crate::domain::status::{Status, UnknownStatus};
use crate::json::{Refusal, bad_type, string, whole_number};

/// Maximum length of a reason, in characters.
const MAX_REASON_CHARS: usize = 500;

/// Reads a JSON string with the parser of a query parameter.
pub(in crate::http) fn text<T>(
    read: impl Fn(&str) -> Result<T, Refusal>,
) -> impl Fn(&RawValue) -> Result<T, Refusal> {
    move |raw| read(&string(raw)?)
}

/// Reads a country code in upper or lower case.
pub(in crate::http) fn country(text: &str) -> Result<Country, Refusal> {
    text.parse().map_err(|error: UnknownCountry| ("unknown_country", format!("is {error}")))
}

pub(in crate::http) fn status(text: &str) -> Result<Status, Refusal> {
    let refusal = |UnknownStatus| {
        ("unknown_status", format!("must be one of {}", Status::ALL.map(Status::as_str).join(", ")))
    };
    text.parse().map_err(refusal)
}

pub(in crate::http) fn application_id(text: &str) -> Result<ApplicationId, Refusal> {
    text.parse().ok().ok_or_else(bad_uuid)
}

pub(in crate::http) fn uuid(text: &str) -> Result<Uuid, Refusal> {
    Uuid::try_parse(text).ok().ok_or_else(bad_uuid)
}

pub(in crate::http) fn bad_uuid() -> Refusal {
    ("bad_uuid", "must be a UUID".to_owned())
}

/// Accepts any text, to be checked later.
pub(in crate::http) fn any_text(text: &str) -> Result<String, Refusal> {
    Ok(text.to_owned())
}

/// Reads the name of a task, a lane or an error.
pub(in crate::http) fn identifier(text: &str) -> Result<String, Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let is_identifier = text.len() <= 64 && text.chars().all(plain);
    is_identifier.then(|| text.to_owned()).ok_or_else(|| ("bad_identifier", "is not a valid name".to_owned()))
}

/// Reads a number from 1 to `max` that consists only of digits.
pub(in crate::http) fn digits(text: &str, max: i64) -> Result<i64, Refusal> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && (1..=max).contains(number));
    number.ok_or_else(|| out_of_range(&(1..=max)))
}

/// Reads a whole number in `range`.
pub(in crate::http) fn whole(range: RangeInclusive<i64>) -> impl Fn(&RawValue) -> Result<i64, Refusal> {
    move |raw| whole_number(raw)?.filter(|number| range.contains(number)).ok_or_else(|| out_of_range(&range))
}

fn out_of_range(range: &RangeInclusive<i64>) -> Refusal {
    ("out_of_range", format!("must be a whole number from {} to {}", range.start(), range.end()))
}

/// Reads a term in months.
pub(in crate::http) fn term_months(raw: &RawValue) -> Result<TermMonths, Refusal> {
    let range = TermMonths::MIN.into()..=TermMonths::MAX.into();
    whole_number(raw)?.and_then(TermMonths::new).ok_or_else(|| out_of_range(&range))
}

/// Reads a score on the common scale.
pub(in crate::http) fn credit_score(raw: &RawValue) -> Result<CreditScore, Refusal> {
    let range = CreditScore::MIN.into()..=CreditScore::MAX.into();
    whole_number(raw)?.and_then(CreditScore::new).ok_or_else(|| out_of_range(&range))
}

/// Reads the status of a bank account; any other text counts as `unknown`.
pub(in crate::http) fn account_status(raw: &RawValue) -> Result<AccountStatus, Refusal> {
    let text = string(raw)?;
    let status: Result<AccountStatus, ValueError> = AccountStatus::deserialize(text.into_deserializer());
    status.ok().ok_or_else(|| bad_type("a string"))
}

/// Reads a person's name.
pub(in crate::http) fn full_name(text: &str) -> Result<FullName, Refusal> {
    let refusal = || {
        (
            "bad_name",
            format!(
                "must be 1 to {} characters, contain a letter, and not contain control, invisible or bidirectional \
                 formatting characters",
                FullName::MAX_CHARS
            ),
        )
    };
    FullName::parse(text).ok_or_else(refusal)
}

/// Reads an e-mail address.
pub(in crate::http) fn email(text: &str) -> Result<Email, Refusal> {
    let refusal =
        || ("bad_email", format!("must be an e-mail address of at most {} bytes", Email::MAX_BYTES));
    Email::parse(text).ok_or_else(refusal)
}

/// Reads a reason, which may be empty.
pub(in crate::http) fn reason(raw: &RawValue) -> Result<String, Refusal> {
    let text = string(raw)?;
    let fits = text.chars().count() <= MAX_REASON_CHARS && !text.chars().any(char::is_control);
    let refusal = || {
        ("bad_reason", format!("must be at most {MAX_REASON_CHARS} characters without control characters"))
    };
    if fits { Ok(text) } else { Err(refusal()) }
}

/// Reads an operator's reason, which must not be empty.
pub(in crate::http) fn required_reason(raw: &RawValue) -> Result<String, Refusal> {
    let reason = reason(raw)?;
    let stated = reason.trim();
    if stated.is_empty() {
        Err(("bad_reason", "must not be empty".to_owned()))
    } else {
        Ok(stated.to_owned())
    }
}

/// Whether a time is the start or the end of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Start,
    End,
}

/// Reads the start of a period: an RFC 3339 time, or a date, which means its start in UTC.
pub(in crate::http) fn period_start(text: &str) -> Result<DateTime<Utc>, Refusal> {
    moment(text, Edge::Start)
}

/// Reads the exclusive end of a period: an RFC 3339 time, or a date, which means its end in UTC.
pub(in crate::http) fn period_end(text: &str) -> Result<DateTime<Utc>, Refusal> {
    moment(text, Edge::End)
}

fn moment(text: &str, edge: Edge) -> Result<DateTime<Utc>, Refusal> {
    let refusal =
        || ("bad_time", "must be an RFC 3339 time or a date such as 2026-01-31; encode + as %2B".to_owned());
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let date = day(text).ok_or_else(refusal)?;
    let midnight = match edge {
        Edge::Start => Some(date),
        Edge::End => date.checked_add_days(Days::new(1)),
    };
    Ok(midnight.ok_or_else(refusal)?.and_time(NaiveTime::MIN).and_utc())
}

/// Reads a date such as `2026-01-31`.
pub(in crate::http) fn date(text: &str) -> Result<NaiveDate, Refusal> {
    day(text).ok_or_else(|| ("bad_time", "must be a date such as 2026-01-31".to_owned()))
}

fn day(text: &str) -> Option<NaiveDate> {
    let well_formed = text.len() == 10 && text.starts_with(|c: char| c.is_ascii_digit());
    text.parse().ok().filter(|_| well_formed)
}

/// Refuses a period that ends before it starts.
pub(in crate::http) fn check_period(
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) -> Result<(), Refusal> {
    let is_reversed = from.zip(to).is_some_and(|(from, to)| from > to);
    if is_reversed { Err(("bad_range", "must not be before from".to_owned())) } else { Ok(()) }
}
