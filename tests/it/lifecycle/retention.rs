//! Retention of each kind of row.

use serde_json::json;

use super::{only, pairs, run, started};
use crate::support::app::TestApp;
use crate::support::db::{TestDatabase, execute, text};

/// A task, the table that it cleans, and a statement that inserts one expired and one unexpired row.
const ROWS: [(&str, &str, &str); 14] = [
    (
        "expire_webhooks",
        "webhook_events",
        "INSERT INTO webhook_events (id, idempotency_key, provider, country, application_id, provider_reference, outcome, \
             fingerprint, payload, status, occurred_at, received_at, settled_at) \
         SELECT uuid_v7_now(), d::text, 'x', 'ES', uuid_v7_now(), 'r', 'confirmed', decode(repeat('00', 32), 'hex'), '', \
             'ignored', now(), now() - d * interval '1 day', now() FROM unnest(ARRAY[31, 29]) AS d",
    ),
    (
        "expire_webhook_deliveries",
        "webhook_deliveries",
        "INSERT INTO webhook_deliveries (endpoint_id, message_id, event_type, subject, status, created_at) \
         SELECT uuid_v7_now(), uuid_v7_now(), 'x', uuid_v7_now(), 'pending', now() - d * interval '1 day' \
         FROM unnest(ARRAY[31, 29]) AS d",
    ),
    (
        "expire_webhook_deliveries",
        "webhook_attempts",
        "INSERT INTO webhook_attempts (id, delivery_id, endpoint_id, result, duration_ms, attempted_at) \
         SELECT uuid_v7_now(), uuid_v7_now(), uuid_v7_now(), 'timeout', 1, now() - d * interval '1 day' \
         FROM unnest(ARRAY[31, 29]) AS d",
    ),
    (
        "expire_webhook_deliveries",
        "webhook_messages",
        "INSERT INTO webhook_messages (id, event_type, subject, body, created_at) \
         SELECT uuid_v7_now(), 'x', uuid_v7_now(), '{}', now() - d * interval '1 day' FROM unnest(ARRAY[31, 29]) AS d",
    ),
    (
        "expire_outbox",
        "outbox",
        "INSERT INTO outbox (type, subject, data, relay_offset, published_at) \
         SELECT 'application.created.v1', uuid_v7_now(), '{}', -h, now() - h * interval '1 hour' \
         FROM unnest(ARRAY[73, 71]) AS h",
    ),
    (
        "expire_consumed_events",
        "deferred_events",
        "INSERT INTO deferred_events (consumer, event_id, subject, partition, event_offset, type, time, data, dead_since, \
             blocks_subject) \
         SELECT 'x', uuid_v7_now(), uuid_v7_now(), 0, 1, 't', now(), '{}', now() - d * interval '1 day', false \
         FROM unnest(ARRAY[91, 89]) AS d",
    ),
    (
        "expire_webhook_deliveries",
        "webhook_secrets",
        "WITH endpoint AS (INSERT INTO webhook_endpoints (id, url, event_types, created_by) \
             VALUES (uuid_v7_now(), 'https://example.com', '{*}', 'ana') RETURNING id) \
         INSERT INTO webhook_secrets (id, endpoint_id, algorithm, secret, expires_at) \
         SELECT uuid_v7_now(), id, 'v1', '\\x01', now() - d * interval '1 minute' FROM endpoint, unnest(ARRAY[1, -1]) AS d",
    ),
    (
        "expire_idempotency_keys",
        "idempotency_keys",
        "INSERT INTO idempotency_keys (key_digest, account, route, fingerprint, status, reply, expires_at) \
         SELECT decode(repeat(n || '0', 32), 'hex'), 'a', 'r', '', 200, '\\x01', now() + n * interval '1 hour' - interval '2 hours' \
         FROM generate_series(1, 3, 2) AS n",
    ),
    (
        "expire_document_claims",
        "document_claims",
        "INSERT INTO document_claims (created_by, document_index, application_id, expires_at) \
         SELECT n::text, '', uuid_v7_now(), now() + n * interval '1 hour' - interval '2 hours' \
         FROM generate_series(1, 3, 2) AS n",
    ),
    (
        "expire_staff_views",
        "staff_views",
        "INSERT INTO staff_views (id, account, action, viewed_at, keep_until) \
         SELECT uuid_v7_now(), 'ana', 'application', now(), now() + n * interval '1 hour' - interval '2 hours' \
         FROM generate_series(1, 3, 2) AS n",
    ),
    (
        "expire_security_events",
        "security_events WHERE kind = 'old'",
        "INSERT INTO security_events (id, kind, occurred_at) \
         SELECT uuid_v7_now(), 'old', now() - d * interval '1 day' FROM unnest(ARRAY[401, 399]) AS d",
    ),
    (
        "expire_credentials",
        "ws_tickets",
        "INSERT INTO ws_tickets (ticket_hash, user_id, token_version, session_until, expires_at) \
         SELECT decode(repeat(n || '0', 32), 'hex'), (SELECT id FROM users LIMIT 1), 1, now() + interval '1 hour', \
             now() + n * interval '1 hour' - interval '2 hours' FROM generate_series(1, 3, 2) AS n",
    ),
    (
        "expire_circuit_changes",
        "circuit_changes",
        "INSERT INTO circuit_changes (id, country, provider, kind, instance, cause, changed_at) \
         SELECT uuid_v7_now(), 'ES', 'x', 'opened', 'one', 'forced', now() - d * interval '1 day' FROM unnest(ARRAY[91, 89]) AS d",
    ),
    (
        "expire_scheduled_runs",
        "scheduled_runs WHERE instance = 'old'",
        "INSERT INTO scheduled_runs (id, task, cause, due_at, outcome, started_at, finished_at, instance) \
         SELECT uuid_v7_now(), t, c, now() - d * interval '1 day', 'completed', now(), now() - d * interval '1 day', 'old' \
         FROM (VALUES ('a', 'retry', 31), ('b', 'schedule', 40)) AS r (t, c, d)",
    ),
];

#[actix_rt::test]
async fn expired_rows_of_each_kind_are_deleted_and_others_kept() {
    let app = started(&[]).await;
    for (task, table, rows) in ROWS {
        app.execute(rows).await;
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(app.sql(&count).await, "2", "{task}");
        assert_eq!(run(&app, task).await["outcome"], "completed", "{task}");
        assert_eq!(app.sql(&count).await, "1", "{task}");
    }
    // The last scheduled run of a task is never deleted.
    assert_eq!(app.sql("SELECT task FROM scheduled_runs WHERE instance = 'old'").await, "b");
}

/// Lists the partitions of `job_history` for months before 2026.
const HISTORY: &str = "SELECT string_agg(right(c.relname, 7), ' ' ORDER BY c.relname) FROM pg_inherits i \
                       JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'job_history'::regclass \
                       AND c.relname < 'job_history_2026'";

#[actix_rt::test]
async fn dropping_a_month_of_finished_jobs_fails_while_it_is_being_read() {
    let app = started(&[]).await;
    app.execute("SELECT ensure_month_partitions('2024-01-01', 2)").await;
    let mut reader = app.database.connect().await;
    execute(&mut reader, "BEGIN").await.unwrap();
    text(&mut reader, "SELECT count(*) FROM job_history").await;
    let busy = run(&app, "expire_job_history").await;
    assert_eq!((&busy["outcome"], &busy["error_type"]), (&json!("failed"), &json!("database_error")));
    assert_eq!(app.sql(HISTORY).await, "2024_01 2024_02");
    execute(&mut reader, "COMMIT").await.unwrap();
    let done = run(&app, "expire_job_history").await;
    assert_eq!(done["detail"], json!({"dropped": ["2024-01", "2024-02"]}));
    assert_eq!(app.sql(HISTORY).await, "");
}

#[actix_rt::test]
async fn a_month_is_kept_until_its_last_job_has_expired() {
    let today = aval::clock::Clock::system().now().date_naive();
    let end_of_february = chrono::NaiveDate::from_ymd_opt(2024, 3, 1).unwrap();
    // January's last job has expired; February's has not.
    let retention = ((today - end_of_february).num_days() + 1).to_string();
    let keys = only(&[]);
    let mut overrides = pairs(&keys);
    overrides.push(("AVAL__JOBS__HISTORY_RETENTION_DAYS", &retention));
    let app = TestApp::start(&overrides).await;
    app.execute("SELECT ensure_month_partitions('2024-01-01', 2)").await;
    assert_eq!(run(&app, "expire_job_history").await["detail"], json!({"dropped": ["2024-01"]}));
    assert_eq!(app.sql(HISTORY).await, "2024_02");
}

#[actix_rt::test]
async fn the_database_function_only_drops_old_months_of_finished_jobs() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    let refused = execute(&mut sql, "SELECT drop_job_history_month(now()::date)").await.unwrap_err();
    assert!(refused.to_string().contains("not a week old"), "{refused}");
    execute(&mut sql, "CREATE TABLE partitions.job_history_2023_05 (id int)").await.unwrap();
    let refused = execute(&mut sql, "SELECT drop_job_history_month('2023-05-01')").await.unwrap_err();
    assert!(refused.to_string().contains("not the partition of its month"), "{refused}");
    let none = text(&mut sql, "SELECT drop_job_history_month('2023-06-01')").await;
    assert_eq!(none.as_deref(), Some("false"));
}
