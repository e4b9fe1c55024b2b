//! Re-encryption of `audit_logs`: the envelopes that the trigger copied to `metadata`. The table is append-only. The SQL
//! function `reseal_audit_log`, which runs with the rights of the table's owner, can replace these envelopes and nothing
//! else.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Jsonb};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use slog::Logger;
use uuid::Uuid;

use super::{Batch, Pass, resealed, warn_unreadable};
use crate::error::{Error, Result};
use crate::storage::Database;
use crate::storage::audit::bytes_of_hex;
use crate::storage::seal::{KeyRing, SealedField};
use crate::storage::transaction;

/// Selects the rows to reseal; `$1` is the prefix of envelopes sealed with the active key.
const REMAINING: &str = "metadata ? 'sealed' AND EXISTS (SELECT FROM jsonb_each(metadata -> 'sealed') f, \
    jsonb_each_text(f.value) e WHERE left(e.value, 10) <> encode($1, 'hex'))";

#[derive(QueryableByName)]
struct Rows {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

pub(super) async fn count_remaining(connection: &mut AsyncPgConnection, keys: &KeyRing) -> Result<u64> {
    let left: Rows = diesel::sql_query(format!("SELECT count(*) AS rows FROM audit_logs WHERE {REMAINING}"))
        .bind::<Binary, _>(keys.active_prefix().to_vec())
        .get_result(connection)
        .await?;
    u64::try_from(left.rows).map_err(Error::internal)
}

/// A row as it was before resealing.
#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    application_id: Uuid,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Jsonb)]
    sealed: Value,
}

impl Found {
    /// The resealed envelopes.
    fn resealed(&self, keys: &KeyRing) -> Result<Value> {
        type Envelopes = BTreeMap<String, BTreeMap<String, Option<String>>>;
        let mut columns: Envelopes = serde_json::from_value(self.sealed.clone()).map_err(Error::internal)?;
        let unknown = || Error::internal("an audit row contains an unknown column or invalid hex");
        for (column, sides) in &mut columns {
            let field = SealedField::of_application(column).ok_or_else(unknown)?;
            for envelope in sides.values_mut().flatten() {
                let bytes = bytes_of_hex(envelope).ok_or_else(unknown)?;
                let replacement = resealed(keys, field, self.application_id.as_bytes(), &bytes)?;
                *envelope = replacement.iter().map(|byte| format!("{byte:02x}")).collect();
            }
        }
        serde_json::to_value(columns).map_err(Error::internal)
    }
}

/// The key of a row: its application and version.
pub(super) type RowId = (Uuid, i64);

/// Reseals the next batch of rows after `after`.
pub(super) async fn reseal_batch(
    database: &Database,
    logger: &Logger,
    after: Option<RowId>,
    limit: i64,
) -> Result<Batch<RowId>> {
    let found = find(database, after, limit).await?;
    let next = found.last().map(|row| (row.application_id, row.version));
    let (mut rows, mut unreadable) = (Vec::new(), 0);
    for row in found {
        match row.resealed(database.keys()) {
            Ok(sealed) => rows.push((row, sealed)),
            Err(error) => {
                unreadable += 1;
                warn_unreadable(
                    logger,
                    "audit_logs",
                    &format!("{}/{}", row.application_id, row.version),
                    error,
                );
            }
        }
    }
    let written = transaction::run(database, logger, "reencrypt_audit", async |connection| {
        let mut written = 0;
        for (row, sealed) in &rows {
            written += write(connection, row, sealed).await?;
        }
        Ok(written)
    })
    .await?;
    Ok(Batch { pass: Pass { resealed: u64::try_from(written).map_err(Error::internal)?, unreadable }, next })
}

async fn write(connection: &mut AsyncPgConnection, row: &Found, sealed: &Value) -> QueryResult<i64> {
    let written: Rows = diesel::sql_query("SELECT reseal_audit_log($1, $2, $3, $4) AS rows")
        .bind::<diesel::sql_types::Uuid, _>(row.application_id)
        .bind::<BigInt, _>(row.version)
        .bind::<Jsonb, _>(&row.sealed)
        .bind::<Jsonb, _>(sealed)
        .get_result(connection)
        .await?;
    Ok(written.rows)
}

async fn find(database: &Database, after: Option<RowId>, limit: i64) -> Result<Vec<Found>> {
    let (application, version) = after.unwrap_or_default();
    let query = format!(
        "SELECT application_id, version, metadata -> 'sealed' AS sealed FROM audit_logs \
         WHERE (application_id, version) > ($2, $3) AND {REMAINING} ORDER BY application_id, version LIMIT $4"
    );
    let found = diesel::sql_query(query)
        .bind::<Binary, _>(database.keys().active_prefix().to_vec())
        .bind::<diesel::sql_types::Uuid, _>(application)
        .bind::<BigInt, _>(version)
        .bind::<BigInt, _>(limit)
        .load(&mut database.get().await?)
        .await?;
    Ok(found)
}
