//! Sealing again: everything that another key sealed is sealed by the active one, while Aval serves.
//!
//! What is left to do can be read off the rows themselves: an envelope begins with its key's id, an entry of the blind
//! index with that of the index key. No state of a run is stored: an interrupted run continues when it is started again,
//! and a run is over when nothing is left.
//!
//! A walk goes through a table in the order of its key, in small batches. Opening and sealing happen before anything is
//! locked; each new envelope is opened once more and compared before it is written. The rows of a batch are locked
//! together, in the order of their ids, for one short statement that writes only where the old bytes still stand: whoever
//! changed a row meanwhile wins, and the next pass looks at it again. The triggers let such a write pass without a new
//! version, an audit row or an event, because nothing that it holds has changed.
//!
//! A row that cannot be opened is left as it is and counted: a key is missing, or somebody changed it.

mod applications;
mod audit;
mod column;

use diesel_async::AsyncPgConnection;
use slog::{Logger, warn};

use crate::error::Result;
use crate::storage::Database;
use crate::storage::seal::{KeyRing, SealedField};

/// What a pass through all tables did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Rows that are sealed by the active key now.
    pub resealed: u64,
    /// Rows that could not be opened.
    pub unopened: u64,
}

/// What became of one batch.
struct Batch<C> {
    pass: Pass,
    /// Where the next one begins; `None` at the end.
    next: Option<C>,
}

/// How many rows hold something that is not sealed by the active key, or stand in the blind index by another key.
pub async fn count_left(connection: &mut AsyncPgConnection, keys: &KeyRing) -> Result<u64> {
    let mut left = applications::count_left(connection, keys).await?;
    left += audit::count_left(connection, keys).await?;
    for field in other_columns(connection).await? {
        left += column::count_left(connection, keys, field).await?;
    }
    Ok(left)
}

/// Goes once through every sealed column, `batch` rows at a time, and tells `on_progress` after each batch how many rows
/// were sealed in it. A row that somebody changes meanwhile may be left for another pass.
///
/// # Errors
/// When the database fails, or when sealing does.
pub async fn pass(
    database: &Database,
    logger: &Logger,
    batch: i64,
    mut on_progress: impl FnMut(u64),
) -> Result<Pass> {
    let mut total = Pass::default();
    let mut note = |pass: Pass| {
        total.resealed += pass.resealed;
        total.unopened += pass.unopened;
        on_progress(pass.resealed);
    };
    let mut after = None;
    loop {
        let done = applications::reseal_batch(database, logger, after, batch).await?;
        note(done.pass);
        after = done.next;
        if after.is_none() {
            break;
        }
    }
    let mut after = None;
    loop {
        let done = audit::reseal_batch(database, logger, after, batch).await?;
        note(done.pass);
        after = done.next;
        if after.is_none() {
            break;
        }
    }
    let others = other_columns(&mut *database.get().await?).await?;
    for field in others {
        let mut after = None;
        loop {
            let done = column::reseal_batch(database, logger, field, after.as_deref(), batch).await?;
            note(done.pass);
            after = done.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(total)
}

/// The sealed columns that stand alone in their tables: those of `applications` are walked together.
async fn other_columns(connection: &mut AsyncPgConnection) -> Result<Vec<SealedField>> {
    let mut columns = Vec::new();
    for field in SealedField::ALL.into_iter().filter(|field| field.place().0 != "applications") {
        if column::exists(connection, field).await? {
            columns.push(field);
        }
    }
    Ok(columns)
}

/// The envelope to write in the place of `envelope`: itself when the active key sealed it.
fn resealed(keys: &KeyRing, field: SealedField, row: &[u8], envelope: &[u8]) -> Result<Vec<u8>> {
    if envelope.starts_with(&keys.active_prefix()) {
        return Ok(envelope.to_vec());
    }
    let plain = keys.open_bytes(field, row, envelope)?;
    sealed_and_verified(keys, field, row, &plain)
}

/// Seals, and opens again: nothing is written over that could not be read afterwards.
fn sealed_and_verified(keys: &KeyRing, field: SealedField, row: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let envelope = keys.seal_bytes(field, row, plain)?;
    if keys.open_bytes(field, row, &envelope)? == plain {
        Ok(envelope)
    } else {
        Err(crate::error::Error::internal(format_args!("{field} does not open to what was sealed")))
    }
}

fn warn_unopened(logger: &Logger, table: &str, row: &str, error: crate::error::Error) {
    warn!(logger, "a row is not sealed again"; "table" => table, "row" => row, error);
}
