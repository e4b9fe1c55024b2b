//! Bureaus in asynchronous mode, which post their report later.

use std::time::Duration;

use aval::clock::Clock;
use aval::domain::application::Country;
use aval::providers::simulator::{Callbacks, Simulator, SimulatorSettings};
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::builders::{body, samples, spanish};
use crate::support::eventually;
use crate::webhooks::{PATH, SECRET, confirmed, key};

const ASYNC: (&str, &str) = ("AVAL__PROVIDERS__DEFAULTS__MODE", "async");
/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(600);

/// For each job: the status, the attempt, whether it has no lease, and whether it is due later.
const JOBS: &str = "SELECT string_agg(concat_ws(' ', status, attempt, lease_token IS NULL, run_at > now()), ', ') \
    FROM pending_jobs";

/// Submits an application whose bureau accepts the request (202) and sends no report. Returns the identifier and the
/// bureau's reference.
async fn submit_until_accepted(app: &TestApp) -> (String, String) {
    app.simulator().script().set_callback_delay(Country::Es, NEVER);
    let id = app.submit(&spanish()).await;
    let reference = format!("SELECT provider_reference FROM pending_jobs WHERE application_id = '{id}'");
    let reference = eventually("the bureau's reference", async || {
        Some(app.sql(&reference).await).filter(|reference| !reference.is_empty())
    })
    .await;
    (id, reference)
}

#[actix_rt::test]
async fn every_accepted_request_is_answered_by_a_signed_webhook_that_decides_the_application() {
    let app = TestApp::start(&[ASYNC]).await;
    for (country, document) in samples() {
        let id = app.submit(&body(country, document)).await;
        app.reaches(&id, "APPROVED").await;
        assert_eq!(app.trail(&id).await, "PENDING VALIDATING APPROVED");
        assert_eq!(app.simulator().calls(country), 1, "{country}");
        let by = format!("SELECT changed_by FROM applications WHERE id = '{id}'");
        assert!(app.sql(&by).await.starts_with("webhook:"));
    }
    let count = Country::ALL.len().to_string();
    assert_eq!(app.sql("SELECT count(*) FROM pending_jobs").await, "0");
    assert_eq!(app.sql("SELECT count(*) FROM job_history WHERE result = 'completed'").await, count);
    assert_eq!(app.sql("SELECT count(*) FROM webhook_events WHERE status = 'applied'").await, count);
    let accepted = r#"provider_calls_total{country="ES",provider="asnef_cirbe",status="accepted"}"#;
    assert_eq!(app.metric(accepted).await, 1.0);
}

#[actix_rt::test]
async fn the_documented_test_documents_have_the_same_results_asynchronously() {
    let app = TestApp::start(&[ASYNC]).await;
    for (document, status, reason) in [
        ("90000002J", "REJECTED", "SCORE_TOO_LOW"),
        ("90000004S", "REJECTED", "ACTIVE_DEFAULTS"),
        ("90000008L", "UNDER_REVIEW", "PROVIDER_NEEDS_REVIEW"),
        ("90000009C", "UNDER_REVIEW", "MISSING_CREDIT_SCORE"),
    ] {
        let id = app.submit(&body(Country::Es, document)).await;
        app.reaches(&id, status).await;
        assert_eq!(app.reasons(&id).await[0], reason, "{document}");
    }
}

#[actix_rt::test]
async fn a_waiting_job_uses_no_attempt_no_lease_and_no_slot() {
    let app = TestApp::start(&[ASYNC, ("AVAL__ACTORS__APPLICATIONS__POOL_SIZE", "1")]).await;
    let (id, reference) = submit_until_accepted(&app).await;
    assert_eq!(app.sql(JOBS).await, "waiting_external 0 t t");
    submit_until_accepted(&app).await;
    let message = confirmed(&id).with("provider_reference", "ES-guess").send(&app).await;
    assert_eq!(message.field_errors(), ["/provider_reference wrong_reference"]);
    message.expect(422);
    assert_eq!(app.sql("SELECT count(*) FROM webhook_events").await, "0");
    let message = confirmed(&id).with("provider_reference", reference);
    assert_eq!(message.send(&app).await.expect(200)["status"], "APPROVED");
    assert_eq!(app.sql(JOBS).await, "waiting_external 0 t t", "the other one must keep waiting");
    assert_eq!(app.simulator().calls(Country::Es), 2);
}

#[actix_rt::test]
async fn an_unanswered_request_leaves_the_application_to_review_or_to_a_late_webhook() {
    let app = TestApp::start(&[ASYNC, ("AVAL__PROVIDERS__ES__ASYNC_TIMEOUT_MS", "300")]).await;
    let (id, reference) = submit_until_accepted(&app).await;
    app.reaches(&id, "UNDER_REVIEW").await;
    assert_eq!(app.reasons(&id).await, ["PROVIDER_TIMEOUT"]);
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING UNDER_REVIEW");
    for (expected, query) in [
        ("false", "SELECT provider_available FROM decisions"),
        ("", "SELECT risk_score FROM applications"),
        ("completed", "SELECT result FROM job_history"),
        ("0", "SELECT count(*) FROM provider_retries"),
        ("0", "SELECT count(*) FROM pending_jobs"),
        ("0", "SELECT count(*) FROM failed_jobs"),
    ] {
        assert_eq!(app.sql(query).await, expected, "{query}");
    }
    assert_eq!(app.simulator().calls(Country::Es), 1, "the bureau must not be called again");
    confirmed(&id).with("provider_reference", "ES-guess").send(&app).await.expect(422);
    let late = confirmed(&id).with("provider_reference", reference);
    assert_eq!(late.send(&app).await.expect(200)["status"], "APPROVED");
    assert_eq!(app.sql("SELECT count(*) FROM decisions").await, "2");
}

#[actix_rt::test]
async fn a_report_that_overtakes_its_acceptance_is_not_lost() {
    let app = TestApp::start(&[ASYNC]).await;
    // The webhooks are sent while the jobs are still being set to wait for them.
    let submissions = (0..60).map(|n| {
        let (country, document) = samples()[n % 6];
        let application = body(country, document);
        let app = &app;
        async move { app.submit(&application).await }
    });
    for id in futures_util::future::join_all(submissions).await {
        app.reaches(&id, "APPROVED").await;
    }
    assert_eq!(app.sql("SELECT count(*) FROM decisions").await, "60");
    assert_eq!(app.sql("SELECT count(*) FROM audit_logs").await, "180");
    eventually("no job to be left", async || {
        (app.sql("SELECT count(*) FROM pending_jobs").await == "0").then_some(())
    })
    .await;
    assert_eq!(app.sql("SELECT count(*) FROM failed_jobs").await, "0");
}

#[actix_rt::test]
async fn a_crash_while_handling_an_unanswered_request_does_not_repeat_it() {
    let app = TestApp::start(&[ASYNC]).await;
    let (id, _) = submit_until_accepted(&app).await;
    app.execute(
        "UPDATE pending_jobs SET status = 'processing', attempt = 1, lease_token = 0, leased_by = 'gone', \
         leased_until = now() - interval '1 second'",
    )
    .await;
    app.reaches(&id, "UNDER_REVIEW").await;
    assert_eq!(app.reasons(&id).await, ["PROVIDER_TIMEOUT"]);
    assert_eq!(app.simulator().calls(Country::Es), 1);
}

#[actix_rt::test]
async fn deletion_ends_the_wait_and_restoration_calls_the_bureau_again() {
    let app = TestApp::start(&[ASYNC]).await;
    let (id, first) = submit_until_accepted(&app).await;
    app.delete(&format!("/api/v1/applications/{id}")).await;
    assert_eq!(app.sql("SELECT count(*) FROM pending_jobs").await, "0");
    let message = confirmed(&id).with("provider_reference", first.as_str());
    assert_eq!(message.send(&app).await.expect(200)["applied"], false);
    app.post(&format!("/api/v1/applications/{id}/restore"), &json!({})).await.expect(200);
    let second = eventually("another reference", async || {
        Some(app.sql("SELECT provider_reference FROM pending_jobs").await).filter(|text| !text.is_empty())
    })
    .await;
    assert_ne!(first, second);
    confirmed(&id).with("provider_reference", first).send(&app).await.expect(422);
    let message = confirmed(&id).with("provider_reference", second);
    assert_eq!(message.send(&app).await.expect(200)["status"], "APPROVED");
}

#[actix_rt::test]
async fn a_bureau_posts_its_report_until_it_is_accepted() {
    let app = TestApp::start(&[ASYNC]).await;
    app.execute("ALTER TABLE decisions ADD CONSTRAINT broken CHECK (false) NOT VALID").await;
    let id = app.submit(&spanish()).await;
    eventually("the report to be rejected twice", async || {
        (app.sql("SELECT attempts > 1 FROM webhook_events").await == "true").then_some(())
    })
    .await;
    app.execute("ALTER TABLE decisions DROP CONSTRAINT broken").await;
    app.reaches(&id, "APPROVED").await;
    assert_eq!(app.sql("SELECT count(*) FROM webhook_events").await, "1");
    assert_eq!(app.simulator().calls(Country::Es), 1);
}

#[actix_rt::test]
async fn an_external_bureau_posts_to_the_configured_address() {
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let bureau = Simulator::start(SimulatorSettings::default(), Clock::system(), logger).await.unwrap();
    let base_url = bureau.base_url(Country::Es);
    let app = TestApp::start(&[ASYNC, ("AVAL__PROVIDERS__ES__BASE_URL", &base_url)]).await;
    let keys = [(Country::Es, key(SECRET))].into();
    bureau.respond_later(Callbacks { url: app.url(PATH), keys });
    let id = app.submit(&spanish()).await;
    app.reaches(&id, "APPROVED").await;
    assert_eq!(bureau.calls(Country::Es), 1);
    assert_eq!(app.sql("SELECT status FROM webhook_events").await, "applied");
}

#[actix_rt::test]
async fn a_bureau_in_asynchronous_mode_may_respond_synchronously() {
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let bureau = Simulator::start(SimulatorSettings::default(), Clock::system(), logger).await.unwrap();
    let base_url = bureau.base_url(Country::Es);
    let app = TestApp::start(&[ASYNC, ("AVAL__PROVIDERS__ES__BASE_URL", &base_url)]).await;
    let id = app.submit(&spanish()).await;
    app.reaches(&id, "APPROVED").await;
    assert_eq!(app.sql("SELECT changed_by FROM applications").await, "system:application-actor");
}
