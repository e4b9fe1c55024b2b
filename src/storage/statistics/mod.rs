//! Statistics whose cost does not depend on the number of applications.
//!
//! Writes of applications do not update counters. Every change is an event in the outbox. The leading relay adds published
//! events to the counters ([`project`]), in the order of their offsets. The same transaction updates the offset of the last
//! counted event (`statistics_position`). The lock on that row prevents two relays from counting an event twice. Readers
//! add the events that are not counted yet, published or not, in the same statement. Therefore the figures are exact at the
//! time of the read and include the caller's own writes.
//!
//! The effect of an event is defined once, in the database (`statistics_count_changes`, `statistics_day_changes`). What
//! the counters should contain is defined independently, from the applications and their history ([`differences()`]).
//! Archiving removes whole months from the counters (`statistics_forget_applications`).
//!
//! If the relay is far behind with counting, a reader cannot add all uncounted events. It then adds a bounded number of
//! them and reports the time at which its figures were correct.

mod differences;

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Date, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::differences::differences;
use super::statement::{Binder, FixedStatement, Prepared};
use super::visibility::Visibility;
use crate::domain::application::Country;
use crate::domain::status::Status;
use crate::error::{Error, Result};

/// The number of days that are listed individually, including today.
pub const DAYS: u64 = 30;
/// The number of months that are listed individually, including this one.
pub const MONTHS: u32 = 12;

diesel::define_sql_function! {
    /// Counts published events and returns how many.
    fn project_statistics(batch: Integer) -> BigInt;
}

/// Counts up to `batch` published, uncounted events in one transaction and returns how many it counted.
pub async fn project(connection: &mut AsyncPgConnection, batch: u32) -> Result<i64> {
    let batch = i32::try_from(batch).unwrap_or(i32::MAX);
    Ok(diesel::select(project_statistics(batch)).get_result(connection).await?)
}

/// The applications of one country and status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StatusCount {
    pub country: Country,
    pub status: Status,
    pub applications: i64,
    /// The total requested amount in the country's currency.
    #[serde(with = "rust_decimal::serde::str")]
    pub requested_amount: Decimal,
    /// Applications with a known risk by band (low, medium, high, critical), for statuses to which the risk applies.
    pub risk_bands: [i64; 4],
    /// The sum of these risks.
    #[serde(with = "rust_decimal::serde::str")]
    pub risk_sum: Decimal,
}

/// The activity in one country on a day or in a month.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PeriodCount {
    /// The day, or the first day of the month, in UTC.
    pub period: NaiveDate,
    pub country: Country,
    /// Applications created.
    pub created: i64,
    /// The total requested amount of the created applications, in the country's currency.
    #[serde(with = "rust_decimal::serde::str")]
    pub requested_amount: Decimal,
    /// Applications approved, whenever they were created.
    pub approved: i64,
    pub rejected: i64,
    /// Applications sent to review.
    pub under_review: i64,
    pub cancelled: i64,
    /// The total requested amount of the approved applications.
    #[serde(with = "rust_decimal::serde::str")]
    pub approved_amount: Decimal,
}

/// Figures about the applications visible to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// The time at which the figures are correct: now, or the time of the last included change if counting is far behind.
    pub as_of: DateTime<Utc>,
    /// Applications that lists show, by country and status, without empty groups.
    pub counts: Vec<StatusCount>,
    /// The last [`DAYS`] days, oldest first, without empty days.
    pub days: Vec<PeriodCount>,
    /// The last [`MONTHS`] months, oldest first, without empty months.
    pub months: Vec<PeriodCount>,
}

/// Which figures to read, and how.
#[derive(Debug, Clone)]
pub struct FiguresQuery<'a> {
    pub visibility: &'a Visibility,
    /// `None` for all countries.
    pub country: Option<Country>,
    /// The maximum number of events of each kind (published and unpublished) to add to the counters.
    pub max_uncounted: u32,
}

impl FiguresQuery<'_> {
    /// The value in `application_counts.owner`.
    fn owner(&self) -> &str {
        match self.visibility {
            Visibility::All => "",
            Visibility::OwnedBy(account) => account,
        }
    }

    fn country(&self) -> Option<&'static str> {
        self.country.map(Country::code)
    }

    fn max_uncounted(&self) -> i32 {
        i32::try_from(self.max_uncounted).unwrap_or(i32::MAX)
    }
}

/// The common table expressions that every query begins with: `wanted` with the values of a [`FiguresQuery`], and
/// `uncounted` with the events that are not counted yet. If `published` or `waiting` has `wanted.bound` rows, there may be
/// more such events.
macro_rules! reading {
    ($($rest:literal),+ $(,)?) => {
        concat!(
            "WITH wanted AS (SELECT ?::text AS owner, ?::text AS country, ?::integer AS bound), \
            published AS MATERIALIZED (SELECT type, subject, data, time FROM outbox \
                WHERE relay_offset > (SELECT last_offset FROM statistics_position) \
                ORDER BY relay_offset LIMIT (SELECT bound FROM wanted)), \
            waiting AS MATERIALIZED (SELECT type, subject, data, time FROM outbox \
                WHERE relay_offset IS NULL ORDER BY seq LIMIT (SELECT bound FROM wanted)), \
            uncounted AS MATERIALIZED (SELECT e.type, e.subject, e.data \
                FROM (SELECT * FROM published UNION ALL SELECT * FROM waiting) AS e, wanted w \
                WHERE (w.owner = '' OR e.data ->> 'created_by' = w.owner) \
                AND (w.country IS NULL OR e.data ->> 'country' = w.country)), ",
            $($rest),+
        )
    };
}

// Declared after the macro that it uses.
pub mod days;

struct ReadFigures {
    owner: String,
    country: Option<&'static str>,
    max_uncounted: i32,
    first_day: NaiveDate,
    first_month: NaiveDate,
}

impl FixedStatement for ReadFigures {
    const NAME: &'static str = "read_figures";
    /// Amounts are text, because a JSON number would lose decimal places.
    const SQL: &'static str = reading!(
        "periods AS (SELECT ?::date AS first_day, ?::date AS first_month), \
        counts AS (SELECT c.country, c.status, sum(c.applications)::bigint AS applications, \
                sum(c.requested_amount)::text AS requested_amount, \
                ARRAY[sum(c.risk_low), sum(c.risk_medium), sum(c.risk_high), sum(c.risk_critical)]::bigint[] AS risk_bands, \
                sum(c.risk_sum)::text AS risk_sum \
            FROM (SELECT a.country, a.status, a.applications, a.requested_amount, a.risk_low, a.risk_medium, a.risk_high, \
                    a.risk_critical, a.risk_sum \
                FROM application_counts a, wanted w \
                WHERE a.owner = w.owner AND (w.country IS NULL OR a.country = w.country::country) \
                UNION ALL \
                SELECT e.country, e.status, e.applications, e.requested_amount, e.risk_low, e.risk_medium, e.risk_high, \
                    e.risk_critical, e.risk_sum \
                FROM uncounted u CROSS JOIN LATERAL statistics_count_changes(u.type, u.subject, u.data) e) AS c \
            GROUP BY c.country, c.status HAVING sum(c.applications) <> 0), \
        by_day AS MATERIALIZED (SELECT a.day, a.country, a.created, a.requested_amount, a.approved, a.rejected, \
                a.under_review, a.cancelled, a.approved_amount \
            FROM application_days a, wanted w \
            WHERE a.owner = w.owner AND a.day >= (SELECT first_month FROM periods) \
                AND (w.country IS NULL OR a.country = w.country::country) \
            UNION ALL \
            SELECT e.day, e.country, e.created, e.requested_amount, e.approved, e.rejected, e.under_review, e.cancelled, \
                e.approved_amount \
            FROM uncounted u CROSS JOIN LATERAL statistics_day_changes(u.type, u.subject, u.data) e), \
        all_periods AS (SELECT d.is_month, d.period, d.country, sum(d.created)::bigint AS created, \
                sum(d.requested_amount)::text AS requested_amount, sum(d.approved)::bigint AS approved, \
                sum(d.rejected)::bigint AS rejected, sum(d.under_review)::bigint AS under_review, \
                sum(d.cancelled)::bigint AS cancelled, sum(d.approved_amount)::text AS approved_amount \
            FROM (SELECT false AS is_month, b.day AS period, b.* FROM by_day b, periods p WHERE b.day >= p.first_day \
                UNION ALL \
                SELECT true, date_trunc('month', b.day::timestamp)::date, b.* FROM by_day b) AS d \
            GROUP BY d.is_month, d.period, d.country) \
        SELECT CASE WHEN (SELECT count(*) FROM published) >= w.bound THEN (SELECT max(time) FROM published) \
                WHEN (SELECT count(*) FROM waiting) >= w.bound THEN (SELECT max(time) FROM waiting) END AS behind_at, \
            (SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.country, c.status), '[]') FROM counts c) AS counts, \
            (SELECT coalesce(jsonb_agg(to_jsonb(d) ORDER BY d.period, d.country), '[]') FROM all_periods d \
                WHERE NOT d.is_month) AS days, \
            (SELECT coalesce(jsonb_agg(to_jsonb(d) ORDER BY d.period, d.country), '[]') FROM all_periods d \
                WHERE d.is_month) AS months \
        FROM wanted w"
    );

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.owner)?;
        binder.bind::<Nullable<Text>, _>(&self.country)?;
        binder.bind::<Integer, _>(&self.max_uncounted)?;
        binder.bind::<Date, _>(&self.first_day)?;
        binder.bind::<Date, _>(&self.first_month)
    }
}

#[derive(QueryableByName)]
struct FiguresRow {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    behind_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Jsonb)]
    counts: Value,
    #[diesel(sql_type = Jsonb)]
    days: Value,
    #[diesel(sql_type = Jsonb)]
    months: Value,
}

/// Reads the figures as of `now`, in one statement and thus one snapshot.
pub async fn read(
    connection: &mut AsyncPgConnection,
    query: &FiguresQuery<'_>,
    now: DateTime<Utc>,
) -> Result<Figures> {
    let today = now.date_naive();
    let this_month = today.with_day(1).unwrap_or(today);
    let statement = ReadFigures {
        owner: query.owner().to_owned(),
        country: query.country(),
        max_uncounted: query.max_uncounted(),
        first_day: today.checked_sub_days(Days::new(DAYS - 1)).unwrap_or(today),
        first_month: this_month.checked_sub_months(Months::new(MONTHS - 1)).unwrap_or(this_month),
    };
    let row: FiguresRow = Prepared(statement).get_result(connection).await?;
    Ok(Figures {
        as_of: row.behind_at.unwrap_or(now),
        counts: known(row.counts)?,
        days: known(row.days)?,
        months: known(row.months)?,
    })
}

/// The groups whose country and status are known to this version. Groups with a label that is unknown to this version
/// are omitted.
fn known<T: DeserializeOwned>(rows: Value) -> Result<Vec<T>> {
    let rows: Vec<Value> = serde_json::from_value(rows).map_err(Error::internal)?;
    let is_known = |row: &Value| {
        let label = |name: &str| row.get(name).and_then(Value::as_str);
        label("country").is_none_or(|country| country.parse::<Country>().is_ok())
            && label("status").is_none_or(|status| status.parse::<Status>().is_ok())
    };
    let rows = rows.into_iter().filter(is_known);
    rows.map(|row| serde_json::from_value(row).map_err(Error::internal)).collect()
}

struct CountListed {
    owner: String,
    country: Option<&'static str>,
    max_uncounted: i32,
    status: Option<&'static str>,
}

impl FixedStatement for CountListed {
    const NAME: &'static str = "count_listed";
    const SQL: &'static str = reading!(
        "narrowed AS (SELECT ?::text AS status) \
        SELECT greatest((SELECT count(*) FROM published), (SELECT count(*) FROM waiting)) < w.bound AS is_exact, \
            (coalesce((SELECT sum(a.applications) FROM application_counts a WHERE a.owner = w.owner \
                AND (w.country IS NULL OR a.country = w.country::country) \
                AND (n.status IS NULL OR a.status = n.status::application_status)), 0) \
            + coalesce((SELECT sum(e.applications) \
                FROM uncounted u CROSS JOIN LATERAL statistics_count_changes(u.type, u.subject, u.data) e \
                WHERE n.status IS NULL OR e.status = n.status::application_status), 0))::bigint AS applications \
        FROM wanted w, narrowed n"
    );

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.owner)?;
        binder.bind::<Nullable<Text>, _>(&self.country)?;
        binder.bind::<Integer, _>(&self.max_uncounted)?;
        binder.bind::<Nullable<Text>, _>(&self.status)
    }
}

#[derive(QueryableByName)]
struct CountListedRow {
    #[diesel(sql_type = Bool)]
    is_exact: bool,
    #[diesel(sql_type = BigInt)]
    applications: i64,
}

/// The number of applications in a list filtered only by country and status; `None` if counting is too far behind.
pub async fn count_listed(
    connection: &mut AsyncPgConnection,
    query: &FiguresQuery<'_>,
    status: Option<Status>,
) -> Result<Option<i64>> {
    let statement = CountListed {
        owner: query.owner().to_owned(),
        country: query.country(),
        max_uncounted: query.max_uncounted(),
        status: status.map(Status::as_str),
    };
    let row: CountListedRow = Prepared(statement).get_result(connection).await?;
    Ok(row.is_exact.then_some(row.applications))
}
