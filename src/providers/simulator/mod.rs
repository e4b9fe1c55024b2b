//! The provider simulator: all six bureaus as one real HTTP server.
//!
//! It speaks each bureau's own format under `/es`, `/pt`, …, so that nothing in Aval can tell it from the bureau
//! itself: with no `base_url` configured the gateway calls it over loopback, and tests and demonstrations use it
//! too. It answers from the document alone ([`record`]), except for the documented [`test_documents`], and can be
//! told to misbehave ([`Script`]), in the process or over HTTP:
//!
//! - `PUT /control/{country}` with any of `fail_next`, `latency_ms`, `error_rate_percent`, `malformed`,
//!   `callback_delay_ms`
//! - `DELETE /control/{country}` ends that country's faults
//! - `GET /control` shows them all, with the number of calls
//!
//! Told where ([`Simulator::answer_later`]), it plays the asynchronous bureau as well: it answers a question that names its
//! application with a promise (202), and posts the report as a signed webhook afterwards.
//!
//! It keeps nothing, and neither documents nor names reach its log. The control paths have no lock on them: the
//! simulator belongs on loopback or on a network of trusted machines.

mod callbacks;
pub mod families;
pub mod record;
pub mod script;
mod server;
pub mod test_documents;
#[cfg(test)]
mod tests;
mod wire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;

pub use self::callbacks::Callbacks;
pub use self::script::Script;
use self::server::Shared;
use crate::clock::Clock;
use crate::domain::application::Country;
use crate::error::{Error, Result};

/// Where the simulator listens and how slow it can be.
#[derive(Debug, Clone)]
pub struct SimulatorSettings {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 takes any that is free.
    pub port: u16,
    /// After how long a *slow* test document is answered.
    pub slow_answer: Duration,
    /// How long a *timeout* test document hangs, unless its client gives up first.
    pub hang: Duration,
}

impl Default for SimulatorSettings {
    /// Any port on loopback; 4 s slow, which is over the breaker's threshold of 3 s; 60 s hanging, which is over
    /// every time limit.
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            slow_answer: Duration::from_secs(4),
            hang: Duration::from_secs(60),
        }
    }
}

/// A running simulator. Cheap to clone; it runs until [`Simulator::stop`] or the end of the process.
#[derive(Clone)]
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: ServerHandle,
}

impl Simulator {
    /// Binds and starts serving, on a thread of its own. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the address cannot be listened on.
    pub async fn start(settings: SimulatorSettings, clock: Clock, logger: slog::Logger) -> Result<Self> {
        let wanted = SocketAddr::new(settings.host, settings.port);
        let shared = Arc::new(Shared::new(settings, clock, logger.clone()));
        let (address, running) = server::bind(wanted, Arc::clone(&shared)).map_err(|error| {
            Error::configuration(format!("the provider simulator cannot listen on {wanted}: {error}"))
        })?;
        let server = running.handle();
        slog::info!(logger, "provider simulator listening"; "address" => %address);
        tokio::spawn(async move {
            if let Err(error) = running.await {
                slog::error!(logger, "provider simulator ended"; "error" => %error);
            }
        });
        Ok(Self { address, shared, server })
    }

    /// The base URL of `country`'s bureau, such as `http://127.0.0.1:8090/es`.
    pub fn base_url(&self, country: Country) -> String {
        format!("{}/{}", self.root_url(), country.lower_code())
    }

    /// The URL that `/control` is below.
    pub fn root_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has the bureaus of these callbacks' countries answer later. Once told, it stays so.
    pub fn answer_later(&self, callbacks: Callbacks) {
        let _ = self.shared.callbacks.set(callbacks);
    }

    /// What the bureaus are told to do wrong.
    pub fn script(&self) -> &Script {
        &self.shared.script
    }

    /// How many questions have reached `country`'s bureau since the start, answered or not.
    pub fn calls(&self, country: Country) -> u64 {
        self.shared.tally(country).arrived()
    }

    /// How many questions `country`'s bureau is busy with now. A client that gives up is no longer counted.
    pub fn in_flight(&self, country: Country) -> u64 {
        self.shared.tally(country).in_flight()
    }

    /// Stops at once: listening ends and open connections, hanging ones too, are closed.
    pub async fn stop(self) {
        self.server.stop(false).await;
    }
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator").field("address", &self.address).finish_non_exhaustive()
    }
}
