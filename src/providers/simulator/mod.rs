//! The provider simulator: an HTTP server for all bureaus.
//!
//! It implements each bureau's format under `/es`, `/pt`, …. If no `base_url` is configured for a bureau, the provider
//! gateway calls the simulator over loopback. Tests and demonstrations use it too. Responses are generated from the
//! document ([`record`]), except for the documented [`test_documents`]. Faults can be injected in the process ([`Script`])
//! or over HTTP:
//!
//! - `PUT /control/{country}` with any of `fail_next`, `latency_ms`, `error_rate_percent`, `malformed`,
//!   `callback_delay_ms`
//! - `DELETE /control/{country}` removes the country's faults
//! - `GET /control` shows the faults of all countries, with the number of calls
//!
//! With [`Simulator::respond_later`], it also simulates asynchronous bureaus: if a request has an application id, it
//! responds with a 202 and posts the report later as a signed webhook.
//!
//! It stores nothing and logs neither documents nor names. The control endpoints have no authentication, so the
//! simulator must only be reachable over loopback or a trusted network.

pub(crate) mod bureau;
mod callbacks;
pub mod families;
pub mod record;
pub mod scenario;
pub mod script;
mod server;
pub mod test_documents;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;

use self::bureau::SimulatedBureau;
pub use self::callbacks::Callbacks;
pub use self::script::Script;
use self::server::Shared;
use crate::clock::Clock;
use crate::domain::application::Country;
use crate::error::{Error, Result};

/// The simulated bureau of `country`.
pub(crate) fn simulated(country: Country) -> &'static SimulatedBureau {
    super::bureau_of(country).simulated
}

/// Address and delays of the simulator.
#[derive(Debug, Clone)]
pub struct SimulatorSettings {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 selects any free port.
    pub port: u16,
    /// Delay of the response to a test document of the scenario `Slow`.
    pub slow_response: Duration,
    /// How long a request for a test document of the scenario `Timeout` stays without a response, unless the client
    /// disconnects.
    pub hang: Duration,
}

impl Default for SimulatorSettings {
    /// Any port on loopback. Slow responses take 4 s, which exceeds the breaker's threshold of 3 s. Hanging responses take
    /// 60 s, which exceeds every timeout.
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            slow_response: Duration::from_secs(4),
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
    /// Starts the server on a separate thread. Requires a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the address is not available.
    pub async fn start(settings: SimulatorSettings, clock: Clock, logger: slog::Logger) -> Result<Self> {
        let requested = SocketAddr::new(settings.host, settings.port);
        let shared = Arc::new(Shared::new(settings, clock, logger.clone()));
        let (address, running) = server::bind(requested, Arc::clone(&shared)).map_err(|error| {
            Error::configuration(format!("the provider simulator cannot listen on {requested}: {error}"))
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

    /// The base URL of `/control`.
    pub fn root_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes the bureaus with a key in `callbacks` asynchronous. Only the first call has an effect.
    pub fn respond_later(&self, callbacks: Callbacks) {
        let _ = self.shared.callbacks.set(callbacks);
    }

    /// The injected faults.
    pub fn script(&self) -> &Script {
        &self.shared.script
    }

    /// The number of requests to `country`'s bureau since the start, including unanswered ones.
    pub fn calls(&self, country: Country) -> u64 {
        self.shared.tally(country).arrived()
    }

    /// The number of requests in progress at `country`'s bureau. Requests of disconnected clients do not count.
    pub fn in_flight(&self, country: Country) -> u64 {
        self.shared.tally(country).in_flight()
    }

    /// Stops listening and closes all connections, including hanging ones.
    pub async fn stop(self) {
        self.server.stop(false).await;
    }
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator").field("address", &self.address).finish_non_exhaustive()
    }
}
