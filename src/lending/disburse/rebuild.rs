//! Compares the projection with the events, and restores it.

use diesel_async::AsyncPgConnection;
use slog::Logger;
use uuid::Uuid;

use crate::domain::disbursement::history::{Disbursement, Event};
use crate::error::{Error, Result};
use crate::storage::Database;
use crate::storage::disbursements::{self, check};
use crate::storage::transaction::{self, Abort};

/// The number of disbursements that are read at once.
const BATCH: i64 = 500;

/// The result of a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Comparison {
    pub compared: u64,
    /// Rows of the projection that differed from the events or were missing.
    pub different: u64,
}

/// Replays the events of every disbursement and compares the result with the projection. With `restores`, rows that differ
/// are replaced.
///
/// # Errors
/// [`Error::Internal`] if events are not a valid history, or a database error.
pub async fn rebuild(database: &Database, logger: &Logger, restores: bool) -> Result<Comparison> {
    let (mut result, mut after) = (Comparison::default(), None);
    loop {
        let ids = {
            let mut connection = database.get().await?;
            disbursements::ids_after(&mut connection, after, BATCH).await?
        };
        for id in &ids {
            let work = async |connection: &mut AsyncPgConnection| compare(connection, *id, restores).await;
            let is_equal = transaction::run(database, logger, "rebuild_disbursement", work).await?;
            result.compared += 1;
            result.different += u64::from(!is_equal);
        }
        match ids.last() {
            Some(last) => after = Some(*last),
            None => return Ok(result),
        }
    }
}

/// Whether the projection of a disbursement is what its events result in.
async fn compare(connection: &mut AsyncPgConnection, id: Uuid, restores: bool) -> Result<bool, Abort> {
    let current = disbursements::lock(connection, id).await?;
    let stored = disbursements::events(connection, id).await?;
    let events: Vec<Event> = stored.into_iter().map(|stored| stored.event).collect();
    let invalid =
        || Error::internal(format_args!("the events of the disbursement {id} are not a valid history"));
    let replayed = Disbursement::replay(id, &events).ok_or_else(invalid)?;
    let is_equal = current.as_ref() == Some(&replayed);
    if !is_equal && restores {
        disbursements::restore(connection, &replayed).await?;
    }
    Ok(is_equal)
}

/// The violations of the rules about pools, ledger and disbursements.
///
/// # Errors
/// A database error.
pub async fn audit(database: &Database, logger: &Logger) -> Result<Vec<String>> {
    let work = async |connection: &mut AsyncPgConnection| {
        // One snapshot for all rules.
        diesel_async::RunQueryDsl::execute(
            diesel::sql_query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"),
            connection,
        )
        .await?;
        Ok(check::violations(connection).await?)
    };
    transaction::run(database, logger, "audit_disbursements", work).await
}
