//! The provider gateway (docs/specification.md 4; docs/ARCHITECTURE.md): the one way to the bureaus.
//!
//! One actor for each instance owns a `lane` for each country: circuit breaker, bulkhead and retry budget. All of it
//! is local to the instance, so that one instance's bad network does not shut a country everywhere, and nothing is
//! shared between countries, connections included.
//!
//! The handler decides at once what needs no bureau: a refusal by the breaker is answered with fallback figures without
//! leaving it. Everything else runs as a task on the actor's thread, which ends early
//! - when it panics, as an [`Error::Panicked`] for that call alone;
//! - when its caller goes away: place and permit are free again, without a result on the bureau;
//! - when the actor dies: callers get a mailbox error, and its replacement starts with closed breakers, or
//!   as operators have forced them.
//!
//! A message that nobody waits for the answer of (`try_send`) makes no call.

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
use crate::providers::{BankingProvider, Subject};
use crate::resilience::circuit_breaker::Snapshot;
use crate::supervision::faults::{FaultPoint, Faults};
use crate::supervision::handle::LivenessGuard;
use crate::supervision::limited::catch_panic;
use crate::telemetry::metrics::Metrics;

mod call;
pub mod events;
mod lane;
pub mod overrides;

use lane::{AdmittedCall, Lane};

/// The role's name, in logs and metrics.
pub const NAME: &str = "provider_gateway";

/// Told when a country's breaker has closed after having been open. Called on the gateway's thread: it may leave a
/// hint somewhere and must not block.
pub type Recovered = Arc<dyn Fn(Country) + Send + Sync>;

/// One country's bureau: its format, where it is and how it is guarded.
#[derive(Clone)]
pub struct Endpoint {
    adapter: &'static dyn BankingProvider,
    base_url: String,
    mode: ProviderMode,
    call: CallSettings,
    breaker: BreakerSettings,
}

impl Endpoint {
    /// The bureau of the adapter's country at `base_url`: the configured one, or the simulator's.
    ///
    /// # Errors
    /// [`Error::Configuration`] when `base_url` is not an absolute HTTP URL. It is checked here so that a restart of
    /// the gateway cannot fail.
    pub fn new(
        adapter: &'static dyn BankingProvider,
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

    /// The same bureau, answering in this mode.
    #[must_use]
    pub fn answering(self, mode: ProviderMode) -> Self {
        Self { mode, ..self }
    }
}

/// What a gateway is made of. Cheap to clone, so that each replacement can be made from the same.
#[derive(Clone)]
pub struct GatewayParts {
    /// The bureaus, one for each country.
    pub endpoints: Vec<Endpoint>,
    /// Messages that may wait in the mailbox.
    pub mailbox_capacity: usize,
    /// Time and dice.
    pub clock: Clock,
    /// Where calls and breakers are counted.
    pub metrics: Arc<Metrics>,
    /// Faults that tests and operators inject.
    pub faults: Arc<Faults>,
    /// What operators want of the breakers; known before the first call.
    pub overrides: CircuitOverrides,
    /// Where changes of the breakers become events.
    pub events: CircuitEvents,
    /// The log.
    pub logger: Logger,
    /// Who is told of recoveries.
    pub on_recovered: Option<Recovered>,
}

/// The actor.
pub struct ProviderGateway {
    lanes: Vec<Rc<Lane>>,
    mailbox_capacity: usize,
    faults: Arc<Faults>,
    log: Logger,
    /// Ends the calls in flight with the actor.
    alive: CancellationToken,
    _end_of_calls: DropGuard,
    _liveness: LivenessGuard,
}

/// Asks a country's bureau about a person.
#[derive(Debug, Message)]
#[rtype(result = "Result<BankingAnswer>")]
pub struct FetchBankingData {
    /// Whose bureau.
    pub country: Country,
    /// About whom.
    pub subject: Subject,
    /// For which application; for the log.
    pub application_id: ApplicationId,
    /// The request that led here, passed on as `X-Request-ID`.
    pub request_id: Option<RequestId>,
    /// Its W3C trace context, passed on as it is.
    pub traceparent: Option<String>,
}

/// What came of it. Errors beside it are ours ([`Error::Panicked`], [`Error::Internal`]), never a bureau's.
#[derive(Debug, Clone)]
pub enum BankingAnswer {
    /// The bureau's report; a thin file when it knows nobody by that document.
    Report(BankingData),
    /// The bureau took the question and will post its answer as a webhook under this reference.
    Accepted {
        /// The bureau's own name for the question.
        provider_reference: String,
    },
    /// The breaker is not closed, or opened over this very call: fallback figures.
    CircuitOpen(BankingData),
    /// Too many calls are in flight and waiting: come back later. It counts as no failure.
    BulkheadFull,
    /// The bureau asked to be left alone for this time (429). It counts as no failure.
    RateLimited {
        /// When to come back.
        retry_after: Duration,
    },
    /// The bureau failed, retries included, or refused the question.
    Failed {
        /// An [`Error::Provider`], whose `reason` is a status of `provider_calls_total`.
        error: Error,
    },
}

/// Asks how the breakers stand, in the order of the endpoints.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<BreakerStatus>")]
pub struct ReadBreakers;

/// How one country's lane stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerStatus {
    /// The country.
    pub country: Country,
    /// Its bureau.
    pub provider: &'static str,
    /// The breaker.
    pub snapshot: Snapshot,
    /// Calls in flight.
    pub in_flight: u32,
    /// Calls that wait for a place.
    pub queued: usize,
    /// How long the bureau still wants to be left alone, if it does.
    pub paused_for: Option<Duration>,
}

impl ProviderGateway {
    /// A gateway whose breakers are closed. To be called on the thread that it will run on.
    pub fn new(parts: GatewayParts, liveness: LivenessGuard) -> Self {
        let logger = parts.logger.new(o!("logger" => "provider_gateway"));
        let parts = GatewayParts { logger, ..parts };
        let lanes = parts.endpoints.iter().map(|endpoint| Rc::new(Lane::new(endpoint.clone(), &parts)));
        let alive = CancellationToken::new();
        Self {
            lanes: lanes.collect(),
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
        MessageResult(self.lanes.iter().map(|lane| lane.status()).collect())
    }
}

impl Handler<FetchBankingData> for ProviderGateway {
    type Result = Response;

    fn handle(&mut self, ask: FetchBankingData, _: &mut Self::Context) -> Self::Result {
        self.faults.pass(FaultPoint::ProviderGateway, Some(ask.country));
        let Some(lane) = self.lanes.iter().find(|lane| lane.country() == ask.country) else {
            return Response::Now(Err(Error::internal(format_args!("{} has no bureau", ask.country))));
        };
        match lane.enter() {
            Ok(admission) => Response::Later(Box::new(Call {
                lane: Rc::clone(lane),
                admission,
                alive: self.alive.clone(),
                log: self.log.new(o!(
                    "country" => ask.country.code(),
                    "application_id" => ask.application_id.to_string(),
                )),
                ask,
            })),
            Err(refusal) => Response::Now(Ok(lane.refuse(&refusal))),
        }
    }
}

/// The gateway's response to [`FetchBankingData`]: the answer, or a call that will give it.
pub enum Response {
    /// The answer.
    Now(Result<BankingAnswer>),
    /// The call.
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

/// A call that was let in.
pub struct Call {
    lane: Rc<Lane>,
    admission: AdmittedCall,
    ask: FetchBankingData,
    alive: CancellationToken,
    log: Logger,
}

impl Call {
    async fn answer(self: Box<Self>, mut caller: OneshotSender<Result<BankingAnswer>>) {
        let Self { lane, admission, ask, alive, log } = *self;
        let work = catch_panic("provider call", lane.carry_out(admission, ask));
        let answer = tokio::select! {
            biased;
            () = alive.cancelled() => return,
            () = caller.closed() => return,
            answer = work => answer,
        };
        if let Err(error) = &answer {
            error!(log, "a call to a bureau panicked"; error);
        }
        let _ = caller.send(answer);
    }
}

#[cfg(test)]
mod tests;
