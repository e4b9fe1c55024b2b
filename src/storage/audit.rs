//! Reads the audit rows of an application. Triggers write them.
//!
//! An audit row holds the old and the new value of each changed column. The values of a sealed column are the two
//! envelopes, which the trigger copies without decrypting them. All other values are in clear text.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::json::StoredJson;
use super::schema::audit_logs;
use super::seal::{KeyRing, SealedField};
use super::types::{AuditAction, PgLabel};
use crate::domain::ids::ApplicationId;
use crate::domain::label::Label;
use crate::domain::personal_data::{PersonalMembers, masked_value};
use crate::domain::status::Status;
use crate::error::Result;
use crate::json::pointer_step;

/// One change to an application.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    pub id: Uuid,
    /// The application's version after the change.
    pub version: i64,
    pub action: Label<AuditAction>,
    /// `None` for the creation.
    pub old_status: Option<Label<Status>>,
    pub new_status: Label<Status>,
    pub changed_by: String,
    pub change_reason: Option<String>,
    /// Whether the owner may read the reason.
    pub reason_is_public: bool,
    /// Shown to staff only.
    pub internal_note: Option<String>,
    pub changes: Vec<ValueChange>,
    pub request_id: Option<String>,
    pub traceparent: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// A value before and after a change; `None` where it was absent. Personal values are masked ([`masked_value`]).
#[derive(Debug, Clone, PartialEq)]
pub struct ValueChange {
    /// The member, as a JSON pointer.
    pub pointer: String,
    pub old: Option<Value>,
    pub new: Option<Value>,
}

/// The details that the trigger writes in `metadata`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    reason_is_public: bool,
    internal_note: Option<String>,
    /// By JSON pointer.
    changes: BTreeMap<String, Sides<Value>>,
    /// By column, in hex.
    sealed: BTreeMap<String, Sides<String>>,
}

#[derive(Deserialize)]
struct Sides<T> {
    old: Option<T>,
    new: Option<T>,
}

impl Metadata {
    fn changes(self, keys: &KeyRing, application: Uuid, is_personal: fn(&str) -> bool) -> Vec<ValueChange> {
        let in_the_clear = self.changes.into_iter().map(|(pointer, sides)| {
            let name = pointer.rsplit('/').next().unwrap_or_default();
            let shown = |value: Value| if is_personal(name) { masked_value(&value) } else { value };
            ValueChange { old: sides.old.map(shown), new: sides.new.map(shown), pointer }
        });
        let mut changes: Vec<ValueChange> = in_the_clear.collect();
        for (column, sides) in self.sealed {
            let (old, new) = (
                opened(keys, application, &column, sides.old),
                opened(keys, application, &column, sides.new),
            );
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            changes.extend(names.into_iter().filter(|name| old.get(*name) != new.get(*name)).map(|name| {
                let shown = |side: &Map<String, Value>| side.get(name).map(masked_value);
                ValueChange { pointer: format!("/{name}"), old: shown(&old), new: shown(&new) }
            }));
        }
        changes
    }
}

/// The members in an envelope, keyed by their JSON pointers without the first slash. If the envelope cannot be opened, the
/// result contains the envelope itself under the name of the column.
fn opened(keys: &KeyRing, application: Uuid, column: &str, envelope: Option<String>) -> Map<String, Value> {
    let Some(envelope) = envelope else { return Map::new() };
    let field = SealedField::of_application(column);
    let text = field
        .zip(bytes_of_hex(&envelope))
        .and_then(|(field, envelope)| keys.open(field, application, &envelope).ok());
    match (field, text) {
        (Some(SealedField::PersonalData), Some(text)) => {
            let members = PersonalMembers::from_storage(&text).unwrap_or_default();
            let member = |(name, value): (&String, &Value)| {
                (format!("country_specific_data{}", pointer_step(name)), value.clone())
            };
            members.reveal().iter().map(member).collect()
        }
        (Some(SealedField::BirthDate), Some(text)) => {
            Map::from_iter([("country_specific_data/birth_date".to_owned(), Value::from(text))])
        }
        (_, Some(text)) => Map::from_iter([(column.to_owned(), Value::from(text))]),
        (_, None) => Map::from_iter([(column.to_owned(), Value::from(envelope))]),
    }
}

/// Decodes lower-case hex; `None` for any other text.
pub(super) fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[derive(Queryable, Selectable, QueryableByName)]
#[diesel(table_name = audit_logs, check_for_backend(diesel::pg::Pg))]
struct AuditRow {
    id: Uuid,
    version: i64,
    action: PgLabel<AuditAction>,
    old_status: Option<PgLabel<Status>>,
    new_status: PgLabel<Status>,
    changed_by: String,
    change_reason: Option<String>,
    change_request_id: Option<String>,
    metadata: StoredJson,
    created_at: DateTime<Utc>,
    traceparent: Option<String>,
}

impl AuditRow {
    fn entry(self, keys: &KeyRing, application: Uuid, is_personal: fn(&str) -> bool) -> AuditEntry {
        let row = self;
        let metadata: Metadata = serde_json::from_value(row.metadata.0).unwrap_or_default();
        AuditEntry {
            id: row.id,
            version: row.version,
            action: row.action.0,
            old_status: row.old_status.map(Label::from),
            new_status: row.new_status.0,
            changed_by: row.changed_by,
            change_reason: row.change_reason,
            reason_is_public: metadata.reason_is_public,
            internal_note: metadata.internal_note.clone(),
            changes: metadata.changes(keys, application, is_personal),
            request_id: row.change_request_id,
            traceparent: row.traceparent,
            created_at: row.created_at,
        }
    }
}

/// All changes to an application, archived or not, oldest first. Members for which `is_personal` is true are masked even
/// if plain SQL stored them in clear text.
pub async fn list(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    id: ApplicationId,
    is_personal: fn(&str) -> bool,
) -> Result<Vec<AuditEntry>> {
    let mut rows: Vec<AuditRow> = audit_logs::table
        .select(AuditRow::as_select())
        .filter(audit_logs::application_id.eq(id.as_uuid()))
        .order(audit_logs::version.asc())
        .load(connection)
        .await?;
    if rows.is_empty() {
        // Every application has at least one row. One statement searches both the live and the archive tables, because
        // the month may be moving.
        let query = "SELECT a.* FROM (SELECT * FROM audit_logs UNION ALL SELECT * FROM audit_logs_archive) a \
            WHERE a.application_id = $1 ORDER BY a.version";
        let query = diesel::sql_query(query).bind::<diesel::sql_types::Uuid, _>(id.as_uuid());
        rows = query.load(connection).await?;
    }
    Ok(rows.into_iter().map(|row| row.entry(keys, id.as_uuid(), is_personal)).collect())
}
