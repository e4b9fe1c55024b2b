//! The provider gateway makes all calls to bureaus (section 4 of docs/specification.md).
//!
//! Each instance has one gateway. For each country, the gateway has a [`CountryCalls`] with a circuit breaker, a bulkhead
//! and a retry budget. They are local to the instance, so a network problem of one instance does not block a country on
//! all instances. Countries share nothing, not even connections.
//!
//! If the breaker refuses a call, the handler immediately responds with fallback figures. All other calls run as
//! asynchronous tasks on the actor's thread. A task ends early:
//! - if it panics. Only this call fails, with [`Error::Panicked`];
//! - if its caller is dropped. The permits are released, and no result is recorded for the bureau;
//! - if the actor fails. Callers get a mailbox error, and the replacement starts with closed breakers or with the
//!   operators' overrides.
//!
//! A message whose response is not awaited (`try_send`) makes no call.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::{MessageResponse, OneshotSender};
use actix::prelude::*;
use awc::http::Uri;
use slog::{Logger, error, o};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::actors::provider_gateway::events::CircuitEvents;
use crate::actors::provider_gateway::overrides::CircuitOverrides;
use crate::clock::Clock;
use crate::config::{BreakerSettings, CallSettings, ProviderMode};
use crate::domain::application::Country;
use crate::domain::banking::BankingData;
use crate::domain::ids::{ApplicationId, RequestId};
use crate::error::{Error, Result};
use crate::providers::{BureauAdapter, Subject};
use crate::resilience::circuit_breaker::Snapshot;
use crate::supervision::faults::{FaultPoint, Faults};
use crate::supervision::handle::LivenessGuard;
use crate::supervision::limited::catch_panic;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Carried;

mod call;
mod country_calls;
pub mod events;
mod monitored_breaker;
pub mod overrides;

pub use call::CallStatus;
use country_calls::{AdmittedCall, CountryCalls};

/// The actor's name in logs and metrics.
pub const NAME: &str = "provider_gateway";

/// Called when a country's breaker closes after it was open, on the gateway's thread. Must not block.
pub type Recovered = Arc<dyn Fn(Country) + Send + Sync>;

/// The bureau of one country: adapter, address and limits.
#[derive(Clone)]
pub struct Endpoint {
    adapter: &'static dyn BureauAdapter,
    base_url: String,
    mode: ProviderMode,
    call: CallSettings,
    breaker: BreakerSettings,
}

impl Endpoint {
    /// The bureau of the adapter's country at `base_url`, which is the configured address or the simulator's.
    ///
    /// # Errors
    /// [`Error::Configuration`] if `base_url` is not an absolute HTTP URL. It is checked here so that a restart of the
    /// gateway cannot fail.
    pub fn new(
        adapter: &'static dyn BureauAdapter,
        base_url: &str,
        call: CallSettings,
        breaker: BreakerSettings,
    ) -> Result<Self> {
        let absolute = base_url.parse::<Uri>().is_ok_and(|uri| {
            uri.host().is_some()
                && uri.query().is_none()
                && matches!(uri.scheme_str(), Some("http" | "https"))
        });
        if !absolute {
            let country = adapter.country();
            return Err(Error::configuration(format_args!(
                "the base_url of {country}'s bureau must be an absolute http(s) URL without a query"
            )));
        }
        let base_url = base_url.trim_end_matches('/').to_owned();
        Ok(Self { adapter, base_url, mode: ProviderMode::Sync, call, breaker })
    }

    /// Sets whether the bureau responds synchronously.
    #[must_use]
    pub fn with_mode(self, mode: ProviderMode) -> Self {
        Self { mode, ..self }
    }
}

/// The parts of a gateway. Cheap to clone, because each replacement is built from them.
#[derive(Clone)]
pub struct GatewayParts {
    /// One per country.
    pub endpoints: Vec<Endpoint>,
    /// The capacity of the mailbox.
    pub mailbox_capacity: usize,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub faults: Arc<Faults>,
    /// The operators' overrides, read before the first call.
    pub overrides: CircuitOverrides,
    pub events: CircuitEvents,
    pub logger: Logger,
    /// Called when a bureau has recovered.
    pub on_recovered: Option<Recovered>,
}

pub struct ProviderGateway {
    countries: Vec<Rc<CountryCalls>>,
    mailbox_capacity: usize,
    faults: Arc<Faults>,
    log: Logger,
    /// Cancels the calls in flight when the actor ends.
    alive: CancellationToken,
    _end_of_calls: DropGuard,
    _liveness: LivenessGuard,
}

/// Requests the report of a person from a country's bureau.
#[derive(Debug, Message)]
#[rtype(result = "Result<BankingAnswer>")]
pub struct FetchBankingData {
    pub country: Country,
    pub subject: Subject,
    /// The application, for the log.
    pub application_id: ApplicationId,
    /// The request that caused the call, passed on as `X-Request-ID`.
    pub request_id: Option<RequestId>,
    /// The trace of the call.
    pub trace: Carried,
}

/// The result of a request to a bureau. If Aval itself fails, the caller gets an error instead ([`Error::Panicked`],
/// [`Error::Internal`]).
#[derive(Debug, Clone)]
pub enum BankingAnswer {
    /// The bureau's report, or a thin file if it has no record of the document.
    Report(BankingData),
    /// The bureau accepted the request and will post its report as a webhook under this reference.
    Accepted { provider_reference: String },
    /// Fallback figures, because the breaker refused the call or opened during it.
    CircuitOpen(BankingData),
    /// Too many calls are in flight and waiting. Does not count as a failure.
    BulkheadFull,
    /// The bureau's rate limit is exceeded (429). Does not count as a failure.
    RateLimited { retry_after: Duration },
    /// All attempts failed, or the bureau rejected the request.
    Failed {
        /// An [`Error::Provider`] whose `reason` is a status of `provider_calls_total`.
        error: Error,
    },
}

/// Reads the state of the breakers, in the order of the endpoints.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<BreakerStatus>")]
pub struct ReadBreakers;

/// The state of the calls to one country's bureau.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerStatus {
    pub country: Country,
    pub provider: &'static str,
    pub snapshot: Snapshot,
    pub in_flight: u32,
    /// Calls that wait for a bulkhead permit.
    pub queued: usize,
    /// The remaining pause after a 429, if any.
    pub paused_for: Option<Duration>,
}

impl ProviderGateway {
    /// A gateway with closed breakers. Must be called on the thread that it will run on.
    pub fn new(parts: GatewayParts, liveness: LivenessGuard) -> Self {
        let logger = parts.logger.new(o!("logger" => "provider_gateway"));
        let parts = GatewayParts { logger, ..parts };
        let countries =
            parts.endpoints.iter().map(|endpoint| Rc::new(CountryCalls::new(endpoint.clone(), &parts)));
        let alive = CancellationToken::new();
        Self {
            countries: countries.collect(),
            mailbox_capacity: parts.mailbox_capacity,
            faults: parts.faults,
            log: parts.logger,
            _end_of_calls: alive.clone().drop_guard(),
            alive,
            _liveness: liveness,
        }
    }
}

impl Actor for ProviderGateway {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.mailbox_capacity);
    }
}

impl Handler<ReadBreakers> for ProviderGateway {
    type Result = MessageResult<ReadBreakers>;

    fn handle(&mut self, _: ReadBreakers, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.countries.iter().map(|calls| calls.status()).collect())
    }
}

impl Handler<FetchBankingData> for ProviderGateway {
    type Result = Response;

    fn handle(&mut self, fetch: FetchBankingData, _: &mut Self::Context) -> Self::Result {
        self.faults.pass(FaultPoint::ProviderGateway, Some(fetch.country.code()));
        let Some(calls) = self.countries.iter().find(|calls| calls.country() == fetch.country) else {
            return Response::Now(Err(Error::internal(format_args!("{} has no bureau", fetch.country))));
        };
        match calls.enter() {
            Ok(admission) => Response::Later(Box::new(Call {
                calls: Rc::clone(calls),
                admission,
                alive: self.alive.clone(),
                log: self.log.new(o!(
                    "country" => fetch.country.code(),
                    "application_id" => fetch.application_id.to_string(),
                )),
                fetch,
            })),
            Err(refusal) => Response::Now(Ok(calls.refuse(&refusal))),
        }
    }
}

/// The response to [`FetchBankingData`]: immediate, or from a call.
pub enum Response {
    Now(Result<BankingAnswer>),
    Later(Box<Call>),
}

impl MessageResponse<ProviderGateway, FetchBankingData> for Response {
    fn handle(self, _: &mut Context<ProviderGateway>, caller: Option<OneshotSender<Result<BankingAnswer>>>) {
        let Some(caller) = caller else {
            return;
        };
        match self {
            Self::Now(answer) => {
                let _ = caller.send(answer);
            }
            Self::Later(call) => {
                actix_rt::spawn(call.answer(caller));
            }
        }
    }
}

/// An admitted call.
pub struct Call {
    calls: Rc<CountryCalls>,
    admission: AdmittedCall,
    fetch: FetchBankingData,
    alive: CancellationToken,
    log: Logger,
}

impl Call {
    async fn answer(self: Box<Self>, mut caller: OneshotSender<Result<BankingAnswer>>) {
        let Self { calls, admission, fetch, alive, log } = *self;
        let trace = fetch.trace.clone();
        let work = trace.run(catch_panic("provider call", calls.carry_out(admission, fetch)));
        let answer = tokio::select! {
            biased;
            () = alive.cancelled() => return,
            () = caller.closed() => return,
            answer = work => answer,
        };
        if let Err(error) = &answer {
            error!(log, "bureau call panicked"; error);
        }
        let _ = caller.send(answer);
    }
}

#[cfg(test)]
mod tests;
