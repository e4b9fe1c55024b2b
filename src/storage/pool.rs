//! The pool of connections, and dedicated connections beside it.
//!
//! A connection is checked for being closed before it is lent, without a round trip; one that died in between fails
//! its statement with a retryable error. `LISTEN` and advisory locks need a connection of their own for their whole
//! life ([`Database::dedicated`]), so that neither starves the pool; where a pooler stands before the database, they go past
//! it. What may be a little old can be read from a replica ([`Database::get_for_reading`]).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::Timestamptz;
use diesel_async::pooled_connection::bb8::{Pool, PooledConnection, RunError};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolableConnection as _, RecyclingMethod,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use futures_util::FutureExt as _;
use tokio::time::{sleep, timeout};

use crate::config::DatabaseSettings;
use crate::error::{Error, Result};
use crate::storage::connect::Connector;
use crate::storage::planner;
use crate::storage::seal::KeyRing;
use crate::storage::shares::{Shared, Shares};

/// A connection lent by the pool.
pub type Connection<'a> = Shared<PooledConnection<'a, AsyncPgConnection>>;

/// What every session begins with. Only a privileged user may choose the language of messages; on a server that speaks
/// another and serves an ordinary user, some passing failures are taken for permanent ones.
const SESSION_SETUP: &str = "\
    SET application_name = 'aval'; SET TIME ZONE 'UTC'; \
    DO $$ BEGIN SET lc_messages = 'C'; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;";

/// The database, with the keys to the personal data in it. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: Pool<AsyncPgConnection>,
    replica: Option<Arc<Replica>>,
    shares: Arc<Shares>,
    /// For connections outside the pool.
    connector: Connector,
    session_setup: Arc<str>,
    /// Connections outside the pool that wait for their next use.
    spares: Arc<Mutex<Vec<AsyncPgConnection>>>,
    keys: Arc<KeyRing>,
}

/// Most connections that wait outside the pool: one for each role that instances try to lead in.
const MAX_SPARES: usize = 2;

/// Longest wait for a connection to the replica: the database itself can always be asked.
const REPLICA_PATIENCE: Duration = Duration::from_millis(500);
/// How long a replica that gave no connection is left alone.
const REPLICA_PAUSE: Duration = Duration::from_secs(5);

/// A copy of the database to read from.
struct Replica {
    pool: Pool<AsyncPgConnection>,
    left_alone: Arc<AtomicBool>,
}

impl Replica {
    async fn get(&self) -> Option<PooledConnection<'_, AsyncPgConnection>> {
        if AtomicBool::load(&self.left_alone, Ordering::Relaxed) {
            return None;
        }
        let connection =
            timeout(REPLICA_PATIENCE, self.pool.get()).await.ok().and_then(std::result::Result::ok);
        if connection.is_none() {
            self.left_alone.store(true, Ordering::Relaxed);
            let left_alone = Arc::clone(&self.left_alone);
            tokio::spawn(async move {
                sleep(REPLICA_PAUSE).await;
                left_alone.store(false, Ordering::Relaxed);
            });
        }
        connection
    }
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
    /// [`Error::Configuration`] when the URL cannot be used, [`Error::Unavailable`] when the database cannot be reached.
    pub async fn connect(url: &str, settings: &DatabaseSettings, keys: Arc<KeyRing>) -> Result<Self> {
        let session_setup: Arc<str> =
            format!("{SESSION_SETUP} SET statement_timeout = {}", settings.statement_timeout_ms).into();
        let pool_setup: Arc<str> = format!("{session_setup}; {}", planner::SESSION).into();
        let sized =
            || Pool::builder().max_size(settings.pool_size).connection_timeout(settings.acquire_timeout());
        let pool = sized()
            .min_idle(1)
            .build(manager(Connector::new(url)?, &pool_setup))
            .await
            .map_err(|error| Error::unavailable("database", error))?;
        let replica = match settings.read_url.as_str() {
            "" => None,
            replica => Some(Arc::new(Replica {
                pool: sized().build_unchecked(manager(Connector::new(replica)?, &pool_setup)),
                left_alone: Arc::default(),
            })),
        };
        let direct_url = if settings.direct_url.is_empty() { url } else { &settings.direct_url };
        let connector = Connector::new(direct_url)?;
        let shares = Arc::new(Shares::new(settings));
        Ok(Self { pool, replica, shares, connector, session_setup, spares: Arc::default(), keys })
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
    /// [`Error::Overloaded`] when the account's share is used up, [`Error::Unavailable`] when no connection could be had in
    /// time.
    pub async fn get(&self) -> Result<Connection<'_>> {
        let permits = self.shares.take().await?;
        Ok(Shared::new(self.lend().await?, permits))
    }

    async fn lend(&self) -> Result<PooledConnection<'_, AsyncPgConnection>> {
        self.pool.get().await.map_err(|error| match error {
            RunError::User(cause) => Error::unavailable("database", cause),
            RunError::TimedOut => Error::unavailable("database", "no connection became free in time"),
        })
    }

    /// Lends a connection to read what may be a little old: to the replica, where there is one that can be reached.
    ///
    /// # Errors
    /// As [`Database::get`].
    pub async fn get_for_reading(&self) -> Result<Connection<'_>> {
        let permits = self.shares.take().await?;
        Ok(Shared::new(self.lend_for_reading().await?, permits))
    }

    /// Lends a connection as [`Database::get_for_reading`] does, out of the share of searches.
    ///
    /// # Errors
    /// As [`Database::get`], and when the share of searches is used up.
    pub async fn get_for_search(&self) -> Result<Connection<'_>> {
        let permits = self.shares.take_for_search().await?;
        Ok(Shared::new(self.lend_for_reading().await?, permits))
    }

    async fn lend_for_reading(&self) -> Result<PooledConnection<'_, AsyncPgConnection>> {
        if let Some(replica) = &self.replica
            && let Some(connection) = replica.get().await
        {
            return Ok(connection);
        }
        self.lend().await
    }

    /// Whether [`Database::get_for_reading`] may read what is a little old.
    pub fn may_read_old(&self) -> bool {
        self.replica.is_some()
    }

    /// Opens a connection outside the pool.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database cannot be reached.
    pub async fn dedicated(&self) -> Result<AsyncPgConnection> {
        let mut connection =
            self.connector.connect().await.map_err(|error| Error::unavailable("database", error))?;
        connection.batch_execute(&self.session_setup).await?;
        Ok(connection)
    }

    /// A connection outside the pool that its last user did not need any more.
    pub(super) fn take_spare(&self) -> Option<AsyncPgConnection> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps a connection outside the pool for its next user.
    pub(super) fn keep_spare(&self, connection: AsyncPgConnection) {
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < MAX_SPARES {
            spares.push(connection);
        }
    }

    /// Asks the database for a sign of life: its time of day.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no connection could be had, or the database's error.
    pub async fn time(&self) -> Result<DateTime<Utc>> {
        let now = diesel::dsl::sql::<Timestamptz>("clock_timestamp()");
        Ok(diesel::select(now).get_result(&mut *self.get().await?).await?)
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

/// Makes a pool's connections: each begins with `setup` and is lent only while it is not known to be broken.
fn manager(connector: Connector, setup: &Arc<str>) -> AsyncDieselConnectionManager<AsyncPgConnection> {
    let setup = Arc::clone(setup);
    let mut manager = ManagerConfig::default();
    manager.custom_setup = Box::new(move |_| {
        let (connector, setup) = (connector.clone(), Arc::clone(&setup));
        async move {
            let mut connection = connector.connect().await?;
            connection
                .batch_execute(&setup)
                .await
                .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
            Ok(connection)
        }
        .boxed()
    });
    manager.recycling_method = RecyclingMethod::CustomFunction(Box::new(|connection| {
        let broken = connection.is_broken();
        async move { if broken { Err(diesel::result::Error::BrokenTransactionManager) } else { Ok(()) } }
            .boxed()
    }));
    AsyncDieselConnectionManager::new_with_config(String::new(), manager)
}

impl std::fmt::Debug for Database {
    /// Without the URL: it holds a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("state", &self.state()).finish_non_exhaustive()
    }
}
