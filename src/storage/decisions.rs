//! Decisions. One statement stores a group of decisions with all their consequences; another reads the latest decision.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{self, BigInt, Bool, Jsonb, Nullable, Numeric, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use super::group_write::{GroupWrite, Written, all_succeeded};
use super::jobs::{Lease, job_history};
use super::json::StoredJson;
use super::schema::{applications, decisions};
use super::seal::KeyRing;
use super::statement::{Binder, FixedStatement, Prepared, rows};
use super::transaction::Abort;
use super::types::PgStatus;
use crate::domain::application::Attribution;
use crate::domain::decision::{Case, Decision, Outcome, StoredDecision};
use crate::domain::ids::{ApplicationId, DecisionId};
use crate::domain::status::Status;
use crate::error::{Error, Result};

/// A decision to store, with the lease on its job.
#[derive(Debug, Clone)]
pub struct DecisionRecord {
    pub id: DecisionId,
    pub application_id: ApplicationId,
    pub lease: Lease,
    /// The input of the decision.
    pub case: Case,
    pub decision: Decision,
    /// Whether the decision is based on the bureau's own figures.
    pub provider_available: bool,
    /// The minimum delay, in milliseconds, before the re-decision with the bureau's figures; `None` if there will be no
    /// re-decision.
    pub retry_after_ms: Option<i64>,
    pub attribution: Attribution,
    pub traceparent: Option<String>,
}

/// The result of storing a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The decision was applied.
    Applied,
    /// The application has meanwhile been decided, cancelled or deleted. The job is finished and nothing else changed.
    Superseded,
    /// This worker no longer holds the lease; nothing changed.
    LeaseLost,
}

rows! {
    struct StoreDecisions of NewDecision {
        job_id: Uuid as sql_types::Uuid,
        lease_token: i64 as BigInt,
        id: Uuid as sql_types::Uuid,
        application_id: Uuid as sql_types::Uuid,
        status: &'static str as Text,
        risk_score: Option<Decimal> as Nullable<Numeric>,
        risk_components: Option<Value> as Nullable<Jsonb>,
        reasons: Value as Jsonb,
        rules: Value as Jsonb,
        rules_version: String as Text,
        input: Value as Jsonb,
        provider_available: bool as Bool,
        retry_after_ms: Option<i64> as Nullable<BigInt>,
        change_id: Uuid as sql_types::Uuid,
        changed_by: String as Text,
        change_reason: Option<String> as Nullable<Text>,
        request_id: Option<String> as Nullable<Text>,
        traceparent: Option<String> as Nullable<Text>,
    }
}

impl NewDecision {
    fn new(record: &DecisionRecord) -> Result<Self> {
        let decision = &record.decision;
        Ok(Self {
            job_id: record.lease.job_id.as_uuid(),
            lease_token: record.lease.token,
            id: record.id.as_uuid(),
            application_id: record.application_id.as_uuid(),
            status: Status::from(decision.status).as_str(),
            risk_score: decision.risk_score,
            risk_components: decision.risk_components.as_ref().map(json).transpose()?,
            reasons: json(&decision.reasons)?,
            rules: json(&decision.rules)?,
            rules_version: decision.rules_version.clone(),
            input: json(&record.case)?,
            provider_available: record.provider_available,
            retry_after_ms: record.retry_after_ms,
            change_id: record.attribution.change_id.as_uuid(),
            changed_by: record.attribution.changed_by.clone(),
            change_reason: record.attribution.reason.clone(),
            request_id: record.attribution.request_id.as_ref().map(ToString::to_string),
            traceparent: record.traceparent.clone(),
        })
    }
}

fn json(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(Error::internal)
}

impl FixedStatement for StoreDecisions {
    const NAME: &'static str = "store_decisions";
    /// `retry_after_ms` is null if the decision will not be repeated automatically. `next_at` is infinity if an operator
    /// requested this re-decision. If the bureau is unavailable in such a re-decision, the next one is scheduled
    /// automatically.
    ///
    /// `CASE` and the condition on the array of identifiers only guide the planner, as in
    /// [`begin`](crate::storage::applications::begin).
    const SQL: &'static str = concat!(
        "WITH wanted AS (SELECT * FROM ?), \
        open AS (SELECT w.*, a.country FROM wanted w JOIN applications a ON a.id = w.application_id \
            WHERE CASE WHEN a.deleted_at IS NULL THEN a.status = 'VALIDATING' OR a.status = 'UNDER_REVIEW' \
                AND EXISTS (SELECT FROM provider_retries r WHERE r.application_id = a.id) END), \
        finished AS (DELETE FROM pending_jobs j USING wanted w \
            WHERE j.id = w.job_id AND j.lease_token = w.lease_token \
                AND j.id = ANY (ARRAY(SELECT job_id FROM wanted)) RETURNING j.*), ",
        job_history!(
            result: "CASE WHEN o.job_id IS NULL THEN 'superseded' ELSE 'completed' END::job_result",
            from: "finished f LEFT JOIN open o ON o.lease_token = f.lease_token"
        ),
        ", \
        decided AS (UPDATE applications a SET status = o.status::application_status, risk_score = o.risk_score, \
                banking_data = o.input -> 'banking_data', validation_errors = NULL, change_id = o.change_id, \
                changed_by = o.changed_by, change_reason = o.change_reason, change_request_id = o.request_id, \
                change_traceparent = o.traceparent \
            FROM open o JOIN finished f ON f.lease_token = o.lease_token WHERE a.id = o.application_id RETURNING a.id), \
        recorded AS (INSERT INTO decisions (id, application_id, job_id, status, risk_score, reasons, rules, \
                rules_version, input, provider_available, risk_components) \
            SELECT o.id, o.application_id, o.job_id, o.status::application_status, o.risk_score, o.reasons, o.rules, \
                o.rules_version, o.input, o.provider_available, o.risk_components \
            FROM open o JOIN finished f ON f.lease_token = o.lease_token), \
        settled AS (DELETE FROM provider_retries r USING open o JOIN finished f ON f.lease_token = o.lease_token \
            WHERE r.application_id = o.application_id AND o.retry_after_ms IS NULL), \
        waiting AS (INSERT INTO provider_retries AS r (application_id, country, attempts, next_at) \
            SELECT o.application_id, o.country, 0, now() + o.retry_after_ms * interval '1 millisecond' \
            FROM open o JOIN finished f ON f.lease_token = o.lease_token WHERE o.retry_after_ms IS NOT NULL \
            ON CONFLICT (application_id) DO UPDATE SET next_at = excluded.next_at WHERE r.next_at = 'infinity') \
        SELECT w.id AS id, f.id IS NOT NULL AS owned, d.id IS NOT NULL AS applied \
        FROM wanted w LEFT JOIN finished f ON f.lease_token = w.lease_token LEFT JOIN decided d ON d.id = f.application_id"
    );

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind_rows("w", self)
    }
}

#[derive(QueryableByName)]
struct StoredRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = Bool)]
    owned: bool,
    #[diesel(sql_type = Bool)]
    applied: bool,
}

/// Stores decisions: the decision row, the application's new state, and the end of the job. Triggers write the audit
/// row and the event. Must run in a transaction. Applications are locked first, in the order of their ids. To prevent
/// deadlocks, every writer locks in this order, and applications before jobs. The results are in the order of `records`.
pub async fn store(connection: &mut AsyncPgConnection, records: &[DecisionRecord]) -> Result<Vec<Stored>> {
    let ids: Vec<Uuid> = records.iter().map(|record| record.application_id.as_uuid()).collect();
    let _locked: Vec<Uuid> = applications::table
        .select(applications::id)
        .filter(applications::id.eq_any(ids))
        .order(applications::id.asc())
        .for_update()
        .load(connection)
        .await?;
    let statement: StoreDecisions = records.iter().map(NewDecision::new).collect::<Result<_>>()?;
    let rows: Vec<StoredRow> = Prepared(statement).load(connection).await?;
    let outcome = |record: &DecisionRecord| {
        rows.iter().find(|row| row.id == record.id.as_uuid()).map_or(Stored::LeaseLost, |row| {
            match (row.owned, row.applied) {
                (true, true) => Stored::Applied,
                (true, false) => Stored::Superseded,
                (false, _) => Stored::LeaseLost,
            }
        })
    };
    Ok(records.iter().map(outcome).collect())
}

impl GroupWrite for DecisionRecord {
    type Outcome = Stored;

    const ORDER: u8 = 2;
    const WRITTEN: Written = Written { jobs: false, events: true };

    async fn write(
        connection: &mut AsyncPgConnection,
        _: &KeyRing,
        writes: &[Self],
    ) -> Result<Vec<Result<Stored>>, Abort> {
        Ok(all_succeeded(store(connection, writes).await?))
    }
}

#[derive(Queryable, Selectable, QueryableByName)]
#[diesel(table_name = decisions, check_for_backend(diesel::pg::Pg))]
struct DecisionRow {
    id: Uuid,
    application_id: Uuid,
    status: PgStatus,
    risk_score: Option<Decimal>,
    risk_components: Option<StoredJson>,
    reasons: StoredJson,
    rules: StoredJson,
    rules_version: String,
    input: StoredJson,
    decided_at: DateTime<Utc>,
}

impl TryFrom<DecisionRow> for StoredDecision {
    type Error = Error;

    fn try_from(row: DecisionRow) -> Result<Self> {
        let status = match row.status.0 {
            Status::Approved => Outcome::Approved,
            Status::Rejected => Outcome::Rejected,
            Status::UnderReview => Outcome::UnderReview,
            other => return Err(Error::internal(format_args!("a decision with status {other}"))),
        };
        Ok(Self {
            id: DecisionId::new(row.id),
            application_id: ApplicationId::new(row.application_id),
            case: row.input.0,
            decision: Decision {
                status,
                risk_score: row.risk_score,
                risk_components: row
                    .risk_components
                    .map(|parts| serde_json::from_value(parts.0))
                    .transpose()
                    .map_err(unreadable_decision)?,
                reasons: serde_json::from_value(row.reasons.0).map_err(unreadable_decision)?,
                rules: serde_json::from_value(row.rules.0).map_err(unreadable_decision)?,
                rules_version: row.rules_version,
            },
            decided_at: row.decided_at,
        })
    }
}

/// The error for a decision that cannot be parsed. Only Aval writes decisions, so a newer version wrote it.
fn unreadable_decision(error: serde_json::Error) -> Error {
    Error::unknown_label("decision", error)
}

/// The latest decision of an application, archived or not.
///
/// # Errors
/// [`Error::UnknownLabel`] if a newer version wrote the decision in another form.
pub async fn find_latest(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
) -> Result<Option<StoredDecision>> {
    let row: Option<DecisionRow> = decisions::table
        .select(DecisionRow::as_select())
        .filter(decisions::application_id.eq(id.as_uuid()))
        .order(decisions::id.desc())
        .first(connection)
        .await
        .optional()?;
    let row = match row {
        Some(row) => Some(row),
        None => {
            // One statement searches both the live and the archive tables, because the month may be moving.
            let query = "SELECT d.* FROM (SELECT * FROM decisions UNION ALL SELECT * FROM decisions_archive) d \
                WHERE d.application_id = $1 ORDER BY d.id DESC LIMIT 1";
            let query = diesel::sql_query(query).bind::<diesel::sql_types::Uuid, _>(id.as_uuid());
            query.get_result(connection).await.optional()?
        }
    };
    row.map(StoredDecision::try_from).transpose()
}
