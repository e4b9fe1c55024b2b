//! Begins the processing of an application: sets the status `VALIDATING` and reads the data for the decision.

use diesel::prelude::*;
use diesel::sql_types::{self, BigInt, Binary, Bool, Nullable, Numeric, SmallInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{money, open_document, open_name, term};
use crate::domain::application::{Attribution, Country, TermMonths};
use crate::domain::ids::ApplicationId;
use crate::domain::money::Money;
use crate::domain::personal_data::{FullName, IdentityDocument};
use crate::error::{Error, Result};
use crate::storage::group_write::{GroupWrite, Written};
use crate::storage::jobs::Lease;
use crate::storage::seal::KeyRing;
use crate::storage::statement::{Binder, FixedStatement, Prepared, rows};
use crate::storage::transaction::Abort;

/// A claimed job whose processing is about to begin.
#[derive(Debug, Clone)]
pub struct BeginJob {
    pub lease: Lease,
    pub application_id: ApplicationId,
    /// Author, reason and request of the change to `VALIDATING`.
    pub attribution: Attribution,
    /// The W3C trace context.
    pub traceparent: Option<String>,
    /// The period before this application, in milliseconds, in which another account's application for the same document
    /// counts. 0 disables the check.
    pub other_account_window_ms: i64,
}

/// The data of an application that is needed to decide it.
#[derive(Debug, Clone)]
pub struct PendingCase {
    pub application_id: ApplicationId,
    pub country: Country,
    pub full_name: FullName,
    pub identity_document: IdentityDocument,
    pub requested_amount: Money,
    /// As declared by the applicant.
    pub monthly_income: Money,
    /// The number of instalments.
    pub term_months: TermMonths,
    /// Whether another account applied with the same document shortly before.
    pub applied_elsewhere: bool,
}

/// The result of beginning a job.
#[derive(Debug, Clone)]
pub enum JobStart {
    /// The application can be decided.
    Ready(Box<PendingCase>),
    /// The application has meanwhile been decided, cancelled or deleted.
    Superseded,
    /// The application does not exist.
    Missing,
    /// This worker no longer holds the lease.
    LeaseLost,
}

rows! {
    struct BeginJobs of BeginRow {
        job_id: Uuid as sql_types::Uuid,
        lease_token: i64 as BigInt,
        application_id: Uuid as sql_types::Uuid,
        change_id: Uuid as sql_types::Uuid,
        changed_by: String as Text,
        request_id: Option<String> as Nullable<Text>,
        traceparent: Option<String> as Nullable<Text>,
        other_account_window_ms: i64 as BigInt,
    }
}

impl From<&BeginJob> for BeginRow {
    fn from(job: &BeginJob) -> Self {
        Self {
            job_id: job.lease.job_id.as_uuid(),
            lease_token: job.lease.token,
            application_id: job.application_id.as_uuid(),
            change_id: job.attribution.change_id.as_uuid(),
            changed_by: job.attribution.changed_by.clone(),
            request_id: job.attribution.request_id.as_ref().map(ToString::to_string),
            traceparent: job.traceparent.clone(),
            other_account_window_ms: job.other_account_window_ms,
        }
    }
}

impl FixedStatement for BeginJobs {
    const NAME: &'static str = "begin_jobs";
    /// `a` is the application in the statement's snapshot. If another transaction has changed the row since then, the
    /// row is not in `moved`, `ready` is null, and the job is begun again.
    ///
    /// `CASE` hides the status from the planner. Without statistics, the planner would assume that few applications are
    /// `PENDING`, and would read all of these through the index on the status. The condition on the array of identifiers
    /// repeats the join. With outdated statistics, the planner may read the jobs first; the condition then limits that
    /// scan to the wanted jobs.
    const SQL: &'static str = "\
        WITH wanted AS (SELECT * FROM ?), \
        owned AS (SELECT w.* FROM wanted w \
            JOIN pending_jobs j ON j.id = w.job_id AND j.lease_token = w.lease_token \
                AND j.id = ANY (ARRAY(SELECT job_id FROM wanted))), \
        moved AS (UPDATE applications a SET status = 'VALIDATING', change_id = o.change_id, \
                changed_by = o.changed_by, change_reason = NULL, change_request_id = o.request_id, \
                change_traceparent = o.traceparent \
            FROM owned o WHERE a.id = o.application_id AND CASE WHEN a.deleted_at IS NULL THEN a.status = 'PENDING' END \
            RETURNING a.id) \
        SELECT w.job_id, w.lease_token, o.job_id IS NOT NULL AS owned, a.id AS application_id, \
            CASE WHEN m.id IS NOT NULL THEN true WHEN a.deleted_at IS NULL AND a.status = 'PENDING' THEN NULL \
                ELSE a.deleted_at IS NULL AND (a.status = 'VALIDATING' \
                    OR a.status = 'UNDER_REVIEW' AND r.application_id IS NOT NULL) END AS ready, \
            a.country::text AS country, a.full_name, a.identity_document, a.requested_amount, a.monthly_income, \
            a.term_months, w.other_account_window_ms > 0 AND applied_elsewhere(a.id, a.created_by, a.document_index, \
                w.other_account_window_ms * interval '1 millisecond') AS applied_elsewhere \
        FROM wanted w LEFT JOIN owned o ON o.lease_token = w.lease_token LEFT JOIN applications a ON a.id = w.application_id \
            LEFT JOIN moved m ON m.id = w.application_id \
            LEFT JOIN provider_retries r ON r.application_id = w.application_id";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind_rows("w", self)
    }
}

#[derive(QueryableByName)]
struct BegunRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    job_id: Uuid,
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
    #[diesel(sql_type = Bool)]
    owned: bool,
    #[diesel(sql_type = Nullable<Bool>)]
    ready: Option<bool>,
    #[diesel(embed)]
    case: CaseRow,
}

#[derive(QueryableByName)]
struct CaseRow {
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    application_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    country: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    full_name: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    identity_document: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Numeric>)]
    requested_amount: Option<Decimal>,
    #[diesel(sql_type = Nullable<Numeric>)]
    monthly_income: Option<Decimal>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    term_months: Option<i16>,
    #[diesel(sql_type = Nullable<Bool>)]
    applied_elsewhere: Option<bool>,
}

impl CaseRow {
    /// `None` when the application does not exist.
    fn open(self, keys: &KeyRing) -> Result<Option<PendingCase>> {
        let (Some(id), Some(country), Some(name), Some(document), Some(amount), Some(income), Some(months)) = (
            self.application_id,
            self.country,
            self.full_name,
            self.identity_document,
            self.requested_amount,
            self.monthly_income,
            self.term_months,
        ) else {
            return Ok(None);
        };
        Ok(Some(PendingCase {
            application_id: ApplicationId::new(id),
            country: country.parse().map_err(|_unknown| Error::unknown_label("country", &country))?,
            full_name: open_name(keys, id, &name)?,
            identity_document: open_document(keys, id, &document)?,
            requested_amount: money(amount)?,
            monthly_income: money(income)?,
            term_months: term(months)?,
            applied_elsewhere: self.applied_elsewhere.unwrap_or(false),
        }))
    }
}

/// Begins jobs: changes the status of their applications from `PENDING` to `VALIDATING`, unless an earlier attempt
/// already did, and reads the data for the decisions. The results are in the order of `jobs`. An application that
/// cannot be read fails without affecting the others.
///
/// # Errors
/// If the statement fails.
pub async fn begin(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    jobs: &[BeginJob],
) -> Result<Vec<Result<JobStart>>> {
    let statement: BeginJobs = jobs.iter().map(BeginRow::from).collect();
    let mut rows: Vec<BegunRow> = Prepared(statement).load(connection).await?;
    let mut begun = Vec::with_capacity(jobs.len());
    for job in jobs {
        let found = rows
            .iter()
            .position(|row| row.job_id == job.lease.job_id.as_uuid() && row.lease_token == job.lease.token);
        begun.push(found.map_or(Ok(JobStart::LeaseLost), |index| classify(keys, rows.swap_remove(index))));
    }
    Ok(begun)
}

impl GroupWrite for BeginJob {
    type Outcome = JobStart;

    const ORDER: u8 = 1;
    const WRITTEN: Written = Written { jobs: false, events: true };

    async fn write(
        connection: &mut AsyncPgConnection,
        keys: &KeyRing,
        writes: &[Self],
    ) -> Result<Vec<Result<JobStart>>, Abort> {
        Ok(begin(connection, keys, writes).await?)
    }
}

fn classify(keys: &KeyRing, row: BegunRow) -> Result<JobStart> {
    match (row.owned, row.ready) {
        (false, _) => Ok(JobStart::LeaseLost),
        (true, Some(true)) => {
            Ok(row.case.open(keys)?.map_or(JobStart::Missing, |case| JobStart::Ready(Box::new(case))))
        }
        (true, _) if row.case.application_id.is_none() => Ok(JobStart::Missing),
        (true, Some(false)) => Ok(JobStart::Superseded),
        // Another transaction changed the application while this statement ran, for example a delayed write by a
        // previous holder of the lease. The next attempt reads the new state.
        (true, None) => Err(Error::unavailable("application", "it changed while the job began")),
    }
}
