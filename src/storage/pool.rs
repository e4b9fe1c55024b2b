//! The pool of connections, and dedicated connections beside it.
//!
//! A session is checked before it is lent, without a round trip: whether it is closed, and whether its errors, or
//! those of other sessions, told that it can no longer do the work ([`fitness`](super::fitness)). A new one must be
//! on a server that takes writes. Work that a session failed is done at once on another ([`Database::run`]). `LISTEN`
//! and advisory locks need a connection of their own for their whole life ([`Database::dedicated`]), so that neither
//! starves the pool; where a pooler stands before the database, they go past it ([`pooler`]). What may
//! be a little old can be read from a [`replica`](super::replica) ([`Database::read`]).

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
use crate::storage::planner;
use crate::storage::pooler::{self, Route};
use crate::storage::replica::{self, Replica, ReplicaState};
use crate::storage::seal::KeyRing;
use crate::storage::session::Session;
use crate::storage::sessions::{Refusal, Sessions};
use crate::storage::shares::{Permits, Shared, Shares};
use crate::storage::statement::{Binder, FixedStatement, Prepared};
use crate::telemetry::metrics::Metrics;

/// A connection lent by the pool.
pub type Connection<'a> = Shared<PooledConnection<'a, Sessions>>;

/// What every session begins with.
const SESSION_SETUP: &str = "SET application_name = 'aval'; SET TIME ZONE 'UTC';";
/// Sessions that the same work is tried on. The first that fails takes all older ones out of the pool, so that the
/// second is new. More are needed while a server is starting or being promoted.
const MAX_SESSIONS: u32 = 4;

/// The database, with the keys to the personal data in it. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: Pool<Sessions>,
    /// Why no session could be opened, since one last was.
    refusal: Refusal,
    pub(super) replica: Option<Arc<Replica>>,
    shares: Arc<Shares>,
    /// For connections outside the pool.
    connector: Connector,
    session_setup: Arc<str>,
    /// Connections outside the pool that wait for their next use.
    spares: Arc<Mutex<Vec<Session>>>,
    keys: Arc<KeyRing>,
}

/// Most connections that wait outside the pool: one for each role that instances try to lead in.
const MAX_SPARES: usize = 2;

/// The share of the pool that a read takes its connection out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// The account's.
    Account,
    /// The account's, and that of searches.
    Searches,
}

/// How busy the pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Connections in use.
    pub active: u32,
    /// Connections that wait to be used.
    pub idle: u32,
}

impl Database {
    /// Opens the pool; the first connection is made at once, so that a wrong URL is known at boot.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the URL cannot be used, [`Error::Unavailable`] when the database cannot be
    /// reached.
    pub async fn connect(url: &str, settings: &DatabaseSettings, keys: Arc<KeyRing>) -> Result<Self> {
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
        let sessions = Sessions::new(pooled, &setup);
        let refusal = Arc::clone(&sessions.refusal);
        let pool = sized().min_idle(1).build(sessions).await.map_err(|error| unavailable(&error))?;
        let replica = match settings.read_url.as_str() {
            "" => None,
            url => {
                let sessions = Sessions::new(Connector::new(url)?, &pool_setup);
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
        })
    }

    /// What seals and opens the personal data in it.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// The same, to keep.
    pub fn shared_keys(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys)
    }

    /// Which part of the pool an account may hold.
    pub fn shares(&self) -> &Shares {
        &self.shares
    }

    /// Lends a connection.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when the account's share is used up, [`Error::Unavailable`] when no connection could be
    /// had in time.
    pub async fn get(&self) -> Result<Connection<'_>> {
        let permits = self.shares.take().await?;
        Ok(Shared::new(self.lend().await?, permits))
    }

    async fn lend(&self) -> Result<PooledConnection<'_, Sessions>> {
        self.pool.get().await.map_err(|error| match error {
            RunError::User(cause) => unavailable(&cause),
            RunError::TimedOut => {
                let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
                let cause = refusal.as_deref().unwrap_or("no connection became free in time");
                Error::unavailable("database", cause)
            }
        })
    }

    /// Does work that is one statement or one transaction, or only reads, on a lent connection; at once again on
    /// another when the session failed it. What was sent and not answered is not sent again.
    ///
    /// # Errors
    /// What `work` returned, and as [`Database::get`].
    pub async fn run<R>(&self, work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R>) -> Result<R> {
        for _ in 1..MAX_SESSIONS {
            match work(&mut *self.get().await?).await {
                Err(Error::Database { session_lost: true, .. }) => {}
                other => return other,
            }
        }
        work(&mut *self.get().await?).await
    }

    /// Reads what may be a little old, as part of `share`: from the replica, where there is one that answers;
    /// otherwise at once from the database itself. `work` only reads.
    ///
    /// # Errors
    /// What `work` returned, and as [`Database::get`]; also when the share of searches is used up.
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
            match work(&mut *self.lend().await?).await {
                Err(Error::Database { session_lost: true, .. }) => {}
                other => return other,
            }
        }
        work(&mut *self.lend().await?).await
    }

    /// Whether [`Database::read`] may read what is a little old.
    pub fn may_read_old(&self) -> bool {
        self.replica.is_some()
    }

    /// Measures the lag of the replica and reports it in metrics and log. Never ends.
    pub async fn watch_replica(self, metrics: Arc<Metrics>, logger: Logger) {
        match &self.replica {
            Some(replica) => replica::watch(replica, &metrics, &logger).await,
            None => std::future::pending().await,
        }
    }

    /// The state of the replica, if there is one.
    pub fn replica_state(&self) -> Option<ReplicaState> {
        self.replica.as_ref().map(|replica| replica.state())
    }

    /// Opens a connection outside the pool.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database cannot be reached.
    pub async fn dedicated(&self) -> Result<Session> {
        let mut connection = self.connector.connect().await.map_err(|error| unavailable(&error))?;
        connection.batch_execute(&self.session_setup).await?;
        Ok(connection)
    }

    /// A connection outside the pool that its last user did not need any more.
    pub(super) fn take_spare(&self) -> Option<Session> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps a connection outside the pool for its next user.
    pub(super) fn keep_spare(&self, connection: Session) {
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < MAX_SPARES {
            spares.push(connection);
        }
    }

    /// Asks the database for a sign of life: its time of day, and whether it takes writes.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no connection could be had or the database takes no writes, or the database's error.
    pub async fn time(&self) -> Result<DateTime<Utc>> {
        let mut found = Err(Error::unavailable("database", "it takes no writes"));
        for _ in 0..MAX_SESSIONS {
            let mut connection = self.get().await?;
            let row: QueryResult<SignOfLife> = Prepared(AskForLife).get_result(&mut connection).await;
            match row.map_err(Error::from) {
                Ok(row) if row.is_read_only => connection.facts.condemn(),
                Ok(row) => return Ok(row.now),
                Err(error @ Error::Database { session_lost: true, .. }) => found = Err(error),
                Err(error) => return Err(error),
            }
        }
        found
    }

    /// How busy the pool is.
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

/// A statement that stays prepared, so that it fails where prepared statements do.
struct AskForLife;

impl FixedStatement for AskForLife {
    const SQL: &'static str =
        "SELECT clock_timestamp() AS now, current_setting('transaction_read_only')::bool AS is_read_only";

    fn bind<'b>(&'b self, _: &mut Binder<'_, 'b>) -> QueryResult<()> {
        Ok(())
    }
}

#[derive(QueryableByName)]
struct SignOfLife {
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    is_read_only: bool,
}

impl std::fmt::Debug for Database {
    /// Without the URL: it holds a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("state", &self.state()).finish_non_exhaustive()
    }
}
