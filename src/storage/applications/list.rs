//! Lists of applications: filters and keyset pagination by id.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Visibility, money, open_document, open_name, term};
use crate::domain::application::{Country, TermMonths};
use crate::domain::decision::RiskBand;
use crate::domain::ids::ApplicationId;
use crate::domain::label::Label;
use crate::domain::money::Money;
use crate::domain::personal_data::{FullName, IdentityDocument};
use crate::domain::status::Status;
use crate::error::Result;
use crate::storage::planner;
use crate::storage::schema::applications;
use crate::storage::seal::{BlindIndex, KeyRing};
use crate::storage::types::PgLabel;

/// Selects the applications of a list. A field that is `None` matches every application.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    pub country: Option<Country>,
    pub status: Option<Status>,
    /// Created at or after.
    pub from: Option<DateTime<Utc>>,
    /// Created before.
    pub to: Option<DateTime<Utc>>,
    /// Last changed at or after.
    pub updated_since: Option<DateTime<Utc>>,
    /// Inclusive.
    pub min_amount: Option<Money>,
    /// Inclusive.
    pub max_amount: Option<Money>,
    pub risk_band: Option<RiskBand>,
    pub document: Option<BlindIndex>,
    /// Members and values that the country data must contain.
    pub country_data: Option<Map<String, Value>>,
    /// Members and values that the bureau's report must contain.
    pub banking_data: Option<Map<String, Value>>,
}

impl ListFilter {
    /// The SQL that begins the transaction in which the list is read.
    pub fn begin(&self) -> &'static str {
        match self.country_data.is_some() || self.banking_data.is_some() {
            true => planner::BEGIN_SEARCH,
            false => planner::BEGIN_LIST,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortOrder {
    /// `-created_at`
    #[default]
    NewestFirst,
    /// `created_at`
    OldestFirst,
    /// `updated_at`: the most recent change comes last, so a client can poll for changes.
    LeastRecentlyUpdated,
}

/// Where a page starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageStart {
    Beginning,
    /// After this application, in the order of the list.
    After(ApplicationId),
    /// After this application with this time of its last change, for `LeastRecentlyUpdated`.
    AfterUpdate(DateTime<Utc>, ApplicationId),
    /// After this many applications.
    Offset(i64),
}

/// One entry of a list: only the columns that lists show.
#[derive(Debug, Clone)]
pub struct ListedApplication {
    pub id: ApplicationId,
    pub country: Label<Country>,
    /// ISO 4217.
    pub currency: String,
    pub full_name: FullName,
    pub identity_document: IdentityDocument,
    pub requested_amount: Money,
    /// As declared by the applicant.
    pub monthly_income: Money,
    /// The number of instalments.
    pub term_months: TermMonths,
    pub status: Label<Status>,
    /// From the last decision.
    pub risk_score: Option<Decimal>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = applications, check_for_backend(diesel::pg::Pg))]
pub(in crate::storage) struct ListedRow {
    id: Uuid,
    country: PgLabel<Country>,
    currency: String,
    full_name: Vec<u8>,
    identity_document: Vec<u8>,
    requested_amount: Decimal,
    monthly_income: Decimal,
    term_months: i16,
    status: PgLabel<Status>,
    risk_score: Option<Decimal>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl ListedRow {
    pub(in crate::storage) fn open(self, keys: &KeyRing) -> Result<ListedApplication> {
        let row = self;
        Ok(ListedApplication {
            id: ApplicationId::new(row.id),
            country: row.country.0,
            currency: row.currency,
            full_name: open_name(keys, row.id, &row.full_name)?,
            identity_document: open_document(keys, row.id, &row.identity_document)?,
            requested_amount: money(row.requested_amount)?,
            monthly_income: money(row.monthly_income)?,
            term_months: term(row.term_months)?,
            status: row.status.0,
            risk_score: row.risk_score,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The smallest version 7 UUID of `moment`. Filtering by time as a range of ids limits a query to the partitions of
/// those months.
pub(super) fn uuid_floor(moment: DateTime<Utc>) -> Uuid {
    let ms = u128::try_from(moment.timestamp_millis().max(0)).unwrap_or(0);
    Uuid::from_u128(ms << 80)
}

pub(super) type BoxedQuery<'a, ST> = applications::BoxedQuery<'a, diesel::pg::Pg, ST>;

pub(super) fn narrow<'a, ST>(
    mut query: BoxedQuery<'a, ST>,
    filter: &ListFilter,
    visibility: &Visibility,
) -> BoxedQuery<'a, ST> {
    query = query.filter(applications::deleted_at.is_null());
    if let Visibility::OwnedBy(account) = visibility {
        query = query.filter(applications::created_by.eq(account.clone()));
    }
    // The country and the status come from this crate. They are part of the SQL text so that PostgreSQL plans for the
    // actual value. A generic plan could scan all applications to find the few that have a rare status.
    if let Some(country) = filter.country {
        query = query.filter(sql::<Bool>(&format!("applications.country = '{}'", country.code())));
    }
    if let Some(status) = filter.status {
        query = query.filter(sql::<Bool>(&format!("applications.status = '{}'", status.as_str())));
    }
    if let Some(from) = filter.from {
        query = query.filter(applications::id.ge(uuid_floor(from)));
    }
    if let Some(to) = filter.to {
        query = query.filter(applications::id.lt(uuid_floor(to)));
    }
    if let Some(since) = filter.updated_since {
        query = query.filter(applications::updated_at.ge(since));
    }
    if let Some(min) = filter.min_amount {
        query = query.filter(applications::requested_amount.ge(min.amount()));
    }
    if let Some(max) = filter.max_amount {
        query = query.filter(applications::requested_amount.le(max.amount()));
    }
    if let Some(band) = filter.risk_band {
        let (from, below) = band.bounds();
        query = query
            .filter(applications::risk_score.ge(Decimal::from(from)))
            .filter(applications::risk_score.lt(Decimal::from(below)));
    }
    if let Some(index) = filter.document {
        query = query.filter(applications::document_index.eq(index.as_bytes().to_vec()));
    }
    if let Some(data) = &filter.country_data {
        query = query.filter(applications::country_specific_data.contains(Value::Object(data.clone())));
    }
    if let Some(data) = &filter.banking_data {
        query = query.filter(applications::banking_data.contains(Value::Object(data.clone())));
    }
    query
}

/// One page of a list, with at most `limit` entries.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    filter: &ListFilter,
    visibility: &Visibility,
    order: SortOrder,
    start: PageStart,
    limit: i64,
) -> Result<Vec<ListedApplication>> {
    let mut query =
        narrow(applications::table.select(ListedRow::as_select()).into_boxed(), filter, visibility)
            .limit(limit);
    query = match order {
        SortOrder::NewestFirst => query.order(applications::id.desc()),
        SortOrder::OldestFirst => query.order(applications::id.asc()),
        SortOrder::LeastRecentlyUpdated => {
            query.order((applications::updated_at.asc(), applications::id.asc()))
        }
    };
    query = match (start, order) {
        (PageStart::Beginning, _) => query,
        (PageStart::After(id), SortOrder::NewestFirst) => query.filter(applications::id.lt(id.as_uuid())),
        (PageStart::After(id), SortOrder::OldestFirst | SortOrder::LeastRecentlyUpdated) => {
            query.filter(applications::id.gt(id.as_uuid()))
        }
        // The index serves the first condition. The second one removes only the few applications with the same time.
        (PageStart::AfterUpdate(at, id), _) => query
            .filter(applications::updated_at.ge(at))
            .filter(applications::updated_at.gt(at).or(applications::id.gt(id.as_uuid()))),
        (PageStart::Offset(offset), _) => query.offset(offset),
    };
    let rows: Vec<ListedRow> = query.load(connection).await?;
    rows.into_iter().map(|row| row.open(keys)).collect()
}
