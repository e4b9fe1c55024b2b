//! Reading from a replica: lists, exports and statistics, which may be slightly old.
//!
//! A failure of the replica never fails a request: the primary is read instead. A replica that times out or is unreachable
//! is not used for [`PAUSE`]. A replica that lags behind by more than [`MAX_LAG`] is not used until it has caught up. The
//! lag is measured every second ([`watch`]) from the time of the last replayed transaction. The heartbeats of the listeners
//! ensure that there is a transaction every second.

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

use super::sessions::DatabaseSessions;
use super::statement::{Binder, FixedStatement, Prepared};
use crate::error::{Error, Result};
use crate::telemetry::metrics::{Metrics, seconds};

/// The name of the asynchronous task that monitors the replica.
pub const WATCH: &str = "replica_watch";

/// The timeout for a connection to the replica.
const CONNECTION_TIMEOUT: Duration = Duration::from_millis(500);
/// The timeout for a read from the replica.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a replica is not used after a failure.
const PAUSE: Duration = Duration::from_secs(5);
/// The maximum lag at which the replica is used.
const MAX_LAG: Duration = Duration::from_secs(10);
/// The interval of the lag measurement.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The value of an unknown lag.
const UNKNOWN: i64 = -1;

/// A replica of the database.
pub(super) struct Replica {
    pool: Pool<DatabaseSessions>,
    is_suspended: Arc<AtomicBool>,
    lag_ms: AtomicI64,
    fallbacks: AtomicU64,
    /// The reason for the last suspension.
    cause: Mutex<String>,
}

/// The state of the replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaState {
    /// Whether reads use the replica instead of the primary.
    pub is_read: bool,
    /// The lag, if known.
    pub lag: Option<Duration>,
}

impl Replica {
    pub(super) fn new(pool: Pool<DatabaseSessions>) -> Self {
        Self {
            pool,
            is_suspended: Arc::default(),
            lag_ms: AtomicI64::new(UNKNOWN),
            fallbacks: AtomicU64::new(0),
            cause: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> ReplicaState {
        let lag =
            u64::try_from(AtomicI64::load(&self.lag_ms, Ordering::Relaxed)).ok().map(Duration::from_millis);
        let is_near = lag.is_none_or(|lag| lag <= MAX_LAG);
        ReplicaState { is_read: is_near && !AtomicBool::load(&self.is_suspended, Ordering::Relaxed), lag }
    }

    /// Reads from the replica; `None` if the primary must be read.
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
            // A replica can fail statements that succeed on the primary: after a recovery conflict, or because a table
            // is missing.
            Err(error @ (Error::Database { .. } | Error::Unavailable { .. } | Error::Timeout { .. })) => {
                self.fallbacks.fetch_add(1, Ordering::Relaxed);
                if !matches!(error, Error::Database { .. }) {
                    self.suspend(&error);
                }
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// Whether the replica responds, even while it is not used.
    pub(super) async fn responds(&self) -> bool {
        self.try_to_read(&lag).await.is_ok()
    }

    async fn try_to_read<R>(&self, work: &impl AsyncFn(&mut AsyncPgConnection) -> Result<R>) -> Result<R> {
        let lent = timeout(CONNECTION_TIMEOUT, self.pool.get()).await;
        let late = |_| Error::unavailable("replica", "timed out waiting for a connection");
        let mut connection =
            lent.map_err(late)?.map_err(|error| Error::unavailable("replica", error.to_string()))?;
        match timeout(READ_TIMEOUT, work(&mut connection)).await {
            Ok(read) => read,
            Err(_) => {
                // The statement is still running, so the session must not be reused.
                connection.facts.mark_unfit();
                Err(Error::Timeout { what: "the replica", after: READ_TIMEOUT })
            }
        }
    }

    fn suspend(&self, error: &Error) {
        let cause = error.private_cause().map_or_else(|| error.to_string(), str::to_owned);
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = cause;
        self.is_suspended.store(true, Ordering::Relaxed);
        let is_suspended = Arc::clone(&self.is_suspended);
        tokio::spawn(async move {
            sleep(PAUSE).await;
            is_suspended.store(false, Ordering::Relaxed);
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
            self.suspend(&error);
        }
    }
}

/// Measures the lag of a replica every second, and reports it in the metrics and the log. Never returns.
pub(super) async fn watch(replica: &Replica, metrics: &Metrics, logger: &Logger) {
    let mut was_read = true;
    loop {
        replica.measure().await;
        let state = replica.state();
        metrics.db_replica_up.set(Some(f64::from(u8::from(state.is_read))));
        metrics.db_replica_lag_seconds.set(state.lag.map(seconds));
        metrics.db_replica_fallbacks_total.inc_by(replica.fallbacks.swap(0, Ordering::Relaxed));
        match (was_read, state.is_read) {
            (true, false) => {
                let cause = replica.cause.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let lag_ms = state.lag.map(|lag| lag.as_millis());
                warn!(logger, "replica suspended"; "cause" => cause, "lag_ms" => lag_ms);
            }
            (false, true) => info!(logger, "replica in use again"),
            (true, true) | (false, false) => {}
        }
        was_read = state.is_read;
        sleep(WATCH_INTERVAL).await;
    }
}

struct Lag;

impl FixedStatement for Lag {
    const NAME: &'static str = "measure_replica_lag";
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

/// The lag of a server: zero for a primary, `None` for a replica that has not replayed any transaction.
async fn lag(connection: &mut AsyncPgConnection) -> Result<Option<Duration>> {
    let row: LagRow = Prepared(Lag).get_result(connection).await?;
    Ok(row.seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)))
}

struct ReplayedUntil;

impl FixedStatement for ReplayedUntil {
    const NAME: &'static str = "replayed_until";
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

/// The time of the last transaction replayed by the server, if it is a replica. Later reads in this session are at
/// least as recent.
pub async fn replayed_until(connection: &mut AsyncPgConnection) -> Result<Option<DateTime<Utc>>> {
    let row: ReplayedUntilRow = Prepared(ReplayedUntil).get_result(connection).await?;
    Ok(row.replayed_until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::connect::Connector;

    #[actix_rt::test]
    async fn a_lagging_replica_is_not_read() {
        let connector = Connector::new("postgresql://aval@localhost/none").unwrap();
        let sessions = DatabaseSessions::new(connector, &Arc::from(""), None);
        let replica = Replica::new(Pool::builder().build_unchecked(sessions));
        for (lag_ms, is_read) in
            [(UNKNOWN, true), (0, true), (10_000, true), (10_001, false), (i64::MAX, false)]
        {
            replica.lag_ms.store(lag_ms, Ordering::Relaxed);
            assert_eq!(replica.state().is_read, is_read, "{lag_ms}");
        }
    }
}
