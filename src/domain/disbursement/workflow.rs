//! The state machine of disbursements, as tables.
//!
//! [`EDGES`] lists every transition and the event that causes it. [`State::step`] is the step that runs in a state, and
//! [`Step::compensation`] is what reverts that step. A database trigger enforces the same pairs of states, and a test
//! compares the two. Everything in this file is pure.

use std::fmt;

use crate::domain::named::named;

named! {
    /// The state of a disbursement.
    State {
        /// Requested. Funds are being reserved.
        Pending = "PENDING",
        /// The funds are reserved. The destination is being verified.
        Reserved = "RESERVED",
        /// The destination exists, but a second person must approve the payment.
        AwaitingApproval = "AWAITING_APPROVAL",
        /// The payment may be submitted.
        Verified = "VERIFIED",
        /// The key of the payment is stored. The payment is being sent to the rail, or may have been sent.
        Submitting = "SUBMITTING",
        /// The rail did not answer. It is asked for the payment by its key.
        Unknown = "UNKNOWN",
        /// The rail accepted the payment.
        Submitted = "SUBMITTED",
        /// The rail confirmed that the payment was made.
        Confirmed = "CONFIRMED",
        /// The payment is in the ledger.
        Booked = "BOOKED",
        /// Finished, and the applicant was notified if possible. Terminal, unless the payment is returned.
        Completed = "COMPLETED",
        /// A step failed before the payment was accepted. Its compensations are running.
        Compensating = "COMPENSATING",
        /// Not paid; everything was reverted. Terminal.
        Cancelled = "CANCELLED",
        /// The workflow cannot continue without a person.
        Stuck = "STUCK",
        /// The payment came back. A reversal has started. Terminal.
        Returned = "RETURNED",
        /// A reversal: the returned payment is being booked.
        Returning = "RETURNING",
    }
}

named! {
    /// A step of the workflow. Each runs as a job of its own.
    Step {
        ReserveFunds = "reserve_funds",
        VerifyDestination = "verify_destination",
        /// Waits for the approval of a second person, and ends the wait when the request expires.
        AwaitApproval = "await_approval",
        /// Sends the payment. Its acceptance is the pivot.
        SubmitPayment = "submit_payment",
        /// Asks the rail for the payment, unless the rail reports it first.
        ConfirmPayment = "confirm_payment",
        /// Writes the ledger and completes the application.
        Book = "book",
        Notify = "notify",
        /// Runs the registered compensations.
        Compensate = "compensate",
        /// Books a returned payment.
        BookReturn = "book_return",
    }
}

named! {
    /// What reverts a step. It is registered before the step runs.
    Compensation {
        ReleaseFunds = "release_funds",
    }
}

named! {
    /// A recorded event.
    EventKind {
        Requested = "requested",
        ReversalRequested = "reversal_requested",
        FundsReserved = "funds_reserved",
        DestinationVerified = "destination_verified",
        ApprovalRequired = "approval_required",
        Approved = "approved",
        Declined = "declined",
        /// The key of the payment was stored; the payment may be sent from now on.
        PaymentStarted = "payment_started",
        PaymentAccepted = "payment_accepted",
        PaymentRejected = "payment_rejected",
        /// The rail did not answer in time, or its answer was lost.
        PaymentUnanswered = "payment_unanswered",
        /// The rail has no payment with the key. It may be sent again under the same key.
        PaymentNotFound = "payment_not_found",
        PaymentConfirmed = "payment_confirmed",
        PaymentReturned = "payment_returned",
        Booked = "booked",
        ReturnBooked = "return_booked",
        Notified = "notified",
        NotificationSkipped = "notification_skipped",
        NotificationFailed = "notification_failed",
        /// A step failed permanently.
        StepFailed = "step_failed",
        CancelRequested = "cancel_requested",
        FundsReleased = "funds_released",
        /// A person restarted the step that had stopped.
        Resumed = "resumed",
        /// A person found that the payment was made.
        ResolvedPaid = "resolved_paid",
        /// A person found that the payment was not made.
        ResolvedUnpaid = "resolved_unpaid",
    }
}

/// The transition that an event causes in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    pub from: State,
    pub event: EventKind,
    pub to: State,
}

const fn edge(from: State, event: EventKind, to: State) -> Edge {
    Edge { from, event, to }
}

use EventKind as E;
use State as S;

/// Every permitted transition. From [`State::Stuck`], the permitted events also depend on the state in which the
/// disbursement stopped ([`next`]).
#[rustfmt::skip]
pub const EDGES: &[Edge] = &[
    edge(S::Pending, E::FundsReserved, S::Reserved),
    edge(S::Pending, E::StepFailed, S::Compensating),
    edge(S::Pending, E::CancelRequested, S::Compensating),
    edge(S::Reserved, E::DestinationVerified, S::Verified),
    edge(S::Reserved, E::ApprovalRequired, S::AwaitingApproval),
    edge(S::Reserved, E::StepFailed, S::Compensating),
    edge(S::Reserved, E::CancelRequested, S::Compensating),
    edge(S::AwaitingApproval, E::Approved, S::Verified),
    edge(S::AwaitingApproval, E::Declined, S::Compensating),
    edge(S::AwaitingApproval, E::CancelRequested, S::Compensating),
    edge(S::Verified, E::PaymentStarted, S::Submitting),
    edge(S::Verified, E::StepFailed, S::Compensating),
    edge(S::Verified, E::CancelRequested, S::Compensating),
    edge(S::Submitting, E::PaymentAccepted, S::Submitted),
    edge(S::Submitting, E::PaymentRejected, S::Compensating),
    edge(S::Submitting, E::PaymentUnanswered, S::Unknown),
    edge(S::Submitting, E::PaymentConfirmed, S::Confirmed),
    edge(S::Submitting, E::PaymentReturned, S::Returned),
    edge(S::Unknown, E::PaymentAccepted, S::Submitted),
    edge(S::Unknown, E::PaymentRejected, S::Compensating),
    edge(S::Unknown, E::PaymentNotFound, S::Submitting),
    edge(S::Unknown, E::PaymentConfirmed, S::Confirmed),
    edge(S::Unknown, E::PaymentReturned, S::Returned),
    edge(S::Unknown, E::StepFailed, S::Stuck),
    edge(S::Submitted, E::PaymentConfirmed, S::Confirmed),
    edge(S::Submitted, E::PaymentReturned, S::Returned),
    edge(S::Submitted, E::StepFailed, S::Stuck),
    edge(S::Confirmed, E::Booked, S::Booked),
    edge(S::Confirmed, E::PaymentReturned, S::Returned),
    edge(S::Confirmed, E::StepFailed, S::Stuck),
    edge(S::Booked, E::Notified, S::Completed),
    edge(S::Booked, E::NotificationSkipped, S::Completed),
    edge(S::Booked, E::NotificationFailed, S::Completed),
    edge(S::Booked, E::PaymentReturned, S::Returned),
    edge(S::Completed, E::PaymentReturned, S::Returned),
    edge(S::Compensating, E::FundsReleased, S::Cancelled),
    edge(S::Compensating, E::StepFailed, S::Stuck),
    edge(S::Returning, E::ReturnBooked, S::Booked),
    edge(S::Returning, E::StepFailed, S::Stuck),
    edge(S::Stuck, E::Resumed, S::Unknown),
    edge(S::Stuck, E::Resumed, S::Submitted),
    edge(S::Stuck, E::Resumed, S::Confirmed),
    edge(S::Stuck, E::Resumed, S::Compensating),
    edge(S::Stuck, E::Resumed, S::Returning),
    edge(S::Stuck, E::ResolvedPaid, S::Confirmed),
    edge(S::Stuck, E::ResolvedUnpaid, S::Compensating),
    edge(S::Stuck, E::PaymentConfirmed, S::Confirmed),
    edge(S::Stuck, E::PaymentRejected, S::Compensating),
    edge(S::Stuck, E::PaymentReturned, S::Returned),
];

/// The state after `event` in `state`; `None` if the event is illegal. `stuck_in` is the state in which a disbursement
/// that is now `STUCK` stopped.
pub fn next(state: State, stuck_in: Option<State>, event: EventKind) -> Option<State> {
    let edges = EDGES.iter().filter(|edge| edge.from == state && edge.event == event);
    let mut targets = edges.map(|edge| edge.to);
    if state != S::Stuck {
        return targets.next();
    }
    let stopped = stuck_in?;
    match event {
        E::Resumed => targets.find(|to| *to == stopped),
        // Only the outcome of a payment that the rail has or may have can be resolved or reported.
        E::ResolvedPaid | E::PaymentConfirmed | E::PaymentReturned => {
            targets.next().filter(|_| matches!(stopped, S::Unknown | S::Submitted))
        }
        E::ResolvedUnpaid => targets.next().filter(|_| matches!(stopped, S::Unknown | S::Submitted)),
        E::PaymentRejected => targets.next().filter(|_| stopped == S::Unknown),
        _ => None,
    }
}

/// The state that an event begins a disbursement with.
pub const fn first(event: EventKind) -> Option<State> {
    match event {
        E::Requested => Some(S::Pending),
        E::ReversalRequested => Some(S::Returning),
        _ => None,
    }
}

impl State {
    /// The step that runs in this state; `None` if the workflow waits for a person or has ended.
    pub const fn step(self) -> Option<Step> {
        match self {
            Self::Pending => Some(Step::ReserveFunds),
            Self::Reserved => Some(Step::VerifyDestination),
            Self::AwaitingApproval => Some(Step::AwaitApproval),
            Self::Verified | Self::Submitting => Some(Step::SubmitPayment),
            Self::Unknown | Self::Submitted => Some(Step::ConfirmPayment),
            Self::Confirmed => Some(Step::Book),
            Self::Booked => Some(Step::Notify),
            Self::Compensating => Some(Step::Compensate),
            Self::Returning => Some(Step::BookReturn),
            Self::Completed | Self::Cancelled | Self::Stuck | Self::Returned => None,
        }
    }

    /// Whether the workflow has ended. Only a returned payment continues a `COMPLETED` one.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Returned)
    }

    /// Whether the rail has accepted the payment, or may have.
    pub const fn may_be_paid(self) -> bool {
        match self {
            Self::Submitting | Self::Unknown | Self::Submitted | Self::Confirmed | Self::Booked => true,
            Self::Completed | Self::Returned => true,
            Self::Pending | Self::Reserved | Self::AwaitingApproval | Self::Verified => false,
            Self::Compensating | Self::Cancelled | Self::Stuck | Self::Returning => false,
        }
    }

    /// The event for a step that failed permanently in this state; `None` if no step runs.
    pub const fn failure(self) -> Option<EventKind> {
        match self {
            // Without an approval, nothing is paid.
            Self::AwaitingApproval => Some(E::Declined),
            // The payment may have been sent, so the rail is asked.
            Self::Submitting => Some(E::PaymentUnanswered),
            // The money has been paid; a missing message does not change that.
            Self::Booked => Some(E::NotificationFailed),
            Self::Pending | Self::Reserved | Self::Verified | Self::Unknown | Self::Submitted => {
                Some(E::StepFailed)
            }
            Self::Confirmed | Self::Compensating | Self::Returning => Some(E::StepFailed),
            Self::Completed | Self::Cancelled | Self::Stuck | Self::Returned => None,
        }
    }
}

impl Step {
    /// What reverts the step.
    pub const fn compensation(self) -> Option<Compensation> {
        match self {
            Self::ReserveFunds => Some(Compensation::ReleaseFunds),
            Self::VerifyDestination
            | Self::AwaitApproval
            | Self::SubmitPayment
            | Self::ConfirmPayment
            | Self::Book
            | Self::Notify
            | Self::Compensate
            | Self::BookReturn => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state() -> impl Strategy<Value = State> {
        proptest::sample::select(State::ALL)
    }

    proptest! {
        #[test]
        fn every_event_in_every_state_follows_the_table(
            from in state(), stopped in state(), event in proptest::sample::select(EventKind::ALL)
        ) {
            let stuck_in = (from == State::Stuck).then_some(stopped);
            match next(from, stuck_in, event) {
                Some(to) => {
                    let is_listed = EDGES.contains(&edge(from, event, to));
                    prop_assert!(is_listed);
                }
                None if from == State::Stuck => {}
                None => prop_assert!(!EDGES.iter().any(|edge| edge.from == from && edge.event == event)),
            }
        }

        #[test]
        fn a_payment_that_may_have_been_made_never_becomes_cancelled_without_an_answer(
            events in proptest::collection::vec(proptest::sample::select(EventKind::ALL), 1..40)
        ) {
            let (mut state, mut stuck_in, mut started, mut refuted) = (State::Pending, None, false, false);
            for event in events {
                let Some(to) = next(state, stuck_in, event) else { continue };
                stuck_in = if to == State::Stuck { Some(state) } else { None };
                started |= event == EventKind::PaymentStarted;
                refuted |= matches!(event, EventKind::PaymentRejected | EventKind::ResolvedUnpaid);
                state = to;
            }
            if state == State::Cancelled && started {
                prop_assert!(refuted);
            }
        }
    }

    #[test]
    fn edges_are_unique_and_only_the_state_stuck_depends_on_more_than_the_event() {
        for (index, edge) in EDGES.iter().enumerate() {
            assert_ne!(edge.from, edge.to);
            let same = EDGES
                .iter()
                .skip(index + 1)
                .filter(|other| (other.from, other.event) == (edge.from, edge.event));
            assert!(edge.from == State::Stuck || same.count() == 0, "{edge:?}");
        }
    }

    #[test]
    fn every_step_that_fails_leads_on_and_every_state_is_reachable() {
        for state in State::ALL {
            assert_eq!(state.step().is_some(), state.failure().is_some(), "{state}");
            if let Some(failure) = state.failure() {
                assert!(next(*state, None, failure).is_some(), "{state}");
            }
            let first = [EventKind::Requested, EventKind::ReversalRequested].map(first);
            assert!(first.contains(&Some(*state)) || EDGES.iter().any(|edge| edge.to == *state), "{state}");
        }
    }

    #[test]
    fn a_stuck_disbursement_can_always_be_resumed() {
        for edge in EDGES.iter().filter(|edge| edge.to == State::Stuck) {
            assert_eq!(next(State::Stuck, Some(edge.from), EventKind::Resumed), Some(edge.from));
        }
        assert_eq!(next(State::Stuck, Some(State::Compensating), EventKind::ResolvedPaid), None);
        assert_eq!(next(State::Stuck, Some(State::Submitted), EventKind::PaymentRejected), None);
    }

    #[test]
    fn after_the_pivot_no_event_but_a_persons_decision_leads_to_a_compensation() {
        let past = [State::Submitted, State::Confirmed, State::Booked, State::Completed];
        assert!(EDGES.iter().all(|edge| !past.contains(&edge.from) || edge.to != State::Compensating));
    }
}
