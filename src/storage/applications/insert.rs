//! Inserting groups of applications, one statement a group.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, BigInt, Binary, Jsonb, Nullable, Numeric, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::application::NewApplication;
use crate::error::{Error, Result};
use crate::storage::schema::applications;
use crate::storage::seal::{KeyRing, SealedField};
use crate::storage::statement::{Binder, FixedStatement, Prepared};
use crate::storage::transaction::Abort;
use crate::storage::{is_missing_partition, partitions};

/// What the database added to an inserted application.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName, Queryable, Selectable)]
#[diesel(table_name = applications)]
pub struct Inserted {
    /// The application.
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    /// From the id.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// By the database's clock.
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
    /// 1.
    #[diesel(sql_type = BigInt)]
    pub version: i64,
}

#[derive(Default)]
struct InsertApplications {
    id: Vec<Uuid>,
    country: Vec<&'static str>,
    full_name: Vec<Vec<u8>>,
    identity_document: Vec<Vec<u8>>,
    birth_date: Vec<Option<Vec<u8>>>,
    document_index: Vec<Vec<u8>>,
    requested_amount: Vec<Decimal>,
    monthly_income: Vec<Decimal>,
    term_months: Vec<i16>,
    currency: Vec<&'static str>,
    country_specific_data: Vec<Value>,
    created_by: Vec<String>,
    changed_by: Vec<String>,
    change_reason: Vec<Option<String>>,
    change_request_id: Vec<Option<String>>,
    change_traceparent: Vec<Option<String>>,
    change_id: Vec<Uuid>,
}

impl InsertApplications {
    fn new(keys: &KeyRing, rows: &[NewApplication]) -> Result<Self> {
        let mut insert = Self::default();
        for row in rows {
            let id = row.id.as_uuid();
            insert.id.push(id);
            insert.country.push(row.country.code());
            let document = &row.identity_document;
            let birth_date =
                row.birth_date.as_ref().map(|date| keys.seal(SealedField::BirthDate, id, date.reveal()));
            insert.full_name.push(keys.seal(SealedField::FullName, id, row.full_name.reveal())?);
            insert.identity_document.push(keys.seal(SealedField::IdentityDocument, id, document.reveal())?);
            insert.birth_date.push(birth_date.transpose()?);
            insert.document_index.push(keys.document_index(row.country, document).as_bytes().to_vec());
            insert.requested_amount.push(row.requested_amount.amount());
            insert.monthly_income.push(row.monthly_income.amount());
            insert.term_months.push(i16::try_from(row.term_months.get()).unwrap_or(i16::MAX));
            insert.currency.push(row.country.currency());
            insert.country_specific_data.push(Value::Object(row.country_specific_data.clone()));
            insert.created_by.push(row.created_by.clone());
            insert.changed_by.push(row.attribution.changed_by.clone());
            insert.change_reason.push(row.attribution.reason.clone());
            insert.change_request_id.push(row.attribution.request_id.as_ref().map(ToString::to_string));
            insert.change_traceparent.push(row.traceparent.clone());
            insert.change_id.push(row.attribution.change_id.as_uuid());
        }
        Ok(insert)
    }
}

impl FixedStatement for InsertApplications {
    const SQL: &'static str = "\
        INSERT INTO applications (id, country, full_name, identity_document, birth_date, document_index, \
            requested_amount, monthly_income, term_months, currency, country_specific_data, created_by, changed_by, \
            change_reason, change_request_id, change_traceparent, change_id) \
        SELECT id, country::country, full_name, identity_document, birth_date, document_index, requested_amount, \
            monthly_income, term_months, currency, country_specific_data, created_by, changed_by, change_reason, \
            change_request_id, change_traceparent, change_id \
        FROM unnest(?::uuid[], ?::text[], ?::bytea[], ?::bytea[], ?::bytea[], ?::bytea[], ?::numeric[], \
            ?::numeric[], ?::smallint[], ?::text[], ?::jsonb[], ?::text[], ?::text[], ?::text[], ?::text[], \
            ?::text[], ?::uuid[]) \
            AS row (id, country, full_name, identity_document, birth_date, document_index, requested_amount, \
            monthly_income, term_months, currency, country_specific_data, created_by, changed_by, change_reason, \
            change_request_id, change_traceparent, change_id) \
        RETURNING id, created_at, updated_at, version";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Array<diesel::sql_types::Uuid>, _>(&self.id)?;
        binder.bind::<Array<Text>, _>(&self.country)?;
        binder.bind::<Array<Binary>, _>(&self.full_name)?;
        binder.bind::<Array<Binary>, _>(&self.identity_document)?;
        binder.bind::<Array<Nullable<Binary>>, _>(&self.birth_date)?;
        binder.bind::<Array<Binary>, _>(&self.document_index)?;
        binder.bind::<Array<Numeric>, _>(&self.requested_amount)?;
        binder.bind::<Array<Numeric>, _>(&self.monthly_income)?;
        binder.bind::<Array<SmallInt>, _>(&self.term_months)?;
        binder.bind::<Array<Text>, _>(&self.currency)?;
        binder.bind::<Array<Jsonb>, _>(&self.country_specific_data)?;
        binder.bind::<Array<Text>, _>(&self.created_by)?;
        binder.bind::<Array<Text>, _>(&self.changed_by)?;
        binder.bind::<Array<Nullable<Text>>, _>(&self.change_reason)?;
        binder.bind::<Array<Nullable<Text>>, _>(&self.change_request_id)?;
        binder.bind::<Array<Nullable<Text>>, _>(&self.change_traceparent)?;
        binder.bind::<Array<diesel::sql_types::Uuid>, _>(&self.change_id)
    }
}

/// Inserts applications in one statement, one round trip, with their personal data sealed. Triggers queue their jobs and
/// write their first audit rows and events. The answer is in the order of `rows`.
///
/// # Errors
/// When sealing or the database fails; nothing is inserted then.
pub async fn insert(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    rows: &[NewApplication],
) -> Result<Vec<Inserted>, Abort> {
    let statement = InsertApplications::new(keys, rows)?;
    let mut inserted: Vec<Inserted> = Prepared(statement).load(connection).await?;
    let position = |id: Uuid| rows.iter().position(|row| row.id.as_uuid() == id);
    inserted.sort_by_key(|row| position(row.id));
    Ok(inserted)
}

/// Inserts one application, making its month's partitions first when they are missing. One that is there already was
/// inserted by an earlier try whose answer was lost: its id is random.
///
/// # Errors
/// When sealing or the database fails.
pub async fn insert_making_partitions(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    row: &NewApplication,
) -> Result<Inserted> {
    let rows = std::slice::from_ref(row);
    let inserted = match insert(connection, keys, rows).await {
        Err(Abort::Database(error)) if is_missing_partition(&error) => {
            let month = row.id.created_at().ok_or_else(|| Error::internal("an id without a time"))?;
            partitions::ensure(connection, month, 0).await?;
            insert(connection, keys, rows).await?
        }
        Err(Abort::Database(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _))) => {
            read_inserted(connection, row.id.as_uuid()).await?
        }
        other => other?,
    };
    inserted.into_iter().next().ok_or_else(|| Error::internal("an insert that returned nothing"))
}

async fn read_inserted(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Vec<Inserted>, DieselError> {
    applications::table.select(Inserted::as_select()).filter(applications::id.eq(id)).load(connection).await
}
