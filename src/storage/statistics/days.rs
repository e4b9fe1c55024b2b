//! The activity of single days over a chosen period.

use std::ops::RangeInclusive;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Date, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;

use super::{FiguresQuery, PeriodCount, known};
use crate::error::Result;
use crate::storage::statement::{Binder, FixedStatement, Prepared};

/// The activity of the days of a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyFigures {
    /// The time of the figures: now, or that of the last included change if counting is far behind.
    pub as_of: DateTime<Utc>,
    /// By day and country, oldest first, without empty ones.
    pub days: Vec<PeriodCount>,
}

struct ReadDays {
    owner: String,
    country: Option<&'static str>,
    max_uncounted: i32,
    first: NaiveDate,
    last: NaiveDate,
}

impl FixedStatement for ReadDays {
    const NAME: &'static str = "read_days";
    /// Amounts are text, because a JSON number would lose decimal places.
    const SQL: &'static str = reading!(
        "period AS (SELECT ?::date AS first, ?::date AS last), \
        by_day AS (SELECT d.day AS period, d.country, sum(d.created)::bigint AS created, \
                sum(d.requested_amount)::text AS requested_amount, sum(d.approved)::bigint AS approved, \
                sum(d.rejected)::bigint AS rejected, sum(d.under_review)::bigint AS under_review, \
                sum(d.cancelled)::bigint AS cancelled, sum(d.approved_amount)::text AS approved_amount \
            FROM (SELECT a.day, a.country, a.created, a.requested_amount, a.approved, a.rejected, a.under_review, \
                    a.cancelled, a.approved_amount \
                FROM application_days a, wanted w, period p \
                WHERE a.owner = w.owner AND a.day >= p.first AND a.day <= p.last \
                    AND (w.country IS NULL OR a.country = w.country::country) \
                UNION ALL \
                SELECT e.day, e.country, e.created, e.requested_amount, e.approved, e.rejected, e.under_review, \
                    e.cancelled, e.approved_amount \
                FROM uncounted u CROSS JOIN LATERAL statistics_day_changes(u.type, u.subject, u.data) e, period p \
                WHERE e.day >= p.first AND e.day <= p.last) AS d \
            GROUP BY d.day, d.country) \
        SELECT CASE WHEN (SELECT count(*) FROM published) >= w.bound THEN (SELECT max(time) FROM published) \
                WHEN (SELECT count(*) FROM waiting) >= w.bound THEN (SELECT max(time) FROM waiting) END AS behind_at, \
            (SELECT coalesce(jsonb_agg(to_jsonb(d) ORDER BY d.period, d.country), '[]') FROM by_day d) AS days \
        FROM wanted w"
    );

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.owner)?;
        binder.bind::<Nullable<Text>, _>(&self.country)?;
        binder.bind::<Integer, _>(&self.max_uncounted)?;
        binder.bind::<Date, _>(&self.first)?;
        binder.bind::<Date, _>(&self.last)
    }
}

#[derive(QueryableByName)]
struct DaysRow {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    behind_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Jsonb)]
    days: Value,
}

/// Reads the days of a period as of `now`, in one statement and thus one snapshot.
pub async fn read(
    connection: &mut AsyncPgConnection,
    query: &FiguresQuery<'_>,
    period: &RangeInclusive<NaiveDate>,
    now: DateTime<Utc>,
) -> Result<DailyFigures> {
    let statement = ReadDays {
        owner: query.owner().to_owned(),
        country: query.country(),
        max_uncounted: query.max_uncounted(),
        first: *period.start(),
        last: *period.end(),
    };
    let row: DaysRow = Prepared(statement).get_result(connection).await?;
    Ok(DailyFigures { as_of: row.behind_at.unwrap_or(now), days: known(row.days)? })
}
