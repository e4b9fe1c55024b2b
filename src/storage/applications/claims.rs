//! Claims on documents, which enforce the duplicate rule (section 9 of docs/specification.md). The insert creates them
//! and a trigger releases them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Result;
use crate::storage::schema::document_claims;
use crate::storage::seal::BlindIndex;

/// When the account's claim on a document expires, or `None` if it has no open application for the document. The claim
/// may be released earlier.
pub async fn held_until(
    connection: &mut AsyncPgConnection,
    account: &str,
    document: BlindIndex,
) -> Result<Option<DateTime<Utc>>> {
    let claim = document_claims::table.find((account, document.as_bytes().to_vec()));
    Ok(claim.select(document_claims::expires_at).first(connection).await.optional()?)
}

/// Deletes up to `limit` claims that expired before `now` and returns how many it deleted. Locked claims are skipped:
/// another transaction is taking them over.
pub async fn delete_expired_claims(
    connection: &mut AsyncPgConnection,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<usize> {
    let delete = "DELETE FROM document_claims WHERE (created_by, document_index) IN ( \
        SELECT created_by, document_index FROM document_claims \
        WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
    let delete = diesel::sql_query(delete).bind::<Timestamptz, _>(now).bind::<BigInt, _>(i64::from(limit));
    Ok(delete.execute(connection).await?)
}
