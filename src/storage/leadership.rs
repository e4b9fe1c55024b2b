//! Leadership of one instance among many, by a session-level advisory lock.
//!
//! The lock lives as long as its connection: when the leader dies, PostgreSQL frees it and another instance takes over.
//! A leader whose connection is gone leads no longer, whatever it believes; so it asks ([`Leadership::holds`]) before
//! each round, and what it does stays correct even if two led for a moment.

use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use crate::error::Result;
use crate::storage::Database;

diesel::define_sql_function! {
    /// A hash of a text, as `hash_any` computes it.
    fn hashtextextended(text: Text, seed: BigInt) -> BigInt;
}
diesel::define_sql_function! {
    /// Takes a session-level lock, if it is free.
    fn pg_try_advisory_lock(key: BigInt) -> Bool;
}

/// A held leadership.
pub struct Leadership {
    connection: AsyncPgConnection,
}

impl Leadership {
    /// Tries to become the leader of `role`; `None` while another instance is.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn try_acquire(database: &Database, role: &str) -> Result<Option<Self>> {
        let mut connection = database.dedicated().await?;
        let key = format!("aval.leader.{role}");
        let acquired: bool = diesel::select(pg_try_advisory_lock(hashtextextended(key, 0)))
            .get_result(&mut connection)
            .await?;
        Ok(acquired.then_some(Self { connection }))
    }

    /// Whether the lock is still held: asks the database on the connection that holds it.
    pub async fn holds(&mut self) -> bool {
        let one = diesel::dsl::sql::<diesel::sql_types::Integer>("1");
        diesel::select(one).get_result::<i32>(&mut self.connection).await.is_ok()
    }
}
