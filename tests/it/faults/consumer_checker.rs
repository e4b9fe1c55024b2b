//! The checker for faults of consumers: compares the effects with the outbox.

use std::time::{Duration, Instant};

use diesel_async::AsyncPgConnection;

use super::checker::lines;
use crate::support::db::text;
use crate::support::pace;

/// How long the consumer may take to handle all events after everything was healed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Unpublished events, events that the consumer has not read, and events that wait for an attempt.
const LEFT: &str = "SELECT concat_ws(' ', (SELECT count(*) FROM outbox WHERE relay_offset IS NULL), \
    (SELECT max(last_offset) - (SELECT min(position) FROM consumer_partitions WHERE consumer = 'webhook_deliveries') \
        FROM outbox_position), \
    (SELECT count(*) FROM deferred_events WHERE dead_since IS NULL))";

/// Each entry has the text of the violation and a query that returns one row for each violation.
const GUARANTEES: [(&str, &str); 7] = [
    (
        "an event did not have its effect exactly once",
        "SELECT o.type || ' ' || o.relay_offset || ' ' || count(e.seq) FROM outbox o LEFT JOIN effects e ON e.event_id = o.id \
      WHERE o.type LIKE 'toy.%' GROUP BY o.id, o.type, o.relay_offset \
      HAVING count(e.seq) <> CASE WHEN o.type IN ('toy.poison.v1', 'toy.fatal.v1') THEN 0 ELSE 1 END",
    ),
    (
        "an effect belongs to no event",
        "SELECT event_id::text FROM effects e WHERE NOT EXISTS (SELECT FROM outbox o WHERE o.id = e.event_id)",
    ),
    (
        "effects of a subject are out of order",
        "SELECT subject || ' ' || relay_offset FROM (SELECT o.subject, o.relay_offset, \
        lag(o.relay_offset) OVER (PARTITION BY o.subject ORDER BY e.seq) AS before \
        FROM effects e JOIN outbox o ON o.id = e.event_id) AS chain WHERE relay_offset < before",
    ),
    (
        "an event does not have exactly one delivery with one job",
        "SELECT o.type || ' ' || o.relay_offset FROM outbox o WHERE o.type LIKE 'toy.%' \
        AND o.type NOT IN ('toy.poison.v1', 'toy.fatal.v1') AND (SELECT count(*) FROM webhook_deliveries d \
            JOIN pending_jobs j ON j.job_args ->> 'delivery_id' = d.id::text WHERE d.message_id = o.id) <> 1",
    ),
    (
        "a dead letter is not one of the events that fail, or has another number of attempts",
        "SELECT coalesce(d.type, o.type) || ' ' || coalesce(d.attempts, 0) FROM \
        (SELECT * FROM outbox WHERE type IN ('toy.poison.v1', 'toy.fatal.v1')) AS o \
        FULL JOIN (SELECT * FROM deferred_events WHERE dead_since IS NOT NULL) AS d ON d.event_id = o.id \
      WHERE o.id IS NULL OR d.id IS NULL OR d.attempts <> 3",
    ),
    (
        "a dead letter does not have exactly one event",
        "SELECT d.id::text FROM deferred_events d LEFT JOIN outbox o ON o.subject = d.id AND o.type = 'dead_letter.created.v1' \
      WHERE d.dead_since IS NOT NULL GROUP BY d.id HAVING count(o.id) <> 1",
    ),
    (
        "the sequence has a gap or a duplicate offset",
        "SELECT p.last_offset::text FROM outbox_position p LEFT JOIN outbox o ON true GROUP BY p.last_offset \
      HAVING count(DISTINCT o.relay_offset) <> p.last_offset OR max(o.relay_offset) <> p.last_offset",
    ),
];

/// Waits until the consumer has nothing left to do, and returns all violations as sentences.
pub(crate) async fn violations(sql: &mut AsyncPgConnection) -> Vec<String> {
    let mut found = Vec::from_iter(wait_until_idle(sql).await.err());
    for (violation, query) in GUARANTEES {
        found.extend(lines(sql, query).await.into_iter().map(|line| format!("{violation}: {line}")));
    }
    found
}

async fn wait_until_idle(sql: &mut AsyncPgConnection) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = text(sql, LEFT).await.unwrap();
        if left == "0 0 0" {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("still at work (unpublished, unread, deferred): {left}"));
        }
        pace(Duration::from_millis(50)).await;
    }
}
