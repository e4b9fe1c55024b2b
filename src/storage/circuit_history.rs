//! The history of the circuit breakers: changes of their state on all instances, and operators' overrides.
//!
//! `circuit_changes` is written with the events ([`circuit_events`](super::circuit_events)) and kept longer than they
//! are. `circuit_override_log` is written by a trigger and kept forever. The identifiers of both are version 7 UUIDs,
//! whose order is the order of time.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::schema::{circuit_changes, circuit_override_log};
use super::types::{PgCountry, PgLabel};
use crate::domain::application::Country;
use crate::error::Result;

/// An entry of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitChange {
    /// A version 7 UUID of the time.
    pub id: Uuid,
    pub time: DateTime<Utc>,
    pub country: PgLabel<Country>,
    pub what: WhatChanged,
}

/// What an entry of the history is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhatChanged {
    /// The state of the breaker of one instance.
    State { kind: String, provider: String, instance: String, cause: String },
    /// The override of the country's breakers on all instances.
    Override { mode: String, by: String, reason: Option<String>, expires_at: Option<DateTime<Utc>> },
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = circuit_changes, check_for_backend(diesel::pg::Pg))]
struct StateRow {
    id: Uuid,
    country: PgLabel<Country>,
    provider: String,
    kind: String,
    instance: String,
    cause: String,
    changed_at: DateTime<Utc>,
}

impl From<StateRow> for CircuitChange {
    fn from(row: StateRow) -> Self {
        let StateRow { id, country, provider, kind, instance, cause, changed_at } = row;
        Self { id, time: changed_at, country, what: WhatChanged::State { kind, provider, instance, cause } }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = circuit_override_log, check_for_backend(diesel::pg::Pg))]
struct OverrideRow {
    id: Uuid,
    country: PgLabel<Country>,
    mode: String,
    reason: Option<String>,
    changed_by: String,
    expires_at: Option<DateTime<Utc>>,
    changed_at: DateTime<Utc>,
}

impl From<OverrideRow> for CircuitChange {
    fn from(row: OverrideRow) -> Self {
        let OverrideRow { id, country, mode, reason, changed_by: by, expires_at, changed_at } = row;
        Self { id, time: changed_at, country, what: WhatChanged::Override { mode, by, reason, expires_at } }
    }
}

/// Up to `limit` entries before the entry `before`, newest first, of one country or of all.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    country: Option<Country>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<CircuitChange>> {
    let mut states = circuit_changes::table
        .select(StateRow::as_select())
        .order(circuit_changes::id.desc())
        .limit(limit)
        .into_boxed();
    let mut overrides = circuit_override_log::table
        .select(OverrideRow::as_select())
        .order(circuit_override_log::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(country) = country {
        states = states.filter(circuit_changes::country.eq(PgCountry(country)));
        overrides = overrides.filter(circuit_override_log::country.eq(PgCountry(country)));
    }
    if let Some(before) = before {
        states = states.filter(circuit_changes::id.lt(before));
        overrides = overrides.filter(circuit_override_log::id.lt(before));
    }
    let states: Vec<StateRow> = states.load(connection).await?;
    let overrides: Vec<OverrideRow> = overrides.load(connection).await?;
    let states = states.into_iter().map(CircuitChange::from);
    let mut changes: Vec<CircuitChange> = states.chain(overrides.into_iter().map(From::from)).collect();
    changes.sort_by_key(|change| Reverse(change.id));
    changes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(changes)
}

/// Deletes up to `limit` changes of a breaker's state before `time` and returns how many it deleted.
pub async fn delete_before(
    connection: &mut AsyncPgConnection,
    time: DateTime<Utc>,
    limit: u32,
) -> Result<usize> {
    let expired = diesel::alias!(circuit_changes as expired);
    let ids = expired
        .select(expired.field(circuit_changes::id))
        .filter(expired.field(circuit_changes::changed_at).lt(time))
        .order(expired.field(circuit_changes::changed_at).asc())
        .limit(i64::from(limit));
    let deletion = diesel::delete(circuit_changes::table.filter(circuit_changes::id.eq_any(ids)));
    Ok(deletion.execute(connection).await?)
}
