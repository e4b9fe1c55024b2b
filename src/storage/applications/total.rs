//! Totals of lists, at a bounded cost.
//!
//! The total of a list that is filtered only by country and status comes from the statistics and is exact. For other
//! lists, a bounded number of the newest applications is examined, whether they match or not. Therefore a filter that
//! matches nothing costs no more than one that matches everything.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Integer, Jsonb, Nullable, Numeric, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use super::Visibility;
use super::list::{ListFilter, uuid_floor};
use crate::domain::application::Country;
use crate::domain::money::Money;
use crate::domain::status::Status;
use crate::error::Result;
use crate::storage::statement::{Binder, FixedStatement, Prepared};
use crate::storage::statistics;

/// The total number of applications in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// A lower bound when not exact.
    pub count: i64,
    pub is_exact: bool,
}

/// The bounds on the work for a total.
#[derive(Debug, Clone, Copy)]
pub struct TotalBounds {
    /// The maximum number of applications to examine.
    pub examined: u32,
    /// The maximum number of events to add to the counters ([`statistics::FiguresQuery`]).
    pub uncounted: u32,
}

pub async fn total(
    connection: &mut AsyncPgConnection,
    filter: &ListFilter,
    visibility: &Visibility,
    bounds: TotalBounds,
) -> Result<Total> {
    if let Some((country, status)) = counted_group(filter) {
        let query = statistics::FiguresQuery { visibility, country, max_uncounted: bounds.uncounted };
        if let Some(count) = statistics::count_listed(connection, &query, status).await? {
            return Ok(Total { count, is_exact: true });
        }
    }
    examine(connection, filter, visibility, bounds.examined).await
}

/// The country and status of a list without any other filter.
fn counted_group(filter: &ListFilter) -> Option<(Option<Country>, Option<Status>)> {
    match *filter {
        ListFilter {
            country,
            status,
            from: None,
            to: None,
            updated_since: None,
            min_amount: None,
            max_amount: None,
            risk_band: None,
            document: None,
            country_data: None,
            banking_data: None,
        } => Some((country, status)),
        _ => None,
    }
}

#[derive(QueryableByName)]
struct Examined {
    #[diesel(sql_type = BigInt)]
    examined: i64,
    #[diesel(sql_type = BigInt)]
    fitting: i64,
}

async fn examine(
    connection: &mut AsyncPgConnection,
    filter: &ListFilter,
    visibility: &Visibility,
    at_most: u32,
) -> Result<Total> {
    let conditions = Conditions::new(filter, at_most);
    let found: Examined = match (visibility, filter.status, filter.from.or(filter.to)) {
        (Visibility::OwnedBy(account), _, _) => {
            Prepared(ExamineOwn { account: account.clone(), conditions }).get_result(connection).await?
        }
        (Visibility::All, Some(status), None) => {
            Prepared(ExamineStatus { status: status.as_str(), conditions }).get_result(connection).await?
        }
        (Visibility::All, _, _) => Prepared(ExamineNewest { conditions }).get_result(connection).await?,
    };
    Ok(Total { count: found.fitting, is_exact: found.examined <= i64::from(at_most) })
}

/// A [`ListFilter`] as statement parameters. A null parameter matches every application.
struct Conditions {
    first_id: Uuid,
    end_id: Uuid,
    at_most: i32,
    country: Option<&'static str>,
    status: Option<&'static str>,
    min_amount: Option<Decimal>,
    max_amount: Option<Decimal>,
    min_risk: Option<Decimal>,
    below_risk: Option<Decimal>,
    document: Option<Vec<u8>>,
    country_data: Option<Value>,
    banking_data: Option<Value>,
}

impl Conditions {
    fn new(filter: &ListFilter, at_most: u32) -> Self {
        let risk = filter.risk_band.map(|band| band.bounds());
        Self {
            first_id: filter.from.map_or_else(Uuid::nil, uuid_floor),
            end_id: filter.to.map_or_else(Uuid::max, uuid_floor),
            at_most: i32::try_from(at_most).unwrap_or(i32::MAX),
            country: filter.country.map(Country::code),
            status: filter.status.map(Status::as_str),
            min_amount: filter.min_amount.map(Money::amount),
            max_amount: filter.max_amount.map(Money::amount),
            min_risk: risk.map(|(from, _)| Decimal::from(from)),
            below_risk: risk.map(|(_, below)| Decimal::from(below)),
            document: filter.document.map(|index| index.as_bytes().to_vec()),
            country_data: filter.country_data.clone().map(Value::Object),
            banking_data: filter.banking_data.clone().map(Value::Object),
        }
    }

    fn bind_range<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<diesel::sql_types::Uuid, _>(&self.first_id)?;
        binder.bind::<diesel::sql_types::Uuid, _>(&self.end_id)
    }

    fn bind_rest<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Integer, _>(&self.at_most)?;
        binder.bind::<Nullable<Text>, _>(&self.country)?;
        binder.bind::<Nullable<Text>, _>(&self.status)?;
        binder.bind::<Nullable<Numeric>, _>(&self.min_amount)?;
        binder.bind::<Nullable<Numeric>, _>(&self.max_amount)?;
        binder.bind::<Nullable<Numeric>, _>(&self.min_risk)?;
        binder.bind::<Nullable<Numeric>, _>(&self.below_risk)?;
        binder.bind::<Nullable<Binary>, _>(&self.document)?;
        binder.bind::<Nullable<Jsonb>, _>(&self.country_data)?;
        binder.bind::<Nullable<Jsonb>, _>(&self.banking_data)
    }
}

/// A statement that examines the applications that `$window` selects. It reads one more than `at_most`, to detect whether
/// there are more.
macro_rules! examining {
    ($window:literal) => {
        concat!(
            "WITH examined AS (SELECT a.deleted_at, a.country, a.status, a.requested_amount, a.risk_score, a.document_index, \
                a.country_specific_data, a.banking_data \
            FROM applications a WHERE a.id >= ? AND a.id < ? ",
            $window,
            " LIMIT ?::integer + 1), \
            wanted AS (SELECT ?::text::country AS country, ?::text::application_status AS status, ?::numeric AS min_amount, \
                ?::numeric AS max_amount, ?::numeric AS min_risk, ?::numeric AS below_risk, ?::bytea AS document, \
                ?::jsonb AS country_data, ?::jsonb AS banking_data) \
            SELECT count(*) AS examined, count(*) FILTER (WHERE e.deleted_at IS NULL \
                AND (w.country IS NULL OR e.country = w.country) \
                AND (w.status IS NULL OR e.status = w.status) \
                AND (w.min_amount IS NULL OR e.requested_amount >= w.min_amount) \
                AND (w.max_amount IS NULL OR e.requested_amount <= w.max_amount) \
                AND (w.min_risk IS NULL OR e.risk_score >= w.min_risk AND e.risk_score < w.below_risk) \
                AND (w.document IS NULL OR e.document_index = w.document) \
                AND (w.country_data IS NULL OR e.country_specific_data @> w.country_data) \
                AND (w.banking_data IS NULL OR e.banking_data @> w.banking_data)) AS fitting \
            FROM examined e CROSS JOIN wanted w"
        )
    };
}

struct ExamineNewest {
    conditions: Conditions,
}

impl FixedStatement for ExamineNewest {
    const NAME: &'static str = "examine_newest";
    const SQL: &'static str = examining!("ORDER BY a.id DESC");

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        self.conditions.bind_range(binder)?;
        self.conditions.bind_rest(binder)
    }
}

struct ExamineOwn {
    account: String,
    conditions: Conditions,
}

impl FixedStatement for ExamineOwn {
    const NAME: &'static str = "examine_own";
    /// The range condition keeps the account in the sort order, and only one index supports that order. With an equality,
    /// the planner might choose another index and read all applications to find the account's own.
    const SQL: &'static str = examining!(
        "AND a.deleted_at IS NULL AND a.created_by >= ?::text AND a.created_by <= ?::text ORDER BY a.created_by, a.id DESC"
    );

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        self.conditions.bind_range(binder)?;
        binder.bind::<Text, _>(&self.account)?;
        binder.bind::<Text, _>(&self.account)?;
        self.conditions.bind_rest(binder)
    }
}

struct ExamineStatus {
    status: &'static str,
    conditions: Conditions,
}

impl FixedStatement for ExamineStatus {
    const NAME: &'static str = "examine_status";
    /// A range instead of an equality, as in [`ExamineOwn`].
    const SQL: &'static str = examining!(
        "AND a.deleted_at IS NULL AND a.status >= ?::text::application_status AND a.status <= ?::text::application_status \
         ORDER BY a.status, a.id DESC"
    );

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        self.conditions.bind_range(binder)?;
        binder.bind::<Text, _>(&self.status)?;
        binder.bind::<Text, _>(&self.status)?;
        self.conditions.bind_rest(binder)
    }
}
