//! The effects of webhooks on applications.

use std::time::Duration;

use aval::domain::application::Country;
use serde_json::json;

use super::{SECRET, confirmed, waiting};
use crate::support::app::TestApp;
use crate::support::builders::{body, with};
use crate::support::eventually;

#[actix_rt::test]
async fn a_confirmation_decides_an_unclaimed_application_and_completes_its_job() {
    let app = TestApp::start_idle().await;
    let id = waiting(&app, Country::Es).await;
    let answer = confirmed(&id).send(&app).await.expect(200);
    assert_eq!((&answer["applied"], &answer["status"]), (&json!(true), &json!("APPROVED")));
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING APPROVED");
    let audit = app.get(&format!("/api/v1/applications/{id}/audit")).await.expect(200);
    for entry in [1, 2] {
        assert_eq!(audit["entries"][entry]["changed_by"], "webhook:ASNEF-CIRBE");
    }
    assert_eq!(app.sql("SELECT count(*) FROM pending_jobs").await, "0");
    assert_eq!(app.sql("SELECT string_agg(result::text, ' ') FROM job_history").await, "completed");
    assert_eq!(app.sql("SELECT count(*) FROM decisions d JOIN job_history h ON h.id = d.job_id").await, "1");
    let decision = app.get(&format!("/api/v1/applications/{id}/decision")).await.expect(200);
    assert_eq!(decision["status"], "APPROVED");
    let events = "SELECT string_agg(data ->> 'status', ' ' ORDER BY seq) FROM outbox";
    assert_eq!(app.sql(events).await, "PENDING VALIDATING APPROVED");
}

#[actix_rt::test]
async fn a_bureaus_rejection_overrides_its_figures() {
    let app = TestApp::start_idle().await;
    for (outcome, status, code) in [
        ("rejected", "REJECTED", "PROVIDER_REJECTED"),
        ("needs_review", "UNDER_REVIEW", "PROVIDER_NEEDS_REVIEW"),
    ] {
        let id = waiting(&app, Country::Es).await;
        let message = confirmed(&id).with("outcome", outcome).with("reason", "insufficient history");
        assert_eq!(message.send(&app).await.expect(200)["status"], status);
        assert_eq!(app.reasons(&id).await, [code]);
        let reason = format!("SELECT change_reason FROM applications WHERE id = '{id}'");
        assert_eq!(app.sql(&reason).await, format!("{code}: insufficient history"));
        let risk = format!("SELECT risk_score >= 50 FROM applications WHERE id = '{id}'");
        assert_eq!(app.sql(&risk).await, (outcome == "rejected").to_string());
    }
}

#[actix_rt::test]
async fn a_reason_that_names_the_applicant_is_not_written_to_the_audit_trail() {
    let app = TestApp::start_idle().await;
    let id = waiting(&app, Country::Es).await;
    let message = confirmed(&id).with("outcome", "rejected").with("reason", "GARCIA has debts elsewhere");
    message.send(&app).await.expect(200);
    let reason = format!("SELECT change_reason FROM applications WHERE id = '{id}'");
    assert_eq!(app.sql(&reason).await, "PROVIDER_REJECTED");
}

#[actix_rt::test]
async fn the_countrys_rules_decide_on_the_figures_of_a_confirmation() {
    let app = TestApp::start_idle().await;
    for (figures, status, reasons) in [
        (json!({"credit_score": 480}), "REJECTED", vec!["SCORE_TOO_LOW"]),
        (json!({"credit_score": null}), "UNDER_REVIEW", vec!["MISSING_CREDIT_SCORE"]),
        (json!({"monthly_obligations": "2000.00"}), "REJECTED", vec!["DTI_TOO_HIGH"]),
    ] {
        let id = waiting(&app, Country::Es).await;
        let mut message = confirmed(&id);
        for (name, value) in figures.as_object().unwrap() {
            message = message.with(name, value.clone());
        }
        assert_eq!(message.send(&app).await.expect(200)["status"], status, "{figures}");
        assert_eq!(app.reasons(&id).await, reasons);
    }
}

#[actix_rt::test]
async fn a_finished_application_is_not_changed_and_the_webhook_is_stored() {
    let app = TestApp::start_idle().await;
    let approved = waiting(&app, Country::Es).await;
    confirmed(&approved).send(&app).await.expect(200);
    let rejected = waiting(&app, Country::Es).await;
    confirmed(&rejected).with("outcome", "rejected").send(&app).await.expect(200);
    let cancelled = waiting(&app, Country::Es).await;
    app.patch(&format!("/api/v1/applications/{cancelled}"), &json!({"status": "CANCELLED"}))
        .await
        .expect(200);
    let deleted = waiting(&app, Country::Es).await;
    app.delete(&format!("/api/v1/applications/{deleted}")).await;
    let versions = "SELECT string_agg(version::text, ' ' ORDER BY id) FROM applications";
    let before = app.sql(versions).await;
    for (id, status) in
        [(&approved, "APPROVED"), (&rejected, "REJECTED"), (&cancelled, "CANCELLED"), (&deleted, "PENDING")]
    {
        let answer = confirmed(id).with("outcome", "needs_review").send(&app).await.expect(200);
        assert_eq!((&answer["applied"], &answer["status"]), (&json!(false), &json!(status)));
    }
    assert_eq!(app.sql(versions).await, before);
    assert_eq!(app.sql("SELECT count(*) FROM webhook_events WHERE status = 'ignored'").await, "4");
}

#[actix_rt::test]
async fn a_webhook_older_than_an_applied_one_changes_nothing() {
    let app = TestApp::start_idle().await;
    let id = waiting(&app, Country::Es).await;
    let at = |outcome: &str, day: u32| {
        confirmed(&id).with("outcome", outcome).with("occurred_at", format!("2026-01-{day:02}T12:00:00Z"))
    };
    assert_eq!(at("needs_review", 20).send(&app).await.expect(200)["applied"], true);
    assert_eq!(at("rejected", 19).send(&app).await.expect(200)["applied"], false);
    assert_eq!(at("confirmed", 21).send(&app).await.expect(200)["applied"], true);
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING UNDER_REVIEW APPROVED");
}

#[actix_rt::test]
async fn a_webhook_from_the_future_is_rejected_and_does_not_block_later_ones() {
    let app = TestApp::start_idle().await;
    let id = waiting(&app, Country::Es).await;
    let now = app.engine().resources.clock.now();
    let at = |outcome: &str, seconds: i64| {
        let time = now + chrono::TimeDelta::seconds(seconds);
        confirmed(&id).with("outcome", outcome).with("occurred_at", time.to_rfc3339())
    };
    for message in [at("needs_review", 360), at("needs_review", 360 * 86_400)] {
        let early = [message.send(&app).await, message.send_legacy(&app, SECRET).await];
        for answer in early {
            assert_eq!(answer.field_errors(), ["/occurred_at in_the_future"]);
            answer.expect(422);
        }
    }
    assert_eq!(app.sql("SELECT count(*) FROM webhook_events").await, "0");
    // Small differences between clocks are tolerated.
    assert_eq!(at("needs_review", 240).send(&app).await.expect(200)["applied"], true);
    assert_eq!(at("confirmed", 241).send(&app).await.expect(200)["applied"], true);
}

#[actix_rt::test]
async fn omitted_figures_keep_their_earlier_values() {
    let app = TestApp::start(&[]).await;
    let large = with(body(Country::Es, "12345678Z"), "requested_amount", "25000.00");
    let id = app.submit(&with(large, "monthly_income", "6000.00")).await;
    app.reaches(&id, "UNDER_REVIEW").await;
    let bare = confirmed(&id).without("credit_score").without("total_debt").without("monthly_obligations");
    assert_eq!(bare.with("has_defaults", true).send(&app).await.expect(200)["status"], "REJECTED");
    let stored_figures = format!(
        "SELECT concat_ws(' ', banking_data ->> 'credit_score', banking_data ->> 'monthly_obligations', \
         banking_data ->> 'has_defaults', banking_data ->> 'account_status') FROM applications WHERE id = '{id}'"
    );
    assert_eq!(app.sql(&stored_figures).await, "720 300.00 true active");
    assert_eq!(app.sql("SELECT count(*) FROM decisions").await, "2");
}

#[actix_rt::test]
async fn a_fallback_decision_is_replaced_by_a_webhook_and_no_longer_repeated() {
    let app = TestApp::start(&[
        ("AVAL__REDECISION__MIN_INTERVAL_MS", "600000"),
        ("AVAL__REDECISION__MAX_INTERVAL_MS", "600000"),
    ])
    .await;
    let id = app.submit(&body(Country::Es, "90000011E")).await;
    app.reaches(&id, "UNDER_REVIEW").await;
    assert_eq!(app.sql("SELECT count(*) FROM provider_retries").await, "1");
    let message = confirmed(&id).without("total_debt");
    assert_eq!(message.send(&app).await.expect(200)["status"], "APPROVED");
    assert_eq!(app.sql("SELECT count(*) FROM provider_retries").await, "0");
    let stored_debt = "SELECT banking_data ->> 'total_debt' FROM applications";
    assert_eq!(app.sql(stored_debt).await, "", "fallback figures must not be kept");
}

#[actix_rt::test]
async fn a_webhook_takes_precedence_over_a_call_in_flight() {
    let app = TestApp::start(&[]).await;
    app.simulator().script().set_latency(Country::Es, Duration::from_millis(700));
    let id = waiting(&app, Country::Es).await;
    app.reaches(&id, "VALIDATING").await;
    assert_eq!(confirmed(&id).with("outcome", "rejected").send(&app).await.expect(200)["status"], "REJECTED");
    let lost = r#"worker_tasks_total{status="lease_lost",task_name="process_credit_application"}"#;
    eventually("the actor to lose its lease", async || (app.metric(lost).await == 1.0).then_some(())).await;
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING REJECTED");
    assert_eq!(app.sql("SELECT count(*) FROM decisions").await, "1");
    assert_eq!(app.sql("SELECT count(*) FROM failed_jobs").await, "0");
    assert_eq!(app.sql("SELECT count(*) FROM pending_jobs").await, "0");
}
