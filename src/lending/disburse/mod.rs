//! Pays out approved applications.
//!
//! [`request`] begins a disbursement, [`step`] runs its steps as jobs, [`confirm`] applies the webhooks of the rails,
//! [`intervene`] applies the decisions of people, and [`rebuild`] compares the projection with the events.
//!
//! Every change is one transaction with the lock of the disbursement's row: the effect of the step, its event, the
//! projection, the end of the step's job and the next job ([`advance`]). If it fails or the process dies, nothing has
//! happened, and the job runs again. Only the calls to a rail have effects outside the database. They carry a key that was
//! committed before the first call, so an interrupted submission is followed by an inquiry about the same payment.
//!
//! What can go wrong: a rail that never reports an outcome, and a step after the pivot or a compensation that fails
//! permanently. Such a disbursement is `STUCK`, is logged as an error with the alert `disbursement_stuck`, and waits for two
//! people.

pub mod confirm;
pub mod events;
pub mod intervene;
pub mod pools;
pub mod read;
pub mod rebuild;
pub mod request;
pub mod step;

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use slog::{error, info};

use crate::config::DisbursementSettings;
use crate::domain::disbursement::history::{Beginning, Details, Disbursement, Event};
use crate::domain::disbursement::workflow::{EventKind, State};
use crate::error::Result;
use crate::resources::Resources;
use crate::storage::disbursements::{self, Source};

pub use crate::storage::disbursements::StoredEvent;
pub use crate::storage::disbursements::approvals::Approval;
pub use crate::storage::disbursements::list::DisbursementFilter;
pub use crate::storage::disbursements::pools::PoolLevel;

/// The actor of the events that the workflow itself causes.
pub const ACTOR: &str = "system:disbursements";

/// The origin of a change: the request that caused it, its trace, and the webhook that reported it.
#[derive(Debug, Clone, Default)]
struct TransitionOrigin {
    source: Source,
    traceparent: Option<String>,
}

/// Records an event of a locked disbursement whose job has ended, and queues its next step. If the payment came back, the
/// reversal begins.
async fn advance(
    resources: &Resources,
    connection: &mut AsyncPgConnection,
    current: &Disbursement,
    event: &Event,
    origin: &TransitionOrigin,
) -> Result<Disbursement> {
    let next = disbursements::record(connection, current, event, &origin.source).await?;
    queue_next(resources, connection, &next, origin).await?;
    if next.state == State::Returned {
        begin_reversal(resources, connection, &next, event.at, origin).await?;
    }
    Ok(next)
}

async fn queue_next(
    resources: &Resources,
    connection: &mut AsyncPgConnection,
    next: &Disbursement,
    origin: &TransitionOrigin,
) -> Result<()> {
    let delay = pause_before_step(&resources.settings.disbursements, next.state);
    let (request_id, traceparent) = (origin.source.request_id.clone(), origin.traceparent.clone());
    disbursements::queue_step(connection, next, delay, request_id, traceparent).await
}

/// How long the step of a state waits for something that would make it unnecessary.
fn pause_before_step(settings: &DisbursementSettings, state: State) -> Duration {
    match state {
        State::Unknown => settings.inquiry_pause(),
        State::Submitted => settings.confirmation_pause(),
        State::AwaitingApproval => settings.approval_time().to_std().unwrap_or_default(),
        _ => Duration::ZERO,
    }
}

async fn begin_reversal(
    resources: &Resources,
    connection: &mut AsyncPgConnection,
    returned: &Disbursement,
    at: DateTime<Utc>,
    origin: &TransitionOrigin,
) -> Result<()> {
    let beginning = Beginning { reverses: Some(returned.id), ..returned.beginning.clone() };
    let details =
        Details { beginning: Some(beginning), reason: returned.reason.clone(), ..Details::default() };
    let event = Event { kind: EventKind::ReversalRequested, details, actor: ACTOR.to_owned(), at };
    let source = Source { message_key: None, ..origin.source.clone() };
    let begun = disbursements::begin(connection, resources.clock.new_uuid(), &event, &source).await?;
    queue_next(resources, connection, &begun, origin).await
}

/// Logs and counts a committed transition.
fn report(resources: &Resources, before: State, after: &Disbursement) {
    let (id, state) = (after.id.to_string(), after.state.as_str());
    resources.metrics.disbursement_transitions_total.with_label_values(&[state]).inc();
    let reason = after.reason.as_deref();
    if after.state == State::Stuck {
        error!(resources.logger, "disbursement is stuck"; "disbursement_id" => id, "stuck_in" => before.as_str(),
            "reason" => reason, "alert" => "disbursement_stuck");
    } else {
        info!(resources.logger, "disbursement changed"; "disbursement_id" => id, "from" => before.as_str(),
            "to" => state, "reason" => reason);
    }
}
