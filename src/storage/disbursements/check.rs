//! The audit of pools, ledger and disbursements: what must hold after every committed transaction.

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Result;

/// Each rule is a query for its violations.
const RULES: [(&str, &str); 8] = [
    (
        "the pool of a country is what its ledger says",
        "SELECT country::text AS subject FROM funding_pool_shares s GROUP BY country \
         HAVING sum(available + reserved) <> coalesce((SELECT sum(l.amount) FROM ledger_lines l \
             JOIN ledger_entries e ON e.id = l.entry_id WHERE e.country = s.country AND l.account = 'pool'), 0)",
    ),
    (
        "the reserved amount of a share is the sum of its held reservations",
        "SELECT s.country || '/' || s.share AS subject FROM funding_pool_shares s \
         WHERE reserved <> coalesce((SELECT sum(amount) FROM funding_reservations r \
             WHERE r.country = s.country AND r.share = s.share AND r.status = 'held'), 0)",
    ),
    (
        "every ledger entry balances",
        "SELECT entry_id::text AS subject FROM ledger_lines GROUP BY entry_id HAVING sum(amount) <> 0",
    ),
    (
        "a cancelled or returned disbursement holds nothing",
        "SELECT d.id::text AS subject FROM disbursements d JOIN funding_reservations r ON r.disbursement_id = d.id \
         WHERE r.status = 'held' AND (d.state = 'CANCELLED' OR d.state = 'RETURNED' AND EXISTS (SELECT FROM disbursements b \
             WHERE b.reverses = d.id AND b.state IN ('BOOKED', 'COMPLETED')))",
    ),
    (
        "exactly the booked disbursements are in the ledger, with their amounts",
        "SELECT d.id::text AS subject FROM disbursements d LEFT JOIN (SELECT e.disbursement_id, l.amount \
             FROM ledger_entries e JOIN ledger_lines l ON l.entry_id = e.id AND l.account = 'loans' \
             WHERE e.kind = 'payout') p ON p.disbursement_id = d.id \
         WHERE d.reverses IS NULL AND CASE WHEN d.state IN ('BOOKED', 'COMPLETED') THEN p.amount IS DISTINCT FROM d.amount \
             WHEN d.state = 'RETURNED' THEN p.amount <> d.amount ELSE p.amount IS NOT NULL END",
    ),
    (
        "the application of a booked disbursement is completed",
        "SELECT d.id::text AS subject FROM disbursements d JOIN applications a ON a.id = d.application_id \
         WHERE d.reverses IS NULL AND d.state IN ('BOOKED', 'COMPLETED') AND a.status <> 'COMPLETED'",
    ),
    (
        "a disbursement whose payment may be made holds its whole amount",
        "SELECT d.id::text AS subject FROM disbursements d WHERE d.reverses IS NULL \
         AND d.state IN ('RESERVED', 'AWAITING_APPROVAL', 'VERIFIED', 'SUBMITTING', 'UNKNOWN', 'SUBMITTED', 'CONFIRMED') \
         AND d.amount IS DISTINCT FROM (SELECT sum(amount) FROM funding_reservations r \
             WHERE r.disbursement_id = d.id AND r.status = 'held')",
    ),
    (
        "a disbursement that is not finished has a job, unless it waits for a person",
        "SELECT d.id::text AS subject FROM disbursements d \
         WHERE d.state NOT IN ('COMPLETED', 'CANCELLED', 'RETURNED', 'STUCK') \
         AND NOT EXISTS (SELECT FROM pending_jobs j WHERE j.task_name = 'disbursement_step' \
             AND j.job_args ->> 'disbursement_id' = d.id::text)",
    ),
];

#[derive(QueryableByName)]
struct Violation {
    #[diesel(sql_type = Text)]
    subject: String,
}

/// Every violated rule with the object that violates it. The statements should share a snapshot.
pub async fn violations(connection: &mut AsyncPgConnection) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (rule, query) in RULES {
        let violating: Vec<Violation> = diesel::sql_query(query).load(connection).await?;
        found.extend(violating.into_iter().map(|violation| format!("{rule}: {}", violation.subject)));
    }
    Ok(found)
}
