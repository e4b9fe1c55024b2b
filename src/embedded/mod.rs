//! The private PostgreSQL, used when `DATABASE_URL` is not set.
//!
//! This module creates a cluster in Aval's data directory, and starts, monitors and stops its server. The server is the
//! PostgreSQL (14 or newer) that is installed on the machine. Nothing is downloaded, and the data is an ordinary
//! cluster. Commits are durable: `fsync` is on, except in tests.
//!
//! Failure modes:
//! - The programs are missing, too old, or of another major version than the cluster: an error names the package.
//! - Aval is killed (`kill -9`) and its server keeps running: the next Aval adopts that server instead of starting
//!   another.
//! - The server is killed: its stale `postmaster.pid` is removed, and Aval waits for its remaining processes to end.
//! - `initdb` is interrupted: it works in a temporary directory, which is renamed when it has finished (`cluster`).
//! - Two processes use the same data directory: the second one is rejected (`place`).
//! - Aval runs as root, which PostgreSQL rejects: the server runs as another user (`place`).
//! - An attacker gains access to the server: its environment contains no secrets (`program`), and Aval's database user
//!   owns nothing (`roles`).
//! - The server ends while Aval runs: [`EmbeddedPostgres::supervise`] restarts it.
//!
//! Startup does blocking I/O on a few small files. This is acceptable because nothing else runs on the thread yet.

use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::dsl::sql;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl as _};
use nix::sys::signal::Signal;
use slog::{Logger, error, info, o, warn};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::cluster::SuperuserAccess;
use self::installation::Installation;
use self::place::DataDirectory;
use self::postmaster::{Postmaster, log_length, log_tail, rotate_log};
use crate::error::{Error, Result};

mod cluster;
mod installation;
mod place;
mod postmaster;
mod program;
mod roles;
mod running;
mod tools;

pub use self::running::{existing_major, home, running_owner_url, running_url};
pub use self::tools::Tools;

/// Name of the application's database.
const DATABASE: &str = "aval";

/// The server's message while processes of a killed server are still attached to the cluster.
const STILL_IN_USE: &str = "pre-existing shared memory block";

/// Delay between attempts to connect to a starting server.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Time limit of a fast shutdown. If it is exceeded, an immediate shutdown follows, and the server recovers at the next
/// start.
const FAST_SHUTDOWN: Duration = Duration::from_secs(15);

/// Time limit of an immediate shutdown.
const IMMEDIATE_SHUTDOWN: Duration = Duration::from_secs(5);

/// Longest delay between attempts to start a failing server.
const LONGEST_RESTART_PAUSE: Duration = Duration::from_secs(30);

/// Settings of the private PostgreSQL.
#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    /// Aval's data directory. The cluster is in its subdirectory `postgres`. Created if missing.
    pub data_dir: PathBuf,
    /// Directory for the cluster if Aval runs as root and PostgreSQL's user cannot access `data_dir`.
    pub fallback_dir: PathBuf,
    /// Whether commits survive a power failure. False only in tests.
    pub durable: bool,
    /// Time limit for each of creating, recovering and starting the cluster.
    pub start_timeout: Duration,
    /// Directory of `initdb` and `postgres` (`AVAL_PG_BIN`). If `None`, they are searched for.
    pub bin_dir: Option<PathBuf>,
    /// Whether the superuser may connect while Aval serves requests. True only in tests, which create databases.
    pub superuser_connects: bool,
}

impl EmbeddedSettings {
    /// The production settings for `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            fallback_dir: PathBuf::from("/var/lib/aval"),
            durable: true,
            start_timeout: Duration::from_secs(60),
            bin_dir: None,
            superuser_connects: false,
        }
    }
}

/// A running private PostgreSQL. Dropping it requests a shutdown without waiting; [`EmbeddedPostgres::stop`] waits.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    start_timeout: Duration,
    superuser: SuperuserAccess,
    installation: Installation,
    place: DataDirectory,
    /// `None` once detached or stopped.
    postmaster: Option<Postmaster>,
    serving_url: String,
    owner_url: String,
    logger: Logger,
}

impl EmbeddedPostgres {
    /// Creates the cluster if missing, starts its server or adopts a running one, and returns when it accepts
    /// connections.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the operator must act: the programs are missing, too old or of another version than
    /// the cluster, or the data directory is inaccessible or used by another process. [`Error::Unavailable`], with the
    /// end of the server's log as its private cause, if the server does not start. [`Error::Timeout`] if `initdb` takes
    /// too long.
    pub async fn start(settings: EmbeddedSettings, logger: Logger) -> Result<Self> {
        let logger = logger.new(o!("part" => "embedded_postgres"));
        let place = DataDirectory::prepare(&settings)?;
        let existing = cluster::existing_major(&place.cluster)?;
        let installation = installation::find(settings.bin_dir.as_deref(), existing).await?;
        if let Some(user) = place.server_user
            && let Some(closed) = place::closed_to(&installation.bin_dir, user)
        {
            return Err(Error::configuration(format!(
                "the PostgreSQL user (uid {}) has no access to its programs below {}",
                user.uid,
                closed.display()
            )));
        }
        cluster::create_if_missing(&place, &installation, &settings, &logger).await?;
        cluster::write_configuration(&place, settings.durable)?;
        let mut started = Self {
            start_timeout: settings.start_timeout,
            superuser: match settings.superuser_connects {
                true => SuperuserAccess::Allowed,
                false => SuperuserAccess::Refused,
            },
            serving_url: url(&place.socket_dir, DATABASE, roles::SERVER),
            owner_url: url(&place.socket_dir, DATABASE, roles::OWNER),
            installation,
            place,
            postmaster: None,
            logger,
        };
        started.boot().await?;
        Ok(started)
    }

    /// The URL of the application's database for Aval's user, for diesel-async and `psql`:
    /// `postgresql:///aval?user=aval_server&host=<socket directory>`. It contains no secret and no characters that need
    /// escaping, and it does not change across restarts of the server.
    pub fn database_url(&self) -> &str {
        &self.serving_url
    }

    /// The URL for the schema's owner, for migrations.
    pub fn owner_url(&self) -> &str {
        &self.owner_url
    }

    /// The URL for the superuser, which may connect only if [`EmbeddedSettings::superuser_connects`] is set.
    pub fn superuser_url(&self) -> String {
        url(&self.place.socket_dir, DATABASE, roles::SUPERUSER)
    }

    /// The directory of the cluster.
    pub fn directory(&self) -> &Path {
        &self.place.cluster
    }

    /// The process id of the server; `None` once detached or stopped.
    pub fn pid(&self) -> Option<i32> {
        self.postmaster.as_ref().map(|postmaster| postmaster.pid.as_raw())
    }

    /// Waits until the server has ended.
    pub async fn wait_exit(&self) {
        if let Some(postmaster) = &self.postmaster {
            postmaster.wait().await;
        }
    }

    /// Restarts a server that has ended.
    ///
    /// # Errors
    /// As [`EmbeddedPostgres::start`].
    pub async fn restart(&mut self) -> Result<()> {
        self.boot().await
    }

    /// Keeps the server running until `shutdown` completes, and then stops it. If the server ends earlier, it is restarted
    /// at once. If that fails, further attempts follow with increasing delays.
    ///
    /// # Errors
    /// As [`EmbeddedPostgres::stop`].
    pub async fn supervise(mut self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return self.stop().await,
                () = self.wait_exit() => {}
            }
            error!(self.logger, "the database server ended unexpectedly; restarting it");
            tokio::select! {
                () = &mut shutdown => return self.stop().await,
                () = self.restart_until_it_runs() => {}
            }
        }
    }

    async fn restart_until_it_runs(&mut self) {
        let mut pause = Duration::from_millis(500);
        while let Err(failure) = self.restart().await {
            error!(self.logger, "the database server failed to start"; "error" => failure.to_string(),
                "cause" => failure.private_cause(), "retry_in_ms" => pause.as_millis());
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_RESTART_PAUSE);
        }
    }

    /// Stops the server with a fast shutdown, which closes connections, and waits until it has ended.
    ///
    /// # Errors
    /// [`Error::Timeout`] if even an immediate shutdown does not end it.
    pub async fn stop(mut self) -> Result<()> {
        let Some(postmaster) = self.postmaster.take() else { return Ok(()) };
        shut_down(&postmaster, &self.logger).await
    }

    /// Leaves the server running, as a `kill -9` of Aval would. The next [`EmbeddedPostgres::start`] for the same
    /// directory adopts it. Test processes share a server this way.
    pub fn detach(mut self) {
        self.postmaster = None;
    }

    /// Adopts or starts a server, waits until it accepts connections, and creates its users.
    async fn boot(&mut self) -> Result<()> {
        let began = Instant::now();
        let deadline = began + self.start_timeout;
        self.postmaster = None;
        rotate_log(&self.place.log_file)?;
        let log_start = log_length(&self.place.log_file);
        cluster::write_access(&self.place, SuperuserAccess::Allowed)?;
        let adopted = self.adopt_or_start(deadline).await?;
        let prepared = timeout_at(deadline, self.prepare_users()).await;
        match prepared {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                return Err(self.start_error(&format!("its users could not be created: {error}"), log_start));
            }
            Err(_elapsed) => return Err(self.start_error("creating its users timed out", log_start)),
        }
        info!(self.logger, "database server ready"; "pid" => self.pid(), "adopted" => adopted,
            "directory" => self.place.cluster.display().to_string(), "took_ms" => began.elapsed().as_millis());
        Ok(())
    }

    /// Adopts or starts a server and waits until it accepts connections. Returns whether it was adopted.
    async fn adopt_or_start(&mut self, deadline: Instant) -> Result<bool> {
        loop {
            let log_start = log_length(&self.place.log_file);
            let (postmaster, adopted) = match Postmaster::running(&self.place)? {
                Some(running) => (running, true),
                None => (Postmaster::spawn(&self.place, &self.installation)?, false),
            };
            let postmaster = self.postmaster.insert(postmaster);
            if adopted {
                // Reload `pg_hba.conf`: the server may currently reject the superuser.
                postmaster.signal(Signal::SIGHUP);
            }
            match timeout_at(deadline, ready(postmaster, &self.place.cluster)).await {
                Ok(Ok(())) => {
                    // Restarts keep the adopted server's socket directory, and with it the URLs.
                    self.place.socket_dir.clone_from(&postmaster.socket_dir);
                    self.serving_url = url(&postmaster.socket_dir, DATABASE, roles::SERVER);
                    self.owner_url = url(&postmaster.socket_dir, DATABASE, roles::OWNER);
                    return Ok(adopted);
                }
                // Either the adopted server was shutting down, or processes of a killed server remain. Both end soon.
                Ok(Err(_)) if adopted || log_tail(&self.place.log_file, log_start).contains(STILL_IN_USE) => {
                    if Instant::now() >= deadline {
                        return Err(self.start_error("the previous server did not end in time", log_start));
                    }
                    sleep(RETRY_PAUSE).await;
                }
                Ok(Err(how)) => return Err(self.start_error(&how, log_start)),
                Err(_elapsed) => {
                    return Err(self.start_error("it did not accept connections in time", log_start));
                }
            }
        }
    }

    /// Creates the users and then denies access to the superuser.
    async fn prepare_users(&self) -> Result<()> {
        let superuser_url = self.superuser_url();
        let mut connection = AsyncPgConnection::establish(&superuser_url).await.map_err(Error::internal)?;
        roles::prepare(&mut connection).await?;
        drop(connection);
        if self.superuser == SuperuserAccess::Allowed {
            return Ok(());
        }
        cluster::write_access(&self.place, SuperuserAccess::Refused)?;
        if let Some(postmaster) = &self.postmaster {
            postmaster.signal(Signal::SIGHUP);
        }
        // The server reloads its files some time after the signal.
        while AsyncPgConnection::establish(&superuser_url).await.is_ok() {
            sleep(RETRY_PAUSE).await;
        }
        Ok(())
    }

    fn start_error(&self, what: &str, log_start: u64) -> Error {
        let tail = log_tail(&self.place.log_file, log_start);
        let log = self.place.log_file.display();
        Error::unavailable("private PostgreSQL", format!("{what}; the end of {log}:\n{tail}"))
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        if let Some(postmaster) = &self.postmaster {
            postmaster.signal(Signal::SIGINT);
        }
    }
}

/// Stops a server: a fast shutdown, followed by an immediate one if it takes too long.
async fn shut_down(postmaster: &Postmaster, logger: &Logger) -> Result<()> {
    postmaster.signal(Signal::SIGINT);
    if timeout(FAST_SHUTDOWN, postmaster.wait()).await.is_err() {
        warn!(logger, "fast shutdown of the database server timed out; requesting an immediate shutdown");
        postmaster.signal(Signal::SIGQUIT);
        timeout(IMMEDIATE_SHUTDOWN, postmaster.wait()).await.map_err(|_elapsed| Error::Timeout {
            what: "stopping the private PostgreSQL",
            after: FAST_SHUTDOWN + IMMEDIATE_SHUTDOWN,
        })?;
    }
    info!(logger, "database server stopped");
    Ok(())
}

/// Waits until the server accepts connections and the application's database exists. Fails if the server has ended. The
/// caller sets the deadline.
async fn ready(postmaster: &Postmaster, cluster: &Path) -> Result<(), String> {
    loop {
        if let Some(how) = postmaster.ended() {
            return Err(how);
        }
        if ensure_database(&postmaster.socket_dir, cluster).await.is_ok() {
            return Ok(());
        }
        tokio::select! {
            _ = postmaster.wait() => {}
            () = sleep(RETRY_PAUSE) => {}
        }
    }
}

/// Checks that the server behind the socket serves `cluster`, and creates the application's database if missing. The
/// server's log has the reasons of failures.
async fn ensure_database(socket_dir: &Path, cluster: &Path) -> diesel::result::QueryResult<()> {
    let refused = |error: diesel::ConnectionError| diesel::result::Error::QueryBuilderError(error.into());
    let mut server = AsyncPgConnection::establish(&url(socket_dir, "postgres", roles::SUPERUSER))
        .await
        .map_err(refused)?;
    let serves = diesel::select(sql::<Text>("current_setting('data_directory')"))
        .get_result::<String>(&mut server)
        .await?;
    if cluster.to_str().is_some_and(|cluster| cluster != serves) {
        return Err(diesel::result::Error::NotFound);
    }
    let exists =
        sql::<Bool>("EXISTS (SELECT FROM pg_database WHERE datname = ").bind::<Text, _>(DATABASE).sql(")");
    if !diesel::select(exists).get_result::<bool>(&mut server).await? {
        diesel::sql_query(format!("CREATE DATABASE {DATABASE}")).execute(&mut server).await?;
    }
    Ok(())
}

/// The socket directory is not escaped: `place` and `postmaster` return only directories that need no escaping.
fn url(socket_dir: &Path, database: &str, user: &str) -> String {
    format!("postgresql:///{database}?user={user}&host={}", socket_dir.display())
}
