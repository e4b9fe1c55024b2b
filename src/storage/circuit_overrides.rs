//! Operators' overrides of the circuit breakers: one row per country, which every instance applies.
//!
//! Only the database's clock decides when an override expires. [`in_force`] returns the remaining time instead of the
//! expiry, so an instance whose clock is wrong ends an override at the same moment as the others.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::schema::circuit_overrides;
use super::statement::{Binder, FixedStatement, Prepared};
use super::types::{PgCountry, PgLabel};
use crate::domain::application::Country;
use crate::error::{Error, Result};
use crate::resilience::circuit_breaker::CircuitMode;
use crate::storage::transaction::Abort;

/// An override that is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    pub country: Country,
    /// Never [`CircuitMode::Auto`].
    pub mode: CircuitMode,
    /// The remaining time.
    pub left: Duration,
}

struct ReadInForce;

impl FixedStatement for ReadInForce {
    const NAME: &'static str = "read_in_force";
    const SQL: &'static str = "\
        SELECT country::text AS country, mode, \
            ceil(extract(epoch FROM expires_at - clock_timestamp()) * 1000)::bigint AS left_ms \
        FROM circuit_overrides WHERE mode <> 'auto' AND expires_at > clock_timestamp()";

    fn bind<'b>(&'b self, _: &mut Binder<'_, 'b>) -> QueryResult<()> {
        Ok(())
    }
}

#[derive(QueryableByName)]
struct InForceRow {
    #[diesel(sql_type = Text)]
    country: String,
    #[diesel(sql_type = Text)]
    mode: String,
    #[diesel(sql_type = BigInt)]
    left_ms: i64,
}

pub async fn in_force(connection: &mut AsyncPgConnection) -> Result<Vec<InForce>> {
    let rows: Vec<InForceRow> = Prepared(ReadInForce).load(connection).await?;
    // Skips countries and modes unknown to this version.
    let read = |row: InForceRow| {
        Some(InForce {
            country: row.country.parse().ok()?,
            mode: row.mode.parse().ok()?,
            left: Duration::from_millis(u64::try_from(row.left_ms).unwrap_or(0)),
        })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// An override as operators see it.
#[derive(Debug, Clone)]
pub struct CircuitOverride {
    pub country: Country,
    pub mode: CircuitMode,
    pub reason: Option<String>,
    pub set_by: String,
    pub set_at: DateTime<Utc>,
    /// `None` only for [`CircuitMode::Auto`].
    pub expires_at: Option<DateTime<Utc>>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = circuit_overrides, check_for_backend(diesel::pg::Pg))]
struct OverrideRow {
    country: PgLabel<Country>,
    mode: String,
    reason: Option<String>,
    set_by: String,
    set_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
}

impl TryFrom<OverrideRow> for CircuitOverride {
    type Error = Error;

    fn try_from(row: OverrideRow) -> Result<Self> {
        let unknown = |what| move || Error::unknown_label(what, "of a circuit override");
        Ok(Self {
            country: row.country.0.known().ok_or_else(unknown("country"))?,
            mode: row.mode.parse().ok().ok_or_else(unknown("mode"))?,
            reason: row.reason,
            set_by: row.set_by,
            set_at: row.set_at,
            expires_at: row.expires_at,
        })
    }
}

/// The overrides that are in force now, as operators see them.
pub async fn list(connection: &mut AsyncPgConnection) -> Result<Vec<CircuitOverride>> {
    let rows: Vec<OverrideRow> = circuit_overrides::table
        .select(OverrideRow::as_select())
        .filter(circuit_overrides::mode.ne(CircuitMode::Auto.as_str()))
        .filter(circuit_overrides::expires_at.gt(diesel::dsl::now.into_sql::<Timestamptz>().nullable()))
        .load(connection)
        .await?;
    Ok(rows.into_iter().filter_map(|row| CircuitOverride::try_from(row).ok()).collect())
}

/// A request to set or remove an override.
#[derive(Debug, Clone)]
pub struct SetOverride {
    pub country: Country,
    pub mode: CircuitMode,
    /// Required unless the mode is [`CircuitMode::Auto`].
    pub reason: Option<String>,
    pub account: String,
    pub request_id: String,
    /// Required unless the mode is [`CircuitMode::Auto`].
    pub expires_at: Option<DateTime<Utc>>,
}

/// Sets or removes an override. Triggers log the change and send the notification.
pub async fn set(connection: &mut AsyncPgConnection, wanted: &SetOverride) -> Result<CircuitOverride, Abort> {
    let values = (
        circuit_overrides::mode.eq(wanted.mode.as_str()),
        circuit_overrides::reason.eq(&wanted.reason),
        circuit_overrides::set_by.eq(&wanted.account),
        circuit_overrides::set_at.eq(diesel::dsl::now),
        circuit_overrides::request_id.eq(&wanted.request_id),
        circuit_overrides::expires_at.eq(wanted.expires_at),
    );
    let row: OverrideRow = diesel::insert_into(circuit_overrides::table)
        .values((circuit_overrides::country.eq(PgCountry(wanted.country)), values))
        .on_conflict(circuit_overrides::country)
        .do_update()
        .set(values)
        .returning(OverrideRow::as_returning())
        .get_result(connection)
        .await?;
    Ok(row.try_into()?)
}
