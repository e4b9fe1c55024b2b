//! Calls to the rails: a circuit breaker, a limit of concurrent calls and a retry budget per rail.
//!
//! A refused call ([`CallFailure::NotProcessed`]) has no effect and may be repeated later. A submission is never repeated
//! here: whether and how it may be repeated is the decision of the workflow. Look-ups and inquiries change nothing and are
//! repeated within the budget.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slog::{Logger, info, warn};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::call::{self, Reply};
use super::{Malformed, Message, Payment, RailAdapter, adapter};
use crate::clock::Clock;
use crate::config::{BreakerSettings, CallSettings};
use crate::domain::disbursement::destination::Destination;
use crate::domain::disbursement::rail::{DestinationAnswer, PaymentAnswer, PaymentStatus, Rail};
use crate::resilience::circuit_breaker::{Admission, CallResult, CircuitBreaker, Permit, State};
use crate::resilience::retry_budget::RetryBudget;
use crate::telemetry::labels::label_values;
use crate::telemetry::metrics::{Metrics, seconds};

pub use super::call::CallFailure;

label_values! {
    /// What a rail is called for: the label `operation` of `rail_calls_total`.
    pub enum Operation {
        Lookup = "lookup",
        Submit = "submit",
        Inquire = "inquire",
    }
}

label_values! {
    /// The result of a call: the label `status` of `rail_calls_total`.
    pub enum RailCallStatus {
        Answer = "answer",
        NotFound = "not_found",
        Refused = "refused",
        /// The request had no effect.
        NotProcessed = "not_processed",
        /// The request may have had an effect.
        Unanswered = "unanswered",
        /// Not called: the rail has no address.
        NotConfigured = "not_configured",
        /// Not called: the circuit breaker is open.
        CircuitOpen = "circuit_open",
        /// Not called: too many calls are in flight.
        BulkheadFull = "bulkhead_full",
    }
}

/// The address and limits of one rail.
#[derive(Debug, Clone)]
pub struct RailEndpoint {
    pub rail: Rail,
    pub base_url: String,
    pub call: CallSettings,
    pub breaker: BreakerSettings,
}

struct RailCalls {
    endpoint: RailEndpoint,
    breaker: Mutex<CircuitBreaker>,
    budget: Mutex<RetryBudget>,
    in_flight: Semaphore,
}

/// The rails that this instance calls. Cheap to clone.
#[derive(Clone)]
pub struct RailGateway {
    rails: Arc<[RailCalls]>,
    clock: Clock,
    metrics: Arc<Metrics>,
    logger: Logger,
}

impl RailGateway {
    pub fn new(endpoints: Vec<RailEndpoint>, clock: Clock, metrics: Arc<Metrics>, logger: Logger) -> Self {
        let calls = endpoints.into_iter().map(|endpoint| RailCalls {
            breaker: Mutex::new(CircuitBreaker::new(endpoint.breaker.clone())),
            budget: Mutex::new(RetryBudget::new(&endpoint.call)),
            in_flight: Semaphore::new(usize::try_from(endpoint.call.max_in_flight).unwrap_or(1)),
            endpoint,
        });
        Self { rails: calls.collect(), clock, metrics, logger }
    }

    /// Looks up a destination.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn lookup(
        &self,
        rail: Rail,
        destination: &Destination,
    ) -> Result<DestinationAnswer, CallFailure> {
        let adapter = adapter(rail);
        let message = adapter.lookup(destination);
        match self.call(rail, Operation::Lookup, "/destinations", Some(&message)).await? {
            Reply::Answer(body) => adapter.read_lookup(&body).map_err(malformed),
            Reply::NotFound => Ok(refused_destination("not_found".to_owned())),
            Reply::Refused(status) => Ok(refused_destination(format!("http_{status}"))),
        }
    }

    /// Submits a payment. Makes exactly one request.
    ///
    /// # Errors
    /// Why there is no answer; [`CallFailure::Unanswered`] if the rail may have the payment.
    pub async fn submit(&self, rail: Rail, payment: &Payment) -> Result<PaymentAnswer, CallFailure> {
        let adapter = adapter(rail);
        let message = adapter.submit(payment);
        let reply = self.attempt(rail, Operation::Submit, "/payments", Some(&message)).await?;
        read_payment(adapter, payment.key, reply)
    }

    /// Asks for the payment with this key.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn inquire(&self, rail: Rail, key: Uuid) -> Result<PaymentAnswer, CallFailure> {
        let path = format!("/payments/{}", key.simple());
        match self.call(rail, Operation::Inquire, &path, None).await? {
            Reply::NotFound => {
                Ok(PaymentAnswer { status: PaymentStatus::NotFound, reason: None, reference: None })
            }
            reply => read_payment(adapter(rail), key, reply),
        }
    }

    /// Makes a call without effect, and repeats it within the budget.
    async fn call(
        &self,
        rail: Rail,
        operation: Operation,
        path: &str,
        message: Option<&Message>,
    ) -> Result<Reply, CallFailure> {
        let mut repeats = 0;
        loop {
            let failure = match self.attempt(rail, operation, path, message).await {
                Err(failure @ CallFailure::Unanswered(_)) => failure,
                other => return other,
            };
            let Some(calls) = self.find(rail).filter(|calls| repeats < calls.endpoint.call.retries) else {
                return Err(failure);
            };
            if !lock(&calls.budget).take(self.clock.monotonic()) {
                return Err(failure);
            }
            let pause_ms = calls.endpoint.call.retry_backoff_ms.saturating_mul(2_u64.saturating_pow(repeats));
            tokio::time::sleep(self.clock.jitter(Duration::from_millis(pause_ms))).await;
            repeats += 1;
        }
    }

    async fn attempt(
        &self,
        rail: Rail,
        operation: Operation,
        path: &str,
        message: Option<&Message>,
    ) -> Result<Reply, CallFailure> {
        let refuse = |status: RailCallStatus| {
            self.count(rail, operation, status);
            Err(CallFailure::NotProcessed(status.as_str().to_owned()))
        };
        let Some(calls) = self.find(rail) else { return refuse(RailCallStatus::NotConfigured) };
        let Some(permit) = self.admit(calls) else { return refuse(RailCallStatus::CircuitOpen) };
        let Ok(_in_flight) = calls.in_flight.try_acquire() else {
            self.with_breaker(calls, |breaker, now, roll| breaker.release(permit, now, roll));
            return refuse(RailCallStatus::BulkheadFull);
        };
        lock(&calls.budget).count_call(self.clock.monotonic());
        let (url, began) = (format!("{}{path}", calls.endpoint.base_url), self.clock.monotonic());
        let reply = call::send(&calls.endpoint.call, &url, message).await;
        let took = self.clock.monotonic().saturating_sub(began);
        self.metrics.rail_call_duration_seconds.with_label_values(&[rail.as_str()]).observe(seconds(took));
        self.count(rail, operation, status(&reply));
        let result = if reply.is_ok() { CallResult::Success } else { CallResult::Failure };
        self.with_breaker(calls, |breaker, now, roll| breaker.record(permit, now, result, roll));
        if let Err(CallFailure::NotProcessed(cause) | CallFailure::Unanswered(cause)) = &reply {
            warn!(self.logger, "rail call failed"; "rail" => rail.as_str(), "operation" => operation.as_str(), "cause" => cause);
        }
        reply
    }

    fn find(&self, rail: Rail) -> Option<&RailCalls> {
        self.rails.iter().find(|calls| calls.endpoint.rail == rail)
    }

    fn admit(&self, calls: &RailCalls) -> Option<Permit> {
        match self.with_breaker(calls, CircuitBreaker::admit) {
            Admission::Admitted(permit) => Some(permit),
            Admission::Refused { .. } => None,
        }
    }

    /// The state of a rail's breaker.
    pub fn state(&self, rail: Rail) -> Option<State> {
        self.find(rail).map(|calls| self.with_breaker(calls, CircuitBreaker::state))
    }

    fn with_breaker<T>(
        &self,
        calls: &RailCalls,
        work: impl FnOnce(&mut CircuitBreaker, Duration, u8) -> T,
    ) -> T {
        let (now, roll) = (self.clock.monotonic(), self.clock.percent_roll());
        let mut breaker = lock(&calls.breaker);
        let result = work(&mut breaker, now, roll);
        let rail = calls.endpoint.rail.as_str();
        for change in breaker.take_transitions() {
            self.metrics.rail_circuit_breaker_state.with_label_values(&[rail]).set(change.to.metric_value());
            info!(self.logger, "rail circuit breaker changed"; "rail" => rail, "from" => change.from.as_str(),
                "to" => change.to.as_str(), "cause" => change.cause.as_str());
        }
        result
    }

    fn count(&self, rail: Rail, operation: Operation, status: RailCallStatus) {
        let labels = [rail.as_str(), operation.as_str(), status.as_str()];
        self.metrics.rail_calls_total.with_label_values(&labels).inc();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn status(reply: &Result<Reply, CallFailure>) -> RailCallStatus {
    match reply {
        Ok(Reply::Answer(_)) => RailCallStatus::Answer,
        Ok(Reply::NotFound) => RailCallStatus::NotFound,
        Ok(Reply::Refused(_)) => RailCallStatus::Refused,
        Err(CallFailure::NotProcessed(_)) => RailCallStatus::NotProcessed,
        Err(CallFailure::Unanswered(_)) => RailCallStatus::Unanswered,
    }
}

/// A malformed answer may report anything, so the call counts as unanswered.
fn malformed(Malformed(what): Malformed) -> CallFailure {
    CallFailure::Unanswered(what.to_owned())
}

fn refused_destination(reason: String) -> DestinationAnswer {
    DestinationAnswer { refused: Some(reason), holder: None }
}

fn read_payment(adapter: &dyn RailAdapter, key: Uuid, reply: Reply) -> Result<PaymentAnswer, CallFailure> {
    match reply {
        Reply::Answer(body) => adapter.read_status(key, &body).map_err(malformed),
        // A submission has no "not found"; the rail's address may be wrong.
        Reply::NotFound => Err(CallFailure::NotProcessed("status 404".to_owned())),
        Reply::Refused(status) => {
            let reason = Some(format!("http_{status}"));
            Ok(PaymentAnswer { status: PaymentStatus::Rejected, reason, reference: None })
        }
    }
}
