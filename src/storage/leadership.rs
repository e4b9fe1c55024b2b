//! Leader election among the instances by a session-level advisory lock.
//!
//! The lock lasts as long as its connection. When the leader ends, PostgreSQL releases the lock, and another instance
//! acquires it. If the leader's machine disappears without closing the connection, TCP timeouts make PostgreSQL detect
//! that within seconds. Instances that are not the leader retry periodically and keep the connection of a failed attempt
//! for the next one.
//!
//! If the leader loses its connection, it has lost the lock before it detects that. Therefore it checks
//! [`Leadership::holds`] before each round, and its work must stay correct even with two leaders for a moment.

use std::time::Duration;

use diesel::sql_types::{BigInt, Text};
use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};

use crate::error::{Error, Result};
use crate::storage::{Database, DatabaseSession};

diesel::define_sql_function! {
    /// A hash of a string, as computed by `hash_any`.
    fn hashtextextended(text: Text, seed: BigInt) -> BigInt;
}
diesel::define_sql_function! {
    /// Acquires a session-level lock if it is free.
    fn pg_try_advisory_lock(key: BigInt) -> Bool;
}

/// Makes PostgreSQL detect within about ten seconds that a client has disappeared. The settings have no effect on a Unix
/// socket, where PostgreSQL detects it immediately.
const PEER_TIMEOUTS: &str = "\
    SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; \
    SET tcp_user_timeout = 10000";

/// The timeout of an attempt to acquire the lock.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The timeout of the check that the lock is still held.
const HOLD_CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The lock of the current leader.
pub struct Leadership {
    connection: DatabaseSession,
}

impl Leadership {
    /// Tries to become the leader for `role`. Returns `None` while another instance is the leader.
    pub async fn try_acquire(database: &Database, role: &str) -> Result<Option<Self>> {
        let late = |_| Error::unavailable("database", "timed out acquiring the leader lock");
        tokio::time::timeout(TIMEOUT, Self::acquire(database, role)).await.map_err(late)?
    }

    async fn acquire(database: &Database, role: &str) -> Result<Option<Self>> {
        let mut connection = match database.take_spare() {
            Some(spare) => spare,
            None => {
                let mut connection = database.dedicated().await?;
                connection.batch_execute(PEER_TIMEOUTS).await?;
                connection
            }
        };
        let key = format!("aval.leader.{role}");
        let acquired: bool = diesel::select(pg_try_advisory_lock(hashtextextended(key, 0)))
            .get_result(&mut connection)
            .await?;
        if acquired {
            return Ok(Some(Self { connection }));
        }
        database.keep_spare(connection);
        Ok(None)
    }

    /// Whether the lock is still held. Queries the database on the connection that holds it; a connection that does not
    /// respond counts as lost.
    pub async fn holds(&mut self) -> bool {
        let one = diesel::dsl::sql::<diesel::sql_types::Integer>("1");
        let response = diesel::select(one).get_result::<i32>(&mut self.connection);
        tokio::time::timeout(HOLD_CHECK_TIMEOUT, response).await.is_ok_and(|response| response.is_ok())
    }
}
