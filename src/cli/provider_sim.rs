//! `aval provider-sim`: runs the provider simulator as a standalone server.

use std::net::{IpAddr, Ipv4Addr};

use secrecy::SecretString;

use super::credential;
use super::signals::StopSignals;
use crate::clock::Clock;
use crate::config::WebhookSecret;
use crate::domain::application::Country;
use crate::error::{Error, Result};
use crate::providers::provider_for;
use crate::providers::signature::SigningKey;
use crate::providers::simulator::{Callbacks, Simulator, SimulatorSettings};

/// Arguments of `aval provider-sim`.
#[derive(Debug, clap::Args)]
pub struct ProviderSimArgs {
    /// Address to listen on. The control endpoints have no authentication: keep them on a trusted network
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// Port to listen on; 0 selects any free port
    #[arg(long, default_value_t = 8090)]
    pub port: u16,
    /// Make the bureaus asynchronous: respond with 202, and send reports to this URL
    ///
    /// The variable WEBHOOK_SECRET must contain the webhook secret of the receiving instance
    #[arg(long)]
    pub callback_url: Option<String>,
    /// Rejected: credentials must not be arguments
    #[arg(long = "webhook-secret", hide = true)]
    pub refused_secret: Option<SecretString>,
}

impl ProviderSimArgs {
    fn callbacks(&self, secret: Option<&SecretString>) -> Result<Option<Callbacks>> {
        let instead = "set WEBHOOK_SECRET";
        credential::refuse_argument("--webhook-secret", self.refused_secret.as_ref(), instead)?;
        let Some(url) = &self.callback_url else { return Ok(None) };
        let missing = || Error::configuration("--callback-url requires the variable WEBHOOK_SECRET");
        let secrets = WebhookSecret::parse_all(secret.ok_or_else(missing)?)?;
        let secret = secrets.first().ok_or_else(missing)?;
        let keys = Country::ALL.map(|country| (country, SigningKey::new(secret.expose())));
        Ok(Some(Callbacks { url: url.clone(), keys: keys.into() }))
    }
}

/// Serves all bureaus until SIGINT, SIGTERM or SIGHUP.
///
/// # Errors
/// [`Error::Configuration`] if the address is not available.
pub async fn run(args: ProviderSimArgs, clock: Clock, logger: slog::Logger) -> Result<()> {
    // Register the handlers first: a signal during startup must not be lost.
    let mut stop = StopSignals::listen()?;
    let settings = SimulatorSettings { host: args.host, port: args.port, ..SimulatorSettings::default() };
    let callbacks = args.callbacks(credential::from_variable("WEBHOOK_SECRET").as_ref())?;
    let simulator = Simulator::start(settings, clock, logger.clone()).await?;
    if let Some(callbacks) = callbacks {
        slog::info!(logger, "bureaus are asynchronous"; "callback_url" => &callbacks.url);
        simulator.respond_later(callbacks);
    }
    for country in Country::ALL {
        slog::info!(logger, "serving a simulated bureau";
            "country" => country.code(),
            "bureau" => provider_for(country).name(),
            "base_url" => simulator.base_url(country));
    }
    stop.recv().await;
    slog::info!(logger, "provider simulator stopping");
    simulator.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use clap::Parser;
    use nix::sys::signal::{Signal, raise};
    use slog::Drain;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: ProviderSimArgs,
    }

    /// Forwards log messages to a test.
    struct Messages(UnboundedSender<String>);

    impl Drain for Messages {
        type Ok = ();
        type Err = slog::Never;

        fn log(&self, record: &slog::Record<'_>, _: &slog::OwnedKVList) -> Result<(), slog::Never> {
            // The receiver may be closed at the end of the test.
            let _ = self.0.send(record.msg().to_string());
            Ok(())
        }
    }

    #[test]
    fn the_default_address_is_loopback_port_8090() {
        let args = Cli::parse_from(["provider-sim"]).args;
        assert_eq!((args.host.to_string().as_str(), args.port), ("127.0.0.1", 8090));
        assert!(Cli::try_parse_from(["provider-sim", "--port", "65536"]).is_err());
        assert!(args.callbacks(None).unwrap().is_none());
    }

    #[test]
    fn asynchronous_bureaus_require_a_url_and_a_secret() {
        let url = ["provider-sim", "--callback-url", "http://127.0.0.1:8000/api/v1/webhooks/provider"];
        assert!(Cli::parse_from(url).args.callbacks(None).is_err());
        let with = |secret: &str| Cli::parse_from(url).args.callbacks(Some(&SecretString::from(secret)));
        let argument = [url.as_slice(), &["--webhook-secret", "hunter2"]].concat();
        let refused = Cli::parse_from(argument).args.callbacks(None).err().unwrap().to_string();
        assert!(refused.contains("WEBHOOK_SECRET") && !refused.contains("hunter2"), "{refused}");
        let callbacks = with("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap().unwrap();
        assert_eq!(callbacks.keys.len(), Country::ALL.len());
        assert!(with("guess").is_err());
    }

    #[actix_rt::test]
    async fn it_serves_until_it_receives_a_signal() {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            let (sender, mut messages) = unbounded_channel();
            let args = Cli::parse_from(["provider-sim", "--port", "0"]).args;
            let logger = slog::Logger::root(Messages(sender), slog::o!());
            let running = actix_rt::spawn(run(args, Clock::system(), logger));
            for _ in Country::ALL {
                while messages.recv().await.expect("the simulator ended early")
                    != "serving a simulated bureau"
                {}
            }
            raise(signal).unwrap();
            let signalled_at = Instant::now();
            let ended = tokio::time::timeout(Duration::from_secs(10), running).await;
            ended.expect("the simulator did not stop").unwrap().unwrap();
            assert!(signalled_at.elapsed() < Duration::from_secs(5));
        }
    }
}
