//! The current disbursement as the result of its recorded events.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rail::{DestinationKind, Rail};
use super::workflow::{self, Compensation, EventKind, State, Step};
use crate::domain::application::Country;
use crate::domain::ids::ApplicationId;
use crate::domain::money::Money;

/// The beginning of a disbursement: everything that never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beginning {
    pub application_id: ApplicationId,
    pub country: Country,
    pub amount: Money,
    pub destination_kind: DestinationKind,
    /// The masked destination. The destination itself is sealed in a table of its own.
    pub destination: String,
    /// Whether the holder of the destination has another name than the applicant.
    pub holder_differs: bool,
    /// The account that owns the application.
    pub owner: String,
    /// The account that requested the disbursement.
    pub requested_by: String,
    pub requester_id: Uuid,
    /// The disbursement whose payment came back, if this is a reversal.
    pub reverses: Option<Uuid>,
}

/// What an event records besides its kind. It holds no personal data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beginning: Option<Beginning>,
    /// A reason code: of the rail, of a failed step, or of a person's decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The key under which the payment is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_key: Option<Uuid>,
    /// The rail's reference of the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rail_reference: Option<String>,
}

impl Details {
    /// Details with only a reason code.
    pub fn reason(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::default() }
    }
}

/// A recorded event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    pub details: Details,
    /// Who caused it: an account, `rail:<name>` or `system:disbursements`.
    pub actor: String,
    pub at: DateTime<Utc>,
}

/// A disbursement after its recorded events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disbursement {
    pub id: Uuid,
    pub beginning: Beginning,
    pub state: State,
    /// The state in which a disbursement that is `STUCK` stopped.
    pub stuck_in: Option<State>,
    /// The last reason code.
    pub reason: Option<String>,
    pub payment_key: Option<Uuid>,
    pub rail_reference: Option<String>,
    /// The compensations that are registered and have not run.
    pub compensations: Vec<Compensation>,
    /// The number of events.
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Why an event cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event {} is not permitted in the state {state}", .event.as_str())]
pub struct IllegalEvent {
    pub state: State,
    pub event: EventKind,
}

impl Disbursement {
    /// A disbursement after its first event; `None` if the event cannot be the first one.
    pub fn begin(id: Uuid, event: &Event) -> Option<Self> {
        let mut begun = Self {
            id,
            beginning: event.details.beginning.clone()?,
            state: workflow::first(event.kind)?,
            stuck_in: None,
            reason: None,
            payment_key: None,
            rail_reference: None,
            compensations: Vec::new(),
            version: 1,
            created_at: event.at,
            updated_at: event.at,
        };
        begun.register();
        Some(begun)
    }

    /// The disbursement after all `events`; `None` if they are not a valid history.
    pub fn replay(id: Uuid, events: &[Event]) -> Option<Self> {
        let (first, rest) = events.split_first()?;
        rest.iter().try_fold(Self::begin(id, first)?, |current, event| current.after(event).ok())
    }

    /// The disbursement after `event`.
    ///
    /// # Errors
    /// [`IllegalEvent`] if the state does not permit the event.
    pub fn after(&self, event: &Event) -> Result<Self, IllegalEvent> {
        let illegal = IllegalEvent { state: self.state, event: event.kind };
        let state = workflow::next(self.state, self.stuck_in, event.kind).ok_or(illegal)?;
        let details = event.details.clone();
        let mut next = Self {
            state,
            stuck_in: (state == State::Stuck).then_some(self.state),
            reason: details.reason.or_else(|| self.reason.clone()),
            payment_key: details.payment_key.or(self.payment_key),
            rail_reference: details.rail_reference.or_else(|| self.rail_reference.clone()),
            version: self.version + 1,
            updated_at: event.at,
            ..self.clone()
        };
        if event.kind == EventKind::FundsReleased {
            next.compensations.retain(|compensation| *compensation != Compensation::ReleaseFunds);
        }
        next.register();
        Ok(next)
    }

    /// Registers the compensation of the step that runs next, before it runs.
    fn register(&mut self) {
        let compensation = self.step().and_then(Step::compensation);
        if let Some(compensation) = compensation.filter(|found| !self.compensations.contains(found)) {
            self.compensations.push(compensation);
        }
    }

    /// The step that runs next.
    pub const fn step(&self) -> Option<Step> {
        self.state.step()
    }

    /// Whether this is the reversal of another disbursement.
    pub const fn is_reversal(&self) -> bool {
        self.beginning.reverses.is_some()
    }

    /// The rail that pays.
    pub const fn rail(&self) -> Rail {
        Rail::of(self.beginning.country)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(kind: EventKind) -> Event {
        let beginning = Beginning {
            application_id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
            country: Country::Es,
            amount: Money::parse("15000").unwrap(),
            destination_kind: DestinationKind::Iban,
            destination: "****1332".to_owned(),
            holder_differs: false,
            owner: "ana".to_owned(),
            requested_by: "ana".to_owned(),
            requester_id: Uuid::nil(),
            reverses: None,
        };
        let beginning = workflow::first(kind).map(|_| beginning);
        let details = Details { beginning, ..Details::default() };
        Event { kind, details, actor: "system:disbursements".to_owned(), at: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn the_funds_are_released_if_a_step_fails_before_the_pivot() {
        let kinds = [EventKind::Requested, EventKind::FundsReserved, EventKind::StepFailed];
        let events = kinds.map(event);
        let failed = Disbursement::replay(Uuid::nil(), &events).unwrap();
        assert_eq!(
            (failed.state, failed.compensations.as_slice()),
            (State::Compensating, [Compensation::ReleaseFunds].as_slice())
        );
        let released = failed.after(&event(EventKind::FundsReleased)).unwrap();
        assert_eq!(
            (released.state, released.compensations.len(), released.version),
            (State::Cancelled, 0, 4)
        );
    }

    #[test]
    fn the_compensation_of_the_reservation_is_registered_before_it_runs() {
        let begun = Disbursement::begin(Uuid::nil(), &event(EventKind::Requested)).unwrap();
        assert_eq!(begun.compensations, [Compensation::ReleaseFunds]);
        assert_eq!(begun.step(), Some(Step::ReserveFunds));
    }

    #[test]
    fn a_history_must_begin_with_a_request() {
        assert_eq!(Disbursement::replay(Uuid::nil(), &[]), None);
        assert_eq!(Disbursement::replay(Uuid::nil(), &[event(EventKind::FundsReserved)]), None);
        let twice = [event(EventKind::Requested), event(EventKind::Requested)];
        assert_eq!(Disbursement::replay(Uuid::nil(), &twice), None);
    }

    proptest! {
        #[test]
        fn a_replay_of_accepted_events_ends_in_the_same_disbursement(
            kinds in proptest::collection::vec(proptest::sample::select(EventKind::ALL), 0..40)
        ) {
            let mut events = vec![event(EventKind::Requested)];
            let mut current = Disbursement::begin(Uuid::nil(), &events[0]).unwrap();
            for kind in kinds {
                if let Ok(next) = current.after(&event(kind)) {
                    current = next;
                    events.push(event(kind));
                }
            }
            prop_assert_eq!(current.state == State::Stuck, current.stuck_in.is_some());
            prop_assert!(current.state != State::Cancelled || current.compensations.is_empty());
            prop_assert_eq!(Disbursement::replay(Uuid::nil(), &events), Some(current));
        }

        #[test]
        fn details_survive_a_round_trip_through_json(reason in "[A-Z]{2}[0-9]{2}") {
            let details = Details { reason: Some(reason), ..event(EventKind::Requested).details };
            let text = serde_json::to_string(&details).unwrap();
            prop_assert_eq!(serde_json::from_str::<Details>(&text).unwrap(), details);
        }
    }
}
