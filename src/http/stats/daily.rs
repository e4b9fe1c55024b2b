//! `GET /api/v1/stats/daily`

use std::ops::RangeInclusive;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::view::amount;
use crate::cache::{Loaded, Subject};
use crate::domain::application::Country;
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{country, date};
use crate::lending::figures::{DAYS, DailyFigures, PeriodCount};

/// The largest number of days in a response.
const MAX_DAYS: i64 = 92;

request_query! {
    /// The period and the country.
    pub struct DailyParameters {
        /// The country, as an ISO 3166-1 alpha-2 code; case is ignored. The default is all countries.
        #[param(value_type = Option<crate::http::schemas::CountryCode>)]
        country: Option<Country> = country,
        /// The first day (UTC); the default is 29 days before `to`.
        #[param(value_type = Option<String>, example = "2026-01-01")]
        from: Option<NaiveDate> = date,
        /// The last day (UTC), at most 91 days after `from`; the default is today.
        #[param(value_type = Option<String>, example = "2026-01-31")]
        to: Option<NaiveDate> = date,
    }
}

/// The activity of a day in one country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DayView {
    /// The day, in UTC.
    #[schema(value_type = String, example = "2026-01-31")]
    pub date: NaiveDate,
    /// The country, whose currency the amounts are in.
    #[schema(value_type = crate::http::schemas::CountryCode)]
    pub country: Country,
    /// Applications created on the day.
    #[schema(example = 3)]
    pub created: i64,
    /// Applications approved or rejected on the day.
    #[schema(example = 3)]
    pub decided: i64,
    /// Applications approved on the day, regardless of when they were created.
    #[schema(example = 2)]
    pub approved: i64,
    /// Applications rejected on the day.
    #[schema(example = 1)]
    pub rejected: i64,
    /// Applications sent to manual review on the day.
    #[schema(example = 0)]
    pub under_review: i64,
    /// Total amount requested in applications created on the day.
    #[schema(example = "45000.00")]
    pub amount_requested: String,
    /// Total amount requested in applications approved on the day.
    #[schema(example = "30000.00")]
    pub amount_approved: String,
}

/// The activity of the days of a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DailyStatistics {
    /// The time as of which the figures are valid.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub as_of: DateTime<Utc>,
    /// One entry for each day and country, oldest first, with zeros if nothing happened.
    pub items: Vec<DayView>,
}

impl DailyStatistics {
    fn of(figures: &DailyFigures, period: &RangeInclusive<NaiveDate>, countries: &[Country]) -> Self {
        let days = period.start().iter_days().take_while(|day| period.contains(day));
        let day_and_country = days.flat_map(|day| countries.iter().map(move |country| (day, *country)));
        let items = day_and_country.map(|(day, country)| {
            let found = figures.days.iter().find(|found| found.period == day && found.country == country);
            DayView::of(day, country, found)
        });
        Self { as_of: figures.as_of, items: items.collect() }
    }
}

impl DayView {
    fn of(date: NaiveDate, country: Country, found: Option<&PeriodCount>) -> Self {
        let number = |of: fn(&PeriodCount) -> i64| found.map_or(0, of);
        Self {
            date,
            country,
            created: number(|day| day.created),
            decided: number(|day| day.approved + day.rejected),
            approved: number(|day| day.approved),
            rejected: number(|day| day.rejected),
            under_review: number(|day| day.under_review),
            amount_requested: amount(found.iter().map(|day| day.requested_amount)),
            amount_approved: amount(found.iter().map(|day| day.approved_amount)),
        }
    }
}

/// Returns the activity of each day in a period of at most 92 days.
///
/// Analysts and admins see all applications, other callers only their own. The days cover everything that happened in
/// them, including applications that were later deleted or archived.
#[utoipa::path(
    get,
    path = "/api/v1/stats/daily",
    operation_id = "get_daily_statistics",
    tag = "statistics",
    params(DailyParameters),
    responses(
        (status = 200, description = "The days", body = DailyStatistics),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn get(state: HttpState, principal: Principal, query: Query) -> HandlerResult {
    let began = state.resources.clock.now();
    let (country, period) = read(query, began.date_naive())?;
    let visibility = principal.visibility();
    let load = async {
        let figures = state.lending.daily_figures(&visibility, country, &period).await?;
        let view = match country {
            Some(country) => DailyStatistics::of(&figures, &period, &[country]),
            None => DailyStatistics::of(&figures, &period, &Country::ALL),
        };
        let body = serde_json::to_vec(&view).map_err(Error::internal)?;
        // Outdated figures must not be cached, because no event signals when they become current.
        Ok(Loaded { body: body.into(), may_be_cached: figures.as_of >= began })
    };
    let name = format!("daily {} {period:?}", country.map_or("", Country::code));
    let body = state.cache.get_if_cacheable(Subject::Statistics, &visibility, &name, load).await?;
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(body))
}

/// Reads the country and the period.
fn read(mut query: Query, today: NaiveDate) -> Result<(Option<Country>, RangeInclusive<NaiveDate>)> {
    let DailyParameters { country, from, to } = DailyParameters::take(&mut query);
    let to = to.unwrap_or(today);
    let from = from.unwrap_or_else(|| to.checked_sub_days(Days::new(DAYS - 1)).unwrap_or(to));
    if from > to {
        query.refuse("to", "bad_range", "must not be before from");
    } else if (to - from).num_days() >= MAX_DAYS {
        query.refuse("from", "out_of_range", &format!("must be at most {} days before to", MAX_DAYS - 1));
    }
    query.finish()?;
    Ok((country, from..=to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn period(query: &str) -> Option<RangeInclusive<NaiveDate>> {
        read(Query::parse(query).unwrap(), day("2026-03-31")).ok().map(|(_, period)| period)
    }

    #[test]
    fn the_period_has_thirty_days_by_default_and_at_most_ninety_two() {
        for (query, expected) in [
            ("", Some(("2026-03-02", "2026-03-31"))),
            ("to=2026-01-31", Some(("2026-01-02", "2026-01-31"))),
            ("from=2026-03-31", Some(("2026-03-31", "2026-03-31"))),
            ("from=2026-01-01&to=2026-04-02", Some(("2026-01-01", "2026-04-02"))),
            ("from=2026-01-01&to=2026-04-03", None),
            ("from=2026-01-02&to=2026-01-01", None),
            ("from=2026-02-30", None),
            ("from=2026-01-01T00:00:00Z", None),
            ("from=+2026-01-01", None),
            ("country=FR", None),
            ("day=2026-01-01", None),
        ] {
            let expected = expected.map(|(from, to)| day(from)..=day(to));
            assert_eq!(period(query), expected, "{query}");
        }
    }
}
