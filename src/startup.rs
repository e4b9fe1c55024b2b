//! The start: a database that is there and up to date.
//!
//! With no `database.url` Aval starts its own PostgreSQL and looks after it: if that server dies, it is started again, and
//! everything that was under way is tried again by those who wait for it.

use chrono::{DateTime, Utc};
use slog::{Logger, error, info};
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::embedded::{EmbeddedPostgres, EmbeddedSettings};
use crate::error::{Error, Result};
use crate::storage::{connect, migrations, partitions};

/// A database that can be connected to.
pub struct StartedDatabase {
    url: String,
    private: Option<PrivateServer>,
}

struct PrivateServer {
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<Result<()>>,
}

impl StartedDatabase {
    /// Finds the configured database or starts the private one.
    ///
    /// # Errors
    /// When the private PostgreSQL cannot be started: the message says what to install or change.
    pub async fn start(settings: &Settings, logger: &Logger, fatal: &CancellationToken) -> Result<Self> {
        if !settings.database.url.is_empty() {
            return Ok(Self { url: settings.database.url.clone(), private: None });
        }
        let logger = logger.new(slog::o!("logger" => "embedded_postgres"));
        let embedded = &settings.embedded;
        let wanted = EmbeddedSettings {
            durable: embedded.durable,
            start_timeout: std::time::Duration::from_millis(embedded.start_timeout_ms),
            bin_dir: Some(embedded.bin_dir.clone()).filter(|dir| !dir.as_os_str().is_empty()),
            ..EmbeddedSettings::new(&embedded.data_dir)
        };
        let server = EmbeddedPostgres::start(wanted, logger.clone()).await?;
        let url = server.database_url().to_owned();
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
        Ok(Self { url, private: Some(PrivateServer { stop, ended }) })
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

/// Brings the schema up to date, as the user of `database.migration_url` where there is one, and makes this month's partitions and those ahead.
///
/// # Errors
/// When the database cannot be reached or a migration fails.
pub async fn prepare(settings: &Settings, url: &str, now: DateTime<Utc>, logger: &Logger) -> Result<()> {
    let migration_url = &settings.database.migration_url;
    let changer = if migration_url.is_empty() { url } else { migration_url };
    for migration in migrations::run_pending(changer).await? {
        info!(logger, "migration run"; "migration" => migration);
    }
    let mut connection = connect::connect(url).await?;
    partitions::ensure(&mut connection, now, settings.database.partitions_ahead_months).await?;
    Ok(())
}
