//! The review queue: the applications under review, and the user account that each is assigned to.
//!
//! A trigger on `applications` inserts and deletes the rows, so an assignment ends with the review. Another trigger
//! writes the events. An assignment is valid until it expires by the database's clock; after that its row counts as
//! unassigned, and nothing has to delete it.
//!
//! Transactions that change the status of an application lock its row before that of its review. Statements here that
//! are not part of such a transaction only lock reviews.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::applications::{ASSIGNED, ListedApplication, ListedRow};
use super::json::StoredJson;
use super::schema::{applications, decisions, reviews, users};
use super::seal::KeyRing;
use super::statement::{Binder, FixedStatement, Prepared};
use super::types::PgCountry;
use crate::domain::application::Country;
use crate::domain::ids::{ApplicationId, RequestId};
use crate::error::Result;

/// The condition for a row without a valid assignment.
const UNASSIGNED: &str = "(reviews.assigned_to IS NULL OR reviews.expires_at <= now())";

/// An application under review.
#[derive(Debug, Clone)]
pub struct Review {
    pub application: ListedApplication,
    /// The account that created the application.
    pub owner: String,
    /// When the application came under review.
    pub waiting_since: DateTime<Utc>,
    /// The reason codes of the latest decision; empty if there was none.
    pub reasons: Vec<String>,
    /// The valid assignment.
    pub assignment: Option<Assignment>,
}

/// A valid assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub assigned_to: Uuid,
    pub assigned_to_name: String,
    pub assigned_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// Selects reviews by their assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignmentFilter {
    Unassigned,
    /// Assigned to this account.
    To(Uuid),
    /// Assigned to another account than this.
    ToOthersThan(Uuid),
}

/// Selects the reviews of a list. A field that is `None` matches every review.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReviewFilter {
    pub country: Option<Country>,
    pub assignment: Option<AssignmentFilter>,
}

/// The columns of an assignment, whether it is valid or not.
#[derive(Queryable)]
struct AssignmentColumns {
    assigned_to: Option<Uuid>,
    assigned_to_name: Option<String>,
    assigned_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    is_valid: bool,
}

impl AssignmentColumns {
    fn valid(self) -> Option<Assignment> {
        Some(Assignment {
            assigned_to: self.assigned_to.filter(|_| self.is_valid)?,
            assigned_to_name: self.assigned_to_name?,
            assigned_at: self.assigned_at?,
            expires_at: self.expires_at?,
        })
    }
}

type ReviewRow = (ListedRow, String, DateTime<Utc>, Option<StoredJson>, AssignmentColumns);

fn open(
    keys: &KeyRing,
    (application, owner, waiting_since, reasons, assignment): ReviewRow,
) -> Result<Review> {
    let reasons = reasons.and_then(|reasons| serde_json::from_value(reasons.0).ok());
    Ok(Review {
        application: application.open(keys)?,
        owner,
        waiting_since,
        reasons: reasons.unwrap_or_default(),
        assignment: assignment.valid(),
    })
}

/// Reviews with their applications, as a boxed query to add conditions to.
macro_rules! reviews_with_applications {
    () => {
        reviews::table
            .inner_join(applications::table.on(applications::id.eq(reviews::application_id)))
            .left_join(users::table)
            .select((
                ListedRow::as_select(),
                applications::created_by,
                reviews::waiting_since,
                decisions::table
                    .filter(decisions::application_id.eq(reviews::application_id))
                    .order(decisions::id.desc())
                    .select(decisions::reasons)
                    .limit(1)
                    .single_value(),
                (
                    reviews::assigned_to,
                    users::username.nullable(),
                    reviews::assigned_at,
                    reviews::expires_at,
                    sql::<Bool>(ASSIGNED),
                ),
            ))
            .into_boxed()
    };
}

/// Up to `limit` reviews after the one with this time and application, oldest first.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    filter: ReviewFilter,
    after: Option<(DateTime<Utc>, ApplicationId)>,
    limit: i64,
) -> Result<Vec<Review>> {
    let mut query = reviews_with_applications!()
        .order((reviews::waiting_since.asc(), reviews::application_id.asc()))
        .limit(limit);
    if let Some(country) = filter.country {
        query = query.filter(reviews::country.eq(PgCountry(country)));
    }
    query = match filter.assignment {
        None => query,
        Some(AssignmentFilter::Unassigned) => query.filter(sql::<Bool>(UNASSIGNED)),
        Some(AssignmentFilter::To(account)) => {
            query.filter(sql::<Bool>(ASSIGNED)).filter(reviews::assigned_to.eq(account))
        }
        Some(AssignmentFilter::ToOthersThan(account)) => {
            query.filter(sql::<Bool>(ASSIGNED)).filter(reviews::assigned_to.ne(account))
        }
    };
    // The first condition uses the index. Few reviews share a time.
    if let Some((since, id)) = after {
        let is_later = reviews::waiting_since.gt(since).or(reviews::application_id.gt(id.as_uuid()));
        query = query.filter(reviews::waiting_since.ge(since)).filter(is_later);
    }
    let rows: Vec<ReviewRow> = query.load(connection).await?;
    rows.into_iter().map(|row| open(keys, row)).collect()
}

/// Finds the review of an application.
pub async fn find(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    id: ApplicationId,
) -> Result<Option<Review>> {
    let query = reviews_with_applications!().filter(reviews::application_id.eq(id.as_uuid()));
    let row: Option<ReviewRow> = query.first(connection).await.optional()?;
    row.map(|row| open(keys, row)).transpose()
}

/// Finds the valid assignment of an application.
pub async fn find_assignment(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
) -> Result<Option<Assignment>> {
    let columns: Option<AssignmentColumns> = reviews::table
        .find(id.as_uuid())
        .inner_join(users::table)
        .select((
            reviews::assigned_to,
            users::username.nullable(),
            reviews::assigned_at,
            reviews::expires_at,
            sql::<Bool>(ASSIGNED),
        ))
        .first(connection)
        .await
        .optional()?;
    Ok(columns.and_then(AssignmentColumns::valid))
}

/// Locks the oldest review without a valid assignment, skipping locked ones, and returns its application.
pub async fn lock_next(
    connection: &mut AsyncPgConnection,
    country: Option<Country>,
) -> Result<Option<ApplicationId>> {
    let unassigned = reviews::table
        .select(reviews::application_id)
        .filter(sql::<Bool>(UNASSIGNED))
        .order((reviews::waiting_since.asc(), reviews::application_id.asc()))
        .limit(1);
    let next: Option<Uuid> = match country {
        None => unassigned.for_update().skip_locked().first(connection).await.optional()?,
        Some(country) => {
            let of_country = unassigned.filter(reviews::country.eq(PgCountry(country)));
            of_country.for_update().skip_locked().first(connection).await.optional()?
        }
    };
    Ok(next.map(ApplicationId::new))
}

/// The assignment to make.
#[derive(Debug)]
pub struct NewAssignment<'a> {
    pub application_id: ApplicationId,
    pub assigned_to: Uuid,
    /// How long the assignment is valid.
    pub minutes: u16,
    pub request_id: &'a RequestId,
}

struct Assign {
    application_id: Uuid,
    assigned_to: Uuid,
    minutes: i32,
    request_id: String,
}

impl FixedStatement for Assign {
    const NAME: &'static str = "assign_review";
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::uuid AS application_id, ?::uuid AS account, ?::integer AS minutes, ?::text AS request_id) \
        UPDATE reviews r SET assigned_to = i.account, request_id = i.request_id, \
            assigned_at = CASE WHEN r.assigned_to = i.account AND r.expires_at > now() THEN r.assigned_at ELSE now() END, \
            expires_at = now() + i.minutes * interval '1 minute' \
        FROM input i WHERE r.application_id = i.application_id RETURNING r.assigned_at, r.expires_at";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<SqlUuid, _>(&self.application_id)?;
        binder.bind::<SqlUuid, _>(&self.assigned_to)?;
        binder.bind::<Integer, _>(&self.minutes)?;
        binder.bind::<Text, _>(&self.request_id)
    }
}

/// The period of an assignment.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub struct AssignedPeriod {
    #[diesel(sql_type = Timestamptz)]
    pub assigned_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub expires_at: DateTime<Utc>,
}

/// Assigns an application, or extends the assignment of the same account. The caller has locked the review. `None` if the
/// application is not under review.
pub async fn assign(
    connection: &mut AsyncPgConnection,
    new: &NewAssignment<'_>,
) -> Result<Option<AssignedPeriod>> {
    let statement = Assign {
        application_id: new.application_id.as_uuid(),
        assigned_to: new.assigned_to,
        minutes: i32::from(new.minutes),
        request_id: new.request_id.to_string(),
    };
    Ok(Prepared(statement).get_result(connection).await.optional()?)
}

/// Ends the assignment of an application and returns whether the application is under review.
pub async fn release(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
    request_id: &RequestId,
) -> Result<bool> {
    let (nobody, no_time): (Option<Uuid>, Option<DateTime<Utc>>) = (None, None);
    let released = diesel::update(reviews::table.find(id.as_uuid())).set((
        reviews::assigned_to.eq(nobody),
        reviews::assigned_at.eq(no_time),
        reviews::expires_at.eq(no_time),
        reviews::request_id.eq(request_id.as_str()),
    ));
    Ok(released.execute(connection).await? > 0)
}

/// The applications with a valid assignment to an account other than `account`.
pub async fn assigned_to_others_than(
    connection: &mut AsyncPgConnection,
    account: Uuid,
) -> Result<Vec<ApplicationId>> {
    let assigned: Vec<Uuid> = reviews::table
        .select(reviews::application_id)
        .filter(sql::<Bool>(ASSIGNED))
        .filter(reviews::assigned_to.ne(account))
        .load(connection)
        .await?;
    Ok(assigned.into_iter().map(ApplicationId::new).collect())
}
