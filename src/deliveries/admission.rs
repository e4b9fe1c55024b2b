//! Limits on the number of concurrent attempts at each endpoint.
//!
//! The limit of an endpoint follows its behaviour. A fast success raises it by one, up to the configured maximum; a slow
//! or failed attempt halves it, down to one. An endpoint that hangs therefore holds a single slot of this instance most of
//! the time, however many deliveries wait for it.
//!
//! A delivery that is not admitted returns to the queue for the time after which its turn is expected: each refusal
//! reserves a later time than the one before. Therefore a long backlog is claimed about once per turn, and not over and
//! over again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Clock;
use crate::resources::Resources;

/// Attempts that take longer than this count as slow.
const SLOW: Duration = Duration::from_secs(1);
/// The shortest pause of a refused delivery.
const MIN_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause of a refused delivery. The endpoint may have recovered by then.
const MAX_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EndpointState {
    in_flight: u32,
    limit: u32,
    /// The duration of the last attempt.
    last_duration: Duration,
    /// The monotonic time before which no further refused delivery returns.
    next_turn: Duration,
}

/// The attempts in progress, by endpoint. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission {
    endpoints: Arc<Mutex<HashMap<Uuid, EndpointState>>>,
    clock: Clock,
    max_limit: u32,
}

/// The permission for one attempt. It ends when this is dropped, and then counts as failed unless
/// [`Permit::finish`] was called.
#[derive(Debug)]
pub struct Permit {
    admission: Admission,
    endpoint: Uuid,
    started: Duration,
    succeeded: bool,
}

impl Admission {
    /// No attempts, with the limit of the configuration.
    pub fn of(resources: &Resources) -> Self {
        let settings = &resources.settings.webhook_delivery;
        Self::new(resources.clock.clone(), settings.max_in_flight_per_endpoint)
    }

    /// No attempts, with at most `max_limit` at one endpoint at a time.
    fn new(clock: Clock, max_limit: u32) -> Self {
        Self { endpoints: Arc::default(), clock, max_limit }
    }

    /// Admits an attempt.
    ///
    /// # Errors
    /// The pause after which the delivery should be claimed again.
    pub fn admit(&self, endpoint: Uuid) -> Result<Permit, Duration> {
        let now = self.clock.monotonic();
        let mut endpoints = self.lock();
        let state = endpoints.entry(endpoint).or_insert(EndpointState {
            in_flight: 0,
            limit: self.max_limit,
            last_duration: MIN_PAUSE,
            next_turn: Duration::ZERO,
        });
        if state.in_flight >= state.limit {
            let share = state.last_duration / state.limit.max(1);
            let turn = state.next_turn.max(now) + share.max(MIN_PAUSE / 10);
            let pause = turn.saturating_sub(now).clamp(MIN_PAUSE, MAX_PAUSE);
            state.next_turn = turn.min(now + MAX_PAUSE);
            return Err(pause);
        }
        state.in_flight += 1;
        drop(endpoints);
        Ok(Permit { admission: self.clone(), endpoint, started: now, succeeded: false })
    }

    fn release(&self, endpoint: Uuid, duration: Duration, succeeded: bool) {
        let mut endpoints = self.lock();
        let Some(state) = endpoints.get_mut(&endpoint) else { return };
        state.in_flight = state.in_flight.saturating_sub(1);
        state.last_duration = duration;
        state.limit = if succeeded && duration < SLOW {
            state.limit.saturating_add(1).min(self.max_limit)
        } else {
            (state.limit / 2).max(1)
        };
        // A healthy idle endpoint needs no entry.
        if state.in_flight == 0 && state.limit == self.max_limit {
            endpoints.remove(&endpoint);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, EndpointState>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Ends the attempt with its result.
    pub fn finish(mut self, succeeded: bool) {
        self.succeeded = succeeded;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let duration = self.admission.clock.monotonic().saturating_sub(self.started);
        self.admission.release(self.endpoint, duration, self.succeeded);
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    const HANGING: Uuid = Uuid::from_u128(1);
    const HEALTHY: Uuid = Uuid::from_u128(2);

    fn admission() -> Admission {
        Admission::new(Clock::manual(DateTime::UNIX_EPOCH), 8)
    }

    fn admitted(admission: &Admission, endpoint: Uuid) -> Vec<Permit> {
        std::iter::from_fn(|| admission.admit(endpoint).ok()).collect()
    }

    #[test]
    fn the_limit_rises_with_fast_successes_and_falls_to_one_with_failures() {
        let admission = admission();
        assert_eq!(admitted(&admission, HEALTHY).len(), 8);
        let drained = admitted(&admission, HANGING);
        admission.clock.advance(Duration::from_secs(15));
        drop(drained);
        assert_eq!(admitted(&admission, HANGING).len(), 1);
        for _ in 0..20 {
            admission.admit(HEALTHY).unwrap().finish(true);
        }
        assert_eq!(admitted(&admission, HEALTHY).len(), 8);
    }

    #[test]
    fn a_slow_success_counts_as_slow() {
        let admission = admission();
        for _ in 0..4 {
            let permit = admission.admit(HEALTHY).unwrap();
            admission.clock.advance(SLOW);
            permit.finish(true);
        }
        assert_eq!(admitted(&admission, HEALTHY).len(), 1);
    }

    #[test]
    fn refused_deliveries_return_one_after_the_other() {
        let admission = admission();
        drop(admitted(&admission, HANGING));
        let permit = admission.admit(HANGING).unwrap();
        admission.clock.advance(Duration::from_secs(4));
        drop(permit);
        let _in_flight = admission.admit(HANGING).unwrap();
        let pauses: Vec<u64> = (0..4).map(|_| admission.admit(HANGING).unwrap_err().as_secs()).collect();
        assert_eq!(pauses, [4, 8, 12, 16]);
        let longest = (0..100).map(|_| admission.admit(HANGING).unwrap_err()).max();
        assert_eq!(longest, Some(MAX_PAUSE));
    }

    #[test]
    fn a_healthy_idle_endpoint_needs_no_memory() {
        let admission = admission();
        for _ in 0..8 {
            admission.admit(HEALTHY).unwrap().finish(true);
        }
        assert!(admission.lock().is_empty());
    }
}
