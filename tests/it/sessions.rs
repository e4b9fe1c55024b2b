//! Database sessions that become unusable, failing replicas, and unsuitable poolers.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aval::clock::Clock;
use aval::error::Error;
use aval::storage::leadership::Leadership;
use aval::storage::seal::KeyRing;
use aval::storage::{Database, migrations};
use diesel_async::AsyncPgConnection;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::accounts::{PASSWORD, USER};
use crate::support::app::TestApp;
use crate::support::builders::{body, samples};
use crate::support::chaos_proxy::{ChaosProxy, Link, Upstream};
use crate::support::db::{self, Server, TestDatabase, change_schema, connect, execute, text};
use crate::support::engine::{settings, settings_on};
use crate::support::eventually;
use crate::support::pgbouncer::{PgBouncer, Program};
use crate::support::standby::Replicated;

/// The number of concurrent requests. It is twice the size of the pool, so every session prepares every statement.
const AT_ONCE: usize = 12;
/// The time within which Aval must detect a silent connection.
const DETECTION_LIMIT: Duration = Duration::from_secs(8);

/// Disables the cache and long waits for connections.
const STRICT: [(&str, &str); 2] =
    [("AVAL__CACHE__ENABLED", "false"), ("AVAL__DATABASE__ACQUIRE_TIMEOUT_MS", "3000")];

fn sample() -> Value {
    let (country, document) = samples()[0];
    body(country, document)
}

async fn open(database: &TestDatabase, overrides: &[(&str, &str)]) -> Database {
    let settings = settings_on(database, overrides);
    let secrets = settings.complete_secrets(&Clock::system()).unwrap();
    let keys = Arc::new(KeyRing::of(&secrets).unwrap());
    Database::connect(&settings.database.url, &settings.database, keys, None).await.unwrap()
}

/// Runs a statement that fails with an SQLSTATE and a message in another language.
async fn failing(connection: &mut AsyncPgConnection, code: &str) -> Result<(), Error> {
    let raise = format!("DO $$ BEGIN RAISE EXCEPTION 'la operación falló' USING ERRCODE = '{code}'; END $$");
    execute(connection, &raise).await.map(drop).map_err(Error::from)
}

#[actix_rt::test]
async fn errors_are_classified_by_sqlstate_and_not_by_message() {
    let test = TestDatabase::create().await;
    let database = open(&test, &[]).await;
    for (code, transient, lost) in [
        ("40001", true, false),
        ("40P01", true, false),
        ("53100", true, false),
        ("57014", true, false),
        ("57P01", true, true),
        ("25006", true, true),
        ("08006", true, true),
        ("23514", false, false),
        ("0A000", false, false),
        ("P0001", false, false),
    ] {
        match failing(&mut database.get().await.unwrap(), code).await {
            Err(Error::Database { transient: found, session_lost, cause }) => {
                assert_eq!((found, session_lost), (transient, lost), "{code}");
                assert!(cause.for_log().contains(code), "{}", cause.for_log());
            }
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[actix_rt::test]
async fn schema_changes_fail_no_request_and_leave_nothing_undecided() {
    let app = TestApp::start(&STRICT).await;
    let server = Server::of(&app.database);
    let first = app.submit(&sample()).await;
    let paths = [
        "/api/v1/applications".to_owned(),
        "/api/v1/applications?page=1&status=PENDING".to_owned(),
        format!("/api/v1/applications/{first}"),
        format!("/api/v1/applications/{first}/audit"),
        "/api/v1/stats".to_owned(),
        "/api/v1/auth/me".to_owned(),
    ];
    for change in [
        "SELECT 1",
        "ALTER TABLE applications ALTER COLUMN requested_amount TYPE numeric(14,2)",
        "ALTER TABLE applications ADD COLUMN added_later text",
        "ALTER TYPE application_status ADD VALUE 'ADDED_LATER'",
        "ALTER TABLE users ALTER COLUMN username TYPE varchar(500)",
        "ALTER TABLE pending_jobs ALTER COLUMN lane TYPE varchar(100)",
        "REINDEX TABLE applications",
    ] {
        change_schema(&server, change).await.unwrap_or_else(|error| panic!("{change}: {error}"));
        for path in &paths {
            for answer in join_all((0..AT_ONCE).map(|_| app.get(path))).await {
                assert_eq!(answer.status.as_u16(), 200, "{path} after {change}: {}", answer.json);
            }
        }
        let ids = join_all((0..AT_ONCE).map(|_| async { app.submit(&sample()).await })).await;
        for id in ids {
            app.decided(&id).await;
        }
        app.get("/health/ready").await.expect(200);
    }
}

#[actix_rt::test]
async fn sign_ins_and_operators_requests_are_repeated_when_their_session_fails() {
    let app = TestApp::start_idle_with(&STRICT).await;
    let login = json!({"username": USER, "password": PASSWORD});
    let (anonymous, run) = (app.anonymous(), "/api/v1/admin/schedule/expire_webhooks/run");
    for change in [
        "SELECT 1",
        "ALTER TABLE users ALTER COLUMN username TYPE varchar(500)",
        "ALTER TABLE scheduled_runs ALTER COLUMN task TYPE varchar(100)",
    ] {
        change_schema(&Server::of(&app.database), change).await.unwrap();
        let logins = (0..AT_ONCE).map(|_| anonymous.post("/api/v1/auth/login", &login));
        for answer in join_all(logins).await {
            assert_eq!(answer.status.as_u16(), 200, "after {change}: {}", answer.json);
        }
        for answer in join_all((0..AT_ONCE).map(|_| app.post(run, &Value::Null))).await {
            assert!([202, 409].contains(&answer.status.as_u16()), "after {change}: {}", answer.json);
        }
    }
}

#[actix_rt::test]
async fn an_instance_whose_jobs_cannot_be_claimed_is_not_ready() {
    let app = TestApp::start(&[]).await;
    app.get("/health/ready").await.expect(200);
    app.execute("ALTER TABLE pending_jobs RENAME COLUMN priority TO urgency").await;
    eventually("a claim to fail", async || app.log.text().await.contains("claiming failed").then_some(()))
        .await;
    app.engine().resources.clock.advance(Duration::from_secs(11));
    let takes_work = async || app.get("/health/detailed").await.json["takes_work"].as_bool();
    assert_eq!(takes_work().await, Some(false));
    app.get("/health/ready").await.expect(503);
    app.execute("ALTER TABLE pending_jobs RENAME COLUMN urgency TO priority").await;
    eventually("jobs to be claimed again", async || takes_work().await.filter(|taken| *taken)).await;
}

#[actix_rt::test]
async fn a_demoted_server_is_not_ready_and_recovers_without_failed_requests() {
    let app = TestApp::start(&STRICT).await;
    let server = Server::of(&app.database);
    let mut admin = connect(&server.url().replacen(&server.database, "postgres", 1)).await;
    app.submit(&sample()).await;
    let database = &server.database;
    let demote = format!("ALTER DATABASE {database} SET default_transaction_read_only = on");
    execute(&mut admin, &demote).await.unwrap();
    let kill = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
    execute(&mut admin, &kill).await.unwrap();
    for (path, status) in [("/health/ready", 503), ("/health", 503), ("/health/live", 200)] {
        assert_eq!(app.get(path).await.status.as_u16(), status, "{path}");
    }
    app.post("/api/v1/applications", &sample()).await.expect(503);

    execute(&mut admin, &format!("ALTER DATABASE {database} RESET default_transaction_read_only"))
        .await
        .unwrap();
    eventually("readiness", async || (app.get("/health/ready").await.status.as_u16() == 200).then_some(()))
        .await;
    for id in join_all((0..AT_ONCE * 2).map(|_| async { app.submit(&sample()).await })).await {
        app.decided(&id).await;
    }
}

#[actix_rt::test]
async fn read_only_sessions_are_replaced_when_used() {
    let test = Rc::new(TestDatabase::create().await);
    // The sessions must be the application's own, which it can close; a pooler would keep them.
    let direct = [&STRICT[..], &[("AVAL__DATABASE__URL", test.url())]].concat();
    let app = TestApp::start_on(Rc::clone(&test), &direct).await;
    let database = app.engine().resources.database.clone();
    let size = app.engine().resources.settings.database.pool_size;
    for _ in 0..2 {
        let held = join_all((0..size).map(|_| database.get())).await;
        for connection in held {
            let mut connection = connection.unwrap();
            execute(&mut connection, "SET default_transaction_read_only = on").await.unwrap();
        }
        for id in join_all((0..AT_ONCE).map(|_| async { app.submit(&sample()).await })).await {
            app.decided(&id).await;
        }
        app.get("/health/ready").await.expect(200);
    }
}

#[actix_rt::test]
async fn a_read_only_session_fails_the_health_check() {
    let test = TestDatabase::create().await;
    // The sessions must be the application's own, which it can close; a pooler would keep them.
    let direct = ("AVAL__DATABASE__URL", test.url());
    let database = open(&test, &[direct, ("AVAL__DATABASE__ACQUIRE_TIMEOUT_MS", "3000")]).await;
    database.time().await.expect("a writable server");
    let size = settings(&[]).database.pool_size;
    let held = join_all((0..size).map(|_| database.get())).await;
    let server = Server::of(&test);
    let mut admin = connect(&server.url().replacen(&server.database, "postgres", 1)).await;
    let name = &server.database;
    let demote = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    execute(&mut admin, &demote).await.unwrap();
    for session in held {
        execute(&mut session.unwrap(), "SET default_transaction_read_only = on").await.unwrap();
    }
    database.time().await.expect_err("all sessions must be read-only");
    let promote = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
    execute(&mut admin, &promote).await.unwrap();
    eventually("a writable session", async || database.time().await.ok()).await;
}

#[actix_rt::test]
async fn an_instance_does_not_start_on_a_read_only_server() {
    let test = TestDatabase::create().await;
    let server = Server::of(&test);
    let mut admin = connect(&server.url().replacen(&server.database, "postgres", 1)).await;
    let demote = format!("ALTER DATABASE {} SET default_transaction_read_only = on", server.database);
    execute(&mut admin, &demote).await.unwrap();
    let settings = settings(&[]);
    let secrets = settings.complete_secrets(&Clock::system()).unwrap();
    let keys = Arc::new(KeyRing::of(&secrets).unwrap());
    let proxy = ChaosProxy::start(Upstream::Unix(server.socket_file()));
    let over_tcp = format!("postgresql://aval@{}/{}", proxy.address(), server.database);
    for url in [test.url(), &over_tcp, &format!("{over_tcp}?sslmode=disable")] {
        let refused = Database::connect(url, &settings.database, Arc::clone(&keys), None).await;
        let error = refused.expect_err("a refusal");
        assert!(
            error
                .private_cause()
                .is_some_and(|cause| cause.contains("read-only") || cause.contains("does not allow writes")),
            "{error:?}"
        );
    }
}

#[actix_rt::test]
async fn a_silent_listener_is_detected_and_replaced_within_seconds() {
    let database = Rc::new(TestDatabase::create().await);
    let server = Server::of(&database);
    let proxy = ChaosProxy::start(Upstream::Unix(server.socket_file()));
    let direct = format!("postgresql://aval@{}/{}?sslmode=disable", proxy.address(), server.database);
    let app = TestApp::start_on(database, &[("AVAL__DATABASE__DIRECT_URL", &direct)]).await;
    let is_up = async || {
        let health = app.get("/health/detailed").await.expect(200);
        let channel = &health["push_channels"][0];
        assert_eq!(channel["channel"], "postgres");
        (channel["up"].as_bool().unwrap(), health["status"].as_str().unwrap().to_owned())
    };
    let wait_for_state = async |expected: (bool, &str)| {
        let waiting = eventually("the channel's state", async || {
            let (up, status) = is_up().await;
            ((up, status.as_str()) == expected).then_some(())
        });
        tokio::time::timeout(DETECTION_LIMIT, waiting).await.unwrap_or_else(|_| panic!("{expected:?}"));
    };
    wait_for_state((true, "ok")).await;
    proxy.set(Link::Silent);
    wait_for_state((false, "degraded")).await;
    assert!(app.metric("push_channel_losses_total{channel=\"postgres\"}").await >= 1.0);
    proxy.set(Link::Up);
    wait_for_state((true, "ok")).await;
    let id = app.submit(&sample()).await;
    app.decided(&id).await;
}

#[actix_rt::test]
async fn a_leadership_with_a_silent_connection_is_lost() {
    let test = TestDatabase::create().await;
    let server = Server::of(&test);
    let proxy = ChaosProxy::start(Upstream::Unix(server.socket_file()));
    let direct = format!("postgresql://aval@{}/{}?sslmode=disable", proxy.address(), server.database);
    let database =
        open(&test, &[("AVAL__DATABASE__URL", test.url()), ("AVAL__DATABASE__DIRECT_URL", &direct)]).await;
    let mut leadership = Leadership::try_acquire(&database, "test").await.unwrap().expect("the leadership");
    assert!(leadership.holds().await);
    proxy.set(Link::Silent);
    let holds = tokio::time::timeout(DETECTION_LIMIT, leadership.holds()).await;
    assert_eq!(holds.ok(), Some(false));
}

/// The parts of a replica's health that a test checks.
async fn replica(app: &TestApp) -> (bool, bool) {
    let health = app.get("/health/detailed").await.expect(200);
    let replica = &health["database"]["replica"];
    (replica["is_read"].as_bool().unwrap(), replica["lag_ms"].is_u64())
}

#[actix_rt::test]
async fn statistics_from_a_replica_have_its_time_and_a_failing_replica_is_bypassed() {
    let servers = Replicated::start().await;
    let proxy = ChaosProxy::start(Upstream::Unix(servers.standby_socket()));
    let read_url = format!("postgresql://aval@{}/aval?sslmode=disable", proxy.address());
    let database = Rc::new(TestDatabase::create().await);
    let mut primary = connect(&servers.primary_url()).await;
    crate::support::accounts::create(&mut primary).await;
    let app = TestApp::start_on(
        database,
        &[("AVAL__DATABASE__URL", &servers.primary_url()), ("AVAL__DATABASE__READ_URL", &read_url)],
    )
    .await;
    let stats = async || app.get("/api/v1/stats").await.expect(200);
    let as_of =
        |stats: &Value| stats["as_of"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    eventually("the replica to be used", async || (replica(&app).await == (true, true)).then_some(())).await;

    let mut standby = connect(&servers.standby_url()).await;
    execute(&mut standby, "SELECT pg_wal_replay_pause()").await.unwrap();
    eventually("replay to be paused", async || {
        let state = text(&mut standby, "SELECT pg_get_wal_replay_pause_state()").await;
        (state.as_deref() == Some("paused")).then_some(())
    })
    .await;
    let paused_at = Clock::system().now();
    app.submit(&sample()).await;
    let old = stats().await;
    assert!(as_of(&old) <= paused_at, "{old} was read from a replica paused at {paused_at}");
    execute(&mut standby, "SELECT pg_wal_replay_resume()").await.unwrap();
    eventually("the replica to catch up", async || (as_of(&stats().await) > paused_at).then_some(())).await;

    proxy.set(Link::Silent);
    let lists = tokio::time::timeout(
        DETECTION_LIMIT,
        join_all((0..AT_ONCE).map(|_| app.get("/api/v1/applications"))),
    );
    for answer in lists.await.expect("responses from the primary") {
        answer.expect(200);
    }
    eventually("health to report it", async || (!replica(&app).await.0).then_some(())).await;
    eventually("metrics to report it", async || {
        let fallbacks = app.metric("db_replica_fallbacks_total").await;
        (fallbacks >= 1.0 && app.metric("db_replica_up").await == 0.0).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn a_replica_that_lacks_a_table_is_bypassed() {
    let empty = TestDatabase::create_empty().await;
    let app = TestApp::start(&[("AVAL__DATABASE__READ_URL", empty.url())]).await;
    app.submit(&sample()).await;
    for path in ["/api/v1/applications", "/api/v1/stats", "/api/v1/applications/export.csv"] {
        assert_eq!(app.get(path).await.status.as_u16(), 200, "{path}");
    }
}

#[actix_rt::test]
async fn a_pooler_in_transaction_mode_is_rejected_where_sessions_are_needed_and_used_elsewhere() {
    let test = Rc::new(TestDatabase::create().await);
    let pooler = PgBouncer::start(&Program::current(), &Server::of(&test), "").await;
    let empty = TestDatabase::create_empty().await;
    let migrated = migrations::run_pending(&pooler.url(&Server::of(&empty).database)).await;
    let refusal = migrated.expect_err("a refusal").to_string();
    assert!(refusal.contains("database.direct_url"), "{refusal}");
    let url = pooler.url(&Server::of(&test).database);
    let refusal = TestApp::refusal(&[("AVAL__DATABASE__URL", &url)]).await;
    assert!(refusal.contains("database.direct_url"), "{refusal}");

    let both = [("AVAL__DATABASE__URL", url.as_str()), ("AVAL__DATABASE__DIRECT_URL", test.url())];
    let app = TestApp::start_on(Rc::clone(&test), &both).await;
    for id in join_all((0..AT_ONCE).map(|_| async { app.submit(&sample()).await })).await {
        app.decided(&id).await;
    }
    let own = app.engine().resources.settings.database.statement_timeout_ms.to_string();
    let shown = "SELECT concat_ws(' ', current_setting('jit'), current_setting('enable_seqscan'), \
        (SELECT setting FROM pg_settings WHERE name = 'statement_timeout'))";
    let of_role = db::text(&mut test.connect().await, shown).await;
    assert_eq!(of_role, Some(format!("off off {own}")), "they must be set for the role");
}

/// Runs with every PgBouncer that is too old, such as Debian 12's 1.18, and with the newest one without prepared
/// statements.
#[actix_rt::test]
async fn a_pooler_without_prepared_statements_is_rejected_with_its_version() {
    let test = TestDatabase::create().await;
    let (server, empty) = (Server::of(&test), TestDatabase::create_empty().await);
    let refusal = async |pooler: &PgBouncer| {
        let url = pooler.url(&server.database);
        TestApp::refusal(&[("AVAL__DATABASE__URL", &url), ("AVAL__DATABASE__DIRECT_URL", test.url())]).await
    };
    let too_old = Program::installed().into_iter().filter(|program| !program.has_prepared_statements());
    let cases = too_old.map(|program| (program, "", "use PgBouncer 1.21 or later")).chain([(
        Program::current(),
        "max_prepared_statements = 0",
        "with max_prepared_statements = 0",
    )]);
    for (program, settings, complaint) in cases {
        let pooler = PgBouncer::start(&program, &server, settings).await;
        let migrated = migrations::run_pending(&pooler.url(&Server::of(&empty).database)).await;
        let version = format!("is PgBouncer {}", program.version);
        for error in [refusal(&pooler).await, migrated.expect_err("a refusal").to_string()] {
            assert!(error.contains(&version) && error.contains(complaint), "{error}");
        }
        // In a single server session, no statement is lost at first.
        let settings = format!("{settings}\ndefault_pool_size = 1");
        let pooler = PgBouncer::start_with_closed_console(&program, &server, &settings).await;
        let error = refusal(&pooler).await;
        assert!(error.contains("such as 1.18 in Debian 12"), "{}: {error}", program.version);
    }
}
