//! Lanes of the queue that operators have paused.
//!
//! A claim looks at this table itself, so that a pause holds on every instance from its commit on, and ends when it has
//! expired, by the database's clock, without anybody's doing.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::schema::{paused_lane_log, paused_lanes};
use crate::storage::transaction::Abort;

/// A lane that is paused.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = paused_lanes, check_for_backend(diesel::pg::Pg))]
pub struct PausedLane {
    /// Which.
    pub lane: String,
    /// Why.
    pub reason: String,
    /// Who paused it.
    pub paused_by: String,
    /// Since when.
    pub paused_at: DateTime<Utc>,
    /// Until when; `None` until somebody ends it.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What an operator wants of a lane.
#[derive(Debug, Clone)]
pub struct LaneChange {
    /// Which.
    pub lane: String,
    /// Whether it is to stand still.
    pub paused: bool,
    /// Why.
    pub reason: String,
    /// Who wants it.
    pub account: String,
    /// The request.
    pub request_id: String,
    /// Until when, by the database's clock; of a pause alone.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The lanes that are paused now, by name.
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

/// Pauses a lane or has it run again, and notes who did. Both may be asked for again. Runs in the caller's transaction.
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
        let again = (
            paused_lanes::reason.eq(&change.reason),
            paused_lanes::paused_by.eq(&change.account),
            paused_lanes::paused_at.eq(diesel::dsl::now),
            paused_lanes::expires_at.eq(change.expires_at),
        );
        let insertion = diesel::insert_into(paused_lanes::table)
            .values(row)
            .on_conflict(paused_lanes::lane)
            .do_update()
            .set(again)
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
