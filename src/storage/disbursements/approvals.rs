//! Requests that a second person must approve.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::error::Result;
use crate::storage::schema::disbursement_approvals;

/// A request with its decision.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = disbursement_approvals, check_for_backend(diesel::pg::Pg))]
pub struct Approval {
    pub id: Uuid,
    pub disbursement_id: Uuid,
    /// What is requested: `pay`, `resume`, `cancel`, `resolve_paid` or `resolve_unpaid`.
    pub action: String,
    pub reason: String,
    pub maker: String,
    pub maker_id: Uuid,
    pub requested_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    /// `approved`, `declined` or `expired`; `None` while it is pending.
    pub decision: Option<String>,
    pub checker: Option<String>,
    pub checker_id: Option<Uuid>,
    pub decided_at: Option<DateTime<Utc>>,
}

/// Inserts a request. Returns `false` if the disbursement has a pending one.
pub async fn insert(connection: &mut AsyncPgConnection, approval: &Approval) -> Result<bool> {
    let inserted = diesel::insert_into(disbursement_approvals::table)
        .values(approval)
        .on_conflict_do_nothing()
        .execute(connection)
        .await?;
    Ok(inserted > 0)
}

/// Finds a request.
pub async fn find(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<Approval>> {
    let query = disbursement_approvals::table.find(id).select(Approval::as_select());
    Ok(query.first(connection).await.optional()?)
}

/// Finds the pending request of a disbursement.
pub async fn find_pending(
    connection: &mut AsyncPgConnection,
    disbursement: Uuid,
) -> Result<Option<Approval>> {
    let query = disbursement_approvals::table
        .filter(disbursement_approvals::disbursement_id.eq(disbursement))
        .filter(disbursement_approvals::decision.is_null())
        .select(Approval::as_select());
    Ok(query.first(connection).await.optional()?)
}

/// Records the decision about a pending request. Returns `false` if it is not pending. `checker` is the name and the
/// identifier of the account that decided; `None` if the request expired.
pub async fn decide(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    decision: &str,
    checker: Option<(&str, Uuid)>,
    now: DateTime<Utc>,
) -> Result<bool> {
    let pending = disbursement_approvals::table.find(id).filter(disbursement_approvals::decision.is_null());
    let decided = diesel::update(pending)
        .set((
            disbursement_approvals::decision.eq(decision),
            disbursement_approvals::checker.eq(checker.map(|(name, _)| name)),
            disbursement_approvals::checker_id.eq(checker.map(|(_, id)| id)),
            disbursement_approvals::decided_at.eq(now),
        ))
        .execute(connection)
        .await?;
    Ok(decided > 0)
}

/// The requests of a disbursement, newest first.
pub async fn of_disbursement(
    connection: &mut AsyncPgConnection,
    disbursement: Uuid,
) -> Result<Vec<Approval>> {
    let query = disbursement_approvals::table
        .filter(disbursement_approvals::disbursement_id.eq(disbursement))
        .order(disbursement_approvals::id.desc())
        .select(Approval::as_select());
    Ok(query.load(connection).await?)
}

/// Up to `limit` pending requests, newest first, after the request `after`.
pub async fn pending(
    connection: &mut AsyncPgConnection,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Approval>> {
    let mut query = disbursement_approvals::table
        .filter(disbursement_approvals::decision.is_null())
        .order(disbursement_approvals::id.desc())
        .limit(limit)
        .select(Approval::as_select())
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(disbursement_approvals::id.lt(after));
    }
    Ok(query.load(connection).await?)
}
