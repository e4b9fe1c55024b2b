//! A database with months of data, inserted by plain SQL.

use aval::clock::Clock;
use aval::countries::Countries;
use aval::domain::application::{Attribution, Country};
use aval::domain::decision::{Case as Decidable, Decision};
use aval::domain::ids::{ApplicationId, ChangeId};
use aval::domain::personal_data::IdentityDocument;
use aval::storage::jobs::{self, Claim, ClaimedJob, KnownTask, Quota};
use aval::storage::seal::{BlindIndex, KeyRing, SealedField};
use chrono::{DateTime, Utc};
use diesel::sql_types::{self, Array, Binary};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use std::sync::Arc;
use uuid::Uuid;

use crate::support::db::{TestDatabase, execute, text};
use crate::support::engine::{key_ring, settings};

/// The number of past months with rows.
const MONTHS: usize = 6;
/// Applications per month: enough for every index to be worthwhile.
pub(super) const MANY: usize = 4000;
/// Applications per month: so few that reading a whole table costs less than using its index. Plans that are cached while
/// tables have this size stay in use after the tables have grown.
pub(super) const FEW: usize = 110;

/// The identifiers and values that the cases use.
pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) keys: Arc<KeyRing>,
    pub(super) now: DateTime<Utc>,
    /// A pending application in neither the first nor the last month.
    pub(super) application: ApplicationId,
    /// A claimed job.
    pub(super) job: ClaimedJob,
    /// An application under review.
    pub(super) review: ApplicationId,
    pub(super) document: BlindIndex,
    pub(super) case: Decidable,
    pub(super) decision: Decision,
    pub(super) user: Uuid,
    pub(super) user_name: String,
    pub(super) token: Uuid,
    pub(super) token_family: Uuid,
    pub(super) api_key: Uuid,
    pub(super) webhook: Uuid,
    pub(super) endpoint: Uuid,
    /// A delivery to the endpoint.
    pub(super) delivery: Uuid,
    /// The subject of the delivery.
    pub(super) delivery_subject: Uuid,
    /// A disbursement of which no step has run, and a request about it.
    pub(super) disbursement: Uuid,
    pub(super) approval: Uuid,
    pub(super) dead_letter: Uuid,
    /// A dead letter of a consumer of events.
    pub(super) event_dead_letter: Uuid,
    /// The subject of deferred events.
    pub(super) deferred_subject: Uuid,
    /// A finished run of a task.
    pub(super) run: Uuid,
}

impl World {
    /// Creates the data with this many applications per month, and without statistics.
    pub(super) async fn fill(database: &TestDatabase, per_month: usize) -> Self {
        let mut sql = database.connect().await;
        let first = format!("date_trunc('month', now())::date - interval '{MONTHS} months'");
        let months = format!("SELECT ensure_month_partitions(({first})::date, {})", MONTHS + 1);
        execute(&mut sql, &months).await.unwrap();
        sql.batch_execute(NO_AUTOVACUUM).await.unwrap();
        let keys = key_ring(&settings(&[]));
        applications(&mut sql, &keys, per_month).await;
        sql.batch_execute(REST).await.unwrap();
        let clock = Clock::system();
        let claim = Claim {
            worker: "test".to_owned(),
            limit: 3,
            lease_ms: 3_600_000,
            tasks: vec![KnownTask { name: "process_credit_application", max_attempts: 3 }],
            lanes: vec![Quota::whole("ES")],
        };
        let job = jobs::claim(&mut sql, &claim).await.unwrap().jobs.remove(0);
        let case = br#"{"requested_amount": "15000", "monthly_income": "3500",
            "banking_data": {"account_status": "active", "credit_score": 720, "monthly_obligations": "300"}}"#;
        let case = aval::http::countries::case::parse_case(case).unwrap();
        let decision = Countries::built_in().unwrap().rules(Country::Es).evaluate(&case);
        let mut one = async |query: &str| text(&mut sql, query).await.unwrap();
        Self {
            now: clock.now(),
            document: keys
                .document_index(Country::Es, &IdentityDocument::from_normalized("12345678Z".to_owned())),
            application: one(&format!(
                "SELECT id FROM applications WHERE status = 'PENDING' AND deleted_at IS NULL \
                 AND banking_data IS NULL AND id > uuid_v7_floor({first} + interval '40 days') ORDER BY id LIMIT 1"
            ))
            .await
            .parse()
            .unwrap(),
            review: one("SELECT application_id FROM reviews ORDER BY application_id LIMIT 1").await.parse().unwrap(),
            user: one("SELECT id FROM users ORDER BY id LIMIT 1").await.parse().unwrap(),
            user_name: one("SELECT username FROM users ORDER BY id LIMIT 1").await,
            token: one("SELECT id FROM refresh_tokens ORDER BY id LIMIT 1").await.parse().unwrap(),
            token_family: one("SELECT family FROM refresh_tokens ORDER BY id LIMIT 1").await.parse().unwrap(),
            api_key: one("SELECT id FROM api_keys ORDER BY id LIMIT 1").await.parse().unwrap(),
            webhook: one("SELECT id FROM webhook_events ORDER BY id LIMIT 1").await.parse().unwrap(),
            endpoint: one("SELECT id FROM webhook_endpoints ORDER BY id LIMIT 1").await.parse().unwrap(),
            delivery: one("SELECT min(id::text) FROM webhook_deliveries WHERE endpoint_id = \
                (SELECT id FROM webhook_endpoints ORDER BY id LIMIT 1)").await.parse().unwrap(),
            delivery_subject: one("SELECT subject FROM webhook_deliveries WHERE endpoint_id = \
                (SELECT id FROM webhook_endpoints ORDER BY id LIMIT 1) ORDER BY id::text LIMIT 1").await.parse().unwrap(),
            disbursement: one("SELECT id FROM disbursements WHERE state = 'PENDING' ORDER BY id LIMIT 1").await.parse().unwrap(),
            approval: one("SELECT id FROM disbursement_approvals ORDER BY id LIMIT 1").await.parse().unwrap(),
            run: one("SELECT id FROM scheduled_runs ORDER BY id LIMIT 1").await.parse().unwrap(),
            event_dead_letter: one("SELECT id FROM deferred_events WHERE dead_since IS NOT NULL ORDER BY id LIMIT 1")
                .await
                .parse()
                .unwrap(),
            deferred_subject: one("SELECT subject FROM deferred_events ORDER BY id LIMIT 1").await.parse().unwrap(),
            dead_letter: one("SELECT id FROM failed_jobs ORDER BY id LIMIT 1").await.parse().unwrap(),
            clock,
            keys,
            job,
            case,
            decision,
        }
    }

    /// The attribution of a change.
    pub(super) fn attribution(&self) -> Attribution {
        Attribution {
            change_id: self.change_id(),
            changed_by: "test".to_owned(),
            reason: None,
            request_id: None,
        }
    }

    pub(super) fn change_id(&self) -> ChangeId {
        ChangeId::new(self.clock.new_uuid())
    }
}

/// Disables autovacuum, so statistics only change when a test changes them.
const NO_AUTOVACUUM: &str = "\
    DO $$ DECLARE stored record; BEGIN \
        FOR stored IN SELECT oid::regclass AS name FROM pg_class WHERE relkind = 'r' \
            AND relnamespace IN ('public'::regnamespace, 'partitions'::regnamespace) LOOP \
            EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', stored.name); \
        END LOOP; END $$";

/// Resets the tables to the state before their first `ANALYZE` or `VACUUM`.
pub(super) const FORGET_STATISTICS: &str = "\
    DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM pg_class \
        WHERE relnamespace IN ('public'::regnamespace, 'partitions'::regnamespace)); \
    UPDATE pg_class SET relpages = 0, reltuples = -1, relallvisible = 0 WHERE relkind IN ('r', 'p') \
        AND relnamespace IN ('public'::regnamespace, 'partitions'::regnamespace)";

/// Inserts `per_month` applications into every month. They belong to 50 accounts and have all statuses.
pub(super) async fn applications(sql: &mut AsyncPgConnection, keys: &KeyRing, per_month: usize) {
    sql.batch_execute(&format!(
        "SET session_replication_role = replica; \
         CREATE TEMP TABLE planned AS \
         SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING \
                 substring(uuid_send(uuid_v7_floor(month + n * interval '1 minute')) FOR 6) FROM 1 FOR 6), 52, 1), 53, 1), \
                 'hex')::uuid AS id, n \
         FROM generate_series(1, {per_month}) n, \
             (SELECT (date_trunc('month', now()) - m * interval '1 month') AS month \
              FROM generate_series(-1, {MONTHS}) m) months \
         WHERE to_regclass('partitions.applications_' || to_char(month, 'YYYY_MM')) IS NOT NULL"
    ))
    .await
    .unwrap();
    #[derive(diesel::QueryableByName)]
    struct Planned {
        #[diesel(sql_type = sql_types::Uuid)]
        id: Uuid,
    }
    let planned: Vec<Planned> = diesel::sql_query("SELECT id FROM planned").load(sql).await.unwrap();
    let ids: Vec<Uuid> = planned.into_iter().map(|planned| planned.id).collect();
    let sealed = |field, text: &str| -> Vec<Vec<u8>> {
        ids.iter().map(|id| keys.seal(field, id, text).unwrap()).collect()
    };
    diesel::sql_query(
        "INSERT INTO applications (id, country, full_name, identity_document, document_index, requested_amount, \
             monthly_income, currency, status, version, risk_score, created_by, deleted_at, country_specific_data, banking_data) \
         SELECT id, (enum_range(NULL::country))[1 + n % 6], name, document, \
             sha256(n::text::bytea), 1000 + n, 3000, 'EUR', CASE WHEN n % 97 = 0 THEN 'COMPLETED' ELSE (enum_range(NULL::application_status))[1 + n % 6] END, 2, n % 65, \
             'account ' || n % 50, CASE WHEN n % 41 = 0 THEN now() END, jsonb_build_object('employer', n), \
             CASE WHEN n % 50 <> 2 THEN jsonb_build_object('credit_score', n) END \
         FROM planned JOIN unnest($1, $2, $3) AS sealed (id, name, document) USING (id) ORDER BY id",
    )
    .bind::<Array<sql_types::Uuid>, _>(&ids)
    .bind::<Array<Binary>, _>(sealed(SealedField::FullName, "Ana"))
    .bind::<Array<Binary>, _>(sealed(SealedField::IdentityDocument, "12345678Z"))
    .execute(sql)
    .await
    .unwrap();
    sql.batch_execute("DROP TABLE planned; SET session_replication_role = origin").await.unwrap();
}

/// Inserts all other rows, most of which refer to the applications.
const REST: &str = "\
    SET session_replication_role = replica; \
    INSERT INTO audit_logs (application_id, version, action, new_status, changed_by, change_id) \
        SELECT id, v, 'created', 'PENDING', 'test', gen_random_uuid() FROM applications, generate_series(1, 2) v; \
    INSERT INTO decisions (id, application_id, status, reasons, rules, rules_version, input, provider_available) \
        SELECT gen_random_uuid(), id, 'REJECTED', '[]', '[]', 'x', '{}', true FROM applications; \
    INSERT INTO outbox (type, subject, data, relay_offset, published_at) \
        SELECT 'application.status_changed.v1', id, jsonb_build_object('id', id, 'country', country, 'status', status, \
            'previous_status', 'PENDING', 'risk_score', '10.00', 'version', 2, 'created_by', created_by, \
            'updated_at', updated_at), row_number() OVER (ORDER BY id), now() - interval '1 day' FROM applications; \
    UPDATE outbox SET relay_offset = NULL, published_at = NULL WHERE seq IN (SELECT seq FROM outbox ORDER BY relay_offset DESC LIMIT 20); \
    UPDATE outbox_position SET last_offset = (SELECT max(relay_offset) FROM outbox); \
    UPDATE statistics_position SET last_offset = (SELECT max(relay_offset) - 50 FROM outbox); \
    INSERT INTO application_counts SELECT * FROM recount_applications('applications'); \
    INSERT INTO application_days SELECT * FROM recount_application_days(); \
    INSERT INTO application_days SELECT 'other ' || n, current_date, 'ES', 1, 1, 0, 0, 0, 0, 0 FROM generate_series(1, 20000) n; \
    INSERT INTO application_counts SELECT 'other ' || n, 'ES', 'PENDING', 1, 1, 0, 0, 0, 0, 0 FROM generate_series(1, 5000) n; \
    INSERT INTO pending_jobs (task_name, lane, application_id, run_at) \
        SELECT 'process_credit_application', country::text, id, now() - interval '1 minute' FROM applications WHERE status = 'PENDING' \
            AND deleted_at IS NULL; \
    INSERT INTO pending_jobs (task_name, lane, application_id, run_at) \
        SELECT 'process_credit_application', country::text, id, now() + interval '1 day' FROM applications WHERE status = 'CANCELLED'; \
    INSERT INTO pending_jobs (task_name, lane, application_id, status, lease_token, leased_until, leased_by) \
        SELECT 'process_credit_application', country::text, id, 'processing', nextval('job_lease_tokens'), now() + interval '1 hour', 'other' \
        FROM applications WHERE status = 'VALIDATING'; \
    INSERT INTO job_history (id, task_name, application_id, result, attempt, created_at) \
        SELECT id, 'process_credit_application', id, 'completed', 1, now() FROM applications; \
    INSERT INTO failed_jobs (job_id, task_name, lane, application_id, job_args, error_type, error_message, attempts) \
        SELECT gen_random_uuid(), 'process_credit_application', country::text, id, '{}', 'x', 'x', 3 FROM applications WHERE status = 'UNDER_REVIEW'; \
    INSERT INTO failed_job_actions (failed_job_id, action, old_status, new_status, actor, reason) \
        SELECT id, 'review', 'pending', 'reviewed', 'test', 'test' FROM failed_jobs; \
    INSERT INTO provider_retries (application_id, country, next_at) \
        SELECT id, country, now() + interval '1 hour' FROM applications WHERE status = 'UNDER_REVIEW'; \
    INSERT INTO users (id, username, password_hash, role, created_by) \
        SELECT gen_random_uuid(), 'user' || n, '$argon2id$', CASE WHEN n % 100 = 0 THEN 'admin' ELSE 'user' END::account_role, 'test' \
        FROM generate_series(1, 5000) n; \
    INSERT INTO reviews (application_id, country, waiting_since, assigned_to, assigned_at, expires_at) \
        SELECT id, country, created_at, assignee, created_at, created_at + interval '1 year' FROM ( \
            SELECT a.*, CASE WHEN row_number() OVER (ORDER BY id) % 50 = 0 THEN (SELECT min(id::text)::uuid FROM users) END AS assignee \
            FROM applications a WHERE status = 'UNDER_REVIEW' AND deleted_at IS NULL) a; \
    INSERT INTO api_keys (id, name, key_hash, role, scopes, created_by) \
        SELECT gen_random_uuid(), 'key' || n, sha256(n::text::bytea), 'user', '{applications:read}', 'test' FROM generate_series(1, 5000) n; \
    INSERT INTO refresh_tokens (id, token_hash, family, user_id, issued_at, expires_at, session_started_at) \
        SELECT gen_random_uuid(), sha256(u.id::text::bytea || n::text::bytea), gen_random_uuid(), u.id, now(), now() + interval '1 day', now() \
        FROM users u, generate_series(1, 4) n; \
    INSERT INTO ws_tickets (ticket_hash, user_id, token_version, expires_at) \
        SELECT sha256(id::text::bytea), id, 0, now() + interval '1 minute' FROM users; \
    INSERT INTO webhook_events (id, idempotency_key, provider, country, application_id, provider_reference, outcome, fingerprint, \
            payload, status, occurred_at, received_at, settled_at) \
        SELECT id, 'x/' || id, 'x', country, id, id::text, 'confirmed', sha256(id::text::bytea), '\\x00', 'applied', now(), \
            created_at, now() FROM applications; \
    UPDATE webhook_events SET status = 'failed', settled_at = NULL WHERE id IN (SELECT id FROM webhook_events ORDER BY id LIMIT 50); \
    INSERT INTO pending_jobs (task_name, lane, job_args, run_at) \
        SELECT 'retry_webhook_event', 'webhooks', jsonb_build_object('webhook_event_id', id), now() + interval '1 day' \
        FROM webhook_events WHERE status = 'failed'; \
    INSERT INTO webhook_endpoints (id, url, event_types, ordered, created_by) \
        SELECT gen_random_uuid(), 'https://example.com', '{*}', true, 'test' FROM generate_series(1, 50); \
    INSERT INTO webhook_secrets (id, endpoint_id, algorithm, secret, expires_at) \
        SELECT gen_random_uuid(), id, 'v1', '\\x01', CASE WHEN n > 1 THEN now() - interval '1 day' END \
        FROM webhook_endpoints, generate_series(1, 10) n; \
    INSERT INTO ingested_events (occurred_at, received_at, user_id, id, type, properties) \
        SELECT now(), now(), 'user-' || row_number() OVER () % 50, id::text, 't', '{}' FROM applications; \
    INSERT INTO ingest_dead_letters (id, account, code, detail, event, received_at) \
        SELECT id, 'key:' || row_number() OVER () % 50, 'code_' || row_number() OVER () % 50, '', '{}', created_at FROM applications; \
    INSERT INTO disbursement_events (disbursement_id, sequence, kind, state, details, actor, message_key, recorded_at) \
        SELECT id, 1, 'requested', 'PENDING', '{}', 'test', id::text, created_at FROM applications; \
    INSERT INTO disbursements (id, application_id, country, amount, destination_kind, destination, holder_differs, owner, \
            requested_by, requester_id, state, payment_key, compensations, version, created_at, updated_at) \
        SELECT id, id, country, 100, 'iban', '****1332', false, created_by, created_by, id, \
            CASE status WHEN 'PENDING' THEN 'COMPLETED' ELSE 'PENDING' END, id, '{release_funds}', \
            1, created_at, created_at FROM applications; \
    INSERT INTO disbursement_destinations (disbursement_id, destination) SELECT id, '\\x01' FROM applications; \
    INSERT INTO disbursement_approvals (id, disbursement_id, action, reason, maker, maker_id, requested_at, expires_at) \
        SELECT id, id, 'pay', 'test', 'test', id, created_at, created_at + interval '1 year' FROM applications; \
    UPDATE funding_pool_shares SET available = 1000000; \
    INSERT INTO funding_reservations (disbursement_id, country, share, amount, status) \
        SELECT id, country, 3, 1, 'booked' FROM applications; \
    INSERT INTO ledger_entries (id, kind, country, disbursement_id, actor) \
        SELECT id, 'payout', country, id, 'test' FROM applications; \
    INSERT INTO ledger_lines (entry_id, account, amount) \
        SELECT id, account, CASE account WHEN 'pool' THEN -1 ELSE 1 END FROM applications, unnest('{pool,loans}'::text[]) account; \
    INSERT INTO pending_jobs (task_name, lane, job_args, run_at) \
        SELECT 'disbursement_step', 'disbursements', jsonb_build_object('disbursement_id', id, 'version', 1), \
            now() + interval '1 day' FROM disbursements ORDER BY id DESC LIMIT 50; \
    INSERT INTO webhook_messages (id, event_type, subject, body, created_at) \
        SELECT id, 'application.created.v1', id, '{}', created_at FROM applications; \
    INSERT INTO webhook_deliveries (id, endpoint_id, message_id, event_type, subject, status, created_at, finished_at) \
        SELECT a.id, e.id, a.id, 'application.created.v1', a.id, \
            CASE a.n % 20 WHEN 0 THEN 'dead' WHEN 1 THEN 'pending' ELSE 'delivered' END, a.created_at, \
            CASE WHEN a.n % 20 <> 1 THEN now() END \
        FROM (SELECT id, created_at, row_number() OVER (ORDER BY id) AS n FROM applications) a \
        JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n FROM webhook_endpoints) e ON e.n = 1 + a.n / 20 % 50; \
    INSERT INTO webhook_attempts (id, delivery_id, endpoint_id, result, duration_ms, attempted_at) \
        SELECT id, id, endpoint_id, 'delivered', 1, created_at FROM webhook_deliveries; \
    INSERT INTO pending_jobs (task_name, lane, job_args, run_at) \
        SELECT 'deliver_webhook', 'deliveries', jsonb_build_object('delivery_id', id), now() + interval '1 day' \
        FROM webhook_deliveries WHERE status = 'pending'; \
    INSERT INTO idempotency_keys (key_digest, account, route, fingerprint, status, reply, expires_at) \
        SELECT sha256(id::text::bytea), created_by, 'x', '\\x00', 201, '\\x00', now() + interval '1 day' FROM applications; \
    INSERT INTO document_claims (created_by, document_index, application_id, expires_at) \
        SELECT created_by, sha256(id::text::bytea), id, now() + interval '1 day' FROM applications; \
    INSERT INTO scheduled_runs (id, task, cause, due_at, outcome, started_at, finished_at) \
        SELECT id, 'task_' || chr(97 + (row_number() OVER (ORDER BY id) % 6)::integer), 'schedule', created_at, 'completed', \
            created_at, created_at FROM applications ON CONFLICT DO NOTHING; \
    INSERT INTO staff_views (id, account, action, application_id, viewed_at, keep_until) \
        SELECT id, 'account ' || row_number() OVER () % 3000, 'application', id, created_at, now() + interval '1 year' FROM applications; \
    INSERT INTO security_events (id, kind, actor, subject, occurred_at) \
        SELECT id, 'login_succeeded', 'account ' || row_number() OVER () % 3000, 'account ' || row_number() OVER () % 3000, created_at \
        FROM applications; \
    INSERT INTO login_addresses (user_id, address_digest, last_login_at) \
        SELECT u.id, sha256(n::text::bytea), now() FROM users u, generate_series(1, 2) n; \
    INSERT INTO account_contacts (user_id, name) SELECT id, '\\x00' FROM users; \
    INSERT INTO account_settings (user_id, theme) SELECT id, 'auto' FROM users; \
    INSERT INTO saved_views (id, user_id, page, name, filters) \
        SELECT gen_random_uuid(), u.id, 'reviews', 'view ' || n, '{}' FROM users u, generate_series(1, 2) n; \
    INSERT INTO circuit_changes (id, country, provider, kind, instance, cause, changed_at) \
        SELECT id, country, 'x', 'opened', 'one', 'forced', created_at FROM applications; \
    INSERT INTO consumer_partitions (consumer, partition, position) \
        SELECT c, p, 100 FROM unnest(ARRAY['webhooks', 'other']) c, generate_series(0, 15) p; \
    INSERT INTO consumer_instances SELECT 'webhooks', 'instance ' || n, now() + interval '1 hour' FROM generate_series(1, 3) n; \
    INSERT INTO inbox (consumer, event_id, event_offset) SELECT 'webhooks', id, row_number() OVER (ORDER BY id) FROM applications; \
    INSERT INTO deferred_events (consumer, event_id, subject, partition, event_offset, type, time, data, attempts, \
            next_attempt_at, dead_since, blocks_subject) \
        SELECT 'webhooks', id, overlay(id::text PLACING '0000' FROM 33)::uuid, 0, row_number() OVER (ORDER BY id), \
            'application.status_changed.v1', now(), '{}', 5, \
            CASE WHEN hashtext(id::text) % 10 = 1 THEN now() + (hashtext(id::text) % 100 - 50) * interval '1 minute' END, \
            CASE WHEN hashtext(id::text) % 10 = 2 THEN now() END, hashtext(id::text) % 20 <> 2 FROM applications; \
    INSERT INTO circuit_override_log (id, country, mode, changed_by) SELECT id, country, 'auto', 'test' FROM applications; \
    SET session_replication_role = origin";
