//! Applications: reading one, and the code shared by reading, listing, inserting and changing.

mod archived;
mod begin;
mod candidates;
mod change;
mod claims;
mod give_up;
mod insert;
mod list;
mod review_lock;
mod total;

use chrono::{DateTime, Utc};
use diesel::data_types::PgInterval;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use uuid::Uuid;

pub use self::begin::{BeginJob, JobStart, PendingCase, begin};
pub use self::candidates::{Candidate, archived_of, by_filter, by_ids};
pub use self::change::{Change, change};
pub use self::claims::{delete_expired_claims, held_until};
pub use self::give_up::GiveUp;
pub use self::insert::{InsertOutcome, Insertion, insert, insert_making_partitions};
pub(super) use self::list::ListedRow;
pub use self::list::{ListFilter, ListedApplication, PageStart, SortOrder, list_page};
pub use self::review_lock::{ASSIGNED, lock_review};
pub use self::total::{Total, TotalBounds, total};
use super::json::StoredJson;
use super::schema::applications;
use super::seal::{KeyRing, SealedField};
use super::transaction::Abort;
use super::types::{PgCountry, PgStatus};
pub use super::visibility::Visibility;
use crate::domain::application::{Application, Country, TermMonths};
use crate::domain::ids::ApplicationId;
use crate::domain::money::Money;
use crate::domain::personal_data::{BirthDate, FullName, IdentityDocument, PersonalMembers};
use crate::error::{Error, Result};

#[derive(Queryable, Selectable, QueryableByName)]
#[diesel(table_name = applications, check_for_backend(diesel::pg::Pg))]
struct ApplicationRow {
    id: Uuid,
    country: PgCountry,
    full_name: Vec<u8>,
    identity_document: Vec<u8>,
    birth_date: Option<Vec<u8>>,
    personal_data: Option<Vec<u8>>,
    requested_amount: Decimal,
    monthly_income: Decimal,
    term_months: i16,
    status: PgStatus,
    country_specific_data: StoredJson,
    banking_data: Option<StoredJson>,
    risk_score: Option<Decimal>,
    validation_errors: Option<StoredJson>,
    version: i64,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

impl ApplicationRow {
    fn open(self, keys: &KeyRing) -> Result<Application> {
        let row = self;
        Ok(Application {
            id: ApplicationId::new(row.id),
            country: row.country.0,
            full_name: open_name(keys, row.id, &row.full_name)?,
            identity_document: open_document(keys, row.id, &row.identity_document)?,
            birth_date: row
                .birth_date
                .map(|envelope| open_birth_date(keys, row.id, &envelope))
                .transpose()?,
            requested_amount: money(row.requested_amount)?,
            monthly_income: money(row.monthly_income)?,
            term_months: term(row.term_months)?,
            status: row.status.0,
            country_specific_data: object(row.country_specific_data.0),
            personal_data: open_personal(keys, row.id, row.personal_data.as_deref())?,
            banking_data: row.banking_data.map(Value::from),
            risk_score: row.risk_score,
            validation_errors: row.validation_errors.map(Value::from),
            version: row.version,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted_at: row.deleted_at,
        })
    }
}

pub(super) fn open_name(keys: &KeyRing, row: Uuid, envelope: &[u8]) -> Result<FullName> {
    keys.open(SealedField::FullName, row, envelope).map(FullName::from_storage)
}

pub(super) fn open_document(keys: &KeyRing, row: Uuid, envelope: &[u8]) -> Result<IdentityDocument> {
    keys.open(SealedField::IdentityDocument, row, envelope).map(IdentityDocument::from_normalized)
}

fn open_birth_date(keys: &KeyRing, row: Uuid, envelope: &[u8]) -> Result<BirthDate> {
    keys.open(SealedField::BirthDate, row, envelope).map(BirthDate::from_storage)
}

fn open_personal(keys: &KeyRing, row: Uuid, envelope: Option<&[u8]>) -> Result<PersonalMembers> {
    let Some(envelope) = envelope else { return Ok(PersonalMembers::default()) };
    let text = keys.open(SealedField::PersonalData, row, envelope)?;
    PersonalMembers::from_storage(&text)
        .ok_or_else(|| Error::internal("the sealed personal data is not a JSON object"))
}

fn seal_personal(keys: &KeyRing, row: Uuid, members: &PersonalMembers) -> Result<Option<Vec<u8>>> {
    members.to_storage().map(|text| keys.seal(SealedField::PersonalData, row, &text)).transpose()
}

pub(super) fn money(value: Decimal) -> Result<Money> {
    Money::from_decimal(value).ok_or_else(|| Error::internal("an amount out of range in the database"))
}

pub(super) fn term(months: i16) -> Result<TermMonths> {
    TermMonths::new(i64::from(months)).ok_or_else(|| Error::internal("a term out of range in the database"))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Finds an application that is not deleted and is visible to the caller. Also searches the archive.
pub async fn find(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    id: ApplicationId,
    visibility: &Visibility,
) -> Result<Option<Application>> {
    let mut query = applications::table
        .select(ApplicationRow::as_select())
        .filter(applications::id.eq(id.as_uuid()))
        .filter(applications::deleted_at.is_null())
        .into_boxed();
    if let Visibility::OwnedBy(account) = visibility {
        query = query.filter(applications::created_by.eq(account));
    }
    let row: Option<ApplicationRow> = query.first(connection).await.optional()?;
    let row = match row {
        Some(row) => Some(row),
        None => archived::find(connection, id)
            .await?
            .filter(|row| visibility.includes(&row.created_by) && row.deleted_at.is_none()),
    };
    row.map(|row| row.open(keys)).transpose()
}

/// Whether an application exists, is not deleted and is visible to the caller. Also searches the archive.
pub async fn is_visible(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
    visibility: &Visibility,
) -> Result<bool> {
    let found = applications::table
        .find(id.as_uuid())
        .select((applications::created_by, applications::deleted_at.is_not_null()))
        .first::<(String, bool)>(connection)
        .await
        .optional()?;
    let found = match found {
        Some(found) => Some(found),
        None => archived::find(connection, id).await?.map(|row| (row.created_by, row.deleted_at.is_some())),
    };
    Ok(found.is_some_and(|(owner, is_deleted)| !is_deleted && visibility.includes(&owner)))
}

/// The owner of an application, including deleted and archived ones.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn owner(connection: &mut AsyncPgConnection, id: ApplicationId) -> Result<String> {
    let owner = applications::table.find(id.as_uuid()).select(applications::created_by);
    match owner.first(connection).await.optional()? {
        Some(owner) => Ok(owner),
        None => {
            let row = archived::find(connection, id).await?;
            row.map(|row| row.created_by).ok_or(Error::NotFound("application"))
        }
    }
}

/// The country of an application that is visible to the caller, including deleted and archived ones.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn country(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
    visibility: &Visibility,
) -> Result<Country> {
    let query =
        applications::table.find(id.as_uuid()).select((applications::country, applications::created_by));
    let found: Option<(PgCountry, String)> = query.first(connection).await.optional()?;
    let found = match found {
        Some(found) => Some(found),
        None => archived::find(connection, id).await?.map(|row| (row.country, row.created_by)),
    };
    let visible = found.filter(|(_, owner)| visibility.includes(owner));
    visible.map(|(country, _)| country.0).ok_or(Error::NotFound("application"))
}

/// The owner and version of an application, including deleted ones.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn owner_and_version(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
) -> Result<(String, i64)> {
    let found =
        applications::table.find(id.as_uuid()).select((applications::created_by, applications::version));
    found.first(connection).await.optional()?.ok_or(Error::NotFound("application"))
}

/// Gets an application that is not deleted and is visible to the caller.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn get(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    id: ApplicationId,
    visibility: &Visibility,
) -> Result<Application> {
    find(connection, keys, id, visibility).await?.ok_or(Error::NotFound("application"))
}

diesel::define_sql_function! {
    /// Whether another account applied with the same document in the period of length `within` before the application.
    fn applied_elsewhere(
        application: diesel::sql_types::Uuid,
        account: diesel::sql_types::Text,
        document: diesel::sql_types::Nullable<diesel::sql_types::Binary>,
        within: diesel::sql_types::Interval,
    ) -> diesel::sql_types::Bool;
}

/// Whether another account applied with this application's document within `window` before it, regardless of the
/// outcome. Used by the decision ([`Case::applied_elsewhere`](crate::domain::decision::Case)). Always false without a
/// `window`.
pub async fn another_account_applied(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
    window: Option<chrono::TimeDelta>,
) -> Result<bool, Abort> {
    let Some(window) = window else { return Ok(false) };
    let found = applications::table
        .select(applied_elsewhere(
            applications::id,
            applications::created_by,
            applications::document_index,
            PgInterval::from_microseconds(window.num_microseconds().unwrap_or(i64::MAX)),
        ))
        .filter(applications::id.eq(id.as_uuid()))
        .first(connection)
        .await
        .optional()?;
    Ok(found.unwrap_or(false))
}
