//! `aval serve`: runs the server.

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
    /// Roles of this process: api, worker, relay and consumer, separated by commas; by default those in the configuration
    #[arg(long, value_delimiter = ',', value_name = "ROLES")]
    pub roles: Vec<InstanceRole>,
}

impl ServeArgs {
    /// The configuration with overrides from the command line.
    pub fn applied_to(self, mut settings: Settings) -> Settings {
        if !self.roles.is_empty() {
            settings.instance.roles = self.roles;
        }
        settings
    }
}

/// Handles an installation without accounts. In development, creates an admin and prints the password to standard
/// output, once and never to the log. In production, logs how to create an account.
async fn ensure_account(engine: &Engine, logger: &Logger) -> Result<()> {
    let (accounts, settings) = (&engine.accounts, &engine.resources.settings);
    if !settings.instance.is(InstanceRole::Api) {
        return Ok(());
    }
    match settings.environment {
        Environment::Development | Environment::Test => {
            if let Some((name, password)) = accounts.make_first_admin().await? {
                let lines = format!(
                    "\n  The first account has been created. Its password is shown only once:\n\n      \
                     username  {name}\n      password  {}\n",
                    password.expose_secret()
                );
                write_text(&mut std::io::stdout(), &lines)?;
            }
        }
        Environment::Production => {
            if accounts.users(None, 1).await?.is_empty() {
                warn!(logger, "there are no accounts yet; create one: aval user add NAME --role admin");
            }
        }
    }
    Ok(())
}

/// Serves until SIGTERM, SIGINT or SIGHUP, and then shuts down in order.
pub async fn run(settings: Settings, clock: Clock, logger: Logger) -> Result<()> {
    log::log_panics(&logger);
    for warning in &settings.warnings {
        warn!(logger, "production would reject this setting"; "setting" => warning);
    }
    let mut stop = StopSignals::listen()?;
    let starting = App::start_after(settings, clock, logger.clone(), async |engine| {
        ensure_account(engine, &logger).await
    });
    let app = tokio::select! {
        app = starting => app?,
        () = stop.recv() => return Ok(()),
    };
    info!(logger, "Aval is ready"; "address" => format!("http://{}", app.address()));
    let fatal = app.fatal();
    let lost = tokio::select! {
        () = stop.recv() => false,
        () = fatal.cancelled() => true,
    };
    app.shutdown().await;
    if lost {
        let cause = PrivateMessage::new("a permanent actor failed too often; see the log");
        return Err(Error::Unavailable { what: "aval", cause });
    }
    Ok(())
}
