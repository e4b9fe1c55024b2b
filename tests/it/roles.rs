//! Separate database users: `aval_owner` owns and migrates the schema, and `aval_server` only reads and writes rows.

use std::rc::Rc;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};

use crate::support::app::TestApp;
use crate::support::builders::spanish;
use crate::support::db::{TestDatabase, connect, execute, text};

const SCRIPT: &str = include_str!("../../config/roles.sql");

/// `url` with another user.
fn as_user(url: &str, user: &str) -> String {
    url.replacen("user=aval", &format!("user={user}"), 1)
}

/// A database that the owner has migrated and both users may use.
async fn separated() -> TestDatabase {
    let database = TestDatabase::create_empty().await;
    database.connect().await.batch_execute(SCRIPT).await.unwrap();
    aval::storage::migrations::run_pending(&as_user(database.url(), "aval_owner")).await.unwrap();
    database
}

/// Connects as the serving user.
async fn serving(database: &TestDatabase) -> AsyncPgConnection {
    connect(&as_user(database.url(), "aval_server")).await
}

#[actix_rt::test]
async fn aval_migrates_as_the_owner_and_serves_as_a_user_without_ownership() {
    let database = TestDatabase::create_empty().await;
    database.connect().await.batch_execute(SCRIPT).await.unwrap();
    let (server, owner) = (as_user(database.url(), "aval_server"), as_user(database.url(), "aval_owner"));
    let urls = [("AVAL__DATABASE__URL", server.as_str()), ("AVAL__DATABASE__MIGRATION_URL", owner.as_str())];
    let database = Rc::new(database);
    let app = TestApp::start_on(Rc::clone(&database), &urls).await;
    let id = app.submit(&spanish()).await;
    assert_eq!(app.decided(&id).await, "APPROVED");
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING APPROVED");
    app.delete(&format!("/api/v1/applications/{id}")).await;
    let owned = "SELECT count(*) FROM pg_class WHERE relowner = 'aval_server'::regrole";
    assert_eq!(app.sql(owned).await, "0");
    app.stop().await;

    // No migration is pending, so the owner is not needed.
    let app = TestApp::start_on(database, &urls[..1]).await;
    let id = app.submit(&spanish()).await;
    assert_eq!(app.decided(&id).await, "APPROVED");
}

#[actix_rt::test]
async fn a_missing_partition_is_created_on_insert_by_the_serving_user() {
    let database = separated().await;
    let mut owner = connect(&as_user(database.url(), "aval_owner")).await;
    let made =
        text(&mut owner, "SELECT count(*) FROM pg_class WHERE relnamespace = 'partitions'::regnamespace")
            .await;
    assert_eq!(made.as_deref(), Some("0"));
    let url = as_user(database.url(), "aval_server");
    let app = TestApp::start_on(Rc::new(database), &[("AVAL__DATABASE__URL", &url)]).await;
    // Drops all partitions. Holds their lock meanwhile, so the housekeeper does not create any at the same time.
    app.execute(
        "DO $$ DECLARE child text; BEGIN PERFORM pg_advisory_xact_lock(hashtext('aval.partitions')); \
         FOR child IN SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid \
         WHERE c.relkind = 'r' AND c.relnamespace = 'partitions'::regnamespace \
         LOOP EXECUTE 'DROP TABLE ' || child; END LOOP; END $$",
    )
    .await;
    let id = app.submit(&spanish()).await;
    assert_eq!(app.decided(&id).await, "APPROVED");
    let owners = "SELECT string_agg(DISTINCT relowner::regrole::text, ' ') FROM pg_class \
                  WHERE relnamespace = 'partitions'::regnamespace";
    assert_eq!(app.sql(owners).await, "aval_owner");
}

#[actix_rt::test]
async fn the_serving_user_can_neither_rewrite_history_nor_change_the_schema() {
    let database = separated().await;
    let mut sql = serving(&database).await;
    execute(&mut sql, "SELECT ensure_month_partitions(now()::date, 2)").await.unwrap();
    let month =
        "(SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_logs'::regclass LIMIT 1)";
    let partition = text(&mut sql, month).await.unwrap();
    let old = "INSERT INTO staff_views (id, account, action, viewed_at, keep_until) \
               VALUES (uuid_v7_now(), 'ana', 'application', now(), now() - interval '1 day'), \
                      (uuid_v7_now(), 'ana', 'application', now(), now() + interval '1 day')";
    execute(&mut sql, old).await.unwrap();
    assert!(execute(&mut sql, "DELETE FROM staff_views").await.is_err());
    assert_eq!(aval::storage::staff_views::delete_expired(&mut sql, 10).await.unwrap(), 1);
    for table in ["audit_logs", &partition, "decisions", "job_history"] {
        for statement in [
            format!("UPDATE {table} SET id = id"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
            format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
            format!("DROP TABLE {table}"),
        ] {
            let refused = execute(&mut sql, &statement).await.expect_err(&statement).to_string();
            let denied = refused.contains("permission denied") || refused.contains("must be owner");
            assert!(denied, "{statement}: {refused}");
        }
    }
    for statement in [
        "UPDATE security_events SET actor = 'nobody'".to_owned(),
        "DELETE FROM security_events".to_owned(),
        "TRUNCATE security_events".to_owned(),
        "CREATE TABLE mine (id int)".to_owned(),
        "CREATE SCHEMA mine".to_owned(),
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1".to_owned(),
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
            .to_owned(),
        "DROP TRIGGER audit_logs_append_only ON audit_logs".to_owned(),
        "ALTER TABLE applications ADD COLUMN mine int".to_owned(),
        "TRUNCATE applications".to_owned(),
        "DELETE FROM __diesel_schema_migrations".to_owned(),
        "SET ROLE aval_owner".to_owned(),
        "SET session_replication_role = replica".to_owned(),
        "COPY audit_logs TO PROGRAM 'cat'".to_owned(),
        format!("SELECT count(*) FROM {partition}"),
    ] {
        let refused = execute(&mut sql, &statement).await.expect_err(&statement).to_string();
        let denied = ["permission denied", "must be owner", "must be superuser"].iter().any(|text| refused.contains(text));
        assert!(denied, "{statement}: {refused}");
    }
}

#[actix_rt::test]
async fn the_serving_user_can_only_change_the_status_of_webhook_events_and_dead_letters() {
    let database = separated().await;
    let mut sql = serving(&database).await;
    for insert in [
        "INSERT INTO webhook_events (id, idempotency_key, provider, country, application_id, provider_reference, outcome, \
         fingerprint, payload, status, occurred_at, received_at, settled_at) VALUES (uuid_v7_now(), 'key', 'bureau', 'ES', \
         uuid_v7_now(), 'reference', 'confirmed', sha256('x'), '\\x010000000001', 'applied', now(), now(), now())",
        "INSERT INTO failed_jobs (job_id, task_name, job_args, error_type, error_message, attempts) \
         VALUES (uuid_v7_now(), 'task', '{}', 'error', 'message', 1)",
    ] {
        execute(&mut sql, insert).await.unwrap();
    }
    for statement in [
        // Re-encryption with another key must stay possible.
        "UPDATE webhook_events SET payload = '\\x010000000102'",
        "UPDATE failed_jobs SET status = 'ignored', updated_at = now()",
    ] {
        assert_eq!(execute(&mut sql, statement).await.unwrap(), 1, "{statement}");
    }
    for statement in [
        "UPDATE webhook_events SET payload = '\\x010000000103'",
        "UPDATE webhook_events SET payload = '\\x0000000002'",
        "UPDATE webhook_events SET payload = ''",
        "UPDATE webhook_events SET outcome = 'rejected'",
        "UPDATE webhook_events SET fingerprint = sha256('y')",
        "UPDATE webhook_events SET received_at = now() - interval '1 year'",
        "UPDATE webhook_events SET status = 'failed', settled_at = NULL",
        "DELETE FROM webhook_events",
        "TRUNCATE webhook_events",
        "UPDATE failed_jobs SET error_message = ''",
        "UPDATE failed_jobs SET job_args = '{\"a\": 1}'",
        "DELETE FROM failed_jobs",
        "TRUNCATE failed_jobs",
    ] {
        let refused = execute(&mut sql, statement).await.expect_err(statement).to_string();
        let is_kept = refused.contains("keeps what was recorded") || refused.contains("permission denied");
        assert!(is_kept, "{statement}: {refused}");
    }
}

#[actix_rt::test]
async fn append_only_tables_are_protected_whether_the_script_runs_before_or_after_the_migrations() {
    let held = "SELECT string_agg(DISTINCT c.relname || ':' || g.privilege_type, ' ') FROM pg_trigger t \
                JOIN pg_class c ON c.oid = t.tgrelid CROSS JOIN LATERAL aclexplode(c.relacl) g \
                WHERE t.tgfoid = 'refuse_change'::regproc AND g.grantee = 'aval_server'::regrole \
                AND g.privilege_type NOT IN ('SELECT', 'INSERT')";
    let before = separated().await;
    assert_eq!(text(&mut before.connect().await, held).await, None);

    let after = TestDatabase::create().await;
    let mut admin = after.connect().await;
    admin.batch_execute(SCRIPT).await.unwrap();
    admin.batch_execute(SCRIPT).await.unwrap();
    assert_eq!(text(&mut admin, held).await, None);
    let reads = "SELECT has_table_privilege('aval_server', 'audit_logs', 'SELECT')";
    assert_eq!(text(&mut admin, reads).await.as_deref(), Some("true"));
}

#[actix_rt::test]
async fn a_server_that_cannot_run_pending_migrations_exits_with_the_reason() {
    let database = TestDatabase::create_empty().await;
    database.connect().await.batch_execute(SCRIPT).await.unwrap();
    let server = as_user(database.url(), "aval_server");
    let refused = async || {
        aval::storage::migrations::run_pending(&server).await.expect_err("it may not migrate").to_string()
    };
    let suggests_remedies =
        |text: &str| text.contains("aval migrate") && text.contains("DATABASE_MIGRATION_URL");
    let message = refused().await;
    assert!(suggests_remedies(&message) && message.contains("aval_server"), "{message}");
    let owner = as_user(database.url(), "aval_owner");
    aval::storage::migrations::run_pending(&owner).await.unwrap();
    assert_eq!(aval::storage::migrations::run_pending(&server).await.unwrap(), Vec::<String>::new());
    // Makes the last migration pending, as after an upgrade of Aval.
    let last = "DELETE FROM __diesel_schema_migrations WHERE version = (SELECT max(version) FROM __diesel_schema_migrations)";
    execute(&mut connect(&owner).await, last).await.unwrap();
    let message = refused().await;
    assert!(suggests_remedies(&message), "{message}");
}
