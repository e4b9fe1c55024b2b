//! Lanes of the queue: priorities, pauses, and the rows that a claim reads and locks.

use std::time::Duration;

use aval::domain::application::Country;
use aval::storage::jobs::{self, Claim, ClaimedJob, KnownTask, Quota};
use aval::storage::provider_retries::{self, Requeue};
use diesel_async::AsyncPgConnection;
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::builders::{body, spanish};
use crate::support::db::{TestDatabase, execute, text};
use crate::support::engine::TestEngine;
use crate::support::eventually;

fn claim(limit: i32, lanes: &[&str]) -> Claim {
    Claim {
        worker: "test".to_owned(),
        limit,
        lease_ms: 30_000,
        tasks: vec![KnownTask { name: "process_credit_application", max_attempts: 3 }],
        lanes: lanes.iter().copied().map(Quota::whole).collect(),
    }
}

/// Queues `count` jobs that became due `seconds` ago.
async fn queue(sql: &mut AsyncPgConnection, lane: &str, priority: i16, seconds: u32, count: u32) {
    let statement = format!(
        "INSERT INTO pending_jobs (task_name, lane, priority, run_at) SELECT 'process_credit_application', '{lane}', \
         {priority}, now() - interval '{seconds} seconds' FROM generate_series(1, {count})"
    );
    execute(sql, &statement).await.unwrap();
}

fn lanes_of(jobs: &[ClaimedJob]) -> Vec<&str> {
    let mut lanes: Vec<&str> = jobs.iter().map(|job| job.lane.as_str()).collect();
    lanes.sort_unstable();
    lanes
}

#[actix_rt::test]
async fn an_application_waits_in_its_countrys_lane_even_after_a_restoration() {
    let app = TestApp::start_idle().await;
    let id = app.submit(&body(Country::Mx, "HERM850101MDFRRR08")).await;
    let queued = "SELECT string_agg(lane || ' ' || priority, ', ') FROM pending_jobs";
    assert_eq!(app.sql(queued).await, "MX 0");
    app.delete(&format!("/api/v1/applications/{id}")).await.expect(204);
    assert_eq!(app.sql(queued).await, "");
    app.post(&format!("/api/v1/applications/{id}/restore"), &json!({})).await.expect(200);
    assert_eq!(app.sql(queued).await, "MX 0");
}

#[actix_rt::test]
async fn due_jobs_of_all_lanes_are_claimed_by_priority_and_then_by_age() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    queue(&mut sql, "ES", 0, 10, 2).await;
    queue(&mut sql, "MX", 0, 20, 1).await;
    queue(&mut sql, "PT", -10, 500, 3).await;
    queue(&mut sql, "BR", 9, 0, 1).await;
    queue(&mut sql, "XX", 99, 900, 3).await;
    let served = claim(1, &["ES", "MX", "PT", "BR"]);
    for expected in ["BR", "MX", "ES", "ES", "PT"] {
        let claimed = jobs::claim(&mut sql, &served).await.unwrap();
        assert_eq!(lanes_of(&claimed.jobs), [expected]);
        assert!(!claimed.contended);
    }
    let rest = jobs::claim(&mut sql, &claim(64, &["ES", "MX", "PT", "BR"])).await.unwrap();
    assert_eq!(lanes_of(&rest.jobs), ["PT", "PT"], "jobs in a lane that is not served must not be claimed");
}

#[actix_rt::test]
async fn a_claim_locks_only_the_jobs_that_it_takes() {
    let database = TestDatabase::create().await;
    let (mut first, mut second) = (database.connect().await, database.connect().await);
    let lanes = ["ES", "PT", "IT"];
    for lane in lanes {
        queue(&mut first, lane, 0, 10, 4).await;
    }
    execute(&mut first, "BEGIN").await.unwrap();
    assert_eq!(jobs::claim(&mut first, &claim(5, &lanes)).await.unwrap().jobs.len(), 5);
    let others = jobs::claim(&mut second, &claim(64, &lanes)).await.unwrap();
    assert_eq!(others.jobs.len(), 7, "all jobs that the first claim has not taken");
    assert!(others.contended, "the outcome of the first claim's jobs is unknown");
    execute(&mut first, "COMMIT").await.unwrap();
    let nothing = jobs::claim(&mut second, &claim(64, &lanes)).await.unwrap();
    assert!(nothing.jobs.is_empty() && !nothing.contended);
}

#[actix_rt::test]
async fn a_claim_that_skips_locked_jobs_reports_contention() {
    let database = TestDatabase::create().await;
    let (mut first, mut second) = (database.connect().await, database.connect().await);
    queue(&mut first, "ES", 5, 10, 1).await;
    queue(&mut first, "PT", 0, 10, 1).await;
    execute(&mut first, "BEGIN").await.unwrap();
    assert_eq!(jobs::claim(&mut first, &claim(1, &["ES", "PT"])).await.unwrap().jobs.len(), 1);
    let missed = jobs::claim(&mut second, &claim(1, &["ES", "PT"])).await.unwrap();
    assert!(missed.jobs.is_empty() && missed.contended);
    execute(&mut first, "COMMIT").await.unwrap();
    assert_eq!(lanes_of(&jobs::claim(&mut second, &claim(1, &["ES", "PT"])).await.unwrap().jobs), ["PT"]);
}

#[actix_rt::test]
async fn a_claim_respects_the_quota_of_a_lane() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    queue(&mut sql, "ES", 0, 99, 5).await;
    queue(&mut sql, "PT", 0, 10, 5).await;
    let quota = |lane: &str, max_jobs| Quota { lane: lane.to_owned(), max_jobs };
    let probing = Claim { lanes: vec![quota("ES", 1), quota("PT", 3), quota("IT", 0)], ..claim(64, &[]) };
    let claimed = jobs::claim(&mut sql, &probing).await.unwrap().jobs;
    assert_eq!(lanes_of(&claimed), ["ES", "PT", "PT", "PT"]);
}

#[actix_rt::test]
async fn thousands_of_paused_jobs_at_the_head_of_the_queue_are_not_read() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    queue(&mut sql, "ES", 5, 3600, 5000).await;
    queue(&mut sql, "PT", 0, 10, 3).await;
    execute(&mut sql, "INSERT INTO paused_lanes (lane, reason) VALUES ('ES', 'test')").await.unwrap();
    execute(&mut sql, "ANALYZE pending_jobs").await.unwrap();
    let served = claim(64, &["", "ES", "PT", "IT"]);
    let plan = jobs::explain_claim(&mut sql, &served).await.unwrap().join("\n");
    assert!(plan.contains("pending_jobs_lanes_idx"), "{plan}");
    assert!(!plan.contains("Seq Scan on pending_jobs"), "{plan}");
    assert!(!plan.contains("job_history"), "{plan}");

    execute(&mut sql, "BEGIN").await.unwrap();
    let claimed = jobs::claim(&mut sql, &served).await.unwrap().jobs;
    assert_eq!(lanes_of(&claimed), ["PT", "PT", "PT"]);
    let read = "SELECT seq_tup_read || ' ' || (idx_tup_fetch < 50) FROM pg_stat_xact_user_tables \
                WHERE relname = 'pending_jobs'";
    assert_eq!(text(&mut sql, read).await.as_deref(), Some("0 true"));
    execute(&mut sql, "COMMIT").await.unwrap();

    let expire = "UPDATE paused_lanes SET expires_at = now() - interval '1 second'";
    execute(&mut sql, expire).await.unwrap();
    let claimed = jobs::claim(&mut sql, &served).await.unwrap().jobs;
    assert_eq!(claimed.len(), 64, "an expired pause must have no effect");
}

#[actix_rt::test]
async fn expired_and_unanswered_jobs_do_not_run_in_a_paused_lane() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    queue(&mut sql, "ES", 0, 10, 2).await;
    execute(
        &mut sql,
        "UPDATE pending_jobs SET status = 'processing', attempt = 1, lease_token = 1, leased_by = 'gone', \
         leased_until = now() - interval '1 second' WHERE id = (SELECT min(id::text)::uuid FROM pending_jobs)",
    )
    .await
    .unwrap();
    let waiting = "UPDATE pending_jobs SET status = 'waiting_external' WHERE status = 'pending'";
    execute(&mut sql, waiting).await.unwrap();
    execute(&mut sql, "INSERT INTO paused_lanes (lane, reason) VALUES ('ES', 'test')").await.unwrap();
    assert!(jobs::claim(&mut sql, &claim(9, &["ES"])).await.unwrap().jobs.is_empty());
    execute(&mut sql, "DELETE FROM paused_lanes").await.unwrap();
    assert_eq!(jobs::claim(&mut sql, &claim(9, &["ES"])).await.unwrap().jobs.len(), 2);
}

#[actix_rt::test]
async fn re_decisions_after_an_outage_have_a_lower_priority_than_new_applications() {
    let app = TestApp::start_idle().await;
    let old = app.submit(&spanish()).await;
    let mut sql = app.database.connect().await;
    execute(&mut sql, "DELETE FROM pending_jobs").await.unwrap();
    for status in ["VALIDATING", "UNDER_REVIEW"] {
        execute(&mut sql, &format!("UPDATE applications SET status = '{status}'")).await.unwrap();
    }
    let waits = format!("INSERT INTO provider_retries VALUES ('{old}', 'ES', 0, now() - interval '1 hour')");
    execute(&mut sql, &waits).await.unwrap();
    let country = Country::Es;
    let requeue = Requeue { country, limit: 9, min_interval_ms: 60_000, max_interval_ms: 60_000 };
    assert_eq!(provider_retries::requeue_due(&mut sql, requeue).await.unwrap(), 1);
    let fresh = app.submit(&spanish()).await;
    let first = jobs::claim(&mut sql, &claim(1, &["ES"])).await.unwrap().jobs.remove(0);
    let second = jobs::claim(&mut sql, &claim(1, &["ES"])).await.unwrap().jobs.remove(0);
    let ids = [first, second].map(|job| job.application_id.unwrap().to_string());
    assert_eq!(ids, [fresh, old]);
}

#[actix_rt::test]
async fn a_lane_paused_by_an_operator_stays_paused_until_resumed() {
    let app = TestApp::start(&[]).await;
    let lane = "/api/v1/admin/jobs/lanes/es";
    let pause = json!({"paused": true, "reason": "The bureau sends wrong reports"});
    let paused = app.put(lane, &pause).await.expect(200);
    assert_eq!(
        (&paused["lane"], &paused["paused"], &paused["pause"]["paused_by"], &paused["intake"]),
        (&json!("ES"), &json!(true), &json!("test-admin"), &json!("everything"))
    );
    let waiting = app.submit(&spanish()).await;
    let other = app.submit(&body(Country::Mx, "HERM850101MDFRRR08")).await;
    assert_eq!(app.decided(&other).await, "APPROVED");
    assert_eq!(app.trail(&waiting).await, "PENDING");
    let list = app.get("/api/v1/admin/jobs/lanes").await.expect(200);
    let lanes = list["lanes"].as_array().unwrap();
    assert_eq!(lanes.iter().filter(|lane| lane["paused"] == true).count(), 1);
    assert_eq!(
        lanes.len(),
        Country::ALL.len() + 3,
        "the lanes of the countries, webhooks, deliveries and disbursements"
    );

    let resume = json!({"paused": false, "reason": "The bureau fixed its reports"});
    assert_eq!(app.put(lane, &resume).await.expect(200)["pause"], json!(null));
    assert_eq!(app.decided(&waiting).await, "APPROVED");
    let attempts = app.sql("SELECT max(attempt) FROM job_history").await;
    assert_eq!(attempts, "1", "waiting must not use an attempt");
    let log = "SELECT string_agg(concat_ws(' ', lane, paused, changed_by), ', ' ORDER BY changed_at) FROM paused_lane_log";
    assert_eq!(app.sql(log).await, "ES t test-admin, ES f test-admin");
}

#[actix_rt::test]
async fn pausing_requires_a_reason_and_an_existing_lane() {
    let app = TestApp::start_idle().await;
    app.put("/api/v1/admin/jobs/lanes/XX", &json!({"paused": true, "reason": "x"})).await.expect(404);
    let lane = "/api/v1/admin/jobs/lanes/ES";
    for (request, error) in [
        (json!({"paused": true}), "/reason required"),
        (json!({"paused": "yes", "reason": "x"}), "/paused bad_type"),
        (
            json!({"paused": true, "reason": "x", "expires_at": "2001-01-01T00:00:00Z"}),
            "/expires_at out_of_range",
        ),
        (
            json!({"paused": false, "reason": "x", "expires_at": "2099-01-01T00:00:00Z"}),
            "/expires_at not_allowed",
        ),
    ] {
        let answer = app.put(lane, &request).await;
        assert_eq!(answer.field_errors(), [error]);
        answer.expect(422);
    }
}

/// Makes applications wait while Spain's bureau is unavailable.
const PAUSING: [(&str, &str); 5] = [
    ("AVAL__PROVIDERS__ES__WHEN_OPEN", "pause"),
    ("AVAL__PROVIDERS__ES__PAUSE_AFTER_MS", "0"),
    ("AVAL__PROVIDERS__ES__CALL__RETRIES", "0"),
    ("AVAL__PROVIDERS__ES__BREAKER__CONSECUTIVE_FAILURES", "1"),
    ("AVAL__JOBS__POLL_INTERVAL_MS", "50"),
];

#[actix_rt::test]
async fn jobs_of_an_unavailable_bureau_wait_until_probes_close_its_breaker() {
    let test = TestEngine::start(&PAUSING).await;
    let simulator = test.engine.simulator.as_ref().unwrap();
    simulator.script().fail_next(Country::Es, 3);
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(test.submit(Country::Es, "12345678Z").await);
    }
    let mexican = test.submit(Country::Mx, "HERM850101MDFRRR08").await;
    test.reaches(mexican, "APPROVED").await;
    for id in ids {
        test.reaches(id, "APPROVED").await;
        assert_eq!(test.trail(id).await, "PENDING VALIDATING APPROVED");
    }
    let fallbacks = "SELECT count(*) FROM decisions WHERE NOT provider_available";
    assert_eq!(test.text(fallbacks).await.as_deref(), Some("0"));
    let attempts = test.text("SELECT max(attempt) FROM job_history").await;
    assert_eq!(attempts.as_deref(), Some("1"), "waiting for a bureau must not use an attempt");
    assert_eq!(simulator.calls(Country::Es), 9, "three failures and one call per application");
}

#[actix_rt::test]
async fn before_the_threshold_jobs_are_decided_with_fallback_figures() {
    let patient = ("AVAL__PROVIDERS__ES__PAUSE_AFTER_MS", "3600000");
    let test = TestEngine::start(&[&PAUSING[..], &[patient]].concat()).await;
    test.engine.simulator.as_ref().unwrap().script().fail_next(Country::Es, 1);
    let id = test.submit(Country::Es, "12345678Z").await;
    test.reaches(id, "UNDER_REVIEW").await;
}

#[actix_rt::test]
async fn an_attempt_that_times_out_is_retried_until_the_job_becomes_a_dead_letter() {
    let test = TestEngine::start(&[
        ("AVAL__JOBS__TIMEOUT_MS", "1000"),
        ("AVAL__PROVIDERS__ES__CALL__CALL_TIMEOUT_MS", "60000"),
    ])
    .await;
    let simulator = test.engine.simulator.as_ref().unwrap();
    simulator.script().set_latency(Country::Es, Duration::from_secs(60));
    let id = test.submit(Country::Es, "12345678Z").await;
    test.reaches(id, "UNDER_REVIEW").await;
    let dead_letter = test.text("SELECT concat_ws(' ', error_type, attempts, lane) FROM failed_jobs").await;
    assert_eq!(dead_letter.as_deref(), Some("timeout 3 ES"));
    eventually("every slot to be free", async || test.engine.running.is_idle().then_some(())).await;
}

#[actix_rt::test]
async fn a_lease_renewal_while_its_job_ends_does_not_report_a_lost_lease() {
    let app = TestApp::start(&[("AVAL__JOBS__HEARTBEAT_MS", "3")]).await;
    for _ in 0..12 {
        let id = app.submit(&spanish()).await;
        app.decided(&id).await;
    }
    let log = app.log.text().await;
    assert!(!log.contains("the lease was lost"), "a finished job must not be reported as lost");
}
