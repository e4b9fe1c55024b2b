//! Lanes of the queue: which are paused, and pausing them.

use diesel_async::AsyncPgConnection;
use slog::warn;

use crate::error::Result;
use crate::resources::Resources;
use crate::storage::{lanes, transaction};

pub use crate::storage::lanes::{LaneChange, PausedLane};

/// The paused lanes.
///
/// # Errors
/// When the database fails.
pub async fn paused(resources: &Resources) -> Result<Vec<PausedLane>> {
    lanes::paused(&mut *resources.database.get().await?).await
}

/// Pauses a lane on every instance, or ends its pause; the pause that is in force afterwards.
///
/// # Errors
/// When the database fails.
pub async fn set(resources: &Resources, change: &LaneChange) -> Result<Option<PausedLane>> {
    let Resources { database, logger, .. } = resources;
    let work = async |connection: &mut AsyncPgConnection| lanes::change(connection, change).await;
    let pause = transaction::run(database, logger, "set_lane", work).await?;
    warn!(logger, "an operator has set a lane"; "lane" => &change.lane, "paused" => change.paused,
        "account" => &change.account, "request_id" => &change.request_id);
    Ok(pause)
}
