//! Re-encryption of a table with a single sealed column.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use slog::Logger;

use super::{Batch, Pass, resealed, warn_unreadable};
use crate::error::{Error, Result};
use crate::storage::Database;
use crate::storage::seal::{KeyRing, RowKey, SealedField};
use crate::storage::transaction;

impl RowKey {
    const fn column(self) -> &'static str {
        match self {
            Self::Uuid(column) | Self::Bytes(column) => column,
        }
    }

    /// SQL for the key's bytes, as used in the associated data.
    fn to_bytes(self) -> String {
        match self {
            Self::Uuid(column) => format!("uuid_send({column})"),
            Self::Bytes(column) => column.to_owned(),
        }
    }

    /// SQL for the key, given its bytes. Comparisons with the key itself can use its index.
    fn of_bytes(self, bytes: &str) -> String {
        match self {
            Self::Uuid(_) => format!("encode({bytes}, 'hex')::uuid"),
            Self::Bytes(_) => bytes.to_owned(),
        }
    }
}

#[derive(QueryableByName)]
struct RemainingRows {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

#[derive(QueryableByName)]
struct Existence {
    #[diesel(sql_type = Bool)]
    exists: bool,
}

/// Whether the migrations have created the column.
pub(super) async fn exists(connection: &mut AsyncPgConnection, field: SealedField) -> Result<bool> {
    let (table, column, _) = field.place();
    let query = "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2) AS exists";
    let found: Existence = diesel::sql_query(query)
        .bind::<Text, _>(table)
        .bind::<Text, _>(column)
        .get_result(connection)
        .await?;
    Ok(found.exists)
}

pub(super) async fn count_remaining(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    field: SealedField,
) -> Result<u64> {
    let (table, column, _) = field.place();
    let query = format!("SELECT count(*) AS rows FROM {table} WHERE substring({column} FOR 5) <> $1");
    let prefix = keys.active_prefix().to_vec();
    let left: RemainingRows =
        diesel::sql_query(query).bind::<Binary, _>(prefix).get_result(connection).await?;
    u64::try_from(left.rows).map_err(Error::internal)
}

/// A row as it was before resealing.
#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Binary)]
    row_key: Vec<u8>,
    #[diesel(sql_type = Binary)]
    envelope: Vec<u8>,
}

/// Reseals the next batch of rows after the key `after`.
pub(super) async fn reseal_batch(
    database: &Database,
    logger: &Logger,
    field: SealedField,
    after: Option<&[u8]>,
    limit: i64,
) -> Result<Batch<Vec<u8>>> {
    let found = find(database, field, after, limit).await?;
    let next = found.last().map(|found| found.row_key.clone());
    let (mut rows, mut old, mut new) = (Vec::new(), Vec::new(), Vec::new());
    let mut unreadable = 0;
    for found in found {
        match resealed(database.keys(), field, &found.row_key, &found.envelope) {
            Ok(envelope) => {
                rows.push(found.row_key);
                old.push(found.envelope);
                new.push(envelope);
            }
            Err(error) => {
                unreadable += 1;
                let row: String = found.row_key.iter().map(|byte| format!("{byte:02x}")).collect();
                warn_unreadable(logger, field.place().0, &row, error);
            }
        }
    }
    let written = transaction::run(database, logger, "reencrypt_column", async |connection| {
        Ok(diesel::sql_query(update(field))
            .bind::<Array<Binary>, _>(&rows)
            .bind::<Array<Binary>, _>(&old)
            .bind::<Array<Binary>, _>(&new)
            .execute(connection)
            .await?)
    })
    .await?;
    Ok(Batch { pass: Pass { resealed: u64::try_from(written).map_err(Error::internal)?, unreadable }, next })
}

async fn find(
    database: &Database,
    field: SealedField,
    after: Option<&[u8]>,
    limit: i64,
) -> Result<Vec<Found>> {
    let (table, column, key) = field.place();
    let query = format!(
        "SELECT {row} AS row_key, {column} AS envelope FROM {table} WHERE substring({column} FOR 5) <> $1 \
         AND ($2 OR {key} > {after}) ORDER BY {key} LIMIT $4",
        row = key.to_bytes(),
        key = key.column(),
        after = key.of_bytes("$3"),
    );
    let found = diesel::sql_query(query)
        .bind::<Binary, _>(database.keys().active_prefix().to_vec())
        .bind::<Bool, _>(after.is_none())
        .bind::<Nullable<Binary>, _>(after)
        .bind::<BigInt, _>(limit)
        .load(&mut database.get().await?)
        .await?;
    Ok(found)
}

/// The statement that writes a batch. It locks the rows in the order of their keys, and writes only where the old envelope
/// is unchanged. For the append-only table `security_events`, which the role of running instances may not update, it calls
/// a function.
fn update(field: SealedField) -> String {
    if field == SealedField::SecurityEventAddress {
        return "SELECT reseal_security_events($1, $2, $3)".to_owned();
    }
    let (table, column, key) = field.place();
    format!(
        "WITH r AS MATERIALIZED (SELECT {row} AS row, old, new FROM unnest($1, $2, $3) AS r (row, old, new)), \
         locked AS MATERIALIZED (SELECT {key} AS row FROM {table} WHERE {key} IN (SELECT row FROM r) \
             ORDER BY {key} FOR NO KEY UPDATE) \
         UPDATE {table} t SET {column} = r.new FROM r JOIN locked USING (row) \
         WHERE t.{key} = r.row AND t.{column} = r.old",
        row = key.of_bytes("row"),
        key = key.column(),
    )
}
