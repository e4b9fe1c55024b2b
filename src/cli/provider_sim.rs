//! `aval provider-sim`: the provider simulator as a process of its own.

use std::net::{IpAddr, Ipv4Addr};

use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::domain::application::Country;
use crate::error::{Error, Result};
use crate::providers::provider_for;
use crate::providers::simulator::{Simulator, SimulatorSettings};

/// Arguments of `aval provider-sim`.
#[derive(Debug, clap::Args)]
pub struct ProviderSimArgs {
    /// Address to listen on. The control paths have no password: keep it on a trusted network
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// Port to listen on; 0 takes any free one
    #[arg(long, default_value_t = 8090)]
    pub port: u16,
}

/// Serves all six bureaus until SIGINT or SIGTERM.
///
/// # Errors
/// [`Error::Configuration`] when the address cannot be listened on.
pub async fn run(args: ProviderSimArgs, clock: Clock, logger: slog::Logger) -> Result<()> {
    // The handlers come first: a signal that arrives while the server starts must not be lost.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::internal)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::internal)?;
    let settings = SimulatorSettings { host: args.host, port: args.port, ..SimulatorSettings::default() };
    let simulator = Simulator::start(settings, clock, logger.clone()).await?;
    for country in Country::ALL {
        slog::info!(logger, "simulated bureau";
            "country" => country.code(),
            "bureau" => provider_for(country).name(),
            "base_url" => simulator.base_url(country));
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    slog::info!(logger, "provider simulator stopping");
    simulator.stop().await;
    Ok(())
}
