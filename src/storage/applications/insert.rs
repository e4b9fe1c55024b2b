//! Inserting groups of applications, one statement a group.
//!
//! Each row is judged by the database as it is inserted (`admit_application`): its `Idempotency-Key` may be known, or its
//! document be claimed by another open application of the account (SPEC 9). Such a row fails alone, without another round
//! trip, and nothing is ever waited for.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, Binary, Jsonb, Nullable, Numeric, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::application::NewApplication;
use crate::domain::ids::ApplicationId;
use crate::error::{Error, Result};
use crate::storage::idempotency::{KeyedWrite, KnownReply, SealedReply, StoredColumns};
use crate::storage::schema::applications;
use crate::storage::seal::{KeyRing, SealedField};
use crate::storage::statement::{Binder, FixedStatement, Prepared};
use crate::storage::transaction::Abort;
use crate::storage::{is_missing_partition, partitions};

/// An application that is to be inserted, and on what terms.
#[derive(Debug, Clone)]
pub struct Insertion {
    /// The application.
    pub application: NewApplication,
    /// Until when no other of the account's applications may be open for the document; `None` when any may.
    pub claim_until: Option<DateTime<Utc>>,
    /// The key that it came with, and the answer that is to be kept.
    pub keyed: Option<(KeyedWrite, SealedReply)>,
}

impl From<NewApplication> for Insertion {
    /// On no terms at all.
    fn from(application: NewApplication) -> Self {
        Self { application, claim_until: None, keyed: None }
    }
}

/// What became of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InsertOutcome {
    /// It is there, as it was given: its first version, changed last when it was made.
    Inserted,
    /// Its key was used before: nothing was inserted now.
    Known(KnownReply),
    /// Its key is in use by a transaction that has not ended yet.
    InFlight,
    /// The account has this open application for the same document.
    Duplicate(ApplicationId),
    /// The account's other application for the same document is being inserted at this moment: who will have been first is
    /// known when that has ended.
    Contended,
}

#[derive(Default)]
struct InsertApplications {
    id: Vec<Uuid>,
    country: Vec<&'static str>,
    full_name: Vec<Vec<u8>>,
    identity_document: Vec<Vec<u8>>,
    birth_date: Vec<Option<Vec<u8>>>,
    personal_data: Vec<Option<Vec<u8>>>,
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
    claim_until: Vec<Option<DateTime<Utc>>>,
    key_digest: Vec<Option<Vec<u8>>>,
    route: Vec<Option<String>>,
    fingerprint: Vec<Option<Vec<u8>>>,
    reply_status: Vec<Option<i16>>,
    reply: Vec<Option<Vec<u8>>>,
    key_until: Vec<Option<DateTime<Utc>>>,
}

impl InsertApplications {
    fn new(keys: &KeyRing, rows: &[Insertion]) -> Result<Self> {
        let mut insert = Self::default();
        for row in rows {
            insert.push_person(keys, &row.application)?;
            insert.push_application(&row.application);
            insert.push_terms(row);
        }
        Ok(insert)
    }

    fn push_person(&mut self, keys: &KeyRing, row: &NewApplication) -> Result<()> {
        let (id, document) = (row.id.as_uuid(), &row.identity_document);
        let birth_date =
            row.birth_date.as_ref().map(|date| keys.seal(SealedField::BirthDate, id, date.reveal()));
        self.full_name.push(keys.seal(SealedField::FullName, id, row.full_name.reveal())?);
        self.identity_document.push(keys.seal(SealedField::IdentityDocument, id, document.reveal())?);
        self.birth_date.push(birth_date.transpose()?);
        self.personal_data.push(super::seal_personal(keys, id, &row.personal_data)?);
        self.document_index.push(keys.document_index(row.country, document).as_bytes().to_vec());
        Ok(())
    }

    fn push_application(&mut self, row: &NewApplication) {
        self.id.push(row.id.as_uuid());
        self.country.push(row.country.code());
        self.requested_amount.push(row.requested_amount.amount());
        self.monthly_income.push(row.monthly_income.amount());
        self.term_months.push(i16::try_from(row.term_months.get()).unwrap_or(i16::MAX));
        self.currency.push(row.country.currency());
        self.country_specific_data.push(Value::Object(row.country_specific_data.clone()));
        self.created_by.push(row.created_by.clone());
        self.changed_by.push(row.attribution.changed_by.clone());
        self.change_reason.push(row.attribution.reason.clone());
        self.change_request_id.push(row.attribution.request_id.as_ref().map(ToString::to_string));
        self.change_traceparent.push(row.traceparent.clone());
        self.change_id.push(row.attribution.change_id.as_uuid());
    }

    fn push_terms(&mut self, row: &Insertion) {
        let (write, reply) = (row.keyed.as_ref().map(|k| &k.0), row.keyed.as_ref().map(|k| &k.1));
        self.claim_until.push(row.claim_until);
        self.key_digest.push(write.map(|write| write.key_digest.to_vec()));
        self.route.push(write.map(|write| write.route.clone()));
        self.fingerprint.push(write.map(|write| write.fingerprint.to_vec()));
        self.key_until.push(write.map(|write| write.expires_at));
        self.reply_status.push(reply.map(SealedReply::status_column));
        self.reply.push(reply.map(|reply| reply.envelope.clone()));
    }
}

impl FixedStatement for InsertApplications {
    /// `judged` is evaluated once for each row, in order, so that of two rows of one statement the second meets what
    /// the first has taken.
    const SQL: &'static str = "\
        WITH judged AS MATERIALIZED (SELECT * \
            FROM unnest(?::uuid[], ?::text[], ?::bytea[], ?::bytea[], ?::bytea[], ?::bytea[], ?::bytea[], ?::numeric[], \
                ?::numeric[], ?::smallint[], ?::text[], ?::jsonb[], ?::text[], ?::text[], ?::text[], ?::text[], \
                ?::text[], ?::uuid[], ?::timestamptz[], ?::bytea[], ?::text[], ?::bytea[], ?::smallint[], ?::bytea[], \
                ?::timestamptz[]) \
                AS row (id, country, full_name, identity_document, birth_date, personal_data, document_index, requested_amount, \
                monthly_income, term_months, currency, country_specific_data, created_by, changed_by, \
                change_reason, change_request_id, change_traceparent, change_id, claim_until, key_digest, route, \
                fingerprint, reply_status, reply, key_until), \
            admit_application(id, created_by, document_index, claim_until, key_digest, route, fingerprint, \
                reply_status, reply, key_until)), \
        inserted AS (INSERT INTO applications (id, country, full_name, identity_document, birth_date, \
                personal_data, document_index, requested_amount, monthly_income, term_months, currency, country_specific_data, \
                created_by, changed_by, change_reason, change_request_id, change_traceparent, change_id) \
            SELECT id, country::country, full_name, identity_document, birth_date, personal_data, document_index, requested_amount, \
                monthly_income, term_months, currency, country_specific_data, created_by, changed_by, change_reason, \
                change_request_id, change_traceparent, change_id \
            FROM judged WHERE verdict = 'admitted') \
        SELECT id, verdict, holder, stored_fingerprint, stored_status, stored_reply FROM judged";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Array<diesel::sql_types::Uuid>, _>(&self.id)?;
        binder.bind::<Array<Text>, _>(&self.country)?;
        binder.bind::<Array<Binary>, _>(&self.full_name)?;
        binder.bind::<Array<Binary>, _>(&self.identity_document)?;
        binder.bind::<Array<Nullable<Binary>>, _>(&self.birth_date)?;
        binder.bind::<Array<Nullable<Binary>>, _>(&self.personal_data)?;
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
        binder.bind::<Array<diesel::sql_types::Uuid>, _>(&self.change_id)?;
        binder.bind::<Array<Nullable<Timestamptz>>, _>(&self.claim_until)?;
        binder.bind::<Array<Nullable<Binary>>, _>(&self.key_digest)?;
        binder.bind::<Array<Nullable<Text>>, _>(&self.route)?;
        binder.bind::<Array<Nullable<Binary>>, _>(&self.fingerprint)?;
        binder.bind::<Array<Nullable<SmallInt>>, _>(&self.reply_status)?;
        binder.bind::<Array<Nullable<Binary>>, _>(&self.reply)?;
        binder.bind::<Array<Nullable<Timestamptz>>, _>(&self.key_until)
    }
}

#[derive(QueryableByName)]
struct JudgedRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    verdict: String,
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    holder: Option<Uuid>,
    #[diesel(embed)]
    stored: StoredColumns,
}

impl JudgedRow {
    fn outcome(self) -> Result<InsertOutcome> {
        match (self.verdict.as_str(), self.holder) {
            ("admitted", _) => Ok(InsertOutcome::Inserted),
            ("known", _) => self.stored.known().map(InsertOutcome::Known),
            ("in_flight", _) => Ok(InsertOutcome::InFlight),
            ("contended", _) => Ok(InsertOutcome::Contended),
            ("duplicate", Some(holder)) => Ok(InsertOutcome::Duplicate(ApplicationId::new(holder))),
            (verdict, _) => Err(Error::internal(format_args!("an unknown verdict: {verdict}"))),
        }
    }
}

/// Inserts applications in one statement, one round trip, with their personal data sealed: those that their terms admit.
/// Triggers queue their jobs and
/// write their first audit rows and events. The answer is in the order of `rows`.
///
/// # Errors
/// When sealing or the database fails; nothing is inserted then.
pub async fn insert(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    rows: &[Insertion],
) -> Result<Vec<Result<InsertOutcome>>, Abort> {
    let statement = InsertApplications::new(keys, rows)?;
    let judged: Vec<JudgedRow> = Prepared(statement).load(connection).await?;
    let mut by_id: HashMap<Uuid, JudgedRow> = judged.into_iter().map(|row| (row.id, row)).collect();
    let outcome = |row: &Insertion| {
        let judged = by_id.remove(&row.application.id.as_uuid());
        judged.ok_or_else(|| Error::internal("an application without a verdict"))?.outcome()
    };
    Ok(rows.iter().map(outcome).collect())
}

/// Inserts one application, making its month's partitions first when they are missing. One that is there already was
/// inserted by an earlier try whose answer was lost: its id is random.
///
/// # Errors
/// When sealing or the database fails.
pub async fn insert_making_partitions(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    row: &Insertion,
) -> Result<InsertOutcome> {
    let (rows, id) = (std::slice::from_ref(row), row.application.id);
    let outcomes = match insert(connection, keys, rows).await {
        Err(Abort::Database(error)) if is_missing_partition(&error) => {
            let month = id.created_at().ok_or_else(|| Error::internal("an id without a time"))?;
            partitions::ensure(connection, month, 0).await?;
            insert(connection, keys, rows).await?
        }
        Err(Abort::Database(error @ DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _))) => {
            let there = exists(applications::table.filter(applications::id.eq(id.as_uuid())));
            if !diesel::select(there).get_result(connection).await? {
                return Err(error.into());
            }
            vec![Ok(InsertOutcome::Inserted)]
        }
        other => other?,
    };
    outcomes.into_iter().next().ok_or_else(|| Error::internal("an insert that returned nothing"))?
}
