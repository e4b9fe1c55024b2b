//! The detailed health report: what it contains about each dependency, and how long it waits for one that does not respond.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::chaos_proxy::{ChaosProxy, Link, Upstream};
use crate::support::db::{Server, TestDatabase};
use crate::support::redis::RedisServer;

async fn report(app: &TestApp) -> Value {
    app.get("/health/detailed").await.expect(200)
}

#[actix_rt::test]
async fn the_report_has_versions_latencies_migrations_leaders_and_the_age_of_the_queue() {
    let redis = RedisServer::start();
    let app = TestApp::start(&[("REDIS_URL", &redis.url())]).await;
    let report = crate::support::eventually("both leaderships", async || {
        let report = report(&app).await;
        let leads = |role: &Value| role["leads"] == true;
        report["leaders"].as_array().unwrap().iter().all(leads).then_some(report)
    })
    .await;
    let roles: Vec<&str> =
        report["leaders"].as_array().unwrap().iter().map(|leader| leader["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["relay", "housekeeper"]);
    let database = &report["database"];
    assert_eq!(
        database["version"].as_str().unwrap(),
        app.sql("SELECT current_setting('server_version')").await
    );
    assert!(database["latency_ms"].is_u64(), "{database}");
    let applied = app.sql("SELECT count(*) FROM __diesel_schema_migrations").await;
    assert_eq!(database["migrations"]["applied"].to_string(), applied);
    assert_eq!(database["migrations"]["pending"], 0);
    let newest = app.sql("SELECT max(version) FROM __diesel_schema_migrations").await;
    assert_eq!(database["migrations"]["newest"], newest);
    assert!(report["redis"]["latency_ms"].is_u64(), "{}", report["redis"]);
    assert!(report["redis"]["version"].as_str().unwrap().split('.').count() == 3, "{}", report["redis"]);
    assert_eq!(report["queue_age_ms"], 0);
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
}

#[actix_rt::test]
async fn the_age_of_the_queue_is_that_of_the_oldest_due_job_of_a_lane_that_is_not_paused() {
    let app = TestApp::start_idle().await;
    app.execute(
        "INSERT INTO pending_jobs (task_name, lane, priority, run_at) VALUES \
         ('t', 'ES', 0, now() - interval '1 minute'), ('t', 'ES', -5, now() - interval '1 hour'), \
         ('t', 'MX', 0, now() - interval '1 day'), ('t', 'IT', 0, now() + interval '1 day')",
    )
    .await;
    let pause = json!({"paused": true, "reason": "test"});
    app.put("/api/v1/admin/jobs/lanes/MX", &pause).await.expect(200);
    let age_ms = report(&app).await["queue_age_ms"].as_u64().unwrap();
    assert!((3_600_000..3_660_000).contains(&age_ms), "{age_ms}");
}

#[actix_rt::test]
async fn a_database_that_does_not_respond_is_reported_within_the_timeout() {
    let database = Rc::new(TestDatabase::create().await);
    let server = Server::of(&database);
    let proxy = ChaosProxy::start(Upstream::Unix(server.socket_file()));
    let url = format!("postgresql://aval@{}/{}?sslmode=disable", proxy.address(), server.database);
    let app = TestApp::start_on(
        Rc::clone(&database),
        &[("AVAL__DATABASE__URL", &url), ("HEALTH_CHECK_TIMEOUT", "1")],
    )
    .await;
    assert_eq!(report(&app).await["database"]["answers"], true);
    proxy.set(Link::Silent);
    let asked = Instant::now();
    let report = report(&app).await;
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    assert_eq!((&report["status"], &report["database"]["answers"]), (&json!("down"), &json!(false)));
    for unknown in ["latency_ms", "version", "migrations"] {
        assert_eq!(report["database"][unknown], Value::Null, "{unknown}");
    }
    assert_eq!((&report["queue_age_ms"], &report["outbox_lag_ms"]), (&Value::Null, &Value::Null));
}
