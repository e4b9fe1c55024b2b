//! Leadership of one instance among many, by a session-level advisory lock.
//!
//! Instances that do not lead try for it again and again; the connection on which they tried in vain is kept for the next
//! try. PostgreSQL is told to find out within seconds when the leader's machine has vanished without closing its
//! connection, and then frees the lock.
//!
//! The lock lives as long as its connection: when the leader dies, PostgreSQL frees it and another instance takes over.
//! A leader whose connection is gone leads no longer, whatever it believes; so it asks ([`Leadership::holds`]) before
//! each round, and what it does stays correct even if two led for a moment.

use std::time::Duration;

use diesel::sql_types::{BigInt, Text};
use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};

use crate::error::{Error, Result};
use crate::storage::{Database, Session};

diesel::define_sql_function! {
    /// A hash of a text, as `hash_any` computes it.
    fn hashtextextended(text: Text, seed: BigInt) -> BigInt;
}
diesel::define_sql_function! {
    /// Takes a session-level lock, if it is free.
    fn pg_try_advisory_lock(key: BigInt) -> Bool;
}

/// Has PostgreSQL notice within some ten seconds that nobody is left at the other end. Over a Unix socket it notices at
/// once, and these settings mean nothing.
const NOTICE_LOSS: &str = "\
    SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; \
    SET tcp_user_timeout = 10000";

/// Longest wait for the answer to a try.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest wait for the answer that a leadership is still held.
const HOLDING_PATIENCE: Duration = Duration::from_secs(2);

/// A held leadership.
pub struct Leadership {
    connection: Session,
}

impl Leadership {
    /// Tries to become the leader of `role`; `None` while another instance is.
    pub async fn try_acquire(database: &Database, role: &str) -> Result<Option<Self>> {
        let late = |_| Error::unavailable("database", "no answer to a try for leadership");
        tokio::time::timeout(PATIENCE, Self::apply(database, role)).await.map_err(late)?
    }

    async fn apply(database: &Database, role: &str) -> Result<Option<Self>> {
        let mut connection = match database.take_spare() {
            Some(spare) => spare,
            None => {
                let mut connection = database.dedicated().await?;
                connection.batch_execute(NOTICE_LOSS).await?;
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

    /// Whether the lock is still held: asks the database on the connection that holds it. A connection without an answer is as
    /// good as lost.
    pub async fn holds(&mut self) -> bool {
        let one = diesel::dsl::sql::<diesel::sql_types::Integer>("1");
        let answer = diesel::select(one).get_result::<i32>(&mut self.connection);
        tokio::time::timeout(HOLDING_PATIENCE, answer).await.is_ok_and(|answer| answer.is_ok())
    }
}
