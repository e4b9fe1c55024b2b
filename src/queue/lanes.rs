//! Pauses and resumes lanes of the queue.

use diesel_async::AsyncPgConnection;
use slog::warn;

use crate::error::Result;
use crate::resources::Resources;
use crate::storage::{lanes, transaction};

pub use crate::storage::lanes::{LaneChange, PausedLane};

/// The paused lanes.
///
/// # Errors
/// If the database fails.
pub async fn paused(resources: &Resources) -> Result<Vec<PausedLane>> {
    lanes::paused(&mut *resources.database.get().await?).await
}

/// Pauses a lane on every instance or ends its pause. Returns the resulting pause, if any.
///
/// # Errors
/// If the database fails.
pub async fn set(resources: &Resources, change: &LaneChange) -> Result<Option<PausedLane>> {
    let Resources { database, logger, .. } = resources;
    let work = async |connection: &mut AsyncPgConnection| lanes::change(connection, change).await;
    let pause = transaction::run(database, logger, "set_lane", work).await?;
    warn!(logger, "lane paused or resumed by an operator"; "lane" => &change.lane, "paused" => change.paused,
        "request_id" => &change.request_id);
    Ok(pause)
}
