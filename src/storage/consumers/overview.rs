//! The state of all consumers, for operators and metrics.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, SmallInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Result;
use crate::storage::statement::{Binder, FixedStatement, Prepared};

/// The largest number of deferred events and of dead letters that are counted for a consumer.
pub const COUNT_LIMIT: i64 = 10_000;

/// How far a consumer is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerLag {
    pub consumer: String,
    /// The lowest position of its partitions.
    pub position: i64,
    /// The number of published events after that position, of all types.
    pub pending: i64,
    /// The age of the oldest of them; zero if there is none.
    pub lag: Duration,
    /// The deferred events that are not dead letters, up to [`COUNT_LIMIT`].
    pub deferred: i64,
    /// The age of the oldest deferred event that is not a dead letter; zero if there is none.
    pub oldest_deferred: Duration,
    /// The dead letters, up to [`COUNT_LIMIT`].
    pub dead_letters: i64,
}

struct ReadConsumerLags {
    count_limit: i64,
}

impl FixedStatement for ReadConsumerLags {
    const NAME: &'static str = "read_consumer_lags";
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::bigint AS count_limit) \
        SELECT c.consumer, c.position, greatest(p.last_offset - c.position, 0) AS pending, \
            coalesce((SELECT (extract(epoch FROM clock_timestamp() - o.published_at) * 1000)::bigint FROM outbox o \
                WHERE o.relay_offset > c.position ORDER BY o.relay_offset LIMIT 1), 0) AS lag_ms, \
            (SELECT count(*) FROM (SELECT FROM deferred_events d WHERE d.consumer = c.consumer AND d.dead_since IS NULL \
                LIMIT (SELECT count_limit FROM input)) AS counted) AS deferred, \
            coalesce((SELECT (extract(epoch FROM clock_timestamp() - d.deferred_at) * 1000)::bigint FROM deferred_events d \
                WHERE d.consumer = c.consumer AND d.dead_since IS NULL \
                ORDER BY d.consumer, d.event_offset LIMIT 1), 0) AS oldest_deferred_ms, \
            (SELECT count(*) FROM (SELECT FROM deferred_events d WHERE d.consumer = c.consumer AND d.dead_since IS NOT NULL \
                LIMIT (SELECT count_limit FROM input)) AS counted) AS dead_letters \
        FROM (SELECT consumer, min(position) AS position FROM consumer_partitions GROUP BY consumer) AS c, outbox_position p \
        WHERE p.singleton";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<BigInt, _>(&self.count_limit)
    }
}

#[derive(QueryableByName)]
struct LagRow {
    #[diesel(sql_type = Text)]
    consumer: String,
    #[diesel(sql_type = BigInt)]
    position: i64,
    #[diesel(sql_type = BigInt)]
    pending: i64,
    #[diesel(sql_type = BigInt)]
    lag_ms: i64,
    #[diesel(sql_type = BigInt)]
    deferred: i64,
    #[diesel(sql_type = BigInt)]
    oldest_deferred_ms: i64,
    #[diesel(sql_type = BigInt)]
    dead_letters: i64,
}

/// How far each consumer is behind.
pub async fn lags(connection: &mut AsyncPgConnection) -> Result<Vec<ConsumerLag>> {
    let rows: Vec<LagRow> = Prepared(ReadConsumerLags { count_limit: COUNT_LIMIT }).load(connection).await?;
    let age = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let lag = |row: LagRow| ConsumerLag {
        consumer: row.consumer,
        position: row.position,
        pending: row.pending,
        lag: age(row.lag_ms),
        deferred: row.deferred,
        oldest_deferred: age(row.oldest_deferred_ms),
        dead_letters: row.dead_letters,
    };
    Ok(rows.into_iter().map(lag).collect())
}

/// A partition of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct PartitionState {
    #[diesel(sql_type = Text)]
    pub consumer: String,
    #[diesel(sql_type = SmallInt)]
    pub partition: i16,
    #[diesel(sql_type = BigInt)]
    pub position: i64,
    /// The instance that holds a valid lease.
    #[diesel(sql_type = Nullable<Text>)]
    pub owner: Option<String>,
}

struct ReadConsumerPartitions;

impl FixedStatement for ReadConsumerPartitions {
    const NAME: &'static str = "read_consumer_partitions";
    const SQL: &'static str = "\
        SELECT consumer, partition, position, CASE WHEN leased_until > clock_timestamp() THEN owner END AS owner \
        FROM consumer_partitions ORDER BY consumer, partition";

    fn bind<'b>(&'b self, _: &mut Binder<'_, 'b>) -> QueryResult<()> {
        Ok(())
    }
}

/// The partitions of all consumers.
pub async fn partitions(connection: &mut AsyncPgConnection) -> Result<Vec<PartitionState>> {
    Ok(Prepared(ReadConsumerPartitions).load(connection).await?)
}
