//! Disbursements: their events and the projection of the events.
//!
//! [`record`] is the only way to change a disbursement. It appends an event and updates the projection in the caller's
//! transaction, which holds the lock of the projection's row ([`lock`]) and also contains the effect of the step, the end
//! of its job and the next job.

pub mod approvals;
pub mod check;
pub mod list;
pub mod pools;
mod row;

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;
use uuid::Uuid;

pub use self::row::StoredEvent;
use self::row::{DisbursementRow, EventRow};
use crate::domain::disbursement::destination::Destination;
use crate::domain::disbursement::history::{Disbursement, Event};
use crate::domain::ids::ApplicationId;
use crate::domain::status::Status;
use crate::error::{Error, PublicMessage, Result};
use crate::storage::jobs::{self, NewJob, Priority};
use crate::storage::schema::{applications, disbursement_destinations, disbursement_events, disbursements};
use crate::storage::seal::{KeyRing, SealedField};
use crate::storage::statement::{Binder, FixedStatement, Prepared};
use crate::storage::types::PgStatus;
use crate::storage::visibility::Visibility;

/// The task name of the jobs that run the steps.
pub const STEP_TASK: &str = "disbursement_step";

/// The lane of these jobs.
pub const STEP_LANE: &str = "disbursements";

/// Where an event comes from.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The request that caused the event.
    pub request_id: Option<String>,
    /// A keyed hash of the webhook that reported it.
    pub message_key: Option<String>,
}

/// Finds a disbursement that is visible to the caller.
pub async fn find(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    visibility: &Visibility,
) -> Result<Option<Disbursement>> {
    let mut query = disbursements::table.find(id).select(DisbursementRow::as_select()).into_boxed();
    if let Visibility::OwnedBy(account) = visibility {
        query = query.filter(disbursements::owner.eq(account));
    }
    let row: Option<DisbursementRow> = query.first(connection).await.optional()?;
    row.map(Disbursement::try_from).transpose()
}

/// Finds and locks a disbursement.
pub async fn lock(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<Disbursement>> {
    let query = disbursements::table.find(id).select(DisbursementRow::as_select()).for_update();
    let row: Option<DisbursementRow> = query.first(connection).await.optional()?;
    row.map(Disbursement::try_from).transpose()
}

/// The disbursement whose payment has this key.
pub async fn find_by_payment_key(connection: &mut AsyncPgConnection, key: Uuid) -> Result<Option<Uuid>> {
    let query = disbursements::table.filter(disbursements::payment_key.eq(key)).select(disbursements::id);
    Ok(query.first(connection).await.optional()?)
}

/// Whether an application has a disbursement that is in progress or has paid.
pub async fn has_live(connection: &mut AsyncPgConnection, id: ApplicationId) -> Result<bool> {
    let live = disbursements::table
        .filter(disbursements::application_id.eq(id.as_uuid()))
        .filter(disbursements::reverses.is_null())
        .filter(disbursements::state.ne_all(["CANCELLED", "RETURNED"]));
    Ok(diesel::select(diesel::dsl::exists(live)).get_result(connection).await?)
}

/// Whether an application is being paid out.
pub async fn is_in_progress(connection: &mut AsyncPgConnection, id: ApplicationId) -> Result<bool> {
    let in_progress = disbursements::table
        .filter(disbursements::application_id.eq(id.as_uuid()))
        .filter(disbursements::reverses.is_null())
        .filter(disbursements::state.ne_all(["CANCELLED", "RETURNED", "BOOKED", "COMPLETED"]));
    Ok(diesel::select(diesel::dsl::exists(in_progress)).get_result(connection).await?)
}

/// Locks an application and returns its status; `None` if it does not exist or is deleted.
pub async fn lock_application(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
) -> Result<Option<Status>> {
    let query = applications::table
        .select(applications::status)
        .filter(applications::id.eq(id.as_uuid()))
        .filter(applications::deleted_at.is_null())
        .for_update();
    let status: Option<PgStatus> = query.first(connection).await.optional()?;
    Ok(status.map(Status::from))
}

/// Begins a disbursement with its first event.
///
/// # Errors
/// [`Error::Internal`] if the event cannot be the first one.
pub async fn begin(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    event: &Event,
    source: &Source,
) -> Result<Disbursement> {
    let begun = Disbursement::begin(id, event).ok_or_else(|| Error::internal("not a first event"))?;
    append(connection, &begun, event, source).await?;
    let row = DisbursementRow::from(&begun);
    diesel::insert_into(disbursements::table).values(&row).execute(connection).await?;
    Ok(begun)
}

/// Records an event of a locked disbursement and returns the disbursement after it.
///
/// # Errors
/// [`Error::Conflict`] if the state does not permit the event.
pub async fn record(
    connection: &mut AsyncPgConnection,
    current: &Disbursement,
    event: &Event,
    source: &Source,
) -> Result<Disbursement> {
    let refused = |illegal: crate::domain::disbursement::history::IllegalEvent| {
        Error::Conflict(PublicMessage::new(illegal.to_string()))
    };
    let next = current.after(event).map_err(refused)?;
    append(connection, &next, event, source).await?;
    let row = DisbursementRow::from(&next);
    diesel::update(disbursements::table.find(next.id)).set(&row).execute(connection).await?;
    Ok(next)
}

async fn append(
    connection: &mut AsyncPgConnection,
    after: &Disbursement,
    event: &Event,
    source: &Source,
) -> Result<()> {
    let details = serde_json::to_value(&event.details).map_err(Error::internal)?;
    diesel::insert_into(disbursement_events::table)
        .values((
            disbursement_events::disbursement_id.eq(after.id),
            disbursement_events::sequence.eq(after.version),
            disbursement_events::kind.eq(event.kind.as_str()),
            disbursement_events::state.eq(after.state.as_str()),
            disbursement_events::details.eq(details),
            disbursement_events::actor.eq(&event.actor),
            disbursement_events::request_id.eq(&source.request_id),
            disbursement_events::message_key.eq(&source.message_key),
            disbursement_events::recorded_at.eq(event.at),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// The events of a disbursement, oldest first.
pub async fn events(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Vec<StoredEvent>> {
    let query = disbursement_events::table
        .filter(disbursement_events::disbursement_id.eq(id))
        .order(disbursement_events::sequence.asc())
        .select(EventRow::as_select());
    let rows: Vec<EventRow> = query.load(connection).await?;
    rows.into_iter().map(StoredEvent::try_from).collect()
}

/// The disbursement and state of the event that a webhook reported before.
pub async fn find_message(
    connection: &mut AsyncPgConnection,
    message_key: &str,
) -> Result<Option<(Uuid, String)>> {
    let query = disbursement_events::table
        .filter(disbursement_events::message_key.eq(message_key))
        .select((disbursement_events::disbursement_id, disbursement_events::state));
    Ok(query.first(connection).await.optional()?)
}

/// Stores the sealed destination of a disbursement.
pub async fn store_destination(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    id: Uuid,
    destination: &Destination,
) -> Result<()> {
    let text = serde_json::to_string(destination).map_err(Error::internal)?;
    let sealed = keys.seal(SealedField::Destination, id, &text)?;
    diesel::insert_into(disbursement_destinations::table)
        .values((
            disbursement_destinations::disbursement_id.eq(id),
            disbursement_destinations::destination.eq(sealed),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// The destination of a disbursement.
///
/// # Errors
/// [`Error::NotFound`], or [`Error::Internal`] if it cannot be opened.
pub async fn get_destination(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    id: Uuid,
) -> Result<Destination> {
    let query = disbursement_destinations::table.find(id).select(disbursement_destinations::destination);
    let sealed: Option<Vec<u8>> = query.first(connection).await.optional()?;
    let sealed = sealed.ok_or(Error::NotFound("destination"))?;
    let text = keys.open(SealedField::Destination, id, &sealed)?;
    serde_json::from_str(&text).map_err(|_invalid| Error::internal("a sealed destination is not valid"))
}

/// Queues the step that follows the last event, if one does. A job of an earlier event must have ended.
pub async fn queue_step(
    connection: &mut AsyncPgConnection,
    disbursement: &Disbursement,
    delay: Duration,
    request_id: Option<String>,
    traceparent: Option<String>,
) -> Result<()> {
    if disbursement.step().is_none() {
        return Ok(());
    }
    let job = NewJob {
        task_name: STEP_TASK.to_owned(),
        application_id: None,
        lane: STEP_LANE.to_owned(),
        args: json!({"disbursement_id": disbursement.id, "version": disbursement.version}),
        priority: Priority::Fresh,
        delay,
        request_id,
        traceparent,
    };
    match jobs::enqueue(connection, &job).await? {
        Some(_) => Ok(()),
        None => Err(Error::internal("the disbursement has a job already")),
    }
}

struct SupersedeStep(String);

impl FixedStatement for SupersedeStep {
    const NAME: &'static str = "supersede_disbursement_job";
    const SQL: &'static str = concat!(
        "WITH finished AS (DELETE FROM pending_jobs WHERE task_name = 'disbursement_step' \
            AND job_args ->> 'disbursement_id' = ? RETURNING *), ",
        crate::storage::jobs::job_history!(result: "'superseded'", from: "finished f"),
        " SELECT FROM finished"
    );

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.0)
    }
}

/// Ends the job of a disbursement, if there is one. A worker that is running it loses its lease.
pub async fn supersede_step(connection: &mut AsyncPgConnection, id: Uuid) -> Result<()> {
    Prepared(SupersedeStep(id.to_string())).execute(connection).await?;
    Ok(())
}

/// The identifiers of up to `limit` disbursements with events after `after`, in order.
pub async fn ids_after(
    connection: &mut AsyncPgConnection,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Uuid>> {
    let query = disbursement_events::table
        .filter(disbursement_events::sequence.eq(1))
        .filter(disbursement_events::disbursement_id.gt(after.unwrap_or_default()))
        .order(disbursement_events::disbursement_id.asc())
        .limit(limit)
        .select(disbursement_events::disbursement_id);
    Ok(query.load(connection).await?)
}

/// Replaces the projection of a disbursement with what its events result in. The transition triggers do not run.
pub async fn restore(connection: &mut AsyncPgConnection, replayed: &Disbursement) -> Result<()> {
    diesel::sql_query("SET LOCAL aval.rebuilding = 'on'").execute(connection).await?;
    diesel::delete(disbursements::table.find(replayed.id)).execute(connection).await?;
    let row = DisbursementRow::from(replayed);
    diesel::insert_into(disbursements::table).values(&row).execute(connection).await?;
    diesel::sql_query("SET LOCAL aval.rebuilding = 'off'").execute(connection).await?;
    Ok(())
}
