//! Queue lanes that operators have paused.
//!
//! Every claim reads the table `paused_lanes`, so a pause takes effect on all instances when it commits. A pause ends
//! automatically when it expires according to the database's clock.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::schema::{paused_lane_log, paused_lanes};
use crate::storage::transaction::Abort;

/// A paused lane.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = paused_lanes, check_for_backend(diesel::pg::Pg))]
pub struct PausedLane {
    pub lane: String,
    pub reason: String,
    pub paused_by: String,
    pub paused_at: DateTime<Utc>,
    /// `None` for a pause without expiry.
    pub expires_at: Option<DateTime<Utc>>,
}

/// An operator's request to pause or resume a lane.
#[derive(Debug, Clone)]
pub struct LaneChange {
    pub lane: String,
    /// `true` pauses the lane, `false` resumes it.
    pub paused: bool,
    pub reason: String,
    pub account: String,
    pub request_id: String,
    /// When a pause ends, according to the database's clock. Not used when resuming.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The currently paused lanes, by name.
pub async fn paused(connection: &mut AsyncPgConnection) -> crate::error::Result<Vec<PausedLane>> {
    Ok(paused_lanes::table
        .select(PausedLane::as_select())
        .filter(
            paused_lanes::expires_at
                .is_null()
                .or(paused_lanes::expires_at.gt(diesel::dsl::now.into_sql::<Timestamptz>().nullable())),
        )
        .order(paused_lanes::lane.asc())
        .load(connection)
        .await?)
}

/// Pauses or resumes a lane in the caller's transaction and returns the pause, if any.
///
/// A pause replaces the previous pause of the lane. Resuming a lane that is not paused has no effect. Every call adds a
/// row with the operator to `paused_lane_log`.
pub async fn change(
    connection: &mut AsyncPgConnection,
    change: &LaneChange,
) -> Result<Option<PausedLane>, Abort> {
    let paused = if change.paused {
        let row = (
            paused_lanes::lane.eq(&change.lane),
            paused_lanes::reason.eq(&change.reason),
            paused_lanes::paused_by.eq(&change.account),
            paused_lanes::expires_at.eq(change.expires_at),
        );
        let replacement = (
            paused_lanes::reason.eq(&change.reason),
            paused_lanes::paused_by.eq(&change.account),
            paused_lanes::paused_at.eq(diesel::dsl::now),
            paused_lanes::expires_at.eq(change.expires_at),
        );
        let insertion = diesel::insert_into(paused_lanes::table)
            .values(row)
            .on_conflict(paused_lanes::lane)
            .do_update()
            .set(replacement)
            .returning(PausedLane::as_returning());
        Some(insertion.get_result(connection).await?)
    } else {
        diesel::delete(paused_lanes::table.filter(paused_lanes::lane.eq(&change.lane)))
            .execute(connection)
            .await?;
        None
    };
    diesel::insert_into(paused_lane_log::table)
        .values((
            paused_lane_log::lane.eq(&change.lane),
            paused_lane_log::paused.eq(change.paused),
            paused_lane_log::reason.eq(&change.reason),
            paused_lane_log::changed_by.eq(&change.account),
            paused_lane_log::request_id.eq(&change.request_id),
            paused_lane_log::expires_at.eq(change.expires_at),
        ))
        .execute(connection)
        .await?;
    Ok(paused)
}
