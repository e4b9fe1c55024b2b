//! Actors that panic are restarted, each restart is counted, and no work is lost.

use aval::domain::application::Country;
use aval::supervision::faults::FaultPoint;

use crate::support::engine::TestEngine;

/// The restarts that the default budget of an actor permits.
const RESTARTS: u32 = 3;
/// The number of attempts after which a job becomes a dead letter.
const ATTEMPTS: u32 = 3;

#[actix_rt::test]
async fn a_job_actor_that_panics_is_restarted_and_its_application_is_decided() {
    let test = TestEngine::start(&[]).await;
    test.engine.resources.faults.arm(FaultPoint::ApplicationActor, Some(Country::Es.code()), 2).unwrap();
    let id = test.submit(Country::Es, "12345678Z").await;
    test.reaches(id, "APPROVED").await;
    assert_eq!(test.trail(id).await, "PENDING VALIDATING APPROVED");
    let restarts = &test.engine.resources.metrics.actor_restarts_total;
    assert_eq!(restarts.with_label_values(&["job"]).get(), 2);
    let attempts = test.text("SELECT attempt FROM job_history").await;
    assert_eq!(attempts.as_deref(), Some("1"), "a restart within the budget must not use an attempt");
}

#[actix_rt::test]
async fn an_application_whose_actor_keeps_panicking_goes_to_review_with_the_reason() {
    let test = TestEngine::start(&[]).await;
    test.engine.resources.faults.arm(FaultPoint::ApplicationActor, Some(Country::Es.code()), 1000).unwrap();
    let id = test.submit(Country::Es, "12345678Z").await;
    let other = test.submit(Country::Mx, "HERM850101MDFRRR08").await;
    test.reaches(other, "APPROVED").await;
    test.reaches(id, "UNDER_REVIEW").await;
    assert_eq!(test.trail(id).await, "PENDING VALIDATING UNDER_REVIEW");
    assert_eq!(test.text("SELECT count(*) FROM pending_jobs").await.as_deref(), Some("0"));
    let dead_letter = test.text("SELECT error_type || ' ' || attempts FROM failed_jobs").await;
    assert_eq!(dead_letter.as_deref(), Some("panicked 3"));
    let reason = test
        .text(&format!("SELECT change_reason FROM audit_logs WHERE application_id = '{id}' AND version = 3"))
        .await
        .unwrap();
    assert!(reason.contains("panicked"), "{reason}");
    let errors = test.text(&format!("SELECT validation_errors FROM applications WHERE id = '{id}'")).await;
    assert!(errors.unwrap().contains("panicked"));
    let restarts = &test.engine.resources.metrics.actor_restarts_total;
    let expected = u64::from((RESTARTS + 1) * ATTEMPTS);
    assert_eq!(restarts.with_label_values(&["job"]).get(), expected);
}

#[actix_rt::test]
async fn every_permanent_actor_survives_a_panic_and_work_continues() {
    for (point, name) in [
        (FaultPoint::ProviderGateway, "provider_gateway"),
        (FaultPoint::Scheduler, "scheduler"),
        (FaultPoint::Supervisor, "supervisor"),
    ] {
        let test = TestEngine::start(&[]).await;
        test.engine.resources.faults.arm(point, None, 1).unwrap();
        let id = test.submit(Country::Es, "12345678Z").await;
        test.reaches(id, "APPROVED").await;
        assert_eq!(test.trail(id).await, "PENDING VALIDATING APPROVED", "{name}");
        let restarts = &test.engine.resources.metrics.actor_restarts_total;
        assert_eq!(restarts.with_label_values(&[name]).get(), 1, "{name}");
    }
}

#[actix_rt::test]
async fn a_panicking_write_batcher_returns_an_error_and_its_replacement_writes() {
    let test = TestEngine::start(&[("AVAL__ACTORS__WRITE_BATCHERS", "1")]).await;
    test.engine.resources.faults.arm(FaultPoint::WriteBatcher, None, 1).unwrap();
    let clock = &test.engine.resources.clock;
    let row = || crate::support::engine::application(clock, Country::Es, "12345678Z");
    let error = aval::lending::submit::insert(&test.engine.write_batchers, row())
        .await
        .expect_err("the write batcher must have panicked");
    assert!(error.retryable(), "{error}");
    crate::support::eventually("the next write batcher", async || {
        aval::lending::submit::insert(&test.engine.write_batchers, row()).await.ok()
    })
    .await;
}

#[actix_rt::test]
async fn an_actor_that_keeps_panicking_ends_the_process() {
    let test = TestEngine::start(&[]).await;
    test.engine.resources.faults.arm(FaultPoint::Scheduler, None, 1000).unwrap();
    for _ in 0..=RESTARTS {
        test.submit(Country::Es, "12345678Z").await;
        let restarts = test.engine.resources.metrics.actor_restarts_total.with_label_values(&["scheduler"]);
        let before = restarts.get();
        crate::support::eventually("a restart or the end of the process", async || {
            test.engine.handles.scheduler.hint(aval::actors::scheduler::Wake);
            (restarts.get() > before || test.engine.fatal.is_cancelled()).then_some(())
        })
        .await;
    }
    assert!(test.engine.fatal.is_cancelled());
}
