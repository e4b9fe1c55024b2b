//! Claims on documents: the memory of the duplicate rule (SPEC 9). They are taken by the insert and let go by trigger.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Result;

/// Deletes up to `limit` claims that expired before `now`; returns how many there were. What somebody has locked is being
/// taken over.
///
/// # Errors
/// When the database fails.
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
