//! Rows of disbursements and their events, and their conversion into the types of the domain.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::disbursement::history::{Beginning, Details, Disbursement, Event};
use crate::domain::disbursement::workflow::{Compensation, State};
use crate::domain::ids::ApplicationId;
use crate::error::{Error, Result};
use crate::storage::applications::money;
use crate::storage::schema::{disbursement_events, disbursements};
use crate::storage::types::PgCountry;

/// A row of the projection.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = disbursements, check_for_backend(diesel::pg::Pg), treat_none_as_null = true)]
pub(super) struct DisbursementRow {
    id: Uuid,
    application_id: Uuid,
    country: PgCountry,
    amount: Decimal,
    destination_kind: String,
    destination: String,
    holder_differs: bool,
    owner: String,
    requested_by: String,
    requester_id: Uuid,
    reverses: Option<Uuid>,
    state: String,
    stuck_in: Option<String>,
    reason: Option<String>,
    payment_key: Option<Uuid>,
    rail_reference: Option<String>,
    compensations: Vec<Option<String>>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<&Disbursement> for DisbursementRow {
    fn from(from: &Disbursement) -> Self {
        let beginning = from.beginning.clone();
        Self {
            id: from.id,
            application_id: beginning.application_id.as_uuid(),
            country: PgCountry(beginning.country),
            amount: beginning.amount.amount(),
            destination_kind: beginning.destination_kind.as_str().to_owned(),
            destination: beginning.destination,
            holder_differs: beginning.holder_differs,
            owner: beginning.owner,
            requested_by: beginning.requested_by,
            requester_id: beginning.requester_id,
            reverses: beginning.reverses,
            state: from.state.as_str().to_owned(),
            stuck_in: from.stuck_in.map(|state| state.as_str().to_owned()),
            reason: from.reason.clone(),
            payment_key: from.payment_key,
            rail_reference: from.rail_reference.clone(),
            compensations: from.compensations.iter().map(|one| Some(one.as_str().to_owned())).collect(),
            version: from.version,
            created_at: from.created_at,
            updated_at: from.updated_at,
        }
    }
}

impl TryFrom<DisbursementRow> for Disbursement {
    type Error = Error;

    fn try_from(row: DisbursementRow) -> Result<Self> {
        let compensations = row.compensations.into_iter().flatten();
        Ok(Self {
            id: row.id,
            beginning: Beginning {
                application_id: ApplicationId::new(row.application_id),
                country: row.country.into(),
                amount: money(row.amount)?,
                destination_kind: known("destination kind", &row.destination_kind)?,
                destination: row.destination,
                holder_differs: row.holder_differs,
                owner: row.owner,
                requested_by: row.requested_by,
                requester_id: row.requester_id,
                reverses: row.reverses,
            },
            state: known("disbursement state", &row.state)?,
            stuck_in: row.stuck_in.map(|state| known::<State>("disbursement state", &state)).transpose()?,
            reason: row.reason,
            payment_key: row.payment_key,
            rail_reference: row.rail_reference,
            compensations: compensations
                .map(|name| known::<Compensation>("compensation", &name))
                .collect::<Result<_>>()?,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Parses a stored label.
fn known<T: FromStr>(what: &'static str, label: &str) -> Result<T> {
    label.parse().map_err(|_unknown| Error::unknown_label(what, label))
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = disbursement_events, check_for_backend(diesel::pg::Pg))]
pub(super) struct EventRow {
    sequence: i64,
    kind: String,
    state: String,
    details: Value,
    actor: String,
    request_id: Option<String>,
    recorded_at: DateTime<Utc>,
}

/// An event as it was recorded.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    pub sequence: i64,
    pub event: Event,
    /// The state after the event.
    pub state: State,
    pub request_id: Option<String>,
}

impl TryFrom<EventRow> for StoredEvent {
    type Error = Error;

    fn try_from(row: EventRow) -> Result<Self> {
        // An amount must be read from its exact text, and a `Value` has none.
        let details: Details = serde_json::from_str(&row.details.to_string())
            .map_err(|error| Error::internal(error.to_string()))?;
        Ok(Self {
            sequence: row.sequence,
            event: Event { kind: known("event", &row.kind)?, details, actor: row.actor, at: row.recorded_at },
            state: known("disbursement state", &row.state)?,
            request_id: row.request_id,
        })
    }
}
