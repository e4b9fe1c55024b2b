//! What lists of applications are narrowed to: the parameters of a query and members of a search.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use utoipa::IntoParams;

use crate::domain::application::{Country, UnknownCountry};
use crate::domain::decision::RiskBand;
use crate::domain::ids::ApplicationId;
use crate::domain::members::Refusal;
use crate::domain::money::{Money, MoneyError};
use crate::domain::status::{Status, UnknownStatus};
use crate::http::cursor;
use crate::http::query::Query;
use crate::lending::list::{ListFilter, PageStart, SortOrder};
use crate::storage::seal::KeyRing;

/// What a list is narrowed to, and its order.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read parameter by parameter; this is its schema")]
pub struct FilterParameters {
    /// One country, in either case.
    #[param(value_type = Option<crate::http::schemas::CountryCode>)]
    country: Option<String>,
    /// One status.
    #[param(value_type = Option<crate::http::schemas::ApplicationStatus>)]
    status: Option<String>,
    /// Made at or after this RFC 3339 time, or on or after this date (UTC).
    #[param(example = "2026-01-01")]
    from: Option<String>,
    /// Made before this RFC 3339 time, or on or before this date (UTC).
    #[param(example = "2026-01-31")]
    to: Option<String>,
    /// At least this much asked for.
    #[param(example = "1000.00")]
    min_amount: Option<String>,
    /// At most this much asked for.
    #[param(example = "20000.00")]
    max_amount: Option<String>,
    /// One band of the last decision's risk.
    #[param(value_type = Option<crate::http::schemas::RiskBandName>)]
    risk_band: Option<String>,
    /// `-created_at` (newest first, the default) or `created_at`. Not together with `updated_since`.
    #[param(value_type = Option<crate::http::schemas::SortName>, example = "-created_at")]
    sort: Option<String>,
}

/// The list as text, the same for the same list.
pub(super) fn list_name(order: SortOrder, filter: &ListFilter) -> String {
    let ListFilter { country, status, from, to, updated_since, min_amount, max_amount, risk_band, .. } =
        filter;
    let document = filter.document.as_ref().map(|index| index.as_bytes());
    let (country_data, banking_data) = (&filter.country_data, &filter.banking_data);
    format!(
        "applications {order:?} {country:?} {status:?} {from:?} {to:?} {updated_since:?} {min_amount:?} {max_amount:?} {risk_band:?} \
         {document:?} {country_data:?} {banking_data:?}"
    )
}

/// Takes the filter and the order out of the query of a list.
pub(super) fn take_filter(query: &mut Query) -> (ListFilter, SortOrder) {
    let filter = ListFilter {
        country: query.take("country", country),
        status: query.take("status", status),
        from: query.take("from", |text| moment(text, Edge::Start)),
        to: query.take("to", |text| moment(text, Edge::End)),
        min_amount: query.take("min_amount", amount),
        max_amount: query.take("max_amount", amount),
        risk_band: query.take("risk_band", risk_band),
        ..ListFilter::default()
    };
    for (name, detail) in bad_ranges(&filter) {
        query.refuse(name, "bad_range", detail);
    }
    (filter, query.take("sort", order).unwrap_or_default())
}

/// Where the page after a cursor of this list starts.
pub(super) fn after(
    text: &str,
    keys: &KeyRing,
    order: SortOrder,
    filter: &ListFilter,
) -> Result<PageStart, Refusal> {
    let refusal = || ("bad_cursor", "is not a next_cursor of this list".to_owned());
    let list = list_name(order, filter);
    let start = match order {
        SortOrder::LeastRecentlyUpdated => cursor::decode_with_time(keys, text, &list)
            .map(|(at, last)| PageStart::AfterUpdate(at, ApplicationId::new(last))),
        SortOrder::NewestFirst | SortOrder::OldestFirst => {
            cursor::decode(keys, text, &list).map(|last| PageStart::After(ApplicationId::new(last)))
        }
    };
    start.ok_or_else(refusal)
}

/// The ends of ranges that lie before their beginning, with what is wrong with them.
pub(super) fn bad_ranges(filter: &ListFilter) -> impl Iterator<Item = (&'static str, &'static str)> {
    let times = filter.from.zip(filter.to).is_some_and(|(from, to)| from > to);
    let amounts = filter.min_amount.zip(filter.max_amount).is_some_and(|(min, max)| min > max);
    let times = times.then_some(("to", "must not be before from"));
    times.into_iter().chain(amounts.then_some(("max_amount", "must not be below min_amount")))
}

fn country(text: &str) -> Result<Country, Refusal> {
    text.parse().map_err(|error: UnknownCountry| ("unknown_country", format!("is {error}")))
}

pub(super) fn status(text: &str) -> Result<Status, Refusal> {
    let refusal = |UnknownStatus| {
        ("unknown_status", format!("must be one of {}", Status::ALL.map(Status::as_str).join(", ")))
    };
    text.parse().map_err(refusal)
}

pub(super) fn risk_band(text: &str) -> Result<RiskBand, Refusal> {
    let names = || RiskBand::ALL.map(RiskBand::as_str).join(", ");
    let found = RiskBand::ALL.into_iter().find(|band| band.as_str() == text);
    found.ok_or_else(|| ("unknown_risk_band", format!("must be one of {}", names())))
}

pub(super) fn order(text: &str) -> Result<SortOrder, Refusal> {
    match text {
        "-created_at" => Ok(SortOrder::NewestFirst),
        "created_at" => Ok(SortOrder::OldestFirst),
        _ => Err(("unknown_sort", "must be created_at or -created_at".to_owned())),
    }
}

fn amount(text: &str) -> Result<Money, Refusal> {
    Money::parse(text).map_err(|error: MoneyError| (error.code(), error.to_string()))
}

pub(in crate::http) fn whole(text: &str, max: i64) -> Result<i64, Refusal> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && (1..=max).contains(number));
    number.ok_or_else(|| ("out_of_range", format!("must be a whole number from 1 to {max}")))
}

/// Which end of a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Edge {
    Start,
    End,
}

/// An RFC 3339 time, or a date, which stands for its whole day in UTC.
pub(in crate::http) fn moment(text: &str, edge: Edge) -> Result<DateTime<Utc>, Refusal> {
    let refusal =
        || ("bad_time", "must be an RFC 3339 time or a date such as 2026-01-31; write + as %2B".to_owned());
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let well_formed = text.len() == 10 && text.starts_with(|c: char| c.is_ascii_digit());
    let date = text.parse::<NaiveDate>().ok().filter(|_| well_formed).ok_or_else(refusal)?;
    let midnight = match edge {
        Edge::Start => Some(date),
        Edge::End => date.checked_add_days(Days::new(1)),
    };
    Ok(midnight.ok_or_else(refusal)?.and_time(NaiveTime::MIN).and_utc())
}
