//! `aval serve`: everything, until it is told to stop.

use secrecy::ExposeSecret as _;
use slog::{Logger, info, warn};

use super::lines::write_text;
use super::signals::StopSignals;
use crate::app::{App, Engine};
use crate::clock::Clock;
use crate::config::{Environment, InstanceRole, Settings};
use crate::error::{Error, PrivateMessage, Result};
use crate::telemetry::log;

/// Arguments of `aval serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// What this process does: api, worker and relay, separated by commas; all of it unless the configuration says
    /// otherwise
    #[arg(long, value_delimiter = ',', value_name = "ROLES")]
    pub roles: Vec<InstanceRole>,
}

impl ServeArgs {
    /// The configuration with what the command line says instead.
    pub fn applied_to(self, mut settings: Settings) -> Settings {
        if !self.roles.is_empty() {
            settings.instance.roles = self.roles;
        }
        settings
    }
}

/// Where nobody could log in yet: in development an admin is made and its password printed, once and not into the log; in
/// production it is an operator's choice who that is.
async fn welcome(engine: &Engine, logger: &Logger) -> Result<()> {
    let (accounts, settings) = (&engine.accounts, &engine.resources.settings);
    if !settings.instance.is(InstanceRole::Api) {
        return Ok(());
    }
    match settings.environment {
        Environment::Development => {
            if let Some((name, password)) = accounts.make_first_admin().await? {
                let lines = format!(
                    "\n  The first account is made. Its password is shown this once:\n\n      username  {name}\n      \
                     password  {}\n",
                    password.expose_secret()
                );
                write_text(&mut std::io::stdout(), &lines)?;
            }
        }
        Environment::Production => {
            if accounts.users(None, 1).await?.is_empty() {
                warn!(logger, "there is no account yet; make one: aval user add NAME --role admin");
            }
        }
    }
    Ok(())
}

/// Serves until SIGTERM, SIGINT or SIGHUP, then stops in order.
///
/// # Errors
/// When a part cannot be started, or when one cannot be kept running.
pub async fn run(settings: Settings, clock: Clock, logger: Logger) -> Result<()> {
    log::take_panics(&logger);
    for warning in &settings.warnings {
        warn!(logger, "production refuses this setting"; "setting" => warning);
    }
    let mut stop = StopSignals::listen()?;
    let starting =
        App::start_after(settings, clock, logger.clone(), async |engine| welcome(engine, &logger).await);
    let app = tokio::select! {
        app = starting => app?,
        () = stop.recv() => return Ok(()),
    };
    info!(logger, "Aval serves"; "address" => format!("http://{}", app.address()));
    let fatal = app.fatal();
    let lost = tokio::select! {
        () = stop.recv() => false,
        () = fatal.cancelled() => true,
    };
    app.shutdown().await;
    if lost {
        let cause = PrivateMessage::new("a permanent part died too often; see the log");
        return Err(Error::Unavailable { what: "aval", cause });
    }
    Ok(())
}
