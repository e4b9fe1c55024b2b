//! The start: a database that is there and up to date.
//!
//! With no `database.url` Aval starts its own PostgreSQL and looks after it: if that server dies, it is started again, and
//! everything that was under way is tried again by those who wait for it.

use chrono::{DateTime, Utc};
use slog::{Logger, debug, error, info};
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::config::{DatabaseSettings, Settings};
use crate::embedded::{self, EmbeddedPostgres, EmbeddedSettings};
use crate::error::{Error, Result};
use crate::storage::seal::KeyRing;
use crate::storage::{Database, connect, migrations, partitions};

/// A database that can be connected to.
pub struct StartedDatabase {
    url: String,
    private: Option<PrivateServer>,
}

struct PrivateServer {
    /// The database's URL as the user that owns the schema.
    owner_url: String,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<Result<()>>,
}

impl StartedDatabase {
    /// Finds the database that a running Aval works on, or starts it as [`StartedDatabase::start`] does: for commands
    /// that an operator gives on the machine.
    ///
    /// # Errors
    /// As [`StartedDatabase::start`].
    pub async fn find_or_start(settings: &Settings, logger: &Logger) -> Result<Self> {
        if settings.database.url.is_empty()
            && let Some(url) = embedded::running_url(&embedded_settings(settings))?
        {
            return Ok(Self { url, private: None });
        }
        Self::start(settings, logger, &CancellationToken::new()).await
    }

    /// Finds the configured database or starts the private one.
    ///
    /// # Errors
    /// When the private PostgreSQL cannot be started: the message says what to install or change.
    pub async fn start(settings: &Settings, logger: &Logger, fatal: &CancellationToken) -> Result<Self> {
        if !settings.database.url.is_empty() {
            return Ok(Self { url: settings.database.url.clone(), private: None });
        }
        let logger = logger.new(slog::o!("logger" => "embedded_postgres"));
        let server = EmbeddedPostgres::start(embedded_settings(settings), logger.clone()).await?;
        let (url, owner_url) = (server.database_url().to_owned(), server.owner_url().to_owned());
        info!(logger, "private database ready"; "psql" => &url);
        let stop = CancellationToken::new();
        let (asked, fatal) = (stop.clone(), fatal.clone());
        let ended = actix_rt::spawn(async move {
            let result = server.supervise(asked.cancelled_owned()).await;
            if let Err(error) = &result {
                error!(logger, "the private PostgreSQL cannot be kept running"; error.clone());
                fatal.cancel();
            }
            result
        });
        Ok(Self { url, private: Some(PrivateServer { owner_url, stop, ended }) })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the private server, if this is one.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn stop(self) -> Result<()> {
        match self.private {
            Some(server) => {
                server.stop.cancel();
                server.ended.await.map_err(Error::internal)?
            }
            None => Ok(()),
        }
    }
}

fn embedded_settings(settings: &Settings) -> EmbeddedSettings {
    let embedded = &settings.embedded;
    EmbeddedSettings {
        durable: embedded.durable,
        start_timeout: std::time::Duration::from_millis(embedded.start_timeout_ms),
        bin_dir: Some(embedded.bin_dir.clone()).filter(|dir| !dir.as_os_str().is_empty()),
        ..EmbeddedSettings::new(&embedded.data_dir)
    }
}

/// Accounts, for a command that an operator gives on the machine: the database of a running Aval, or its own as long as
/// the command takes.
pub struct OpenedAccounts {
    /// The accounts.
    pub accounts: Accounts,
    database: StartedDatabase,
}

impl OpenedAccounts {
    /// Finds or starts the database and reads the secrets as the server does. Only a private database that it starts itself
    /// is brought up to date: of another, its own Aval is in charge.
    ///
    /// # Errors
    /// When the database cannot be reached or a secret is missing.
    pub async fn open(settings: &Settings, clock: &Clock, logger: &Logger) -> Result<Self> {
        let database = StartedDatabase::find_or_start(settings, logger).await?;
        if database.private.is_some() {
            prepare(settings, &database, clock.now(), logger).await?;
        }
        Self::connect(database, settings, clock, logger).await
    }

    /// The same on the database of an Aval that runs on this machine, which is up to date.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when none does.
    pub async fn open_running(settings: &Settings, clock: &Clock, logger: &Logger) -> Result<Self> {
        let url = match settings.database.url.as_str() {
            "" => embedded::running_url(&embedded_settings(settings))?,
            url => Some(url.to_owned()),
        };
        let none =
            || Error::unavailable("the server", "no Aval runs on this machine. Start it with: make run");
        let database = StartedDatabase { url: url.ok_or_else(none)?, private: None };
        Self::connect(database, settings, clock, logger).await
    }

    async fn connect(
        database: StartedDatabase,
        settings: &Settings,
        clock: &Clock,
        logger: &Logger,
    ) -> Result<Self> {
        let secrets = settings.complete_secrets(clock)?;
        let keys = KeyRing::of(&secrets)?;
        let pool = DatabaseSettings { pool_size: 2, ..settings.database.clone() };
        let connected = Database::connect(database.url(), &pool, keys.into()).await?;
        let accounts =
            Accounts::new(connected, &settings.accounts, &secrets.jwt, clock.clone(), logger.clone())?;
        Ok(Self { accounts, database })
    }

    /// Stops what was started.
    ///
    /// # Errors
    /// When the private database does not stop.
    pub async fn close(self) -> Result<()> {
        drop(self.accounts);
        self.database.stop().await
    }
}

/// Brings the schema up to date, as the user of `database.migration_url` where there is one (in the private database: as its
/// owner) and past a pooler, and makes this month's partitions and those ahead.
///
/// # Errors
/// When the database cannot be reached or a migration fails.
pub async fn prepare(
    settings: &Settings,
    database: &StartedDatabase,
    now: DateTime<Utc>,
    logger: &Logger,
) -> Result<()> {
    let owner_url = database.private.as_ref().map_or("", |server| &server.owner_url);
    let urls = [settings.database.migration_url.as_str(), &settings.database.direct_url, owner_url];
    let changer = urls.into_iter().find(|url| !url.is_empty()).unwrap_or(&database.url);
    let ran = migrations::run_pending(changer).await?;
    for migration in &ran {
        debug!(logger, "migration run"; "migration" => migration);
    }
    if let Some(last) = ran.last() {
        info!(logger, "migrations run"; "count" => ran.len(), "last" => last);
    }
    let mut connection = connect::connect(&database.url).await?;
    partitions::ensure(&mut connection, now, settings.database.partitions_ahead_months).await?;
    Ok(())
}
