//! Startup: provides a running database with the current schema.
//!
//! Without `database.url`, Aval starts and supervises its private PostgreSQL. If that server exits, it is restarted, and
//! interrupted work is retried.

use chrono::{DateTime, Utc};
use slog::{Logger, debug, error, info};
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::config::{DatabaseSettings, IngestSettings, Settings};
use crate::embedded::{self, EmbeddedPostgres, EmbeddedSettings};
use crate::error::{Error, Result};
use crate::storage::seal::KeyRing;
use crate::storage::{Database, connect, ingest, migrations, partitions};

/// A running database.
pub struct StartedDatabase {
    url: String,
    private: Option<PrivateServer>,
}

struct PrivateServer {
    /// The database URL for the schema's owner.
    owner_url: String,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<Result<()>>,
}

impl StartedDatabase {
    /// Uses the configured database, or the private one. If no other process runs the private PostgreSQL,
    /// [starts](StartedDatabase::start) it. For commands that an operator runs on the machine.
    pub async fn find_or_start(settings: &Settings, logger: &Logger) -> Result<Self> {
        if settings.database.url.is_empty()
            && let Some(url) = embedded::running_url(&embedded_settings(settings))?
        {
            return Ok(Self { url, private: None });
        }
        Self::start(settings, logger, &CancellationToken::new()).await
    }

    /// Uses the configured database, or starts the private PostgreSQL. `fatal` is cancelled if the private PostgreSQL
    /// exits and cannot be restarted.
    ///
    /// # Errors
    /// If the private PostgreSQL cannot be started; the message tells the operator what to do.
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
                error!(logger, "cannot keep the private PostgreSQL running"; error.clone());
                fatal.cancel();
            }
            result
        });
        Ok(Self { url, private: Some(PrivateServer { owner_url, stop, ended }) })
    }

    /// The URL for Aval's database user.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Uses the configured database, or the private PostgreSQL of another process. Starts nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no database is configured and Aval does not run on this machine.
    pub fn running(settings: &Settings) -> Result<Self> {
        let url = match settings.database.url.as_str() {
            "" => embedded::running_url(&embedded_settings(settings))?,
            url => Some(url.to_owned()),
        };
        let none = || {
            Error::unavailable("the server", "Aval is not running on this machine. Start it with: make run")
        };
        Ok(Self { url: url.ok_or_else(none)?, private: None })
    }

    /// The URL for changes of the schema: `database.migration_url`, otherwise `database.direct_url`, otherwise the URL for
    /// the owner of the private database that this process [started](Self::start), otherwise [`Self::url`].
    pub fn schema_url(&self, settings: &Settings) -> String {
        let owner_url = self.private.as_ref().map_or("", |server| &server.owner_url);
        let urls = [settings.database.migration_url.as_str(), &settings.database.direct_url, owner_url];
        urls.into_iter().find(|url| !url.is_empty()).unwrap_or(&self.url).to_owned()
    }

    /// Stops the private PostgreSQL if [`StartedDatabase::start`] started it.
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

pub(crate) fn embedded_settings(settings: &Settings) -> EmbeddedSettings {
    let embedded = &settings.embedded;
    EmbeddedSettings {
        durable: embedded.durable,
        start_timeout: std::time::Duration::from_millis(embedded.start_timeout_ms),
        bin_dir: Some(embedded.bin_dir.clone()).filter(|dir| !dir.as_os_str().is_empty()),
        ..EmbeddedSettings::new(&embedded.data_dir)
    }
}

/// Accounts for a command that an operator runs on the machine. If no process runs the private PostgreSQL, it is started
/// for the duration of the command.
pub struct OpenedAccounts {
    /// The accounts, on a pool of two connections.
    pub accounts: Accounts,
    database: StartedDatabase,
}

impl OpenedAccounts {
    /// Finds or starts the database and reads the secrets as the server does. Migrates the schema only if this call
    /// started the private PostgreSQL. In all other cases, the instances that use the database migrate it.
    pub async fn open(settings: &Settings, clock: &Clock, logger: &Logger) -> Result<Self> {
        let database = StartedDatabase::find_or_start(settings, logger).await?;
        if database.private.is_some() {
            prepare(settings, &database, clock.now(), logger).await?;
        }
        Self::connect(database, settings, clock, logger).await
    }

    /// Like [`OpenedAccounts::open`], but only if Aval runs on this machine.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it does not run.
    pub async fn open_running(settings: &Settings, clock: &Clock, logger: &Logger) -> Result<Self> {
        Self::connect(StartedDatabase::running(settings)?, settings, clock, logger).await
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
        let connected = Database::connect(database.url(), &pool, keys.into(), None).await?;
        let accounts =
            Accounts::new(connected, &settings.accounts, &secrets.jwt, clock.clone(), logger.clone())?;
        Ok(Self { accounts, database })
    }

    /// Stops the database if [`OpenedAccounts::open`] started it.
    pub async fn close(self) -> Result<()> {
        drop(self.accounts);
        self.database.stop().await
    }
}

/// Migrates the schema with [`StartedDatabase::schema_url`], and creates the partitions of this and the following
/// months, and the days of ingested events.
pub async fn prepare(
    settings: &Settings,
    database: &StartedDatabase,
    now: DateTime<Utc>,
    logger: &Logger,
) -> Result<()> {
    let ran = migrations::run_pending(&database.schema_url(settings)).await?;
    for migration in &ran {
        debug!(logger, "applied migration"; "migration" => migration);
    }
    if let Some(last) = ran.last() {
        info!(logger, "applied migrations"; "count" => ran.len(), "last" => last);
    }
    let mut connection = connect::connect(&database.url).await?;
    partitions::ensure(&mut connection, now, settings.database.partitions_ahead_months).await?;
    let IngestSettings { partitions_back_days: back, partitions_ahead_days: ahead, .. } = settings.ingest;
    ingest::days::ensure_around(&mut connection, now, back, ahead).await?;
    Ok(())
}
