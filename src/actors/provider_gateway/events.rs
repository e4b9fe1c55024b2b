//! The `circuit.*` events, and the history of the circuit breakers.
//!
//! A breaker changes its state in memory, during a call. The gateway only adds the change to a bounded queue
//! ([`CircuitEvents::record`]), and a separate asynchronous task writes it to the history and the outbox
//! ([`CircuitEvents::write`]). While the database is unavailable, changes wait in the queue, and the oldest are dropped
//! when it is full. Changes that wait when the process stops are lost. That is acceptable because they only inform
//! operators. Overrides are rows, so triggers write their log and their events in the same transaction.
//!
//! The breakers of a new instance are closed, and no event reports that.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use slog::warn;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::domain::application::Country;
use crate::domain::ids::EventId;
use crate::domain::timestamp;
use crate::error::Result;
use crate::events::registry::{Audience, EventType, integer, nullable, object, one_of, text, timestamp};
use crate::resilience::circuit_breaker::{Cause, CircuitMode, State, Transition};
use crate::resources::Resources;
use crate::storage::circuit_events::{self, NewCircuitChange};

/// The name of the asynchronous task in logs and metrics.
pub const NAME: &str = "circuit_events";

/// The capacity of the queue.
const CAPACITY: usize = 256;

/// The delay after a database error.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

const OPENED: &str = "circuit.opened.v1";
const CLOSED: &str = "circuit.closed.v1";
const OVERRIDDEN: &str = "circuit.overridden.v1";

/// The event types of circuit breakers.
pub const TYPES: &[EventType] = &[
    EventType {
        name: OPENED,
        description: "A circuit breaker of one instance opened. The instance stops calling the bureau.",
        audience: Audience::Operations,
        schema: || {
            object([
                ("country", one_of(&Country::ALL, "The country of the bureau")),
                ("provider", text("The bureau")),
                ("instance", text("The instance whose breaker it is")),
                ("cause", one_of(&Cause::ALL.map(Cause::as_str), "Why it opened")),
                (
                    "open_ms",
                    nullable(integer(
                        "Milliseconds until it admits a probe; null if an operator forced it open",
                    )),
                ),
                ("changed_at", timestamp("When it opened, according to the clock of the instance")),
            ])
        },
        example: || {
            json!({
                "country": "ES", "provider": "ASNEF-CIRBE", "instance": "12-0190a5dac96774bbcceb302099a8057",
                "cause": "consecutive_failures", "open_ms": 60000, "changed_at": "2026-01-31T12:00:00.000000Z",
            })
        },
    },
    EventType {
        name: CLOSED,
        description: "A circuit breaker of one instance closed. The instance calls the bureau again.",
        audience: Audience::Operations,
        schema: || {
            object([
                ("country", one_of(&Country::ALL, "The country of the bureau")),
                ("provider", text("The bureau")),
                ("instance", text("The instance whose breaker it is")),
                ("cause", one_of(&Cause::ALL.map(Cause::as_str), "Why it closed")),
                ("changed_at", timestamp("When it closed, according to the clock of the instance")),
            ])
        },
        example: || {
            json!({
                "country": "ES", "provider": "ASNEF-CIRBE", "instance": "12-0190a5dac96774bbcceb302099a8057",
                "cause": "probe_succeeded", "changed_at": "2026-01-31T12:00:00.000000Z",
            })
        },
    },
    EventType {
        name: OVERRIDDEN,
        description: "An operator overrode the circuit breakers of a country, or ended the override (mode `auto`).",
        audience: Audience::Operations,
        schema: || {
            object([
                ("country", one_of(&Country::ALL, "The country of the bureau")),
                ("mode", one_of(&CircuitMode::ALL.map(CircuitMode::as_str), "The mode of the breakers")),
                ("expires_at", nullable(timestamp("When the override ends; null for `auto`"))),
            ])
        },
        example: || json!({"country": "ES", "mode": "forced_open", "expires_at": "2026-01-31T12:00:00.000000Z"}),
    },
];

/// The queue of changes of this instance's breakers. Cheap to clone.
#[derive(Clone)]
pub struct CircuitEvents {
    clock: Clock,
    instance: Arc<str>,
    waiting: Arc<Mutex<VecDeque<NewCircuitChange>>>,
    added: Arc<Notify>,
}

impl CircuitEvents {
    pub fn new(clock: Clock, instance: Arc<str>) -> Self {
        Self { clock, instance, waiting: Arc::default(), added: Arc::default() }
    }

    /// Adds a change. A breaker that becomes half-open causes no event.
    pub(super) fn record(&self, country: Country, provider: &str, transition: &Transition) {
        let (now, instance, cause) = (self.clock.now(), &*self.instance, transition.cause.as_str());
        let changed_at = timestamp::text(now);
        let (kind, event) = match transition.to {
            State::Open => {
                let open_ms = transition.open_for.and_then(|time| u64::try_from(time.as_millis()).ok());
                let data = json!({
                    "country": country, "provider": provider, "instance": instance, "cause": cause,
                    "open_ms": open_ms, "changed_at": changed_at,
                });
                ("opened", Some((OPENED, data)))
            }
            State::Closed => {
                let data = json!({
                    "country": country, "provider": provider, "instance": instance, "cause": cause,
                    "changed_at": changed_at,
                });
                ("closed", Some((CLOSED, data)))
            }
            State::HalfOpen => ("half_opened", None),
        };
        let change = NewCircuitChange {
            id: EventId::new(self.clock.new_uuid()),
            country,
            provider: provider.to_owned(),
            kind,
            instance: instance.to_owned(),
            cause,
            changed_at: now,
            event,
        };
        let mut waiting = self.waiting();
        if waiting.len() == CAPACITY {
            waiting.pop_front();
        }
        waiting.push_back(change);
        drop(waiting);
        self.added.notify_one();
    }

    /// Writes changes as they arrive. Never returns.
    pub async fn write(self, resources: Resources) {
        loop {
            match self.write_waiting(&resources).await {
                Ok(()) => self.added.notified().await,
                Err(error) => {
                    warn!(resources.logger, "cannot write circuit breaker events; retrying"; error);
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Writes all queued changes. Each one leaves the queue after it was written. If the connection is lost during a write,
    /// the change is written again with the same identifier, which has no effect if the first write was committed.
    async fn write_waiting(&self, resources: &Resources) -> Result<()> {
        loop {
            let Some(change) = self.waiting().front().cloned() else { return Ok(()) };
            circuit_events::record(&mut *resources.database.get().await?, &change).await?;
            let mut waiting = self.waiting();
            if waiting.front().is_some_and(|first| first.id == change.id) {
                waiting.pop_front();
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<NewCircuitChange>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn transition(to: State) -> Transition {
        let open_for = (to == State::Open).then_some(Duration::from_secs(60));
        Transition {
            from: State::Closed,
            to,
            cause: Cause::Forced,
            at: Duration::ZERO,
            open_for,
            failures: 0,
        }
    }

    #[test]
    fn every_change_is_recorded_with_the_instance_and_only_half_open_has_no_event() {
        let events = CircuitEvents::new(Clock::manual(DateTime::UNIX_EPOCH), "one".into());
        for to in [State::Open, State::HalfOpen, State::Closed] {
            events.record(Country::Es, "bureau", &transition(to));
        }
        let waiting = events.waiting();
        let recorded =
            |change: &NewCircuitChange| (change.kind, change.event.as_ref().map(|(name, _)| *name));
        assert_eq!(
            waiting.iter().map(recorded).collect::<Vec<_>>(),
            [("opened", Some(OPENED)), ("half_opened", None), ("closed", Some(CLOSED))]
        );
        assert!(waiting.iter().all(|change| change.instance == "one" && change.cause == "forced"));
        let expected = json!({
            "country": "ES", "provider": "bureau", "instance": "one", "cause": "forced", "open_ms": 60_000,
            "changed_at": "1970-01-01T00:00:00.000000Z",
        });
        let data = |index: usize| &waiting[index].event.as_ref().unwrap().1;
        assert_eq!(*data(0), expected);
        assert!(data(2).get("open_ms").is_none());
    }

    #[test]
    fn a_full_queue_drops_its_oldest_change() {
        let events = CircuitEvents::new(Clock::manual(DateTime::UNIX_EPOCH), "one".into());
        events.record(Country::Es, "bureau", &transition(State::Open));
        for _ in 0..CAPACITY {
            events.record(Country::Es, "bureau", &transition(State::Closed));
        }
        let waiting = events.waiting();
        assert_eq!(waiting.len(), CAPACITY);
        assert!(waiting.iter().all(|change| change.kind == "closed"));
    }
}
