//! Re-encryption of `applications`: four envelopes and the blind index.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use slog::Logger;
use uuid::Uuid;

use super::{Batch, Pass, resealed, warn_unreadable};
use crate::domain::personal_data::IdentityDocument;
use crate::error::{Error, Result};
use crate::storage::Database;
use crate::storage::schema::applications;
use crate::storage::seal::{KeyRing, SealedField};
use crate::storage::transaction;

/// Selects the rows to reseal. `$1` is the prefix of envelopes sealed with the active key, `$2` the prefix of blind index
/// entries of the current index key.
const REMAINING: &str = "(substring(full_name FOR 5) <> $1 OR substring(identity_document FOR 5) <> $1 \
    OR substring(birth_date FOR 5) <> $1 OR substring(personal_data FOR 5) <> $1 \
    OR document_index IS NULL OR substring(document_index FOR 4) <> $2)";

#[derive(QueryableByName)]
struct RemainingRows {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

pub(super) async fn count_remaining(connection: &mut AsyncPgConnection, keys: &KeyRing) -> Result<u64> {
    let left: RemainingRows =
        diesel::sql_query(format!("SELECT count(*) AS rows FROM applications WHERE {REMAINING}"))
            .bind::<Binary, _>(keys.active_prefix().to_vec())
            .bind::<Binary, _>(keys.index_prefix().to_vec())
            .get_result(connection)
            .await?;
    u64::try_from(left.rows).map_err(Error::internal)
}

/// A row as it was before resealing.
#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    country: String,
    #[diesel(sql_type = Binary)]
    full_name: Vec<u8>,
    #[diesel(sql_type = Binary)]
    identity_document: Vec<u8>,
    #[diesel(sql_type = Nullable<Binary>)]
    birth_date: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    personal_data: Option<Vec<u8>>,
}

/// The old and new values of a batch of rows, as one array per column.
#[derive(Default)]
struct Reseal {
    id: Vec<Uuid>,
    found_full_name: Vec<Vec<u8>>,
    found_identity_document: Vec<Vec<u8>>,
    found_birth_date: Vec<Option<Vec<u8>>>,
    found_personal_data: Vec<Option<Vec<u8>>>,
    full_name: Vec<Vec<u8>>,
    identity_document: Vec<Vec<u8>>,
    birth_date: Vec<Option<Vec<u8>>>,
    personal_data: Vec<Option<Vec<u8>>>,
    document_index: Vec<Vec<u8>>,
}

impl Reseal {
    fn push(&mut self, keys: &KeyRing, row: Found) -> Result<()> {
        let row_id = row.id.as_bytes();
        let full_name = resealed(keys, SealedField::FullName, row_id, &row.full_name)?;
        let identity_document =
            resealed(keys, SealedField::IdentityDocument, row_id, &row.identity_document)?;
        let birth_date = row.birth_date.as_deref();
        let birth_date =
            birth_date.map(|it| resealed(keys, SealedField::BirthDate, row_id, it)).transpose()?;
        let personal_data = row.personal_data.as_deref();
        let personal_data =
            personal_data.map(|it| resealed(keys, SealedField::PersonalData, row_id, it)).transpose()?;
        let document = keys.open(SealedField::IdentityDocument, row_id, &identity_document)?;
        let document = IdentityDocument::from_normalized(document);
        let country = row.country.parse().map_err(Error::internal)?;
        self.id.push(row.id);
        self.found_full_name.push(row.full_name);
        self.found_identity_document.push(row.identity_document);
        self.found_birth_date.push(row.birth_date);
        self.found_personal_data.push(row.personal_data);
        self.full_name.push(full_name);
        self.identity_document.push(identity_document);
        self.birth_date.push(birth_date);
        self.personal_data.push(personal_data);
        self.document_index.push(keys.document_index(country, &document).as_bytes().to_vec());
        Ok(())
    }

    /// Writes the rows that are unchanged since they were read and returns their number.
    async fn write(&self, connection: &mut AsyncPgConnection) -> QueryResult<usize> {
        let _locked: Vec<Uuid> = applications::table
            .select(applications::id)
            .filter(applications::id.eq_any(&self.id))
            .order(applications::id.asc())
            .for_no_key_update()
            .load(connection)
            .await?;
        diesel::sql_query(
            "UPDATE applications a SET full_name = r.full_name, identity_document = r.identity_document, \
                 birth_date = r.birth_date, personal_data = r.personal_data, document_index = r.document_index \
             FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS r (id, found_full_name, \
                 found_identity_document, found_birth_date, found_personal_data, full_name, identity_document, \
                 birth_date, personal_data, document_index) \
             WHERE a.id = r.id AND a.full_name = r.found_full_name \
                 AND a.identity_document = r.found_identity_document \
                 AND a.birth_date IS NOT DISTINCT FROM r.found_birth_date \
                 AND a.personal_data IS NOT DISTINCT FROM r.found_personal_data",
        )
        .bind::<Array<diesel::sql_types::Uuid>, _>(&self.id)
        .bind::<Array<Binary>, _>(&self.found_full_name)
        .bind::<Array<Binary>, _>(&self.found_identity_document)
        .bind::<Array<Nullable<Binary>>, _>(&self.found_birth_date)
        .bind::<Array<Nullable<Binary>>, _>(&self.found_personal_data)
        .bind::<Array<Binary>, _>(&self.full_name)
        .bind::<Array<Binary>, _>(&self.identity_document)
        .bind::<Array<Nullable<Binary>>, _>(&self.birth_date)
        .bind::<Array<Nullable<Binary>>, _>(&self.personal_data)
        .bind::<Array<Binary>, _>(&self.document_index)
        .execute(connection)
        .await
    }
}

/// Reseals the next batch of rows after `after`.
pub(super) async fn reseal_batch(
    database: &Database,
    logger: &Logger,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Batch<Uuid>> {
    let found = find(database, after, limit).await?;
    let next = found.last().map(|row| row.id);
    let mut reseal = Reseal::default();
    let mut unreadable = 0;
    for row in found {
        let id = row.id;
        if let Err(error) = reseal.push(database.keys(), row) {
            unreadable += 1;
            warn_unreadable(logger, "applications", &id.to_string(), error);
        }
    }
    let mut written = 0;
    if !reseal.id.is_empty() {
        written = transaction::run(database, logger, "reencrypt_applications", async |connection| {
            Ok(reseal.write(connection).await?)
        })
        .await?;
    }
    Ok(Batch { pass: Pass { resealed: u64::try_from(written).map_err(Error::internal)?, unreadable }, next })
}

async fn find(database: &Database, after: Option<Uuid>, limit: i64) -> Result<Vec<Found>> {
    let query = format!(
        "SELECT id, country::text AS country, full_name, identity_document, birth_date, personal_data \
         FROM applications WHERE id > $3 AND {REMAINING} ORDER BY id LIMIT $4"
    );
    let keys = database.keys();
    let found = diesel::sql_query(query)
        .bind::<Binary, _>(keys.active_prefix().to_vec())
        .bind::<Binary, _>(keys.index_prefix().to_vec())
        .bind::<diesel::sql_types::Uuid, _>(after.unwrap_or_default())
        .bind::<BigInt, _>(limit)
        .load(&mut database.get().await?)
        .await?;
    Ok(found)
}
