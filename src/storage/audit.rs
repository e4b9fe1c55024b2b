//! The history of an application. Written by trigger alone; only read here.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::schema::audit_logs;
use super::types::{AuditAction, PgAuditAction, PgStatus};
use crate::domain::ids::ApplicationId;
use crate::domain::status::Status;
use crate::error::Result;

/// One change.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// The identifier.
    pub id: Uuid,
    /// The application's version after the change.
    pub version: i64,
    /// What kind of change.
    pub action: AuditAction,
    /// The status before; `None` for the creation.
    pub old_status: Option<Status>,
    /// The status after.
    pub new_status: Status,
    /// Who.
    pub changed_by: String,
    /// Why.
    pub change_reason: Option<String>,
    /// On which request.
    pub request_id: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
}

#[derive(Queryable, Selectable, QueryableByName)]
#[diesel(table_name = audit_logs, check_for_backend(diesel::pg::Pg))]
struct AuditRow {
    id: Uuid,
    version: i64,
    action: PgAuditAction,
    old_status: Option<PgStatus>,
    new_status: PgStatus,
    changed_by: String,
    change_reason: Option<String>,
    change_request_id: Option<String>,
    created_at: DateTime<Utc>,
}

/// Every change of an application, oldest first, archived or not.
///
/// # Errors
/// When the database fails.
pub async fn list(connection: &mut AsyncPgConnection, id: ApplicationId) -> Result<Vec<AuditEntry>> {
    let mut rows: Vec<AuditRow> = audit_logs::table
        .select(AuditRow::as_select())
        .filter(audit_logs::application_id.eq(id.as_uuid()))
        .order(audit_logs::version.asc())
        .load(connection)
        .await?;
    if rows.is_empty() {
        // Each has one at least. Both trees in one statement: its month may move at this moment.
        let query = "SELECT a.* FROM (SELECT * FROM audit_logs UNION ALL SELECT * FROM audit_logs_archive) a \
            WHERE a.application_id = $1 ORDER BY a.version";
        let query = diesel::sql_query(query).bind::<diesel::sql_types::Uuid, _>(id.as_uuid());
        rows = query.load(connection).await?;
    }
    let entry = |row: AuditRow| AuditEntry {
        id: row.id,
        version: row.version,
        action: row.action.0,
        old_status: row.old_status.map(Status::from),
        new_status: row.new_status.0,
        changed_by: row.changed_by,
        change_reason: row.change_reason,
        request_id: row.change_request_id,
        created_at: row.created_at,
    };
    Ok(rows.into_iter().map(entry).collect())
}
