//! Reads the application that a message is about, and stores the decision made on the basis of the message.

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::application::{Attribution, Country, TermMonths};
use crate::domain::banking::BankingData;
use crate::domain::confirmation::issued_reference;
use crate::domain::decision::{Case, Decision};
use crate::domain::ids::{ApplicationId, ChangeId, DecisionId};
use crate::domain::money::Money;
use crate::domain::personal_data::{FullName, IdentityDocument};
use crate::domain::status::Status;
use crate::error::{Error, Result};
use crate::storage::applications::{money, open_document, open_name, term};
use crate::storage::jobs::job_history;
use crate::storage::json::StoredJson;
use crate::storage::schema::{applications, decisions, pending_jobs, provider_retries, webhook_events};
use crate::storage::seal::KeyRing;
use crate::storage::statement::{Binder, FixedStatement, Prepared};
use crate::storage::transaction::Abort;
use crate::storage::types::{PgCountry, PgStatus, PgWebhookStatus, WebhookStatus};

/// The task of the application's job, which is no longer needed when a message has been applied.
const TASK: &str = "process_credit_application";

/// The application that a message is about.
#[derive(Debug, Clone)]
pub struct MessageTarget {
    pub id: ApplicationId,
    pub country: Country,
    pub status: Status,
    pub deleted: bool,
    pub full_name: FullName,
    pub identity_document: IdentityDocument,
    pub requested_amount: Money,
    /// The declared income.
    pub monthly_income: Money,
    pub term_months: TermMonths,
    /// The bureau's last report.
    pub banking_data: Option<BankingData>,
    /// The bureau's reference, if it announced a report for later.
    pub issued_reference: Option<String>,
}

#[derive(Queryable, Selectable, QueryableByName)]
#[diesel(table_name = applications, check_for_backend(diesel::pg::Pg))]
struct AddresseeRow {
    id: Uuid,
    country: PgCountry,
    status: PgStatus,
    full_name: Vec<u8>,
    identity_document: Vec<u8>,
    requested_amount: Decimal,
    monthly_income: Decimal,
    term_months: i16,
    banking_data: Option<StoredJson>,
    deleted_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl AddresseeRow {
    fn open(self, keys: &KeyRing, announced: Option<String>) -> Result<MessageTarget> {
        let banking_data: Option<BankingData> = self
            .banking_data
            .map(|data| serde_json::from_value(data.0))
            .transpose()
            .map_err(Error::internal)?;
        let noted = banking_data.as_ref().and_then(issued_reference).map(ToOwned::to_owned);
        Ok(MessageTarget {
            id: ApplicationId::new(self.id),
            country: self.country.0,
            status: self.status.0,
            deleted: self.deleted_at.is_some(),
            full_name: open_name(keys, self.id, &self.full_name)?,
            identity_document: open_document(keys, self.id, &self.identity_document)?,
            requested_amount: money(self.requested_amount)?,
            monthly_income: money(self.monthly_income)?,
            term_months: term(self.term_months)?,
            banking_data,
            issued_reference: announced.or(noted),
        })
    }
}

/// Finds an archived application. One statement searches both the live and the archive table, because the application's
/// month may be moving between them.
async fn find_archived(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
) -> Result<Option<AddresseeRow>, Abort> {
    let query = "SELECT a.* FROM (SELECT * FROM applications UNION ALL SELECT * FROM applications_archive) a \
        WHERE a.id = $1";
    let query = diesel::sql_query(query).bind::<diesel::sql_types::Uuid, _>(id.as_uuid());
    Ok(query.get_result(connection).await.optional()?)
}

/// Finds the country of an application, including deleted and archived ones.
pub async fn find_country(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
) -> Result<Option<Country>, Abort> {
    let country: Option<PgCountry> = applications::table
        .select(applications::country)
        .filter(applications::id.eq(id.as_uuid()))
        .first(connection)
        .await
        .optional()?;
    match country {
        Some(country) => Ok(Some(country.into())),
        None => Ok(find_archived(connection, id).await?.map(|row| row.country.into())),
    }
}

/// Finds the applicant's name and document. Neither ever changes, so nothing is locked.
///
/// # Errors
/// [`Error::NotFound`], a database error, or an error if the stored data cannot be decrypted.
pub async fn find_applicant(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    id: ApplicationId,
) -> Result<(FullName, IdentityDocument), Abort> {
    let row: Option<(Vec<u8>, Vec<u8>)> = applications::table
        .select((applications::full_name, applications::identity_document))
        .filter(applications::id.eq(id.as_uuid()))
        .first(connection)
        .await
        .optional()?;
    let (name, document) = match row {
        Some(found) => found,
        None => {
            let row = find_archived(connection, id).await?.ok_or(Error::NotFound("application"))?;
            (row.full_name, row.identity_document)
        }
    };
    Ok((open_name(keys, id.as_uuid(), &name)?, open_document(keys, id.as_uuid(), &document)?))
}

/// Locks and reads an application, with the reference that its bureau issued. An archived application is read without a
/// lock, because it is closed and never changes.
///
/// # Errors
/// [`Error::NotFound`], a database error, or an error if the stored data cannot be read.
pub async fn lock_addressee(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    id: ApplicationId,
) -> Result<MessageTarget, Abort> {
    let row: Option<AddresseeRow> = applications::table
        .select(AddresseeRow::as_select())
        .filter(applications::id.eq(id.as_uuid()))
        .for_update()
        .first(connection)
        .await
        .optional()?;
    let Some(row) = row else {
        let row = find_archived(connection, id).await?.ok_or(Error::NotFound("application"))?;
        return Ok(row.open(keys, None)?);
    };
    let announced: Option<Option<String>> = pending_jobs::table
        .select(pending_jobs::provider_reference)
        .filter(pending_jobs::application_id.eq(id.as_uuid()))
        .filter(pending_jobs::task_name.eq(TASK))
        .first(connection)
        .await
        .optional()?;
    Ok(row.open(keys, announced.flatten())?)
}

/// Whether a message with a later time than `event` has already been applied to the application.
pub async fn has_newer(connection: &mut AsyncPgConnection, event: Uuid) -> Result<bool, Abort> {
    let (this, other) = diesel::alias!(webhook_events as this, webhook_events as other);
    let newer = this
        .inner_join(
            other.on(other
                .field(webhook_events::application_id)
                .eq(this.field(webhook_events::application_id))
                .and(other.field(webhook_events::occurred_at).gt(this.field(webhook_events::occurred_at)))),
        )
        .filter(this.field(webhook_events::id).eq(event))
        .filter(other.field(webhook_events::status).eq(PgWebhookStatus(WebhookStatus::Applied)))
        .select(other.field(webhook_events::id));
    Ok(diesel::select(diesel::dsl::exists(newer)).get_result(connection).await?)
}

/// A decision made on the basis of a message.
#[derive(Debug, Clone)]
pub struct WebhookDecision {
    pub id: DecisionId,
    /// The application, which the transaction has locked.
    pub application_id: ApplicationId,
    /// The current status: not terminal and not approved.
    pub from: Status,
    /// The input of the decision.
    pub case: Case,
    pub decision: Decision,
    pub attribution: Attribution,
    /// The identifier of an additional change to `VALIDATING`, which comes first if the application is still `PENDING`.
    pub first_change_id: ChangeId,
    /// The W3C trace context.
    pub traceparent: Option<String>,
}

struct CompleteJob {
    application_id: Uuid,
}

#[derive(QueryableByName)]
struct Completed {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
}

impl FixedStatement for CompleteJob {
    const NAME: &'static str = "complete_job";
    /// A worker that is running the job loses its lease, because the fencing token is deleted with the row.
    const SQL: &'static str = concat!(
        "WITH finished AS (DELETE FROM pending_jobs WHERE application_id = ? AND task_name = ? RETURNING *), ",
        job_history!(result: "'completed'", from: "finished f"),
        " SELECT id FROM finished"
    );

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<diesel::sql_types::Uuid, _>(&self.application_id)?;
        binder.bind::<Text, _>(TASK)
    }
}

/// Stores a decision made on the basis of a message, and the new state of the application. A `PENDING` application passes
/// through `VALIDATING`. The job is completed, and the application no longer waits for its bureau. Triggers write the audit
/// rows and events.
pub async fn record(connection: &mut AsyncPgConnection, verdict: &WebhookDecision) -> Result<(), Abort> {
    let id = verdict.application_id.as_uuid();
    if verdict.from == Status::Pending {
        diesel::update(applications::table.filter(applications::id.eq(id)))
            .set((
                applications::status.eq(PgStatus(Status::Validating)),
                applications::change_id.eq(verdict.first_change_id.as_uuid()),
                applications::changed_by.eq(&verdict.attribution.changed_by),
                applications::change_reason.eq(None::<&str>),
                applications::change_request_id.eq(request_id(verdict)),
                applications::change_traceparent.eq(&verdict.traceparent),
            ))
            .execute(connection)
            .await?;
    }
    let job: Option<Completed> =
        Prepared(CompleteJob { application_id: id }).get_result(connection).await.optional()?;
    let no_errors: Option<Value> = None;
    diesel::update(applications::table.filter(applications::id.eq(id)))
        .set((
            applications::status.eq(PgStatus(verdict.decision.status.into())),
            applications::risk_score.eq(verdict.decision.risk_score),
            applications::banking_data.eq(json(&verdict.case.banking_data)?),
            applications::validation_errors.eq(no_errors),
            applications::change_id.eq(verdict.attribution.change_id.as_uuid()),
            applications::changed_by.eq(&verdict.attribution.changed_by),
            applications::change_reason.eq(&verdict.attribution.reason),
            applications::change_request_id.eq(request_id(verdict)),
            applications::change_traceparent.eq(&verdict.traceparent),
        ))
        .execute(connection)
        .await?;
    insert_decision(connection, verdict, job.map(|job| job.id)).await?;
    diesel::delete(provider_retries::table.filter(provider_retries::application_id.eq(id)))
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_decision(
    connection: &mut AsyncPgConnection,
    verdict: &WebhookDecision,
    job: Option<Uuid>,
) -> Result<(), Abort> {
    let decision = &verdict.decision;
    diesel::insert_into(decisions::table)
        .values((
            decisions::id.eq(verdict.id.as_uuid()),
            decisions::application_id.eq(verdict.application_id.as_uuid()),
            decisions::job_id.eq(job),
            decisions::status.eq(PgStatus(decision.status.into())),
            decisions::risk_score.eq(decision.risk_score),
            decisions::risk_components.eq(decision.risk_components.as_ref().map(json).transpose()?),
            decisions::reasons.eq(json(&decision.reasons)?),
            decisions::rules.eq(json(&decision.rules)?),
            decisions::rules_version.eq(&decision.rules_version),
            decisions::input.eq(json(&verdict.case)?),
            decisions::provider_available.eq(true),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

fn request_id(verdict: &WebhookDecision) -> Option<&str> {
    verdict.attribution.request_id.as_ref().map(|id| id.as_str())
}

fn json(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(Error::internal)
}
