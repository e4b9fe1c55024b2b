//! The calls to the bureau of one country. Each country has a circuit breaker, a bulkhead, a retry budget and a pause of its
//! own.
//!
//! A call must be admitted by the breaker, the pause after a 429, and the bulkhead. Refusals are returned immediately
//! by the actor's handler. Calls run as asynchronous tasks on the actor's thread and share the [`CountryCalls`] with it. No
//! borrow of its cells is held across an `await`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, crit, info, o, warn};

use super::call::{self, BureauAnswer, CallStatus, Failure, FailureKind};
use super::monitored_breaker::MonitoredBreaker;
use super::{BankingAnswer, BreakerStatus, Endpoint, FetchBankingData, GatewayParts};
use crate::clock::Clock;
use crate::domain::application::Country;
use crate::domain::banking::{BankingData, FallbackReason};
use crate::error::{Error, PrivateMessage};
use crate::providers::BureauRequest;
use crate::resilience::bulkhead::{Bulkhead, BulkheadPermit, Entry, Waiting};
use crate::resilience::circuit_breaker::{CallResult, Permit, State};
use crate::resilience::retry_budget::RetryBudget;
use crate::telemetry::metrics::{Metrics, seconds};
use crate::telemetry::trace::{self, KeyValue, SpanKind};

pub(super) struct CountryCalls {
    endpoint: Endpoint,
    country: Country,
    client: awc::Client,
    clock: Clock,
    metrics: Arc<Metrics>,
    log: Logger,
    breaker: MonitoredBreaker,
    budget: RefCell<RetryBudget>,
    bulkhead: Bulkhead,
    /// When the pause after a 429 ends, in the clock's monotonic time.
    paused_until: Cell<Duration>,
}

/// Why a call is not made.
pub(super) enum Refusal {
    CircuitOpen,
    RateLimited { retry_after: Duration },
    BulkheadFull,
}

/// An admitted call.
pub(super) enum AdmittedCall {
    Start(CallAttempt, BulkheadPermit),
    Wait(Waiting),
}

/// The breaker permit for one attempt of a call. Dropping it releases the permit without a result.
pub(super) struct CallAttempt {
    calls: Rc<CountryCalls>,
    permit: Option<Permit>,
}

impl CallAttempt {
    fn record(mut self, result: CallResult) {
        if let Some(permit) = self.permit.take() {
            self.calls.breaker.record(permit, result);
        }
    }
}

impl Drop for CallAttempt {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.calls.breaker.release(permit);
        }
    }
}

impl CountryCalls {
    pub(super) fn new(endpoint: Endpoint, parts: &GatewayParts) -> Self {
        let country = endpoint.adapter.country();
        let log = parts.logger.new(o!("country" => country.code(), "provider" => endpoint.adapter.name()));
        Self {
            country,
            client: call::client(&endpoint.call),
            clock: parts.clock.clone(),
            metrics: Arc::clone(&parts.metrics),
            breaker: MonitoredBreaker::new(&endpoint, parts, log.clone()),
            log,
            budget: RefCell::new(RetryBudget::new(&endpoint.call)),
            bulkhead: Bulkhead::new(endpoint.call.max_in_flight, endpoint.call.max_queued),
            paused_until: Cell::new(Duration::ZERO),
            endpoint,
        }
    }

    pub(super) fn country(&self) -> Country {
        self.country
    }

    fn provider(&self) -> &'static str {
        self.endpoint.adapter.name()
    }

    fn provider_label(&self) -> &'static str {
        self.endpoint.adapter.label()
    }

    pub(super) fn status(&self) -> BreakerStatus {
        BreakerStatus {
            country: self.country,
            provider: self.provider(),
            snapshot: self.breaker.snapshot(),
            in_flight: self.bulkhead.in_flight(),
            queued: self.bulkhead.queued(),
            paused_for: self.pause_left(),
        }
    }

    /// Admits a call or returns why it is refused. A call that must wait holds no permit while it waits.
    pub(super) fn enter(self: &Rc<Self>) -> Result<AdmittedCall, Refusal> {
        let attempt = self.admit()?;
        match self.bulkhead.enter() {
            Entry::Free(bulkhead_permit) => Ok(AdmittedCall::Start(attempt, bulkhead_permit)),
            Entry::Queued(waiting) => Ok(AdmittedCall::Wait(waiting)),
            Entry::Full => Err(Refusal::BulkheadFull),
        }
    }

    fn admit(self: &Rc<Self>) -> Result<CallAttempt, Refusal> {
        let permit = self.breaker.admit().ok_or(Refusal::CircuitOpen)?;
        let attempt = CallAttempt { calls: Rc::clone(self), permit: Some(permit) };
        match self.pause_left() {
            Some(retry_after) => Err(Refusal::RateLimited { retry_after }),
            None => Ok(attempt),
        }
    }

    /// The response to a refused call.
    pub(super) fn refuse(&self, refusal: &Refusal) -> BankingAnswer {
        let (status, answer) = match refusal {
            Refusal::CircuitOpen => (CallStatus::CircuitOpen, self.fallback()),
            Refusal::RateLimited { retry_after } => {
                (CallStatus::RateLimited, BankingAnswer::RateLimited { retry_after: *retry_after })
            }
            Refusal::BulkheadFull => (CallStatus::BulkheadFull, BankingAnswer::BulkheadFull),
        };
        self.count(status);
        answer
    }

    fn fallback(&self) -> BankingAnswer {
        let state = self.breaker.state().as_str();
        BankingAnswer::CircuitOpen(BankingData::fallback(self.provider(), FallbackReason::CircuitOpen, state))
    }

    /// Makes an admitted call with its retries. Panics if the adapter does.
    pub(super) async fn carry_out(
        self: Rc<Self>,
        admission: AdmittedCall,
        fetch: FetchBankingData,
    ) -> BankingAnswer {
        match self.wait_for_permits(admission).await {
            Ok((attempt, _bulkhead_permit)) => self.call_bureau(attempt, &fetch).await,
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// Waits for the permits of a queued call. The breaker permit is requested only after the bulkhead permit was
    /// granted. If the breaker has opened in the meantime, each waiting caller receives the bulkhead permit in turn and
    /// is refused immediately.
    async fn wait_for_permits(
        self: &Rc<Self>,
        admission: AdmittedCall,
    ) -> Result<(CallAttempt, BulkheadPermit), Refusal> {
        match admission {
            AdmittedCall::Start(attempt, bulkhead_permit) => Ok((attempt, bulkhead_permit)),
            AdmittedCall::Wait(waiting) => {
                let bulkhead_permit = waiting.turn().await.ok_or(Refusal::BulkheadFull)?;
                Ok((self.admit()?, bulkhead_permit))
            }
        }
    }

    async fn call_bureau(
        self: &Rc<Self>,
        mut attempt: CallAttempt,
        fetch: &FetchBankingData,
    ) -> BankingAnswer {
        let bureau_request = self.endpoint.adapter.request(&fetch.subject);
        self.budget.borrow_mut().count_call(self.clock.monotonic());
        let mut retries = 0;
        loop {
            let failure = match self.attempt(attempt, &bureau_request, fetch).await {
                Ok(answer) => return answer,
                Err(failure) => failure,
            };
            // Without a closed breaker the caller gets fallback figures, even if no retries remain: another attempt of the
            // job would only find the breaker open.
            if self.breaker.state() != State::Closed {
                return self.refuse(&Refusal::CircuitOpen);
            }
            if !self.may_retry(failure.kind, retries) {
                return BankingAnswer::Failed { error: self.error(failure.kind.as_str(), failure.cause) };
            }
            let max_pause_ms =
                self.endpoint.call.retry_backoff_ms.saturating_mul(2_u64.saturating_pow(retries));
            tokio::time::sleep(self.clock.jitter(Duration::from_millis(max_pause_ms))).await;
            retries += 1;
            attempt = match self.admit() {
                Ok(attempt) => attempt,
                Err(refusal) => return self.refuse(&refusal),
            };
        }
    }

    fn may_retry(&self, kind: FailureKind, retries: u32) -> bool {
        kind.is_retryable()
            && retries < self.endpoint.call.retries
            && self.budget.borrow_mut().take(self.clock.monotonic())
    }

    /// Makes one attempt and records it in breaker, metrics and log.
    async fn attempt(
        &self,
        attempt: CallAttempt,
        bureau_request: &BureauRequest,
        fetch: &FetchBankingData,
    ) -> Result<BankingAnswer, Failure> {
        let began = self.clock.monotonic();
        let reply = self.call(bureau_request, fetch).await;
        let took = self.clock.monotonic().saturating_sub(began);
        self.count(reply.status());
        let labels = [self.country.code(), self.provider_label()];
        self.metrics.provider_call_duration_seconds.with_label_values(&labels).observe(seconds(took));
        self.log_reply(&reply, took, fetch);
        if let BureauAnswer::RateLimited { retry_after } = reply {
            self.pause(retry_after);
        }
        if let BureauAnswer::Failed(failure) = &reply {
            self.breaker.set_last_failure(format!("{}: {}", failure.kind.as_str(), failure.cause));
        }
        match reply.result() {
            Some(result) => attempt.record(result),
            None => drop(attempt),
        }
        match reply {
            BureauAnswer::Report(data) => Ok(BankingAnswer::Report(data)),
            BureauAnswer::Accepted { provider_reference } => {
                Ok(BankingAnswer::Accepted { provider_reference })
            }
            BureauAnswer::NotFound => Ok(BankingAnswer::Report(BankingData::thin_file(self.provider()))),
            BureauAnswer::RateLimited { retry_after } => Ok(BankingAnswer::RateLimited { retry_after }),
            BureauAnswer::Refused { status } => {
                Ok(BankingAnswer::Failed { error: self.error("refused", format!("status {status}")) })
            }
            BureauAnswer::Failed(failure) => Err(failure),
        }
    }

    async fn call(&self, bureau_request: &BureauRequest, fetch: &FetchBankingData) -> BureauAnswer {
        let attributes = || {
            vec![
                KeyValue::new("http.request.method", "POST"),
                KeyValue::new("server.address", self.endpoint.base_url.clone()),
                KeyValue::new("provider.name", self.provider()),
                KeyValue::new("application.id", fetch.application_id.to_string()),
                KeyValue::new("application.country", self.country.code()),
                KeyValue::new("circuit_breaker.state", self.breaker.state().as_str()),
            ]
        };
        let sending = async {
            let reply =
                call::send(&self.client, &self.endpoint, bureau_request, fetch, self.clock.now()).await;
            trace::set(|| vec![KeyValue::new("provider.status", reply.status().as_str())]);
            if matches!(reply.result(), Some(CallResult::Failure)) {
                trace::fail(reply.status().as_str());
            }
            reply
        };
        trace::in_span("call_banking_provider", SpanKind::Client, attributes, sending).await
    }

    fn error(&self, reason: &'static str, cause: String) -> Error {
        Error::Provider { provider: self.provider(), reason, cause: PrivateMessage::new(cause) }
    }

    fn pause(&self, retry_after: Duration) {
        let until = self.clock.monotonic() + retry_after;
        self.paused_until.set(self.paused_until.get().max(until));
    }

    fn pause_left(&self) -> Option<Duration> {
        let left = self.paused_until.get().saturating_sub(self.clock.monotonic());
        (!left.is_zero()).then_some(left)
    }

    fn count(&self, status: CallStatus) {
        let labels = [self.country.code(), self.provider_label(), status.as_str()];
        self.metrics.provider_calls_total.with_label_values(&labels).inc();
    }

    fn log_reply(&self, reply: &BureauAnswer, took: Duration, fetch: &FetchBankingData) {
        let log = self.log.new(o!(
            "application_id" => fetch.application_id.to_string(),
            "request_id" => fetch.request_id.as_ref().map(ToString::to_string),
            "status" => reply.status().as_str(),
            "took_ms" => took.as_millis(),
        ));
        match reply {
            BureauAnswer::Report(_) | BureauAnswer::Accepted { .. } | BureauAnswer::NotFound => {}
            BureauAnswer::RateLimited { retry_after } => {
                info!(log, "bureau rate limit exceeded"; "retry_after_ms" => retry_after.as_millis());
            }
            BureauAnswer::Refused { status } => {
                warn!(log, "bureau rejected the request"; "code" => status.as_u16())
            }
            BureauAnswer::Failed(Failure { kind: FailureKind::Unauthorized, cause }) => {
                crit!(log, "bureau rejected the credentials";
                    "cause" => cause, "alert" => "provider_credentials");
            }
            BureauAnswer::Failed(failure) => warn!(log, "bureau call failed"; "cause" => &failure.cause),
        }
    }
}
