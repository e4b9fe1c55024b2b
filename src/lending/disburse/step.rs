//! The task that runs the steps of disbursements. Each step is a job of its own, with its own attempts.
//!
//! A job names the disbursement and the number of its last event. If there are later events, the job is superseded. A step
//! has two phases: `calls` asks the rail, without a transaction; then one transaction makes the
//! change.

mod calls;

pub(super) use self::calls::reported;

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use serde::Deserialize;
use uuid::Uuid;

use super::{ACTOR, TransitionOrigin, advance, report};
use crate::actors::write_batcher::{CommitHook, WriteBatchers, Written};
use crate::config::DisbursementSettings;
use crate::domain::application::Attribution;
use crate::domain::disbursement::history::{Details, Disbursement, Event};
use crate::domain::disbursement::workflow::{EventKind, Step};
use crate::domain::ids::ChangeId;
use crate::domain::status::{Initiator, Status};
use crate::error::{Error, Result};
use crate::queue::running_jobs::RunningJobs;
use crate::queue::task::{Attempt, Outcome, Task};
use crate::rails::gateway::RailGateway;
use crate::resources::Resources;
use crate::storage::applications::{self, Change, Visibility};
use crate::storage::disbursements::approvals::{self, Approval};
use crate::storage::disbursements::pools::{self, Entry};
use crate::storage::disbursements::{self, STEP_LANE, STEP_TASK, Source};
use crate::storage::jobs::{self, ClaimedJob, DeadLetter, Quota, Supersede};
use crate::storage::transaction::{self, Abort};
use crate::telemetry::metrics::seconds;

/// Runs the steps of disbursements.
pub struct DisbursementStep {
    pub resources: Resources,
    pub write_batchers: WriteBatchers,
    pub rails: RailGateway,
    pub on_commit: CommitHook,
}

#[derive(Deserialize)]
struct Arguments {
    disbursement_id: Uuid,
    version: i64,
}

/// What the first phase of a step found.
enum Finding {
    /// The event of the step is known.
    Event(EventKind, Box<Details>),
    /// The second phase determines the event.
    Effect,
    /// Nothing is known yet.
    Wait(Duration),
}

impl Task for DisbursementStep {
    const NAME: &'static str = STEP_TASK;

    fn lanes() -> Vec<&'static str> {
        vec![STEP_LANE]
    }

    /// Steps take at most half of the instance's slots, so a slow rail cannot delay applications.
    async fn quotas(&self, running: &RunningJobs) -> Vec<Quota> {
        let configured = usize::try_from(self.settings().max_in_flight).unwrap_or(usize::MAX);
        let most = configured.min((running.pool_size() / 2).max(1));
        let free = most.saturating_sub(running.count_in(STEP_LANE));
        vec![Quota { lane: STEP_LANE.to_owned(), max_jobs: i32::try_from(free).unwrap_or(i32::MAX) }]
    }

    fn max_attempts(&self) -> i32 {
        self.settings().max_attempts
    }

    /// Database errors are retried: a step must not be compensated because a statement failed once.
    fn retryable(&self, error: &Error) -> bool {
        error.retryable() || matches!(error, Error::Database { .. })
    }

    fn longest_pause(&self, attempt: i32) -> Duration {
        self.settings().longest_pause(attempt)
    }

    async fn run(&self, attempt: &Attempt) -> Result<Outcome> {
        let Arguments { disbursement_id, version } = attempt.job.read_args()?;
        let found = self.find(disbursement_id).await?.filter(|found| found.version == version);
        let Some((current, step)) = found.and_then(|found| found.step().map(|step| (found, step))) else {
            return self.supersede(attempt).await;
        };
        let started = self.resources.clock.monotonic();
        let outcome = match self.find_event(&current, step, attempt.job.attempt).await? {
            Finding::Wait(pause) => Ok(Outcome::Snoozed(pause)),
            Finding::Effect => self.change(attempt, &current, step, None).await,
            Finding::Event(kind, details) => {
                self.change(attempt, &current, step, Some((kind, *details))).await
            }
        };
        let took = self.resources.clock.monotonic().saturating_sub(started);
        let duration = &self.resources.metrics.disbursement_step_duration_seconds;
        duration.with_label_values(&[step.as_str()]).observe(seconds(took));
        outcome
    }

    /// Before the pivot, the disbursement is compensated; after it, it is stuck.
    async fn give_up(&self, job: &ClaimedJob, dead_letter: DeadLetter) -> Result<bool> {
        let Arguments { disbursement_id, version } = job.read_args()?;
        let origin = origin(job);
        let work = async |connection: &mut AsyncPgConnection| {
            let letters = std::slice::from_ref(&dead_letter);
            if !jobs::move_to_dead_letters(connection, letters).await?.contains(&true) {
                return Ok(None);
            }
            let locked = disbursements::lock(connection, disbursement_id).await?;
            let Some(current) = locked.filter(|found| found.version == version) else {
                return Ok(Some(None));
            };
            let Some(kind) = current.state.failure() else { return Ok(Some(None)) };
            let event = self.event(kind, Details::reason(dead_letter.error_type.clone()));
            let next = advance(&self.resources, connection, &current, &event, &origin).await?;
            Ok(Some(Some((current.state, next))))
        };
        let given_up = self.commit("give_up_disbursement_step", work).await?;
        if let Some(Some((before, next))) = &given_up {
            report(&self.resources, *before, next);
        }
        Ok(given_up.is_some())
    }
}

impl DisbursementStep {
    fn settings(&self) -> &DisbursementSettings {
        &self.resources.settings.disbursements
    }

    async fn find(&self, id: Uuid) -> Result<Option<Disbursement>> {
        let mut connection = self.resources.database.get().await?;
        disbursements::find(&mut connection, id, &Visibility::All).await
    }

    async fn supersede(&self, attempt: &Attempt) -> Result<Outcome> {
        match self.write_batchers.write(Supersede(attempt.job.lease)).await? {
            true => Ok(Outcome::Superseded),
            false => Ok(Outcome::LeaseLost),
        }
    }

    fn event(&self, kind: EventKind, details: Details) -> Event {
        Event { kind, details, actor: ACTOR.to_owned(), at: self.resources.clock.now() }
    }

    /// Makes the change of a step in one transaction.
    async fn change(
        &self,
        attempt: &Attempt,
        found: &Disbursement,
        step: Step,
        known: Option<(EventKind, Details)>,
    ) -> Result<Outcome> {
        let (lease, origin) = (attempt.job.lease, origin(&attempt.job));
        let work = async |connection: &mut AsyncPgConnection| {
            let locked = disbursements::lock(connection, found.id).await?;
            let Some(current) = locked.filter(|current| current.version == found.version) else {
                let held = jobs::supersede(connection, &[lease]).await?.contains(&true);
                return if held { Ok(None) } else { Err(Error::LeaseLost.into()) };
            };
            if !jobs::complete(connection, lease).await? {
                return Err(Error::LeaseLost.into());
            }
            let (kind, details) = match &known {
                Some(known) => known.clone(),
                None => self.effect(connection, &current, step, &origin).await?,
            };
            self.keep_approvals(connection, &current, kind, &details).await?;
            let event = self.event(kind, details);
            Ok(Some(advance(&self.resources, connection, &current, &event, &origin).await?))
        };
        match self.commit("run_disbursement_step", work).await? {
            Some(next) => {
                report(&self.resources, found.state, &next);
                Ok(Outcome::Completed)
            }
            None => Ok(Outcome::Superseded),
        }
    }

    /// The effect of a step in the database, and its event.
    async fn effect(
        &self,
        connection: &mut AsyncPgConnection,
        current: &Disbursement,
        step: Step,
        origin: &TransitionOrigin,
    ) -> Result<(EventKind, Details), Abort> {
        let (id, beginning) = (current.id, &current.beginning);
        let entry = Entry { id: self.resources.clock.new_uuid(), country: beginning.country, actor: ACTOR };
        let kind = match step {
            Step::ReserveFunds => {
                if pools::reserve(connection, id, beginning.country, beginning.amount).await? {
                    EventKind::FundsReserved
                } else {
                    return Ok((EventKind::StepFailed, Details::reason("insufficient_funds")));
                }
            }
            Step::Book => {
                pools::book(connection, &entry, id).await?;
                self.complete_application(connection, current, origin).await?;
                EventKind::Booked
            }
            Step::Compensate => {
                pools::release(connection, id).await?;
                EventKind::FundsReleased
            }
            Step::BookReturn => {
                let reversed = beginning.reverses.ok_or_else(|| Error::internal("a return of nothing"))?;
                pools::book_return(connection, &entry, id, reversed, beginning.amount).await?;
                EventKind::ReturnBooked
            }
            Step::VerifyDestination
            | Step::AwaitApproval
            | Step::SubmitPayment
            | Step::ConfirmPayment
            | Step::Notify => return Err(Error::internal("the step has no effect in the database").into()),
        };
        Ok((kind, Details::default()))
    }

    async fn complete_application(
        &self,
        connection: &mut AsyncPgConnection,
        current: &Disbursement,
        origin: &TransitionOrigin,
    ) -> Result<(), Abort> {
        let attribution = Attribution {
            change_id: ChangeId::new(self.resources.clock.new_uuid()),
            changed_by: ACTOR.to_owned(),
            reason: Some("paid out".to_owned()),
            request_id: None,
        };
        applications::change(
            connection,
            self.resources.database.keys(),
            current.beginning.application_id,
            &Visibility::All,
            Initiator::Disbursement,
            Uuid::nil(),
            &Change::Status(Status::Completed),
            &attribution,
            None,
            origin.traceparent.as_deref(),
        )
        .await?;
        Ok(())
    }

    /// Requests the approval of a second person, or ends a request that has expired.
    async fn keep_approvals(
        &self,
        connection: &mut AsyncPgConnection,
        current: &Disbursement,
        kind: EventKind,
        details: &Details,
    ) -> Result<(), Abort> {
        let now = self.resources.clock.now();
        match kind {
            EventKind::ApprovalRequired => {
                let approval = Approval {
                    id: self.resources.clock.new_uuid(),
                    disbursement_id: current.id,
                    action: "pay".to_owned(),
                    reason: details.reason.clone().unwrap_or_default(),
                    maker: current.beginning.requested_by.clone(),
                    maker_id: current.beginning.requester_id,
                    requested_at: now,
                    expires_at: now + self.settings().approval_time(),
                    decision: None,
                    checker: None,
                    checker_id: None,
                    decided_at: None,
                };
                approvals::insert(connection, &approval).await?;
            }
            EventKind::Declined => {
                if let Some(pending) = approvals::find_pending(connection, current.id).await? {
                    approvals::decide(connection, pending.id, "expired", None, now).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn commit<R>(
        &self,
        name: &'static str,
        work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R, Abort>,
    ) -> Result<R> {
        let Resources { database, logger, .. } = &self.resources;
        let made = transaction::run(database, logger, name, work).await?;
        (self.on_commit)(Written { jobs: true, events: true });
        Ok(made)
    }
}

/// The origin of a change by a job.
fn origin(job: &ClaimedJob) -> TransitionOrigin {
    let request_id = job.request_id.as_ref().map(ToString::to_string);
    TransitionOrigin {
        source: Source { request_id, message_key: None },
        traceparent: job.traceparent.clone(),
    }
}
