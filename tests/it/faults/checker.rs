//! The checker: compares the database and the clients' history with Aval's guarantees.
//!
//! It runs after everything has been healed and no work is left, and it does not depend on the fault. Like a Jepsen checker,
//! it takes the whole history and returns every violation as a sentence.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::workload::{History, Subscription};

/// Guarantees that can be checked in the database alone. Each entry has the text of the violation and a query that returns one
/// row for each violation.
const GUARANTEES: [(&str, &str); 15] = [
    (
        "an application was accepted twice",
        "SELECT country || ' ' || requested_amount FROM applications GROUP BY country, requested_amount HAVING count(*) > 1",
    ),
    (
        "an application is not decided",
        "SELECT id || ' ' || status FROM applications WHERE status NOT IN ('APPROVED', 'REJECTED', 'UNDER_REVIEW')",
    ),
    ("an application waits for a bureau that is available", "SELECT application_id FROM provider_retries"),
    (
        "the review queue does not match the applications under review",
        "SELECT coalesce(r.application_id, a.id)::text FROM reviews r FULL JOIN (SELECT id FROM applications \
        WHERE status = 'UNDER_REVIEW' AND deleted_at IS NULL) a ON a.id = r.application_id \
      WHERE r.application_id IS NULL OR a.id IS NULL",
    ),
    (
        "an application does not have exactly one first decision",
        "SELECT application_id || ' ' || count(*) FILTER (WHERE old_status = 'VALIDATING') FROM audit_logs \
      GROUP BY application_id HAVING count(*) FILTER (WHERE old_status = 'VALIDATING') <> 1",
    ),
    (
        "a change is not a permitted transition from the one before",
        "SELECT application_id || ' ' || version || ' ' || coalesce(old_status::text, '-') || ' ' || new_status FROM ( \
        SELECT *, lag(new_status) OVER w AS before, lag(version) OVER w AS version_before FROM audit_logs \
        WINDOW w AS (PARTITION BY application_id ORDER BY version)) AS chain \
      WHERE version <> coalesce(version_before, 0) + 1 OR old_status IS DISTINCT FROM before \
        OR CASE WHEN version = 1 THEN new_status <> 'PENDING' \
           ELSE new_status <> old_status AND NOT status_may_become(old_status, new_status) END",
    ),
    (
        "an application does not have the status that its history ends with",
        "SELECT a.id || ' ' || a.status || ' ' || a.version FROM applications a LEFT JOIN audit_logs l \
        ON l.application_id = a.id AND l.version = a.version AND l.new_status = a.status WHERE l.id IS NULL",
    ),
    (
        "an application has no decision that matches its status",
        "SELECT a.id || ' ' || a.status FROM applications a WHERE a.status <> 'CANCELLED' AND a.status IS DISTINCT FROM \
        (SELECT d.status FROM decisions d WHERE d.application_id = a.id ORDER BY d.decided_at DESC LIMIT 1)",
    ),
    (
        "a finished job of an application does not have exactly one decision",
        "SELECT j.id || ' ' || count(d.id) FROM job_history j LEFT JOIN decisions d \
        ON d.application_id = j.application_id AND d.job_id = j.id \
      WHERE j.result = 'completed' AND j.task_name = 'process_credit_application' GROUP BY j.id HAVING count(d.id) <> 1",
    ),
    (
        "a job is left in the queue",
        "SELECT id || ' ' || status || ' ' || coalesce(leased_by, '-') FROM pending_jobs",
    ),
    (
        "a job became a dead letter",
        "SELECT job_id || ' ' || error_type || ' ' || error_message FROM failed_jobs",
    ),
    (
        "a change does not have exactly one event",
        "SELECT coalesce(l.application_id, o.subject) || ' ' || coalesce(l.version, (o.data ->> 'version')::bigint) || ' ' \
        || count(o.seq) FROM audit_logs l FULL JOIN (SELECT * FROM outbox WHERE type LIKE 'application.%') o \
        ON o.subject = l.application_id AND (o.data ->> 'version')::bigint = l.version \
      GROUP BY l.application_id, o.subject, l.version, o.data ->> 'version' \
      HAVING count(o.seq) <> 1 OR count(l.id) <> 1",
    ),
    ("an event was never published", "SELECT seq::text FROM outbox WHERE relay_offset IS NULL"),
    (
        "the sequence has a gap or a duplicate offset",
        "SELECT 'last ' || p.last_offset || ' events ' || count(o.seq) || ' from ' || min(o.relay_offset) || ' to ' \
        || max(o.relay_offset) FROM outbox_position p LEFT JOIN outbox o ON true GROUP BY p.last_offset \
      HAVING count(DISTINCT o.relay_offset) <> p.last_offset OR max(o.relay_offset) <> p.last_offset",
    ),
    (
        "events of an application are out of order",
        "SELECT subject || ' ' || relay_offset FROM (SELECT subject, relay_offset, (data ->> 'version')::bigint AS version, \
        lag((data ->> 'version')::bigint) OVER (PARTITION BY subject ORDER BY relay_offset) AS before FROM outbox WHERE type LIKE 'application.%') AS o \
      WHERE version <> coalesce(before, 0) + 1",
    ),
];

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    value: String,
}

pub(crate) async fn lines(connection: &mut AsyncPgConnection, query: &str) -> Vec<String> {
    let query = format!("SELECT coalesce(line.value::text, '') AS value FROM ({query}) AS line (value)");
    let found: Vec<Line> = diesel::sql_query(query).load(connection).await.unwrap();
    found.into_iter().map(|line| line.value).collect()
}

/// All violations, as sentences.
pub(crate) async fn violations(connection: &mut AsyncPgConnection, history: &History) -> Vec<String> {
    let mut found = history.anomalies.clone();
    for (violation, query) in GUARANTEES {
        found.extend(lines(connection, query).await.into_iter().map(|line| format!("{violation}: {line}")));
    }
    found.extend(aval::storage::statistics::differences(connection).await.unwrap());
    found.extend(missing_or_unknown(connection, history).await);
    found.extend(inconsistent_reads(connection, history).await);
    found.extend(undelivered(connection, history).await);
    found
}

/// Checks that the database contains all accepted applications and no application that was not sent.
async fn missing_or_unknown(connection: &mut AsyncPgConnection, history: &History) -> Vec<String> {
    let stored = lines(connection, "SELECT requested_amount || ' ' || id FROM applications").await;
    let stored: BTreeMap<String, String> = stored
        .iter()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(amount, id)| (amount.to_owned(), id.to_owned()))
        .collect();
    let mut found = Vec::new();
    for submission in &history.submissions {
        match (&submission.accepted, stored.get(&submission.amount)) {
            (Some(id), Some(stored_id)) if id == stored_id => {}
            (Some(id), stored_id) => {
                found.push(format!("{id} was accepted but is {stored_id:?} in the database"))
            }
            (None, _) => {
                found.push(format!("{} was never accepted, although everything was healed", submission.key))
            }
        }
    }
    let sent: HashSet<&str> = history.submissions.iter().map(|sent| sent.amount.as_str()).collect();
    let unknown = stored.iter().filter(|(amount, _)| !sent.contains(amount.as_str()));
    found.extend(unknown.map(|(_, id)| format!("{id} was not sent by any client")));
    found
}

/// Checks that readers saw only states that existed and, through one instance, never an older version after a newer one.
async fn inconsistent_reads(connection: &mut AsyncPgConnection, history: &History) -> Vec<String> {
    let states =
        lines(connection, "SELECT application_id || ' ' || version || ' ' || new_status FROM audit_logs")
            .await;
    let states: HashSet<&str> = states.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    let mut newest: HashMap<(usize, &str), i64> = HashMap::new();
    for observation in &history.observations {
        let state = format!("{} {} {}", observation.id, observation.version, observation.status);
        if !states.contains(state.as_str()) {
            found.push(format!("a reader saw a state that never existed: {state}"));
        }
        let before = newest.entry((observation.instance, &observation.id)).or_default();
        if observation.version < *before {
            found.push(format!("instance {} went back from version {before}: {state}", observation.instance));
        }
        *before = observation.version.max(*before);
    }
    found
}

/// Checks that each subscriber received every event since its first subscription at least once, and the events of one
/// application in order.
async fn undelivered(connection: &mut AsyncPgConnection, history: &History) -> Vec<String> {
    let events = lines(
        connection,
        "SELECT relay_offset || ' ' || subject || ' ' || (data ->> 'status') FROM outbox WHERE type LIKE 'application.%' ORDER BY relay_offset",
    )
    .await;
    let events: BTreeMap<i64, String> = events
        .iter()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(offset, event)| (offset.parse().unwrap(), event.to_owned()))
        .collect();
    let mut found = Vec::new();
    for (number, subscription) in history.subscriptions.iter().enumerate() {
        found.extend(
            check_subscription(subscription, &events)
                .into_iter()
                .map(|violation| format!("subscriber {number} {violation}")),
        );
    }
    found
}

fn check_subscription(subscription: &Subscription, events: &BTreeMap<i64, String>) -> Vec<String> {
    let Some(from) = subscription.from else { return vec!["was never admitted".to_owned()] };
    let mut found = Vec::new();
    let epochs: BTreeSet<&str> =
        subscription.deliveries.iter().map(|delivery| delivery.epoch.as_str()).collect();
    if epochs.len() > 1 {
        found.push(format!("got events of {} epochs", epochs.len()));
    }
    let mut seen = HashSet::new();
    let mut newest: HashMap<&str, i64> = HashMap::new();
    for delivery in &subscription.deliveries {
        let delivered = format!("{} {}", delivery.id, delivery.status);
        if events.get(&delivery.offset) != Some(&delivered) {
            found.push(format!("got an event that was not published: {} {delivered}", delivery.offset));
        }
        // A duplicate is allowed, but not an older event for the first time.
        let before = newest.entry(&delivery.id).or_default();
        if seen.insert(delivery.offset) && delivery.offset < *before {
            found.push(format!("got {} after {before}", delivery.offset));
        }
        *before = delivery.offset.max(*before);
    }
    let missed = events.range(from + 1..).filter(|(offset, _)| !seen.contains(offset));
    found.extend(missed.map(|(offset, event)| format!("missed {offset} {event}")));
    found
}
