//! The pool of connections, and dedicated connections beside it.
//!
//! A connection is checked for being closed before it is lent, without a round trip; one that died in between fails
//! its statement with a retryable error. `LISTEN` and advisory locks need a connection of their own for their whole
//! life ([`Database::dedicated`]), so that neither starves the pool.

use std::sync::Arc;

use diesel_async::pooled_connection::bb8::{Pool, PooledConnection, RunError};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolableConnection as _, RecyclingMethod,
};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::FutureExt as _;

use crate::config::DatabaseSettings;
use crate::error::{Error, Result};
use crate::storage::seal::KeyRing;

/// A connection lent by the pool.
pub type Connection<'a> = PooledConnection<'a, AsyncPgConnection>;

/// What every session begins with. Only a privileged user may choose the language of messages; on a server that speaks
/// another and serves an ordinary user, some passing failures are taken for permanent ones.
const SESSION_SETUP: &str = "\
    SET application_name = 'aval'; SET TIME ZONE 'UTC'; \
    DO $$ BEGIN SET lc_messages = 'C'; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;";

/// The database, with the keys to the personal data in it. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: Pool<AsyncPgConnection>,
    url: Arc<str>,
    session_setup: Arc<str>,
    keys: Arc<KeyRing>,
}

/// A server whose host vanished without a word (a power cut, a failover, a dropped route) answers nothing, and no
/// time-out of its own can end the statement: TCP alone would wait for a quarter of an hour, or for hours when it has
/// nothing to send. Over a Unix socket these mean nothing. What the operator's URL sets stands.
const DEAD_PEER_SECONDS: [(&str, u32); 4] =
    [("connect_timeout", 5), ("keepalives_idle", 10), ("keepalives_interval", 5), ("tcp_user_timeout", 20)];

/// The URL, or the list of `key=value` pairs that PostgreSQL accepts as well, with [`DEAD_PEER_SECONDS`].
fn noticing_dead_peers(url: &str) -> String {
    let is_url = url.contains("://");
    let mut url = url.to_owned();
    for (key, seconds) in DEAD_PEER_SECONDS.into_iter() {
        if url.contains(key) {
            continue;
        }
        let separator = match (is_url, url.contains('?')) {
            (true, false) => '?',
            (true, true) => '&',
            (false, _) => ' ',
        };
        url.push_str(&format!("{separator}{key}={seconds}"));
    }
    url
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
    /// [`Error::Unavailable`] when the database cannot be reached.
    pub async fn connect(url: &str, settings: &DatabaseSettings, keys: Arc<KeyRing>) -> Result<Self> {
        let session_setup: Arc<str> =
            format!("{SESSION_SETUP} SET statement_timeout = {}", settings.statement_timeout_ms).into();
        let url = noticing_dead_peers(url);
        let setup = Arc::clone(&session_setup);
        let mut manager = ManagerConfig::default();
        manager.custom_setup = Box::new(move |url| {
            let (url, setup) = (url.to_owned(), Arc::clone(&setup));
            async move {
                let mut connection = AsyncPgConnection::establish(&url).await?;
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
        let pool = Pool::builder()
            .max_size(settings.pool_size)
            .min_idle(1)
            .connection_timeout(settings.acquire_timeout())
            .build(AsyncDieselConnectionManager::new_with_config(url.as_str(), manager))
            .await
            .map_err(|error| Error::unavailable("database", error))?;
        Ok(Self { pool, url: url.into(), session_setup, keys })
    }

    /// What seals and opens the personal data in it.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Lends a connection.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when none could be had in time.
    pub async fn get(&self) -> Result<Connection<'_>> {
        self.pool.get().await.map_err(|error| match error {
            RunError::User(cause) => Error::unavailable("database", cause),
            RunError::TimedOut => Error::unavailable("database", "no connection became free in time"),
        })
    }

    /// Opens a connection outside the pool.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database cannot be reached.
    pub async fn dedicated(&self) -> Result<AsyncPgConnection> {
        let mut connection = AsyncPgConnection::establish(&self.url)
            .await
            .map_err(|error| Error::unavailable("database", error))?;
        connection.batch_execute(&self.session_setup).await?;
        Ok(connection)
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no connection could be had, or the database's error.
    pub async fn ping(&self) -> Result<()> {
        Ok(self.get().await?.batch_execute("SELECT 1").await?)
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

impl std::fmt::Debug for Database {
    /// Without the URL: it holds a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("state", &self.state()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_url_gets_what_it_does_not_set_itself() {
        let rest = "keepalives_idle=10&keepalives_interval=5&tcp_user_timeout=20";
        for (given, expected) in [
            ("postgres://db/aval", format!("postgres://db/aval?connect_timeout=5&{rest}")),
            ("postgres://db/aval?user=a", format!("postgres://db/aval?user=a&connect_timeout=5&{rest}")),
            ("postgres://db/aval?connect_timeout=1", format!("postgres://db/aval?connect_timeout=1&{rest}")),
            ("host=db", format!("host=db connect_timeout=5 {}", rest.replace('&', " "))),
        ] {
            assert_eq!(noticing_dead_peers(given), expected);
        }
    }
}
