//! Rebuilding the blind index of e-mail addresses after a change of the index key.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use slog::Logger;
use uuid::Uuid;

use super::{Batch, Pass, warn_unreadable};
use crate::domain::personal_data::Email;
use crate::error::{Error, Result};
use crate::storage::Database;
use crate::storage::seal::{KeyRing, SealedField};
use crate::storage::transaction;

#[derive(QueryableByName)]
struct RemainingRows {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

pub(super) async fn count_remaining(connection: &mut AsyncPgConnection, keys: &KeyRing) -> Result<u64> {
    let query = "SELECT count(*) AS rows FROM account_contacts WHERE substring(email_index FOR 4) <> $1";
    let prefix = keys.index_prefix().to_vec();
    let left: RemainingRows =
        diesel::sql_query(query).bind::<Binary, _>(prefix).get_result(connection).await?;
    u64::try_from(left.rows).map_err(Error::internal)
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    user_id: Uuid,
    #[diesel(sql_type = Binary)]
    email: Vec<u8>,
}

/// Rebuilds the entries of the next batch of rows after the account `after`.
pub(super) async fn rebuild_batch(
    database: &Database,
    logger: &Logger,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Batch<Uuid>> {
    let keys = database.keys();
    let query = "SELECT user_id, email FROM account_contacts \
        WHERE user_id > $2 AND substring(email_index FOR 4) <> $1 ORDER BY user_id LIMIT $3";
    let found: Vec<Found> = diesel::sql_query(query)
        .bind::<Binary, _>(keys.index_prefix().to_vec())
        .bind::<diesel::sql_types::Uuid, _>(after.unwrap_or_default())
        .bind::<BigInt, _>(limit)
        .load(&mut database.get().await?)
        .await?;
    let next = found.last().map(|row| row.user_id);
    let (mut ids, mut emails, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    let mut unreadable = 0;
    for Found { user_id, email } in found {
        match keys.open(SealedField::AccountEmail, user_id.as_bytes(), &email) {
            Ok(text) => {
                ids.push(user_id);
                emails.push(email);
                entries.push(keys.email_index(&Email::from_storage(text)).as_bytes().to_vec());
            }
            Err(error) => {
                unreadable += 1;
                warn_unreadable(logger, "account_contacts", &user_id.to_string(), error);
            }
        }
    }
    let update = "UPDATE account_contacts c SET email_index = r.entry \
        FROM unnest($1, $2, $3) AS r (user_id, email, entry) WHERE c.user_id = r.user_id AND c.email = r.email";
    let written = transaction::run(database, logger, "rebuild_email_index", async |connection| {
        Ok(diesel::sql_query(update)
            .bind::<Array<diesel::sql_types::Uuid>, _>(&ids)
            .bind::<Array<Binary>, _>(&emails)
            .bind::<Array<Binary>, _>(&entries)
            .execute(connection)
            .await?)
    })
    .await?;
    Ok(Batch { pass: Pass { resealed: u64::try_from(written).map_err(Error::internal)?, unreadable }, next })
}
