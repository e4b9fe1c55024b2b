//! A copy of the database to read from: lists, exports and statistics, which may be a little old.
//!
//! Whatever is wrong with the replica is no failure of a request. One that gives no connection or no answer in time,
//! fails a statement, or is far behind is left alone for a while, and the database itself is read at once. How far it
//! is behind is measured every second ([`watch`]) by the time of the last transaction that it has replayed; the
//! listeners' heartbeats see to it that there is one every second.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8::Pool;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Double, Nullable, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use slog::{Logger, info, warn};
use tokio::time::{sleep, timeout};

use super::pool::Sessions;
use super::statement::{Binder, FixedStatement, Prepared};
use crate::error::{Error, Result};
use crate::storage::Database;
use crate::telemetry::metrics::{Metrics, seconds};

/// The name of the task that watches it.
pub const WATCH: &str = "replica_watch";

/// Longest wait for a connection to the replica.
const CONNECTION_PATIENCE: Duration = Duration::from_millis(500);
/// Longest wait for what is read from the replica.
const READ_PATIENCE: Duration = Duration::from_secs(1);
/// How long a replica that failed is left alone.
const PAUSE: Duration = Duration::from_secs(5);
/// A replica that is further behind is not read.
const MAX_LAG: Duration = Duration::from_secs(10);
/// How often its lag is measured.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// A lag that was not measured.
const UNKNOWN: i64 = -1;

/// A copy of the database.
pub(super) struct Replica {
    pool: Pool<Sessions>,
    left_alone: Arc<AtomicBool>,
    lag_ms: AtomicI64,
    fallbacks: AtomicU64,
    /// Why it was last left alone.
    cause: Mutex<String>,
}

/// How a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaState {
    /// Whether it is read; the database itself is read otherwise.
    pub is_read: bool,
    /// How far it is behind, where that is known.
    pub lag: Option<Duration>,
}

impl Replica {
    pub(super) fn new(pool: Pool<Sessions>) -> Self {
        Self {
            pool,
            left_alone: Arc::default(),
            lag_ms: AtomicI64::new(UNKNOWN),
            fallbacks: AtomicU64::new(0),
            cause: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> ReplicaState {
        let lag =
            u64::try_from(AtomicI64::load(&self.lag_ms, Ordering::Relaxed)).ok().map(Duration::from_millis);
        let is_near = lag.is_none_or(|lag| lag <= MAX_LAG);
        ReplicaState { is_read: is_near && !AtomicBool::load(&self.left_alone, Ordering::Relaxed), lag }
    }

    /// Reads from the replica; `None` when the database itself has to be read.
    pub(super) async fn read<R>(
        &self,
        work: &impl AsyncFn(&mut AsyncPgConnection) -> Result<R>,
    ) -> Option<Result<R>> {
        if !self.state().is_read {
            self.fallbacks.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        match self.try_to_read(work).await {
            Ok(found) => Some(Ok(found)),
            // A replica may fail any statement that the database does not: by a recovery conflict, or for want of a table.
            Err(error @ (Error::Database { .. } | Error::Unavailable { .. } | Error::Timeout { .. })) => {
                self.fallbacks.fetch_add(1, Ordering::Relaxed);
                if !matches!(error, Error::Database { .. }) {
                    self.leave_alone(&error);
                }
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    async fn try_to_read<R>(&self, work: &impl AsyncFn(&mut AsyncPgConnection) -> Result<R>) -> Result<R> {
        let lent = timeout(CONNECTION_PATIENCE, self.pool.get()).await;
        let late = |_| Error::unavailable("replica", "no connection in time");
        let mut connection =
            lent.map_err(late)?.map_err(|error| Error::unavailable("replica", error.to_string()))?;
        match timeout(READ_PATIENCE, work(&mut connection)).await {
            Ok(read) => read,
            Err(_) => {
                // The statement still runs on it.
                connection.facts.condemn();
                Err(Error::Timeout { what: "the replica", after: READ_PATIENCE })
            }
        }
    }

    fn leave_alone(&self, error: &Error) {
        let cause = error.private_cause().map_or_else(|| error.to_string(), str::to_owned);
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = cause;
        self.left_alone.store(true, Ordering::Relaxed);
        let left_alone = Arc::clone(&self.left_alone);
        tokio::spawn(async move {
            sleep(PAUSE).await;
            left_alone.store(false, Ordering::Relaxed);
        });
    }

    async fn measure(&self) {
        let measured = self.try_to_read(&lag).await;
        let lag_ms = match &measured {
            Ok(Some(lag)) => i64::try_from(lag.as_millis()).unwrap_or(i64::MAX),
            Ok(None) | Err(_) => UNKNOWN,
        };
        self.lag_ms.store(lag_ms, Ordering::Relaxed);
        if let Err(error) = measured {
            self.leave_alone(&error);
        }
    }
}

/// Measures the lag of a database's replica every second, and tells of it in metrics and log. Never ends.
pub async fn watch(database: Database, metrics: Arc<Metrics>, logger: Logger) {
    let Some(replica) = &database.replica else { return std::future::pending().await };
    let mut was_read = true;
    loop {
        replica.measure().await;
        let state = replica.state();
        metrics.db_replica_up.set(i64::from(state.is_read));
        metrics.db_replica_lag_seconds.set(state.lag.map_or(f64::NAN, seconds));
        metrics.db_replica_fallbacks_total.inc_by(replica.fallbacks.swap(0, Ordering::Relaxed));
        match (was_read, state.is_read) {
            (true, false) => {
                let cause = replica.cause.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let lag_ms = state.lag.map(|lag| lag.as_millis());
                warn!(logger, "the replica is not read for now"; "cause" => cause, "lag_ms" => lag_ms);
            }
            (false, true) => info!(logger, "the replica is read again"),
            (true, true) | (false, false) => {}
        }
        was_read = state.is_read;
        sleep(WATCH_INTERVAL).await;
    }
}

struct Lag;

impl FixedStatement for Lag {
    const SQL: &'static str = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN 0 \
        ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END::float8 AS seconds";

    fn bind<'b>(&'b self, _: &mut Binder<'_, 'b>) -> QueryResult<()> {
        Ok(())
    }
}

#[derive(QueryableByName)]
struct LagRow {
    #[diesel(sql_type = Nullable<Double>)]
    seconds: Option<f64>,
}

/// How far a server is behind; nothing for one that is no replica, `None` for one that has replayed nothing yet.
async fn lag(connection: &mut AsyncPgConnection) -> Result<Option<Duration>> {
    let row: LagRow = Prepared(Lag).get_result(connection).await?;
    Ok(row.seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)))
}

struct ReplayedUntil;

impl FixedStatement for ReplayedUntil {
    const SQL: &'static str = "SELECT CASE WHEN pg_is_in_recovery() \
        THEN coalesce(pg_last_xact_replay_timestamp(), to_timestamp(0)) END AS replayed_until";

    fn bind<'b>(&'b self, _: &mut Binder<'_, 'b>) -> QueryResult<()> {
        Ok(())
    }
}

#[derive(QueryableByName)]
struct ReplayedUntilRow {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    replayed_until: Option<DateTime<Utc>>,
}

/// The time of the last transaction that the server shows, when it is a replica. What is read after this is at least
/// as new.
pub async fn replayed_until(connection: &mut AsyncPgConnection) -> Result<Option<DateTime<Utc>>> {
    let row: ReplayedUntilRow = Prepared(ReplayedUntil).get_result(connection).await?;
    Ok(row.replayed_until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::connect::Connector;

    #[actix_rt::test]
    async fn a_replica_that_is_far_behind_is_not_read() {
        let connector = Connector::new("postgresql://aval@localhost/none").unwrap();
        let sessions = Sessions::new(connector, &Arc::from(""));
        let replica = Replica::new(Pool::builder().build_unchecked(sessions));
        for (lag_ms, is_read) in
            [(UNKNOWN, true), (0, true), (10_000, true), (10_001, false), (i64::MAX, false)]
        {
            replica.lag_ms.store(lag_ms, Ordering::Relaxed);
            assert_eq!(replica.state().is_read, is_read, "{lag_ms}");
        }
    }
}
