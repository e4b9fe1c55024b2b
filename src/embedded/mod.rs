//! The private PostgreSQL: what Aval runs on when no `DATABASE_URL` is set.
//!
//! It owns one database in Aval's data directory and the server process that serves it: makes it, starts it, watches
//! it and stops it. The server is the machine's own PostgreSQL (14 or newer), run directly, so there is nothing to
//! download and the data is ordinary PostgreSQL data. Durability is real: `fsync` is on, except in tests.
//!
//! What can go wrong, and what is done about it:
//! - The programs are missing, too old, or of another major version than the data: an error that names the package.
//! - Aval is killed (`kill -9`) and its server goes on: the next Aval finds and adopts it, never starts a second.
//! - The server is killed: its stale `postmaster.pid` is cleared, and its last processes are waited for.
//! - `initdb` is interrupted: it works beside the place and is renamed into it when finished (`cluster`).
//! - Two Avals want one data directory: the second is refused (`place`).
//! - Aval runs as root, which PostgreSQL refuses: the server runs as another user (`place`).
//! - Somebody gets into the server: its environment holds no secret (`cluster`), and the user that serves owns nothing
//!   (`roles`).
//! - The server dies while Aval runs: [`EmbeddedPostgres::supervise`] starts it again.
//!
//! Start-up reads and writes a few small files directly, without handing them to another thread: nothing else runs yet.

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
mod roles;

/// The name of the application's database.
const DATABASE: &str = "aval";

/// What the server says while processes of its killed predecessor are still attached to the data.
const STILL_IN_USE: &str = "pre-existing shared memory block";

/// How long to wait between two attempts to connect to a server that is starting.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How long a fast shutdown may take before the server is told to drop everything (it then recovers at next start).
const FAST_SHUTDOWN: Duration = Duration::from_secs(15);

/// How long an immediate shutdown may take.
const IMMEDIATE_SHUTDOWN: Duration = Duration::from_secs(5);

/// The longest pause between two attempts to start a server that keeps dying.
const LONGEST_RESTART_PAUSE: Duration = Duration::from_secs(30);

/// What the private PostgreSQL needs to know.
#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    /// Aval's data directory; the database lives in `postgres` below it. Made when it is missing.
    pub data_dir: PathBuf,
    /// Under root, where the database lives when PostgreSQL's user cannot reach `data_dir`.
    pub fallback_dir: PathBuf,
    /// Whether a commit survives a power cut. False only in tests.
    pub durable: bool,
    /// How long making, recovering and starting may each take.
    pub start_timeout: Duration,
    /// The folder of `initdb` and `postgres` (`AVAL_PG_BIN`); `None` searches the machine.
    pub bin_dir: Option<PathBuf>,
    /// Whether the superuser may connect while Aval serves. True only in tests, which make databases of their own.
    pub superuser_connects: bool,
}

impl EmbeddedSettings {
    /// The settings for production, below `data_dir`.
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

/// A running private PostgreSQL. Dropping it asks the server to stop without waiting for it;
/// [`EmbeddedPostgres::stop`] waits.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    start_timeout: Duration,
    superuser: SuperuserAccess,
    installation: Installation,
    place: DataDirectory,
    /// `None` once it was detached or stopped.
    postmaster: Option<Postmaster>,
    serving_url: String,
    owner_url: String,
    logger: Logger,
}

impl EmbeddedPostgres {
    /// Makes the database when it is missing, starts its server (or adopts the one that a killed Aval left) and
    /// returns when it answers.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the machine or the data directory must be changed first: programs missing, too
    /// old or of another version than the data, a directory in use by another Aval or out of reach.
    /// [`Error::Unavailable`], with the end of the server's log as its private cause, when the server does not start;
    /// [`Error::Timeout`] when `initdb` takes too long.
    pub async fn start(settings: EmbeddedSettings, logger: Logger) -> Result<Self> {
        let logger = logger.new(o!("part" => "embedded_postgres"));
        let place = DataDirectory::prepare(&settings)?;
        let existing = cluster::existing_major(&place.cluster)?;
        let installation = installation::find(settings.bin_dir.as_deref(), existing).await?;
        if let Some(user) = place.server_user
            && let Some(closed) = place::closed_to(&installation.bin_dir, user)
        {
            return Err(Error::configuration(format!(
                "PostgreSQL's processes (uid {}) cannot pass through {} to reach its programs",
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

    /// The URL of the application's database, for diesel-async and for `psql`, as the user that serves:
    /// `postgresql:///aval?user=aval_server&host=<socket directory>`. It holds no secret, and the directory needs no
    /// escaping. It stays the same for as long as this value lives.
    pub fn database_url(&self) -> &str {
        &self.serving_url
    }

    /// The same as the user that owns the schema, for migrations.
    pub fn owner_url(&self) -> &str {
        &self.owner_url
    }

    /// The same as the superuser, who is let in only where [`EmbeddedSettings::superuser_connects`] says so.
    pub fn superuser_url(&self) -> String {
        url(&self.place.socket_dir, DATABASE, roles::SUPERUSER)
    }

    /// The directory that holds the database's files.
    pub fn directory(&self) -> &Path {
        &self.place.cluster
    }

    /// The process id of the server.
    pub fn pid(&self) -> Option<i32> {
        self.postmaster.as_ref().map(|postmaster| postmaster.pid.as_raw())
    }

    /// Waits until the server has ended by itself.
    pub async fn wait_exit(&self) {
        if let Some(postmaster) = &self.postmaster {
            postmaster.wait().await;
        }
    }

    /// Starts a server that has ended again.
    ///
    /// # Errors
    /// As [`EmbeddedPostgres::start`].
    pub async fn restart(&mut self) -> Result<()> {
        self.boot().await
    }

    /// Keeps the server running until `shutdown` completes, then stops it. A server that ends in between is started
    /// again, at once the first time and with growing pauses while it does not come up.
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
            error!(self.logger, "the database server ended by itself; starting it again");
            tokio::select! {
                () = &mut shutdown => return self.stop().await,
                () = self.restart_until_it_runs() => {}
            }
        }
    }

    async fn restart_until_it_runs(&mut self) {
        let mut pause = Duration::from_millis(500);
        while let Err(failure) = self.restart().await {
            error!(self.logger, "the database server does not start"; "error" => failure.to_string(),
                "cause" => failure.private_cause(), "retry_in_ms" => pause.as_millis());
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_RESTART_PAUSE);
        }
    }

    /// Stops the server and waits for it: connections are closed, what was committed is flushed.
    ///
    /// # Errors
    /// [`Error::Timeout`] when it does not end even when told to drop everything.
    pub async fn stop(mut self) -> Result<()> {
        let Some(postmaster) = self.postmaster.take() else { return Ok(()) };
        shut_down(&postmaster, &self.logger).await
    }

    /// Lets go of the server and leaves it running, for the next [`EmbeddedPostgres::start`] on the same directory to
    /// adopt; it is what a `kill -9` of Aval would leave. Test processes share one server this way.
    pub fn detach(mut self) {
        self.postmaster = None;
    }

    /// Adopts or starts a server, waits until it answers, and prepares its users.
    async fn boot(&mut self) -> Result<()> {
        let began = Instant::now();
        let deadline = began + self.start_timeout;
        self.postmaster = None;
        rotate_log(&self.place.log_file)?;
        let log_start = log_length(&self.place.log_file);
        cluster::write_access(&self.place, SuperuserAccess::Allowed)?;
        let adopted = self.run_until_it_answers(deadline).await?;
        let prepared = timeout_at(deadline, self.prepare_users()).await;
        match prepared {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                return Err(self.no_start(&format!("its users cannot be prepared: {error}"), log_start));
            }
            Err(_elapsed) => return Err(self.no_start("its users were not prepared in time", log_start)),
        }
        info!(self.logger, "database server ready"; "pid" => self.pid(), "adopted" => adopted,
            "directory" => self.place.cluster.display().to_string(), "took_ms" => began.elapsed().as_millis());
        Ok(())
    }

    /// Tells whether the server that answers was adopted.
    async fn run_until_it_answers(&mut self, deadline: Instant) -> Result<bool> {
        loop {
            let log_start = log_length(&self.place.log_file);
            let (postmaster, adopted) = match Postmaster::running(&self.place)? {
                Some(orphan) => (orphan, true),
                None => (Postmaster::spawn(&self.place, &self.installation)?, false),
            };
            let postmaster = self.postmaster.insert(postmaster);
            if adopted {
                // It may refuse the superuser by now.
                postmaster.signal(Signal::SIGHUP);
            }
            match timeout_at(deadline, ready(postmaster, &self.place.cluster)).await {
                Ok(Ok(())) => {
                    // A later restart keeps the adopted server's socket, so that the URLs stay true.
                    self.place.socket_dir.clone_from(&postmaster.socket_dir);
                    self.serving_url = url(&postmaster.socket_dir, DATABASE, roles::SERVER);
                    self.owner_url = url(&postmaster.socket_dir, DATABASE, roles::OWNER);
                    return Ok(adopted);
                }
                // An adopted server that was about to stop, or a killed one's last processes: gone in a moment.
                Ok(Err(_)) if adopted || log_tail(&self.place.log_file, log_start).contains(STILL_IN_USE) => {
                    if Instant::now() >= deadline {
                        return Err(self.no_start("gave up waiting for its predecessor", log_start));
                    }
                    sleep(RETRY_PAUSE).await;
                }
                Ok(Err(how)) => return Err(self.no_start(&how, log_start)),
                Err(_elapsed) => return Err(self.no_start("it does not answer in time", log_start)),
            }
        }
    }

    /// Makes the users, and then lets the superuser in no more.
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
        // The server reads its files some time after the signal.
        while AsyncPgConnection::establish(&superuser_url).await.is_ok() {
            sleep(RETRY_PAUSE).await;
        }
        Ok(())
    }

    fn no_start(&self, what: &str, log_start: u64) -> Error {
        let tail = log_tail(&self.place.log_file, log_start);
        let log = self.place.log_file.display();
        Error::unavailable("embedded PostgreSQL", format!("{what}; the end of {log}:\n{tail}"))
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        if let Some(postmaster) = &self.postmaster {
            postmaster.signal(Signal::SIGINT);
        }
    }
}

/// Stops a server and waits for it.
async fn shut_down(postmaster: &Postmaster, logger: &Logger) -> Result<()> {
    postmaster.signal(Signal::SIGINT);
    if timeout(FAST_SHUTDOWN, postmaster.wait()).await.is_err() {
        warn!(logger, "the database server does not stop; stopping it at once");
        postmaster.signal(Signal::SIGQUIT);
        timeout(IMMEDIATE_SHUTDOWN, postmaster.wait()).await.map_err(|_elapsed| Error::Timeout {
            what: "stopping the embedded PostgreSQL",
            after: FAST_SHUTDOWN + IMMEDIATE_SHUTDOWN,
        })?;
    }
    info!(logger, "database server stopped");
    Ok(())
}

/// Waits until the server answers and the application's database is there. Runs until then or until the server has
/// ended, and then says how it did: the caller sets the deadline.
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

/// Makes sure that the server behind the socket serves `cluster` and has the application's database. Why it cannot
/// yet is in the server's own log.
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

/// The URL of the database that another Aval keeps running for this data directory, as the user that serves; `None` when
/// none does.
///
/// # Errors
/// [`Error::Configuration`] when the data directory cannot be understood.
pub fn running_url(settings: &EmbeddedSettings) -> Result<Option<String>> {
    let cluster = place::known_cluster(settings)?;
    let socket_dir = cluster.as_deref().and_then(Postmaster::socket_of);
    Ok(socket_dir.map(|socket_dir| url(&socket_dir, DATABASE, roles::SERVER)))
}

/// The socket's directory goes in as it is: `place` and `postmaster` hand out none that would need escaping.
fn url(socket_dir: &Path, database: &str, user: &str) -> String {
    format!("postgresql:///{database}?user={user}&host={}", socket_dir.display())
}
