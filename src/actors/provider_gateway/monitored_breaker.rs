//! The circuit breaker of one country, together with everything that follows its transitions: metrics, log lines, events
//! and the notification of a recovery. Operators' overrides apply here.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, info, o, warn};

use super::events::CircuitEvents;
use super::overrides::CircuitOverrides;
use super::{Endpoint, GatewayParts, Recovered};
use crate::clock::Clock;
use crate::domain::application::Country;
use crate::resilience::circuit_breaker::{
    Admission, CallResult, Cause, CircuitBreaker, CircuitMode, Permit, Snapshot, State, Transition,
};
use crate::telemetry::metrics::Metrics;

pub(super) struct MonitoredBreaker {
    country: Country,
    /// The name of the provider in events.
    provider: &'static str,
    /// The name of the provider in metrics.
    label: &'static str,
    clock: Clock,
    metrics: Arc<Metrics>,
    log: Logger,
    overrides: CircuitOverrides,
    events: CircuitEvents,
    on_recovered: Option<Recovered>,
    /// The kind and cause of the last failed call, for the log.
    last_failure: RefCell<Option<String>>,
    breaker: RefCell<CircuitBreaker>,
}

impl MonitoredBreaker {
    /// A closed breaker.
    pub(super) fn new(endpoint: &Endpoint, parts: &GatewayParts, log: Logger) -> Self {
        let (country, label) = (endpoint.adapter.country(), endpoint.adapter.label());
        let gauge = &parts.metrics.provider_circuit_breaker_state;
        gauge.with_label_values(&[country.code(), label]).set(State::Closed.metric_value());
        let gauge = &parts.metrics.provider_circuit_breaker_mode;
        gauge.with_label_values(&[country.code(), label]).set(metric_value(CircuitMode::Auto));
        Self {
            country,
            provider: endpoint.adapter.name(),
            label,
            clock: parts.clock.clone(),
            metrics: Arc::clone(&parts.metrics),
            log,
            overrides: parts.overrides.clone(),
            events: parts.events.clone(),
            on_recovered: parts.on_recovered.clone(),
            last_failure: RefCell::default(),
            breaker: RefCell::new(CircuitBreaker::new(endpoint.breaker.clone())),
        }
    }

    pub(super) fn state(&self) -> State {
        self.apply(|breaker, now, roll| breaker.state(now, roll))
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.apply(|breaker, now, roll| breaker.snapshot(now, roll))
    }

    /// A permit for one attempt; `None` if the breaker refuses it.
    pub(super) fn admit(&self) -> Option<Permit> {
        match self.apply(|breaker, now, roll| breaker.admit(now, roll)) {
            Admission::Admitted(permit) => Some(permit),
            _ => None,
        }
    }

    pub(super) fn record(&self, permit: Permit, result: CallResult) {
        self.apply(|breaker, now, roll| breaker.record(permit, now, result, roll));
    }

    /// Returns the permit of an attempt without a result.
    pub(super) fn release(&self, permit: Permit) {
        self.apply(|breaker, now, roll| breaker.release(permit, now, roll));
    }

    /// Keeps the description of a failed call for the log line of a breaker that opens.
    pub(super) fn set_last_failure(&self, failure: String) {
        *self.last_failure.borrow_mut() = Some(failure);
    }

    /// Accesses the breaker. First applies the operator's override, and afterwards announces
    /// every transition. `step` gets the breaker, the time and a random percentage for the jitter of the open time.
    fn apply<T>(&self, step: impl FnOnce(&mut CircuitBreaker, Duration, u8) -> T) -> T {
        let (now, roll) = (self.clock.monotonic(), self.clock.percent_roll());
        let mode = self.overrides.mode(self.country);
        let mut breaker = self.breaker.borrow_mut();
        if breaker.mode() != mode {
            breaker.set_mode(mode, now, roll);
            self.announce_mode(mode);
        }
        let result = step(&mut breaker, now, roll);
        let transitions = breaker.take_transitions();
        drop(breaker);
        for transition in &transitions {
            self.announce(transition);
        }
        result
    }

    fn announce_mode(&self, mode: CircuitMode) {
        let labels = [self.country.code(), self.label];
        let gauge = &self.metrics.provider_circuit_breaker_mode;
        gauge.with_label_values(&labels).set(metric_value(mode));
        warn!(self.log, "circuit breaker override changed"; "mode" => mode.as_str());
    }

    fn announce(&self, transition: &Transition) {
        let to = transition.to.as_str();
        let metrics = &self.metrics;
        let labels = [self.country.code(), self.label];
        metrics.provider_circuit_breaker_state.with_label_values(&labels).set(transition.to.metric_value());
        let labels = [self.country.code(), self.label, to];
        metrics.provider_circuit_breaker_transitions_total.with_label_values(&labels).inc();
        self.events.record(self.country, self.provider, transition);
        let log = self.log.new(o!("from" => transition.from.as_str(), "to" => to));
        let cause = transition.cause.as_str();
        match transition.to {
            State::Open => {
                let open_ms = transition.open_for.map_or(0, |time| time.as_millis());
                warn!(log, "circuit breaker opened"; "cause" => cause, "open_ms" => open_ms,
                    "failure_count" => transition.failures, "last_failure" => &*self.last_failure.borrow());
            }
            State::HalfOpen => info!(log, "circuit breaker half-open"; "cause" => cause),
            State::Closed => {
                let detail = match transition.cause {
                    Cause::ProbeSucceeded => ": the bureau has recovered",
                    _ => "",
                };
                info!(log, "circuit breaker closed{detail}"; "cause" => cause);
                if let Some(on_recovered) = &self.on_recovered {
                    on_recovered(self.country);
                }
            }
        }
    }
}

/// The mode as a value of `provider_circuit_breaker_mode`.
const fn metric_value(mode: CircuitMode) -> i64 {
    match mode {
        CircuitMode::Auto => 0,
        CircuitMode::ForcedOpen => 1,
        CircuitMode::ForcedClosed => 2,
    }
}
