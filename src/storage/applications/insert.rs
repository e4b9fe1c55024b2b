//! Inserts groups of applications, one statement per group.
//!
//! For each row, the database function `admit_application` decides whether it is inserted. It refuses a row whose
//! `Idempotency-Key` was used before, or whose document is claimed by another open application of the account (section 9
//! of docs/specification.md). A refused row does not affect the others, needs no further round trip, and never waits for
//! a lock.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{self, Binary, Jsonb, Nullable, Numeric, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde_json::Value;
use slog::Logger;
use uuid::Uuid;

use crate::domain::application::NewApplication;
use crate::domain::ids::ApplicationId;
use crate::error::{Error, Result};
use crate::storage::group_write::{GroupWrite, Written};
use crate::storage::idempotency::{KeyedWrite, KnownReply, SealedReply, StoredColumns};
use crate::storage::schema::applications;
use crate::storage::seal::{KeyRing, SealedField};
use crate::storage::statement::{Binder, FixedStatement, Prepared, rows};
use crate::storage::transaction::Abort;
use crate::storage::{Database, is_missing_partition, partitions};

/// An application to insert, with its conditions.
#[derive(Debug, Clone)]
pub struct Insertion {
    /// Shared with the caller, because a contended insertion is repeated and the caller still needs it afterwards.
    pub application: Arc<NewApplication>,
    /// When the claim on the document expires; `None` to insert without a claim, which allows duplicates.
    pub claim_until: Option<DateTime<Utc>>,
    /// The idempotency key and the reply to store for it.
    pub keyed: Option<(KeyedWrite, SealedReply)>,
}

impl From<NewApplication> for Insertion {
    /// Without conditions.
    fn from(application: NewApplication) -> Self {
        Self { application: Arc::new(application), claim_until: None, keyed: None }
    }
}

/// The result of inserting one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InsertOutcome {
    /// The application was inserted, with version 1.
    Inserted,
    /// The key was used before, so nothing was inserted.
    Known(KnownReply),
    /// The key is in use by a transaction that has not ended.
    InFlight,
    /// The account has this open application for the same document.
    Duplicate(ApplicationId),
    /// Another transaction is inserting an application of the account for the same document. Its outcome is not known
    /// yet.
    Contended,
}

rows! {
    struct InsertApplications of NewRow {
        id: Uuid as sql_types::Uuid,
        full_name: Vec<u8> as Binary,
        identity_document: Vec<u8> as Binary,
        birth_date: Option<Vec<u8>> as Nullable<Binary>,
        personal_data: Option<Vec<u8>> as Nullable<Binary>,
        document_index: Vec<u8> as Binary,
        requested_amount: Decimal as Numeric,
        monthly_income: Decimal as Numeric,
        term_months: i16 as SmallInt,
        currency: &'static str as Text,
        country_specific_data: Value as Jsonb,
        created_by: String as Text,
        changed_by: String as Text,
        change_reason: Option<String> as Nullable<Text>,
        change_request_id: Option<String> as Nullable<Text>,
        change_traceparent: Option<String> as Nullable<Text>,
        change_id: Uuid as sql_types::Uuid,
        country: &'static str as Text,
        claim_until: Option<DateTime<Utc>> as Nullable<Timestamptz>,
        key_digest: Option<Vec<u8>> as Nullable<Binary>,
        route: Option<String> as Nullable<Text>,
        fingerprint: Option<Vec<u8>> as Nullable<Binary>,
        reply_status: Option<i16> as Nullable<SmallInt>,
        reply: Option<Vec<u8>> as Nullable<Binary>,
        key_until: Option<DateTime<Utc>> as Nullable<Timestamptz>,
    }
}

impl NewRow {
    fn new(keys: &KeyRing, insertion: &Insertion) -> Result<Self> {
        let row = &insertion.application;
        let (id, document) = (row.id.as_uuid(), &row.identity_document);
        let birth_date =
            row.birth_date.as_ref().map(|date| keys.seal(SealedField::BirthDate, id, date.reveal()));
        let (write, reply) = (insertion.keyed.as_ref().map(|k| &k.0), insertion.keyed.as_ref().map(|k| &k.1));
        Ok(Self {
            id,
            full_name: keys.seal(SealedField::FullName, id, row.full_name.reveal())?,
            identity_document: keys.seal(SealedField::IdentityDocument, id, document.reveal())?,
            birth_date: birth_date.transpose()?,
            personal_data: super::seal_personal(keys, id, &row.personal_data)?,
            document_index: keys.document_index(row.country, document).as_bytes().to_vec(),
            requested_amount: row.requested_amount.amount(),
            monthly_income: row.monthly_income.amount(),
            term_months: i16::try_from(row.term_months.get()).unwrap_or(i16::MAX),
            currency: row.country.currency(),
            country_specific_data: Value::Object(row.country_specific_data.clone()),
            created_by: row.created_by.clone(),
            changed_by: row.attribution.changed_by.clone(),
            change_reason: row.attribution.reason.clone(),
            change_request_id: row.attribution.request_id.as_ref().map(ToString::to_string),
            change_traceparent: row.traceparent.clone(),
            change_id: row.attribution.change_id.as_uuid(),
            country: row.country.code(),
            claim_until: insertion.claim_until,
            key_digest: write.map(|write| write.key_digest.to_vec()),
            route: write.map(|write| write.route.clone()),
            fingerprint: write.map(|write| write.fingerprint.to_vec()),
            reply_status: reply.map(SealedReply::status_column),
            reply: reply.map(|reply| reply.envelope.clone()),
            key_until: write.map(|write| write.expires_at),
        })
    }
}

/// The columns of [`InsertApplications`] that are stored in `applications`, without the country, whose text needs a
/// cast.
const STORED_COLUMNS: usize = 17;

impl FixedStatement for InsertApplications {
    const NAME: &'static str = "insert_applications";
    /// `judged` is evaluated once per row, in order, so the second of two rows in one statement sees the claim of the
    /// first.
    const SQL: &'static str = "\
        WITH judged AS MATERIALIZED (SELECT * FROM ?, \
            admit_application(id, created_by, document_index, claim_until, key_digest, route, fingerprint, \
                reply_status, reply, key_until)), \
        inserted AS (INSERT INTO applications (?, country) SELECT ?, country::country FROM judged \
            WHERE verdict = 'admitted') \
        SELECT id, verdict, holder, stored_fingerprint, stored_status, stored_reply FROM judged";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind_rows("row", self)?;
        let stored = Self::NAMES.get(..STORED_COLUMNS).unwrap_or(Self::NAMES);
        binder.write_names(stored);
        binder.write_names(stored);
        Ok(())
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

/// Inserts the applications that meet their conditions, in one statement, with their personal data sealed. Triggers
/// queue their jobs and write their first audit rows and events. The results are in the order of `rows`.
///
/// # Errors
/// If sealing or the statement fails; nothing is inserted then.
pub async fn insert(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    rows: &[Insertion],
) -> Result<Vec<Result<InsertOutcome>>, Abort> {
    let statement: InsertApplications =
        rows.iter().map(|row| NewRow::new(keys, row)).collect::<Result<_>>()?;
    let judged: Vec<JudgedRow> = Prepared(statement).load(connection).await?;
    let mut by_id: HashMap<Uuid, JudgedRow> = judged.into_iter().map(|row| (row.id, row)).collect();
    let outcome = |row: &Insertion| {
        let judged = by_id.remove(&row.application.id.as_uuid());
        judged.ok_or_else(|| Error::internal("an application without a verdict"))?.outcome()
    };
    Ok(rows.iter().map(outcome).collect())
}

impl GroupWrite for Insertion {
    type Outcome = InsertOutcome;

    const ORDER: u8 = 0;
    const WRITTEN: Written = Written { jobs: true, events: true };
    /// The client has received an error that leaves the outcome open, and will retry. If the first attempt were still
    /// inserted, perhaps minutes later, there would be two applications.
    const DROPPED_WITHOUT_CALLER: bool = true;

    async fn write(
        connection: &mut AsyncPgConnection,
        keys: &KeyRing,
        writes: &[Self],
    ) -> Result<Vec<Result<InsertOutcome>>, Abort> {
        insert(connection, keys, writes).await
    }

    async fn write_alone(self, database: &Database, _: &Logger) -> Result<InsertOutcome> {
        let insert = async |connection: &mut AsyncPgConnection| {
            insert_making_partitions(connection, database.keys(), &self).await
        };
        database.run(insert).await
    }
}

/// Inserts one application. Creates the partitions of its month if they are missing. Because the id is random, an existing
/// row with that id was inserted by an earlier attempt whose response was lost.
///
/// # Errors
/// If sealing or the statement fails.
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
            let is_stored = exists(applications::table.filter(applications::id.eq(id.as_uuid())));
            if !diesel::select(is_stored).get_result(connection).await? {
                return Err(error.into());
            }
            vec![Ok(InsertOutcome::Inserted)]
        }
        other => other?,
    };
    outcomes.into_iter().next().ok_or_else(|| Error::internal("an insert that returned nothing"))?
}
