//! Leases on the partitions of a consumer. They follow the database's clock.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, SmallInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::PARTITIONS;
use crate::error::Result;
use crate::storage::statement::{Binder, FixedStatement, Prepared};

/// A partition that an instance holds a lease on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct HeldPartition {
    #[diesel(sql_type = SmallInt)]
    pub partition: i16,
    /// The offset up to which all events are handled or deferred.
    #[diesel(sql_type = BigInt)]
    pub position: i64,
    /// Proves the lease.
    #[diesel(sql_type = BigInt)]
    pub fence: i64,
}

/// A partition that an instance has acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct AcquiredPartition {
    #[diesel(embed)]
    pub held: HeldPartition,
    /// Whether the former owner did not release it. It may have died while it handled events of the partition.
    #[diesel(sql_type = Bool)]
    pub is_taken_over: bool,
}

struct RegisterConsumer {
    consumer: String,
    partitions: i16,
}

impl FixedStatement for RegisterConsumer {
    const NAME: &'static str = "register_consumer";
    const SQL: &'static str = "\
        INSERT INTO consumer_partitions (consumer, partition, position) \
        SELECT ?::text, n - 1, coalesce( \
            (SELECT o.relay_offset - 1 FROM outbox o WHERE o.relay_offset IS NOT NULL ORDER BY o.relay_offset LIMIT 1), \
            (SELECT last_offset FROM outbox_position WHERE singleton)) \
        FROM generate_series(1, ?::integer) AS n ON CONFLICT DO NOTHING";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.consumer)?;
        binder.bind::<SmallInt, _>(&self.partitions)
    }
}

/// Creates the partitions of a consumer, unless they exist. They start with the oldest event of the outbox.
pub async fn register(connection: &mut AsyncPgConnection, consumer: &str) -> Result<()> {
    let statement = RegisterConsumer { consumer: consumer.to_owned(), partitions: PARTITIONS };
    Prepared(statement).execute(connection).await?;
    Ok(())
}

struct ReportInstance {
    consumer: String,
    instance: String,
    lease_ms: i64,
}

impl FixedStatement for ReportInstance {
    const NAME: &'static str = "report_consumer_instance";
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::text AS consumer, ?::text AS instance, ?::bigint AS lease_ms), \
        gone AS (DELETE FROM consumer_instances c USING input i \
            WHERE c.consumer = i.consumer AND c.instance <> i.instance AND c.seen_until < clock_timestamp()), \
        reported AS (INSERT INTO consumer_instances (consumer, instance, seen_until) \
            SELECT consumer, instance, clock_timestamp() + lease_ms * interval '1 millisecond' FROM input \
            ON CONFLICT (consumer, instance) DO UPDATE SET seen_until = excluded.seen_until) \
        SELECT c.instance FROM consumer_instances c, input i \
        WHERE c.consumer = i.consumer AND c.instance <> i.instance AND c.seen_until >= clock_timestamp()";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.consumer)?;
        binder.bind::<Text, _>(&self.instance)?;
        binder.bind::<BigInt, _>(&self.lease_ms)
    }
}

#[derive(QueryableByName)]
struct InstanceRow {
    #[diesel(sql_type = Text)]
    instance: String,
}

/// Reports that an instance runs a consumer, and returns the other instances that do.
pub async fn report(
    connection: &mut AsyncPgConnection,
    consumer: &str,
    instance: &str,
    lease: Duration,
) -> Result<Vec<String>> {
    let statement = ReportInstance {
        consumer: consumer.to_owned(),
        instance: instance.to_owned(),
        lease_ms: milliseconds(lease),
    };
    let others: Vec<InstanceRow> = Prepared(statement).load(connection).await?;
    Ok(others.into_iter().map(|row| row.instance).collect())
}

struct HoldPartitions {
    consumer: String,
    lease_ms: i64,
    partitions: Vec<i16>,
    fences: Vec<i64>,
    positions: Vec<i64>,
}

impl FixedStatement for HoldPartitions {
    const NAME: &'static str = "hold_consumer_partitions";
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::text AS consumer, ?::bigint AS lease_ms), \
        locked AS (SELECT p.consumer, p.partition, held.position FROM input i \
            CROSS JOIN unnest(?::smallint[], ?::bigint[], ?::bigint[]) AS held (partition, fence, position) \
            CROSS JOIN LATERAL (SELECT c.consumer, c.partition FROM consumer_partitions c \
                WHERE c.consumer = i.consumer AND c.partition = held.partition AND c.fence = held.fence FOR UPDATE) AS p) \
        UPDATE consumer_partitions c SET position = greatest(c.position, l.position), \
            leased_until = clock_timestamp() + i.lease_ms * interval '1 millisecond' \
        FROM input i, locked l WHERE c.consumer = l.consumer AND c.partition = l.partition \
        RETURNING c.partition, c.position, c.fence";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.consumer)?;
        binder.bind::<BigInt, _>(&self.lease_ms)?;
        binder.bind::<Array<SmallInt>, _>(&self.partitions)?;
        binder.bind::<Array<BigInt>, _>(&self.fences)?;
        binder.bind::<Array<BigInt>, _>(&self.positions)
    }
}

/// Locks the rows of the held partitions in the order given, extends their leases, and moves their positions forward to
/// those in `held`. Partitions whose fence has changed are missing from the result.
pub async fn hold(
    connection: &mut AsyncPgConnection,
    consumer: &str,
    held: &[HeldPartition],
    lease: Duration,
) -> Result<Vec<HeldPartition>> {
    let statement = HoldPartitions {
        consumer: consumer.to_owned(),
        lease_ms: milliseconds(lease),
        partitions: held.iter().map(|held| held.partition).collect(),
        fences: held.iter().map(|held| held.fence).collect(),
        positions: held.iter().map(|held| held.position).collect(),
    };
    Ok(Prepared(statement).load(connection).await?)
}

struct AcquirePartitions {
    consumer: String,
    instance: String,
    lease_ms: i64,
    held: Vec<i16>,
    limit: i64,
}

impl FixedStatement for AcquirePartitions {
    const NAME: &'static str = "acquire_consumer_partitions";
    /// A free partition is one without a valid lease, or one that this instance held before its actor was restarted.
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::text AS consumer, ?::text AS instance, ?::bigint AS lease_ms), \
        free AS (SELECT c.partition, c.is_taken_over FROM input i CROSS JOIN LATERAL ( \
                SELECT p.partition, p.owner IS NOT NULL AS is_taken_over FROM consumer_partitions p \
                WHERE p.consumer = i.consumer AND p.partition <> ALL (?::smallint[]) \
                    AND (p.owner IS NULL OR p.owner = i.instance OR p.leased_until < clock_timestamp()) \
                ORDER BY p.consumer, p.partition LIMIT ? FOR UPDATE SKIP LOCKED) AS c) \
        UPDATE consumer_partitions c SET owner = i.instance, fence = c.fence + 1, \
            leased_until = clock_timestamp() + i.lease_ms * interval '1 millisecond' \
        FROM input i, free f WHERE c.consumer = i.consumer AND c.partition = f.partition \
        RETURNING c.partition, c.position, c.fence, f.is_taken_over";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.consumer)?;
        binder.bind::<Text, _>(&self.instance)?;
        binder.bind::<BigInt, _>(&self.lease_ms)?;
        binder.bind::<Array<SmallInt>, _>(&self.held)?;
        binder.bind::<BigInt, _>(&self.limit)
    }
}

/// Acquires up to `limit` free partitions besides those in `held`. Their fences increase.
pub async fn acquire(
    connection: &mut AsyncPgConnection,
    consumer: &str,
    instance: &str,
    lease: Duration,
    held: &[HeldPartition],
    limit: usize,
) -> Result<Vec<AcquiredPartition>> {
    let statement = AcquirePartitions {
        consumer: consumer.to_owned(),
        instance: instance.to_owned(),
        lease_ms: milliseconds(lease),
        held: held.iter().map(|held| held.partition).collect(),
        limit: i64::try_from(limit).unwrap_or(i64::MAX),
    };
    Ok(Prepared(statement).load(connection).await?)
}

struct ReleasePartitions {
    consumer: String,
    partitions: Vec<i16>,
    fences: Vec<i64>,
}

impl FixedStatement for ReleasePartitions {
    const NAME: &'static str = "release_consumer_partitions";
    const SQL: &'static str = "\
        UPDATE consumer_partitions c SET owner = NULL, leased_until = NULL, fence = c.fence + 1 \
        FROM unnest(?::smallint[], ?::bigint[]) AS held (partition, fence) \
        WHERE c.consumer = ? AND c.partition = held.partition AND c.fence = held.fence";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Array<SmallInt>, _>(&self.partitions)?;
        binder.bind::<Array<BigInt>, _>(&self.fences)?;
        binder.bind::<Text, _>(&self.consumer)
    }
}

/// Releases the leases on partitions.
pub async fn release(
    connection: &mut AsyncPgConnection,
    consumer: &str,
    held: &[HeldPartition],
) -> Result<()> {
    let statement = ReleasePartitions {
        consumer: consumer.to_owned(),
        partitions: held.iter().map(|held| held.partition).collect(),
        fences: held.iter().map(|held| held.fence).collect(),
    };
    Prepared(statement).execute(connection).await?;
    Ok(())
}

struct RemoveInstance {
    consumer: String,
    instance: String,
}

impl FixedStatement for RemoveInstance {
    const NAME: &'static str = "remove_consumer_instance";
    const SQL: &'static str = "DELETE FROM consumer_instances WHERE consumer = ? AND instance = ?";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.consumer)?;
        binder.bind::<Text, _>(&self.instance)
    }
}

/// Records that an instance no longer runs a consumer.
pub async fn leave(connection: &mut AsyncPgConnection, consumer: &str, instance: &str) -> Result<()> {
    let statement = RemoveInstance { consumer: consumer.to_owned(), instance: instance.to_owned() };
    Prepared(statement).execute(connection).await?;
    Ok(())
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
