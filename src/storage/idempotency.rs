//! Stored responses of requests with an `Idempotency-Key`.
//!
//! The key is taken and the response stored in the transaction of the write, so a crash leaves all three or none. Taking
//! a key never waits ([`begin`]): if another request holds it, on any instance, that is reported immediately.
//! Inserts of applications take their keys within the insert statement (`applications::insert`). Every other write uses
//! [`once`].

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use slog::Logger;

use super::Database;
use super::schema::idempotency_keys;
use super::statement::{Binder, FixedStatement, Prepared};
use super::transaction::{self, Abort};
use crate::error::{Error, Result};

/// When to retry a request whose key is in use. A write takes milliseconds, but `Retry-After` counts seconds.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A write to make at most once for its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedWrite {
    /// A keyed hash of account, route and idempotency key.
    pub key_digest: [u8; 32],
    /// A keyed hash of the whole request. It depends on the values in the body, not on its exact bytes.
    pub fingerprint: [u8; 32],
    /// The account that sent the key.
    pub account: String,
    /// Method and path pattern.
    pub route: String,
    /// The time of the request. Responses that expired before it are ignored.
    pub at: DateTime<Utc>,
    /// When the stored response expires.
    pub expires_at: DateTime<Utc>,
}

impl KeyedWrite {
    /// The stored response, if it belongs to the same request.
    ///
    /// # Errors
    /// [`Error::KeyReused`] if the request differs.
    pub fn reply_for(&self, known: KnownReply) -> Result<SealedReply> {
        if known.fingerprint == self.fingerprint { Ok(known.reply) } else { Err(Error::KeyReused) }
    }
}

/// Builds the sealed response for a result.
pub type SealReply<'a, T> = Box<dyn Fn(&T) -> Result<SealedReply> + 'a>;

/// A keyed write with result type `T`, and how to build its response, which is stored with the write.
pub struct Keyed<'a, T> {
    pub write: KeyedWrite,
    /// Builds the sealed response for a result.
    pub seal_reply: SealReply<'a, T>,
}

/// The result of a write that is made at most once.
#[derive(Debug)]
pub enum Once<T> {
    /// The write was made now.
    Made(T),
    /// The write was made before; this is its stored response.
    Replayed(SealedReply),
}

/// A sealed response as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedReply {
    /// The HTTP status.
    pub status: u16,
    /// Headers and body, sealed.
    pub envelope: Vec<u8>,
}

/// The stored response of a known key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownReply {
    /// The fingerprint of the request that it belongs to.
    pub fingerprint: Vec<u8>,
    pub reply: SealedReply,
}

/// The result of taking a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// The key is new. The caller may write and must store the response.
    New,
    /// The write was made before.
    Known(KnownReply),
    /// Another transaction holds the key and has not ended.
    InFlight,
}

struct BeginKeyedWrite {
    key_digest: [u8; 32],
    at: DateTime<Utc>,
}

impl FixedStatement for BeginKeyedWrite {
    const NAME: &'static str = "begin_keyed_write";
    const SQL: &'static str = "\
        SELECT verdict, stored_fingerprint, stored_status, stored_reply \
        FROM begin_keyed_write(?::bytea, ?::timestamptz)";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Binary, _>(self.key_digest.as_slice())?;
        binder.bind::<Timestamptz, _>(&self.at)
    }
}

/// The columns that the database functions return for a known key. They are null for other verdicts.
#[derive(QueryableByName)]
pub(super) struct StoredColumns {
    #[diesel(sql_type = Nullable<Binary>)]
    stored_fingerprint: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    stored_status: Option<i16>,
    #[diesel(sql_type = Nullable<Binary>)]
    stored_reply: Option<Vec<u8>>,
}

impl StoredColumns {
    pub(super) fn known(self) -> Result<KnownReply> {
        let reply = self.stored_status.zip(self.stored_reply).and_then(|(status, envelope)| {
            Some(SealedReply { status: u16::try_from(status).ok()?, envelope })
        });
        let known = self.stored_fingerprint.zip(reply);
        let (fingerprint, reply) =
            known.ok_or_else(|| Error::internal("a known key without its response"))?;
        Ok(KnownReply { fingerprint, reply })
    }
}

#[derive(QueryableByName)]
struct BegunRow {
    #[diesel(sql_type = Text)]
    verdict: String,
    #[diesel(embed)]
    stored: StoredColumns,
}

/// Makes a write in a transaction, at most once for its key. If `work` fails, the key remains free.
///
/// # Errors
/// The error of `work`, [`Error::KeyReused`], or [`Error::InFlight`].
pub async fn once<T>(
    database: &Database,
    logger: &Logger,
    name: &'static str,
    keyed: Option<&Keyed<'_, T>>,
    work: impl AsyncFn(&mut AsyncPgConnection) -> Result<T, Abort>,
) -> Result<Once<T>> {
    let Some(keyed) = keyed else {
        return transaction::run(database, logger, name, work).await.map(Once::Made);
    };
    let outcome = transaction::run(database, logger, name, async |connection| {
        match begin(connection, &keyed.write).await? {
            KeyState::New => {
                let made = work(connection).await?;
                store(connection, &keyed.write, &(keyed.seal_reply)(&made)?).await?;
                Ok(KeyedOutcome::Made(made))
            }
            KeyState::Known(known) => Ok(KeyedOutcome::Known(known)),
            KeyState::InFlight => Ok(KeyedOutcome::InFlight),
        }
    });
    match outcome.await? {
        KeyedOutcome::Made(made) => Ok(Once::Made(made)),
        KeyedOutcome::Known(known) => keyed.write.reply_for(known).map(Once::Replayed),
        KeyedOutcome::InFlight => Err(in_flight()),
    }
}

/// The result of the transaction of a keyed write.
enum KeyedOutcome<T> {
    Made(T),
    Known(KnownReply),
    InFlight,
}

/// The error for a request whose key or document is held by a concurrent request.
pub fn in_flight() -> Error {
    Error::InFlight { retry_after: RETRY_AFTER }
}

/// Takes the key of a write in the caller's transaction.
pub async fn begin(connection: &mut AsyncPgConnection, write: &KeyedWrite) -> Result<KeyState, Abort> {
    let statement = BeginKeyedWrite { key_digest: write.key_digest, at: write.at };
    let row: BegunRow = Prepared(statement).get_result(connection).await?;
    match row.verdict.as_str() {
        "new" => Ok(KeyState::New),
        "known" => Ok(KeyState::Known(row.stored.known()?)),
        _ => Ok(KeyState::InFlight),
    }
}

/// Stores the response of a write, in the transaction that took its key with [`begin`].
pub async fn store(
    connection: &mut AsyncPgConnection,
    write: &KeyedWrite,
    reply: &SealedReply,
) -> Result<(), Abort> {
    let row = (
        idempotency_keys::key_digest.eq(write.key_digest.as_slice()),
        idempotency_keys::account.eq(&write.account),
        idempotency_keys::route.eq(&write.route),
        idempotency_keys::fingerprint.eq(write.fingerprint.as_slice()),
        idempotency_keys::status.eq(reply.status_column()),
        idempotency_keys::reply.eq(&reply.envelope),
        idempotency_keys::created_at.eq(write.at),
        idempotency_keys::expires_at.eq(write.expires_at),
    );
    diesel::insert_into(idempotency_keys::table)
        .values(row)
        .on_conflict(idempotency_keys::key_digest)
        .do_update()
        .set(row)
        .execute(connection)
        .await?;
    Ok(())
}

impl SealedReply {
    /// The status as a column value.
    pub(super) fn status_column(&self) -> i16 {
        i16::try_from(self.status).unwrap_or(i16::MAX)
    }
}

/// Deletes up to `limit` responses that expired before `now` and returns how many it deleted. Locked rows are skipped:
/// another transaction is replacing them.
pub async fn delete_expired(
    connection: &mut AsyncPgConnection,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<usize> {
    let delete = "DELETE FROM idempotency_keys WHERE key_digest IN (SELECT key_digest FROM idempotency_keys \
        WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
    let delete = diesel::sql_query(delete).bind::<Timestamptz, _>(now).bind::<BigInt, _>(i64::from(limit));
    Ok(delete.execute(connection).await?)
}
