//! Re-encryption: reseals, with the active key, all values that are sealed with another key. Instances keep serving.
//!
//! The rows themselves show what remains: an envelope begins with the id of its key, and an entry of the blind index
//! with the id of the index key. No progress is stored. An interrupted run continues when it is started again, and a
//! run is complete when no rows remain.
//!
//! Each table is processed in the order of its key, in small batches. Opening and sealing happen before any lock is
//! taken, and each new envelope is opened and compared before it is written. The rows of a batch are locked together,
//! in the order of their ids, for one short statement that writes only where the old bytes are unchanged. Concurrent
//! changes therefore take precedence, and the next pass processes those rows again. Triggers create no new version,
//! audit row or event for such writes, because no value changes.
//!
//! A row that cannot be opened is left unchanged and counted: either a key is missing or the row was tampered with.

mod applications;
mod audit;
mod column;
mod emails;

use diesel_async::AsyncPgConnection;
use slog::{Logger, warn};

use crate::error::Result;
use crate::storage::Database;
use crate::storage::seal::{KeyRing, SealedField};

/// The result of a pass through all tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Rows that were resealed with the active key.
    pub resealed: u64,
    /// Rows that could not be opened.
    pub unreadable: u64,
}

/// The result of one batch.
struct Batch<C> {
    pass: Pass,
    /// Where the next batch begins; `None` at the end.
    next: Option<C>,
}

/// The number of rows with a value that is not sealed with the active key, or with a blind index of another index key.
pub async fn count_remaining(connection: &mut AsyncPgConnection, keys: &KeyRing) -> Result<u64> {
    let mut left = applications::count_remaining(connection, keys).await?;
    left += audit::count_remaining(connection, keys).await?;
    for field in other_columns(connection).await? {
        left += column::count_remaining(connection, keys, field).await?;
    }
    // Like the columns, the table exists only after its migration.
    if column::exists(connection, SealedField::AccountEmail).await? {
        left += emails::count_remaining(connection, keys).await?;
    }
    Ok(left)
}

/// Processes every sealed column once, `batch` rows at a time. `on_progress` gets the number of resealed rows after
/// each batch. Rows that change concurrently may remain for another pass.
///
/// # Errors
/// If the database or sealing fails.
pub async fn pass(
    database: &Database,
    logger: &Logger,
    batch: i64,
    mut on_progress: impl FnMut(u64),
) -> Result<Pass> {
    let mut total = Pass::default();
    let mut note = |pass: Pass| {
        total.resealed += pass.resealed;
        total.unreadable += pass.unreadable;
        on_progress(pass.resealed);
    };
    each_batch(&mut note, async |after| applications::reseal_batch(database, logger, after, batch).await)
        .await?;
    each_batch(&mut note, async |after| audit::reseal_batch(database, logger, after, batch).await).await?;
    for field in other_columns(&mut *database.get().await?).await? {
        each_batch(&mut note, async |after: Option<Vec<u8>>| {
            column::reseal_batch(database, logger, field, after.as_deref(), batch).await
        })
        .await?;
    }
    if column::exists(&mut *database.get().await?, SealedField::AccountEmail).await? {
        each_batch(&mut note, async |after| emails::rebuild_batch(database, logger, after, batch).await)
            .await?;
    }
    Ok(total)
}

/// Processes the batches of one table. `process` gets where the batch begins; `None` is the beginning of the table.
async fn each_batch<C>(
    mut note: impl FnMut(Pass),
    process: impl AsyncFn(Option<C>) -> Result<Batch<C>>,
) -> Result<()> {
    let mut after = None;
    loop {
        let done = process(after).await?;
        note(done.pass);
        after = done.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Sealed columns outside `applications`, whose columns are processed together.
async fn other_columns(connection: &mut AsyncPgConnection) -> Result<Vec<SealedField>> {
    let mut columns = Vec::new();
    for field in SealedField::ALL.into_iter().filter(|field| field.place().0 != "applications") {
        if column::exists(connection, field).await? {
            columns.push(field);
        }
    }
    Ok(columns)
}

/// The replacement for `envelope`; the same envelope if the active key sealed it.
fn resealed(keys: &KeyRing, field: SealedField, row: &[u8], envelope: &[u8]) -> Result<Vec<u8>> {
    if envelope.starts_with(&keys.active_prefix()) {
        return Ok(envelope.to_vec());
    }
    let plain = keys.open_bytes(field, row, envelope)?;
    sealed_and_verified(keys, field, row, &plain)
}

/// Seals a value and opens it again, so nothing is overwritten with an unreadable envelope.
fn sealed_and_verified(keys: &KeyRing, field: SealedField, row: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let envelope = keys.seal_bytes(field, row, plain)?;
    if keys.open_bytes(field, row, &envelope)? == plain {
        Ok(envelope)
    } else {
        Err(crate::error::Error::internal(format_args!("{field} does not open to the sealed value")))
    }
}

fn warn_unreadable(logger: &Logger, table: &str, row: &str, error: crate::error::Error) {
    warn!(logger, "cannot reseal a row"; "table" => table, "row" => row, error);
}
