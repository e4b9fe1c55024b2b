//! Dead letters, and operators' actions on them.

use std::collections::BTreeSet;

use actix_web::http::Method;
use aval::domain::application::Country;
use aval::supervision::faults::FaultPoint;
use futures_util::future::join;
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::builders::{body, spanish};
use crate::support::db::execute;
use crate::support::eventually;

const LIST: &str = "/api/v1/admin/failed-jobs";
/// The number of panics that use up a job's attempts: in each attempt, the actor panics once more than its restart
/// budget allows.
const PANICS: u32 = 12;

fn because(reason: &str) -> Value {
    json!({ "reason": reason })
}

/// Submits an application whose job becomes a dead letter. Returns the identifiers of both.
async fn submit_until_dead_letter(app: &TestApp, country: Country, application: &Value) -> (String, String) {
    app.engine().resources.faults.arm(FaultPoint::ApplicationActor, Some(country.code()), PANICS).unwrap();
    let id = app.submit(application).await;
    app.reaches(&id, "UNDER_REVIEW").await;
    app.engine().resources.faults.arm(FaultPoint::ApplicationActor, Some(country.code()), 0).unwrap();
    let dead_letter =
        app.sql(&format!("SELECT max(id::text) FROM failed_jobs WHERE application_id = '{id}'")).await;
    (id, dead_letter)
}

#[actix_rt::test]
async fn a_retry_decides_the_application_in_place_with_a_new_job() {
    let app = TestApp::start(&[]).await;
    let (id, dead_letter) = submit_until_dead_letter(&app, Country::Es, &spanish()).await;
    let view = app.get(&format!("{LIST}/{dead_letter}")).await.expect(200);
    assert_eq!(
        (&view["error_type"], &view["attempts"], &view["lane"], &view["args"]["application_id"]),
        (&json!("panicked"), &json!(3), &json!("ES"), &json!(id))
    );
    assert_eq!(view["next"], json!(["reviewed", "reprocessed", "ignored"]));

    let answer =
        app.post(&format!("{LIST}/{dead_letter}/retry"), &because("The defect is fixed")).await.expect(200);
    assert_eq!(answer["status"], "reprocessed");
    assert_ne!(answer["retried_as"], answer["job_id"]);
    app.reaches(&id, "APPROVED").await;
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING UNDER_REVIEW APPROVED");
    let job = answer["retried_as"].as_str().unwrap();
    let history = format!("SELECT result || ' ' || attempt FROM job_history WHERE id = '{job}'");
    assert_eq!(app.sql(&history).await, "completed 1");
    let left = "SELECT (SELECT count(*) FROM provider_retries) || ' ' || count(*) FROM applications \
                WHERE validation_errors IS NOT NULL";
    assert_eq!(app.sql(left).await, "0 0");

    let actions = app.get(&format!("{LIST}/{dead_letter}")).await.expect(200)["actions"].clone();
    assert_eq!(actions.as_array().unwrap().len(), 1);
    let action = &actions[0];
    assert_eq!(
        (&action["action"], &action["actor"], &action["reason"], &action["job_id"]),
        (&json!("retry"), &json!("test-admin"), &json!("The defect is fixed"), &json!(job))
    );
    assert!(action["request_id"].is_string());
    let mut sql = app.database.connect().await;
    assert!(execute(&mut sql, "DELETE FROM failed_job_actions").await.is_err(), "actions must be immutable");
}

#[actix_rt::test]
async fn a_reviewers_decision_prevents_a_retry() {
    let app = TestApp::start(&[]).await;
    let (id, dead_letter) = submit_until_dead_letter(&app, Country::Es, &spanish()).await;
    let path = format!("/api/v1/applications/{id}/status");
    app.put(&path, &json!({"status": "REJECTED", "reason": "Known fraud"})).await.expect(200);
    let refused = app.post(&format!("{LIST}/{dead_letter}/retry"), &because("x")).await;
    assert_eq!(refused.expect(409)["code"], "conflict");
    let all = app.post(&format!("{LIST}/retry"), &because("x")).await.expect(200);
    assert_eq!(
        all,
        json!({"matched": 1, "retried": 0, "skipped": {"application_decided": 1}, "more": false, "dry_run": false})
    );
    assert_eq!(app.sql("SELECT status FROM failed_jobs").await, "pending");
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING UNDER_REVIEW REJECTED");
    assert_eq!(app.sql("SELECT count(*) FROM provider_retries").await, "0");
}

#[actix_rt::test]
async fn a_reviewers_decision_takes_precedence_over_a_waiting_retry() {
    let app = TestApp::start(&[]).await;
    let (id, dead_letter) = submit_until_dead_letter(&app, Country::Es, &spanish()).await;
    let pause = json!({"paused": true, "reason": "test"});
    app.put("/api/v1/admin/jobs/lanes/ES", &pause).await.expect(200);
    app.post(&format!("{LIST}/{dead_letter}/retry"), &because("x")).await.expect(200);
    let path = format!("/api/v1/applications/{id}/status");
    app.put(&path, &json!({"status": "REJECTED"})).await.expect(200);
    app.put("/api/v1/admin/jobs/lanes/ES", &json!({"paused": false, "reason": "test"})).await.expect(200);
    eventually("the job to end", async || {
        (app.sql("SELECT count(*) FROM pending_jobs").await == "0").then_some(())
    })
    .await;
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING UNDER_REVIEW REJECTED");
    let results = "SELECT string_agg(result::text, ' ' ORDER BY finished_at) FROM job_history";
    assert_eq!(app.sql(results).await, "failed superseded");
}

#[actix_rt::test]
async fn a_retried_job_that_fails_again_becomes_another_dead_letter_and_is_not_retried_automatically() {
    let app = TestApp::start(&[("AVAL__REDECISION__MIN_INTERVAL_MS", "1")]).await;
    let (id, dead_letter) = submit_until_dead_letter(&app, Country::Es, &spanish()).await;
    app.engine()
        .resources
        .faults
        .arm(FaultPoint::ApplicationActor, Some(Country::Es.code()), PANICS)
        .unwrap();
    app.post(&format!("{LIST}/{dead_letter}/retry"), &because("hope")).await.expect(200);
    eventually("the second dead letter", async || {
        (app.sql("SELECT count(*) FROM failed_jobs").await == "2").then_some(())
    })
    .await;
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING UNDER_REVIEW");
    assert_eq!(app.sql("SELECT count(DISTINCT job_id) FROM failed_jobs").await, "2");
    let due =
        aval::storage::provider_retries::countries_due(&mut app.database.connect().await).await.unwrap();
    assert!(due.is_empty(), "{due:?}");
    assert_eq!(app.sql("SELECT next_at FROM provider_retries").await, "infinity");
    assert_eq!(app.sql("SELECT count(*) FROM pending_jobs").await, "0");
    let second = app.sql("SELECT id FROM failed_jobs WHERE status = 'pending'").await;
    app.post(&format!("{LIST}/{second}/retry"), &because("fixed")).await.expect(200);
    app.reaches(&id, "APPROVED").await;
}

#[actix_rt::test]
async fn a_retry_during_an_outage_waits_for_the_bureau() {
    let app = TestApp::start(&[("AVAL__JOBS__POLL_INTERVAL_MS", "50")]).await;
    let (id, dead_letter) = submit_until_dead_letter(&app, Country::Es, &spanish()).await;
    let end = app.engine().resources.clock.now() + chrono::TimeDelta::minutes(10);
    let force = json!({"mode": "forced_open", "reason": "test", "expires_at": end.to_rfc3339()});
    app.put("/api/v1/admin/circuits/ES", &force).await.expect(200);
    app.post(&format!("{LIST}/{dead_letter}/retry"), &because("x")).await.expect(200);
    eventually("the fallback", async || {
        (app.sql("SELECT next_at < 'infinity' FROM provider_retries").await == "true").then_some(())
    })
    .await;
    app.put("/api/v1/admin/circuits/ES", &json!({"mode": "auto"})).await.expect(200);
    app.reaches(&id, "APPROVED").await;
}

#[actix_rt::test]
async fn only_one_of_two_concurrent_retries_succeeds() {
    let app = TestApp::start(&[]).await;
    let (id, dead_letter) = submit_until_dead_letter(&app, Country::Es, &spanish()).await;
    let path = format!("{LIST}/{dead_letter}/retry");
    let reason = because("me first");
    let (one, other) = join(app.post(&path, &reason), app.post(&path, &reason)).await;
    let statuses = BTreeSet::from([one.status.as_u16(), other.status.as_u16()]);
    assert_eq!(statuses, BTreeSet::from([200, 409]));
    app.reaches(&id, "APPROVED").await;
    assert_eq!(app.sql("SELECT count(*) FROM failed_job_actions").await, "1");
    assert_eq!(app.sql("SELECT count(*) FROM job_history").await, "2");
}

#[actix_rt::test]
async fn a_dead_letter_can_only_make_the_permitted_transitions() {
    let app = TestApp::start(&[]).await;
    let (_, dead_letter) = submit_until_dead_letter(&app, Country::Es, &spanish()).await;
    for (step, status) in [
        ("review", 200),
        ("review", 409),
        ("ignore", 200),
        ("ignore", 409),
        ("retry", 409),
        ("review", 200),
        ("retry", 200),
        ("retry", 409),
        ("ignore", 409),
        ("review", 409),
    ] {
        let answer = app.post(&format!("{LIST}/{dead_letter}/{step}"), &because("test")).await;
        assert_eq!(answer.status.as_u16(), status, "{step}: {}", answer.json);
    }
    let unknown = "00000000-0000-7000-8000-000000000000";
    for step in ["retry", "ignore", "review"] {
        app.post(&format!("{LIST}/{unknown}/{step}"), &because("test")).await.expect(404);
        let without_reason = app.post(&format!("{LIST}/{dead_letter}/{step}"), &json!({})).await;
        assert_eq!(without_reason.field_errors(), ["/reason required"]);
    }
    app.get(&format!("{LIST}/{unknown}")).await.expect(404);
}

#[actix_rt::test]
async fn a_retry_repeated_with_its_idempotency_key_takes_effect_once() {
    let app = TestApp::start(&[]).await;
    let (_, dead_letter) = submit_until_dead_letter(&app, Country::Es, &spanish()).await;
    let path = format!("{LIST}/{dead_letter}/retry");
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "retry-1")];
    let send = async || app.send(Method::POST, &path, &headers, because("once").to_string()).await;
    let first = send().await.expect(200);
    let second = send().await;
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!(second.expect(200), first);
}

#[actix_rt::test]
async fn dead_letters_are_retried_by_filter_after_a_dry_run() {
    let app = TestApp::start(&[]).await;
    let mut spanish_ones = Vec::new();
    for _ in 0..3 {
        spanish_ones.push(submit_until_dead_letter(&app, Country::Es, &spanish()).await);
    }
    let (mexican, _) =
        submit_until_dead_letter(&app, Country::Mx, &body(Country::Mx, "HERM850101MDFRRR08")).await;
    app.post(&format!("{LIST}/{}/ignore", spanish_ones[2].1), &because("test")).await.expect(200);
    app.delete(&format!("/api/v1/applications/{}", spanish_ones[1].0)).await.expect(204);

    let retry = async |request: Value| app.post(&format!("{LIST}/retry"), &request).await.expect(200);
    let filter = json!({"reason": "fixed", "lane": "ES", "error_type": "panicked", "dry_run": true});
    let preview = retry(filter.clone()).await;
    let expected = json!({"matched": 2, "retried": 1, "skipped": {"application_deleted": 1}, "more": false});
    let same =
        |answer: &Value| expected.as_object().unwrap().iter().all(|(name, value)| answer[name] == *value);
    assert!(same(&preview), "{preview}");
    assert_eq!(app.sql("SELECT count(*) FROM pending_jobs").await, "0");
    assert_eq!(app.sql("SELECT count(*) FROM failed_job_actions WHERE action = 'retry'").await, "0");

    let mut bulk_retry = filter;
    bulk_retry["dry_run"] = false.into();
    let done = retry(bulk_retry).await;
    assert!(same(&done), "{done}");
    app.reaches(&spanish_ones[0].0, "APPROVED").await;
    assert_eq!(app.trail(&mexican).await, "PENDING VALIDATING UNDER_REVIEW");

    let one = retry(json!({"reason": "rest", "limit": 1})).await;
    assert_eq!((&one["matched"], &one["more"]), (&json!(1), &json!(true)));
    let ignored = retry(json!({"reason": "all", "status": "ignored"})).await;
    assert_eq!(ignored["skipped"], json!({"not_retryable": 1}));
    for (request, error) in [
        (json!({}), "/reason required"),
        (json!({"reason": "x", "limit": 501}), "/limit out_of_range"),
        (json!({"reason": "x", "status": "lost"}), "/status unknown_status"),
        (json!({"reason": "x", "from": "yesterday"}), "/from bad_time"),
        (json!({"reason": "x", "all": true}), "/all unknown_field"),
    ] {
        let answer = app.post(&format!("{LIST}/retry"), &request).await;
        assert_eq!(answer.field_errors(), [error]);
        answer.expect(422);
    }
}

#[actix_rt::test]
async fn the_list_is_paginated_and_filtered() {
    let app = TestApp::start_idle().await;
    let id = app.submit(&spanish()).await;
    app.execute(&format!(
        "INSERT INTO failed_jobs (job_id, task_name, lane, application_id, job_args, error_type, error_message, attempts, \
             status, created_at) \
         SELECT gen_random_uuid(), 'process_credit_application', CASE WHEN n < 4 THEN 'ES' ELSE 'MX' END, \
             CASE WHEN n = 1 THEN '{id}'::uuid END, '{{}}', CASE WHEN n % 2 = 0 THEN 'timeout' ELSE 'panicked' END, 'x', 3, \
             CASE WHEN n = 5 THEN 'ignored' ELSE 'pending' END::failed_job_status, '2026-01-0' || n || 'T12:00:00Z' \
         FROM generate_series(1, 5) n ORDER BY n"
    ).replace("'2026-01-0' || n || 'T12:00:00Z'", "('2026-01-0' || n || 'T12:00:00Z')::timestamptz"))
    .await;
    let (mut seen, mut path) = (BTreeSet::new(), format!("{LIST}?page_size=2"));
    loop {
        let page = app.get(&path).await.expect(200);
        seen.extend(
            page["failed_jobs"].as_array().unwrap().iter().map(|dead_letter| dead_letter["id"].to_string()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("{LIST}?page_size=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    for (query, count) in [
        ("status=pending".to_owned(), 4),
        ("lane=ES".to_owned(), 3),
        ("error_type=timeout".to_owned(), 2),
        ("task=process_credit_application&lane=MX&status=ignored".to_owned(), 1),
        (format!("application_id={id}"), 1),
        ("from=2026-01-02&to=2026-01-03".to_owned(), 2),
        ("from=2026-01-04T13:00:00Z".to_owned(), 1),
        ("task=brew_coffee".to_owned(), 0),
    ] {
        let page = app.get(&format!("{LIST}?{query}")).await.expect(200);
        assert_eq!(page["failed_jobs"].as_array().unwrap().len(), count, "{query}");
    }
    for (query, error) in [
        ("status=lost", "?status unknown_status"),
        ("lane=%00", "?lane bad_identifier"),
        ("from=soon", "?from bad_time"),
        ("application_id=7", "?application_id bad_uuid"),
        ("country=ES", "?country unknown_parameter"),
    ] {
        let answer = app.get(&format!("{LIST}?{query}")).await;
        assert_eq!(answer.field_errors(), [error]);
        answer.expect(422);
    }
}
