//! The first phase of a step: what the rail says.
//!
//! A submission is sent only in the first attempt of its job. In a later attempt, the payment may have been sent without
//! its answer being recorded, so the rail is asked for it by its key. It is sent again, under the same key, only after the
//! rail has answered that it has no such payment.

use uuid::Uuid;

use super::{DisbursementStep, Finding};
use crate::domain::disbursement::destination::is_same_holder;
use crate::domain::disbursement::history::{Details, Disbursement};
use crate::domain::disbursement::rail::{DestinationAnswer, PaymentAnswer, PaymentStatus};
use crate::domain::disbursement::workflow::{EventKind, State, Step};
use crate::domain::personal_data::FullName;
use crate::error::{Error, Result};
use crate::rails::Payment;
use crate::rails::gateway::CallFailure;
use crate::storage::applications::{self, Visibility};
use crate::storage::disbursements;

impl DisbursementStep {
    /// Finds the event of a step, as far as a rail determines it.
    pub(super) async fn find_event(
        &self,
        current: &Disbursement,
        step: Step,
        attempt: i32,
    ) -> Result<Finding> {
        match step {
            Step::ReserveFunds | Step::Book | Step::Compensate | Step::BookReturn => Ok(Finding::Effect),
            Step::VerifyDestination => self.verify(current).await,
            Step::AwaitApproval => Ok(event(EventKind::Declined, Details::reason("approval_expired"))),
            Step::SubmitPayment if current.state == State::Verified => Ok(self.start_payment()),
            Step::SubmitPayment if attempt > 1 => Ok(event(EventKind::PaymentUnanswered, Details::default())),
            Step::SubmitPayment => self.submit(current).await,
            Step::ConfirmPayment => self.inquire(current).await,
            // Applications hold no contact yet.
            Step::Notify => Ok(event(EventKind::NotificationSkipped, Details::reason("no_contact"))),
        }
    }

    async fn verify(&self, current: &Disbursement) -> Result<Finding> {
        let mut connection = self.resources.database.get().await?;
        let keys = self.resources.database.keys();
        let destination = disbursements::get_destination(&mut connection, keys, current.id).await?;
        let id = current.beginning.application_id;
        let applicant = applications::get(&mut connection, keys, id, &Visibility::All).await?.full_name;
        drop(connection);
        match self.rails.lookup(current.rail(), &destination).await {
            Ok(DestinationAnswer { refused: Some(reason), .. }) => {
                Ok(event(EventKind::StepFailed, Details::reason(reason)))
            }
            Ok(DestinationAnswer { holder, .. }) => Ok(self.verified(current, holder.as_ref(), &applicant)),
            Err(CallFailure::NotProcessed(_)) if !self.is_overdue(current) => {
                Ok(Finding::Wait(self.settings().inquiry_pause()))
            }
            Err(CallFailure::NotProcessed(cause) | CallFailure::Unanswered(cause)) => {
                Err(Error::unavailable("payment rail", cause))
            }
        }
    }

    /// Whether a second person must approve: another holder than the applicant, or a large amount.
    fn verified(&self, current: &Disbursement, holder: Option<&FullName>, applicant: &FullName) -> Finding {
        let names_other = holder.is_some_and(|name| !is_same_holder(name.reveal(), applicant.reveal()));
        let beginning = &current.beginning;
        if beginning.holder_differs || names_other {
            event(EventKind::ApprovalRequired, Details::reason("holder_differs"))
        } else if self.settings().needs_approval(beginning.country, beginning.amount) {
            event(EventKind::ApprovalRequired, Details::reason("amount_above_limit"))
        } else {
            event(EventKind::DestinationVerified, Details::default())
        }
    }

    /// Chooses the key of the payment. It is committed before the payment is first sent.
    fn start_payment(&self) -> Finding {
        let payment_key = Some(self.resources.clock.new_uuid());
        event(EventKind::PaymentStarted, Details { payment_key, ..Details::default() })
    }

    async fn submit(&self, current: &Disbursement) -> Result<Finding> {
        let mut connection = self.resources.database.get().await?;
        let keys = self.resources.database.keys();
        let payment = Payment {
            key: payment_key(current)?,
            amount: current.beginning.amount,
            currency: current.beginning.country.currency(),
            destination: disbursements::get_destination(&mut connection, keys, current.id).await?,
            started_at: current.updated_at,
        };
        drop(connection);
        match self.rails.submit(current.rail(), &payment).await {
            Ok(answer) => Ok(submitted(answer)),
            Err(CallFailure::NotProcessed(_)) if !self.is_overdue(current) => {
                Ok(Finding::Wait(self.settings().inquiry_pause()))
            }
            Err(_) => Ok(event(EventKind::PaymentUnanswered, Details::default())),
        }
    }

    async fn inquire(&self, current: &Disbursement) -> Result<Finding> {
        let answer = self.rails.inquire(current.rail(), payment_key(current)?).await;
        let known = answer.ok().and_then(|answer| outcome(current.state, answer));
        let settings = self.settings();
        Ok(match known {
            Some(finding) => finding,
            None if self.is_overdue(current) => event(EventKind::StepFailed, Details::reason("no_outcome")),
            None if current.state == State::Unknown => Finding::Wait(settings.inquiry_pause()),
            None => Finding::Wait(settings.confirmation_pause()),
        })
    }

    /// Whether the disbursement has been in its state for too long.
    fn is_overdue(&self, current: &Disbursement) -> bool {
        self.resources.clock.now() - current.updated_at > self.settings().stuck_after()
    }
}

fn event(kind: EventKind, details: Details) -> Finding {
    Finding::Event(kind, Box::new(details))
}

fn payment_key(current: &Disbursement) -> Result<Uuid> {
    current.payment_key.ok_or_else(|| Error::internal("a payment without a key"))
}

fn details(answer: PaymentAnswer) -> Details {
    Details { reason: answer.reason, rail_reference: answer.reference, ..Details::default() }
}

/// The event for the answer to a submission.
fn submitted(answer: PaymentAnswer) -> Finding {
    let kind = match answer.status {
        PaymentStatus::Accepted => EventKind::PaymentAccepted,
        PaymentStatus::Settled => EventKind::PaymentConfirmed,
        PaymentStatus::Rejected => EventKind::PaymentRejected,
        PaymentStatus::Returned => EventKind::PaymentReturned,
        PaymentStatus::Unknown | PaymentStatus::NotFound => EventKind::PaymentUnanswered,
    };
    event(kind, details(answer))
}

/// The event for the answer to an inquiry, if it brings news.
fn outcome(state: State, answer: PaymentAnswer) -> Option<Finding> {
    let kind = reported(state, answer.status)?;
    Some(event(kind, details(answer)))
}

/// The event for a status that a rail reports about a payment; `None` if it changes nothing.
pub(in crate::lending::disburse) fn reported(state: State, status: PaymentStatus) -> Option<EventKind> {
    let is_accepted = matches!(state, State::Submitted | State::Confirmed | State::Booked | State::Completed);
    match status {
        PaymentStatus::Settled => Some(EventKind::PaymentConfirmed),
        PaymentStatus::Returned => Some(EventKind::PaymentReturned),
        // A payment that is rejected after it was accepted came back.
        PaymentStatus::Rejected if is_accepted => Some(EventKind::PaymentReturned),
        PaymentStatus::Rejected => Some(EventKind::PaymentRejected),
        PaymentStatus::Accepted => Some(EventKind::PaymentAccepted).filter(|_| !is_accepted),
        PaymentStatus::NotFound => Some(EventKind::PaymentNotFound).filter(|_| state == State::Unknown),
        PaymentStatus::Unknown => None,
    }
}
