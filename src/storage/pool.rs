//! The connection pool, and dedicated connections outside it.
//!
//! When a session is taken from the pool, it is checked without a round trip: it must not be closed, and no error in this
//! or another session may have made it unusable ([`fitness`](super::fitness)). A new session must be on a server that
//! accepts writes. Work that failed because of its session is repeated immediately in another session
//! ([`Database::run`]).
//!
//! `LISTEN` and advisory locks hold a connection permanently. They use dedicated connections ([`Database::dedicated`]),
//! which do not reduce the pool and bypass a pooler ([`pooler`]). Reads that tolerate slightly old data can use a
//! [`replica`] ([`Database::read`]).

use std::sync::{Arc, Mutex, PoisonError};

use bb8::{Pool, PooledConnection, RunError};
use chrono::{DateTime, Utc};
use diesel::prelude::{QueryResult, QueryableByName};
use diesel::result::ConnectionError;
use diesel::sql_types::{Bool, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use slog::Logger;

use crate::config::DatabaseSettings;
use crate::error::{Error, Result};
use crate::storage::connect::Connector;
use crate::storage::describe_connection;
use crate::storage::observer::StatementObserver;
use crate::storage::planner;
use crate::storage::pooler::{self, Route};
use crate::storage::replica::{self, Replica, ReplicaState};
use crate::storage::seal::KeyRing;
use crate::storage::session::DatabaseSession;
use crate::storage::sessions::{DatabaseSessions, Refusal};
use crate::storage::shares::{Permits, Shared, Shares};
use crate::storage::statement::{Binder, FixedStatement, Prepared};
use crate::telemetry::metrics::Metrics;

/// A connection from the pool.
pub type Connection<'a> = Shared<PooledConnection<'a, DatabaseSessions>>;

/// The statements that begin every session.
const SESSION_SETUP: &str = "SET application_name = 'aval'; SET TIME ZONE 'UTC';";
/// The maximum number of sessions in which the same work is tried. After the first failure, older sessions are usually no
/// longer used, so the second session is new. More are needed while a server is starting or being promoted.
const MAX_SESSIONS: u32 = 4;

/// The database and the keys for its personal data. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: Pool<DatabaseSessions>,
    /// Why the last attempt to open a session failed; `None` after a success.
    refusal: Refusal,
    pub(super) replica: Option<Arc<Replica>>,
    shares: Arc<Shares>,
    /// Opens connections outside the pool.
    connector: Connector,
    session_setup: Arc<str>,
    /// Idle connections outside the pool.
    spares: Arc<Mutex<Vec<DatabaseSession>>>,
    keys: Arc<KeyRing>,
    observer: Option<StatementObserver>,
}

/// The maximum number of idle connections outside the pool: one for each leader role.
const MAX_SPARES: usize = 2;

/// The share of the pool that a read counts towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Only the account's share.
    Account,
    /// The account's share and the share of searches.
    Searches,
}

/// The usage of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Connections in use.
    pub active: u32,
    pub idle: u32,
}

impl Database {
    /// Opens the pool. The first connection is opened immediately, so a wrong URL is detected at startup. `observer`
    /// observes all statements.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the URL is invalid, [`Error::Unavailable`] if the database is unreachable.
    pub async fn connect(
        url: &str,
        settings: &DatabaseSettings,
        keys: Arc<KeyRing>,
        observer: Option<StatementObserver>,
    ) -> Result<Self> {
        let direct_url = if settings.direct_url.is_empty() { url } else { &settings.direct_url };
        let connector = Connector::new(direct_url)?.for_writing();
        let pooled = Connector::new(url)?.for_writing();
        let route = pooler::examine(&pooled).await?;
        if route == Route::TransactionPooler || direct_url != url {
            pooler::expect_sessions(&connector).await?;
        }
        let timeout_ms = settings.statement_timeout_ms.to_string();
        let direct_setup: Arc<str> = format!("{SESSION_SETUP} SET statement_timeout = {timeout_ms}").into();
        let pool_setup: Arc<str> = format!("{direct_setup}; {}", planner::session_setup()).into();
        let setup = if route == Route::TransactionPooler {
            let session = pooled.connect().await;
            let mut session = session.map_err(|error| unavailable(&error))?;
            let timeout = ("statement_timeout", timeout_ms.as_str());
            for (name, value) in std::iter::once(timeout).chain(planner::SESSION) {
                pooler::set_for_role(&mut session, name, value).await?;
            }
            SESSION_SETUP.into()
        } else {
            Arc::clone(&pool_setup)
        };
        let sized =
            || Pool::builder().max_size(settings.pool_size).connection_timeout(settings.acquire_timeout());
        let sessions = DatabaseSessions::new(pooled, &setup, observer.clone());
        let refusal = Arc::clone(&sessions.refusal);
        let pool = sized().min_idle(1).build(sessions).await.map_err(|error| unavailable(&error))?;
        let replica = match settings.read_url.as_str() {
            "" => None,
            url => {
                let sessions = DatabaseSessions::new(Connector::new(url)?, &pool_setup, observer.clone());
                Some(Arc::new(Replica::new(sized().build_unchecked(sessions))))
            }
        };
        Ok(Self {
            pool,
            refusal,
            replica,
            shares: Arc::new(Shares::new(settings)),
            connector,
            session_setup: direct_setup,
            spares: Arc::default(),
            keys,
            observer,
        })
    }

    /// The key ring that seals and opens personal data.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// A shared reference to the key ring.
    pub fn shared_keys(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys)
    }

    /// The shares of the pool that accounts may use.
    pub fn shares(&self) -> &Shares {
        &self.shares
    }

    /// Takes a connection from the pool.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the account's share is used up, [`Error::Unavailable`] if no connection became
    /// available in time.
    pub async fn get(&self) -> Result<Connection<'_>> {
        let permits = self.shares.take().await?;
        Ok(Shared::new(self.acquire().await?, permits))
    }

    async fn acquire(&self) -> Result<PooledConnection<'_, DatabaseSessions>> {
        self.pool.get().await.map_err(|error| match error {
            RunError::User(cause) => unavailable(&cause),
            RunError::TimedOut => {
                let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
                let cause = refusal.as_deref().unwrap_or("timed out waiting for a connection");
                Error::unavailable("database", cause)
            }
        })
    }

    /// Runs `work` on a pooled connection. If the session failed, `work` is repeated immediately on another. Therefore
    /// `work` must be a single statement or transaction, or must only read. A statement that was sent but got no response
    /// is not repeated.
    ///
    /// # Errors
    /// The errors of `work` and of [`Database::get`].
    pub async fn run<R>(&self, work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R>) -> Result<R> {
        for _ in 1..MAX_SESSIONS {
            match work(&mut *self.get().await?).await {
                Err(Error::Database { session_lost: true, .. }) => {}
                other => return other,
            }
        }
        work(&mut *self.get().await?).await
    }

    /// Reads data that may be slightly old: from the replica if it is available, otherwise from the primary. The read
    /// counts towards `share`. `work` must only read.
    ///
    /// # Errors
    /// The errors of `work` and of [`Database::get`]; [`Error::Overloaded`] if the share of searches is used up.
    pub async fn read<R>(
        &self,
        share: Share,
        work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R>,
    ) -> Result<R> {
        let _permits: Permits = match share {
            Share::Account => self.shares.take().await?,
            Share::Searches => self.shares.take_for_search().await?,
        };
        if let Some(replica) = &self.replica
            && let Some(found) = replica.read(&work).await
        {
            return found;
        }
        for _ in 1..MAX_SESSIONS {
            match work(&mut *self.acquire().await?).await {
                Err(Error::Database { session_lost: true, .. }) => {}
                other => return other,
            }
        }
        work(&mut *self.acquire().await?).await
    }

    /// Whether [`Database::read`] may return old data.
    pub fn may_read_old(&self) -> bool {
        self.replica.is_some()
    }

    /// Measures the lag of the replica and reports it in the metrics and the log. Never returns.
    pub async fn watch_replica(self, metrics: Arc<Metrics>, logger: Logger) {
        match &self.replica {
            Some(replica) => replica::watch(replica, &metrics, &logger).await,
            None => std::future::pending().await,
        }
    }

    /// Whether the replica responds, if one is configured.
    pub async fn replica_responds(&self) -> Option<bool> {
        match &self.replica {
            Some(replica) => Some(replica.responds().await),
            None => None,
        }
    }

    /// The state of the replica, if one is configured.
    pub fn replica_state(&self) -> Option<ReplicaState> {
        self.replica.as_ref().map(|replica| replica.state())
    }

    /// Opens a connection outside the pool.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database is unreachable.
    pub async fn dedicated(&self) -> Result<DatabaseSession> {
        let mut connection = self.connector.connect().await.map_err(|error| unavailable(&error))?;
        connection.batch_execute(&self.session_setup).await?;
        if let Some(observer) = &self.observer {
            observer.attach(&mut connection);
        }
        Ok(connection)
    }

    /// Takes an idle connection outside the pool.
    pub(super) fn take_spare(&self) -> Option<DatabaseSession> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps a connection outside the pool for reuse.
    pub(super) fn keep_spare(&self, connection: DatabaseSession) {
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < MAX_SPARES {
            spares.push(connection);
        }
    }

    /// Checks that the database responds and accepts writes. Returns the time of its clock.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no connection was available or the database is read-only, or the database's error.
    pub async fn time(&self) -> Result<DateTime<Utc>> {
        let mut found = Err(Error::unavailable("database", "it is read-only"));
        for _ in 0..MAX_SESSIONS {
            let mut connection = self.get().await?;
            let row: QueryResult<PingRow> = Prepared(Ping).get_result(&mut connection).await;
            match row.map_err(Error::from) {
                Ok(row) if row.is_read_only => connection.facts.mark_unfit(),
                Ok(row) => return Ok(row.now),
                Err(error @ Error::Database { session_lost: true, .. }) => found = Err(error),
                Err(error) => return Err(error),
            }
        }
        found
    }

    pub fn state(&self) -> PoolState {
        let state = self.pool.state();
        PoolState {
            active: state.connections.saturating_sub(state.idle_connections),
            idle: state.idle_connections,
        }
    }
}

fn unavailable(error: &ConnectionError) -> Error {
    Error::unavailable("database", describe_connection(error))
}

/// A prepared statement, so the check also fails if a pooler does not support prepared statements.
struct Ping;

impl FixedStatement for Ping {
    const NAME: &'static str = "read_time";
    const SQL: &'static str =
        "SELECT clock_timestamp() AS now, current_setting('transaction_read_only')::bool AS is_read_only";

    fn bind<'b>(&'b self, _: &mut Binder<'_, 'b>) -> QueryResult<()> {
        Ok(())
    }
}

#[derive(QueryableByName)]
struct PingRow {
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    is_read_only: bool,
}

impl std::fmt::Debug for Database {
    /// Omits the URL, which contains a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("state", &self.state()).finish_non_exhaustive()
    }
}
