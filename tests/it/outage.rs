//! Failing bureaus: circuit breakers, fallback figures, and re-decisions after the recovery.

use aval::actors::provider_gateway::{BankingAnswer, FetchBankingData, ReadBreakers};
use aval::domain::application::Country;
use aval::domain::ids::ApplicationId;
use aval::domain::personal_data::{FullName, IdentityDocument};
use aval::providers::Subject;
use aval::resilience::circuit_breaker::State;

use crate::support::engine::TestEngine;
use crate::support::eventually;

async fn state(test: &TestEngine, country: Country) -> State {
    let breakers = test.engine.handles.gateway.ask(ReadBreakers).await.unwrap();
    breakers.iter().find(|breaker| breaker.country == country).unwrap().snapshot.state
}

async fn reasons(test: &TestEngine, id: ApplicationId) -> String {
    let query = format!(
        "SELECT string_agg(reasons::text || ' ' || status || ' ' || provider_available, ' | ' ORDER BY decided_at) \
         FROM decisions WHERE application_id = '{id}'"
    );
    test.text(&query).await.unwrap_or_default()
}

#[actix_rt::test]
async fn five_failures_open_spains_breaker_and_fallback_decisions_are_repeated_automatically() {
    let test = TestEngine::start(&[("AVAL__PROVIDERS__DEFAULTS__BREAKER__OPEN_MS", "2000")]).await;
    let simulator = test.engine.simulator.as_ref().unwrap();
    simulator.script().fail_next(Country::Es, 5);
    let mut spanish = Vec::new();
    for _ in 0..5 {
        spanish.push(test.submit(Country::Es, "12345678Z").await);
    }
    eventually("the breaker to open", async || {
        (state(&test, Country::Es).await == State::Open).then_some(())
    })
    .await;
    eventually("the calls in flight to end", async || (simulator.in_flight(Country::Es) == 0).then_some(()))
        .await;
    let calls = simulator.calls(Country::Es);
    let sixth = test.submit(Country::Es, "12345678Z").await;
    spanish.push(sixth);
    test.reaches(sixth, "UNDER_REVIEW").await;
    assert_eq!(simulator.calls(Country::Es), calls, "an open breaker must make no calls");
    assert_eq!(reasons(&test, sixth).await, "[\"PROVIDER_UNAVAILABLE\"] UNDER_REVIEW false");
    let figures = test
        .text(&format!(
            "SELECT concat_ws(' ', banking_data ->> 'provider_name', banking_data ->> 'credit_score', \
             banking_data ->> 'total_debt', risk_score) FROM applications WHERE id = '{sixth}'"
        ))
        .await;
    assert_eq!(figures.as_deref(), Some("ASNEF-CIRBE (FALLBACK - Circuit Open) 500 50000.00"));

    let mexican = test.submit(Country::Mx, "HERM850101MDFRRR08").await;
    test.reaches(mexican, "APPROVED").await;
    assert_eq!(state(&test, Country::Mx).await, State::Closed);

    for id in spanish {
        test.reaches(id, "APPROVED").await;
    }
    assert_eq!(test.trail(sixth).await, "PENDING VALIDATING UNDER_REVIEW APPROVED");
    assert!(reasons(&test, sixth).await.ends_with("[] APPROVED true"), "{}", reasons(&test, sixth).await);
    assert_eq!(test.text("SELECT count(*) FROM provider_retries").await.as_deref(), Some("0"));
    assert_eq!(state(&test, Country::Es).await, State::Closed);
}

#[actix_rt::test]
async fn a_reviewers_decision_made_meanwhile_is_kept() {
    let test = TestEngine::start(&[
        ("AVAL__PROVIDERS__DEFAULTS__BREAKER__CONSECUTIVE_FAILURES", "1"),
        ("AVAL__REDECISION__MIN_INTERVAL_MS", "1"),
        ("AVAL__PROVIDERS__DEFAULTS__BREAKER__OPEN_MS", "2000"),
    ])
    .await;
    test.engine.simulator.as_ref().unwrap().script().fail_next(Country::Es, 1);
    let id = test.submit(Country::Es, "12345678Z").await;
    test.reaches(id, "UNDER_REVIEW").await;
    let mut sql = test.database.connect().await;
    crate::support::db::execute(&mut sql, "UPDATE applications SET status = 'REJECTED'").await.unwrap();
    let probe = test.submit(Country::Es, "12345678Z").await;
    test.reaches(probe, "APPROVED").await;
    assert_eq!(test.trail(id).await, "PENDING VALIDATING UNDER_REVIEW REJECTED");
    assert_eq!(test.text("SELECT count(*) FROM provider_retries").await.as_deref(), Some("0"));
}

#[actix_rt::test]
async fn an_application_whose_calls_fail_in_the_last_attempt_goes_to_review_and_its_job_completes() {
    let test = TestEngine::start(&[
        ("AVAL__PROVIDERS__DEFAULTS__BREAKER__CONSECUTIVE_FAILURES", "100"),
        ("AVAL__PROVIDERS__DEFAULTS__BREAKER__MIN_CALLS", "100"),
    ])
    .await;
    test.engine.simulator.as_ref().unwrap().script().fail_next(Country::Br, 9);
    let id = test.submit(Country::Br, "12345678909").await;
    test.reaches(id, "UNDER_REVIEW").await;
    assert!(reasons(&test, id).await.starts_with("[\"PROVIDER_UNAVAILABLE\"]"));
    let job =
        test.text("SELECT result || ' ' || attempt FROM job_history ORDER BY finished_at LIMIT 1").await;
    assert_eq!(job.as_deref(), Some("completed 3"));
    assert_eq!(test.text("SELECT count(*) FROM failed_jobs").await.as_deref(), Some("0"));
    test.reaches(id, "APPROVED").await;
}

#[actix_rt::test]
async fn an_open_breaker_responds_within_a_millisecond() {
    let test = TestEngine::start(&[
        ("AVAL__PROVIDERS__DEFAULTS__BREAKER__CONSECUTIVE_FAILURES", "1"),
        ("AVAL__PROVIDERS__DEFAULTS__BREAKER__OPEN_MS", "60000"),
    ])
    .await;
    test.engine.simulator.as_ref().unwrap().script().fail_next(Country::Es, 1);
    let request = || FetchBankingData {
        country: Country::Es,
        subject: Subject {
            full_name: FullName::parse("Ana García").unwrap(),
            identity_document: IdentityDocument::from_normalized("12345678Z".to_owned()),
        },
        application_id: ApplicationId::new(test.engine.resources.clock.new_uuid()),
        request_id: None,
        trace: aval::telemetry::trace::Carried::capture(),
    };
    let _opened = test.engine.handles.gateway.ask(request()).await.unwrap().unwrap();
    let mut times = Vec::new();
    for _ in 0..200 {
        let started = std::time::Instant::now();
        let answer = test.engine.handles.gateway.ask(request()).await.unwrap().unwrap();
        times.push(started.elapsed());
        assert!(matches!(answer, BankingAnswer::CircuitOpen(_)), "{answer:?}");
    }
    times.sort();
    let median = times[times.len() / 2];
    assert!(median < std::time::Duration::from_millis(1), "median {median:?}");
}

#[actix_rt::test]
async fn a_full_bulkhead_snoozes_jobs_without_costing_attempts() {
    let test = TestEngine::start(&[
        ("AVAL__PROVIDERS__CO__CALL__MAX_IN_FLIGHT", "1"),
        ("AVAL__PROVIDERS__CO__CALL__MAX_QUEUED", "0"),
    ])
    .await;
    let simulator = test.engine.simulator.as_ref().unwrap();
    simulator.script().set_latency(Country::Co, std::time::Duration::from_millis(30));
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(test.submit(Country::Co, "1234567890").await);
    }
    for id in ids {
        test.reaches(id, "APPROVED").await;
    }
    let attempts = test.text("SELECT max(attempt) FROM job_history").await;
    assert_eq!(attempts.as_deref(), Some("1"));
}

#[actix_rt::test]
async fn a_bureau_that_always_responds_429_does_not_delay_the_decision_forever() {
    let test = TestEngine::start(&[("AVAL__JOBS__TIMEOUT_MS", "1000")]).await;
    let id = test.submit(Country::Es, "90000016G").await;
    test.reaches(id, "UNDER_REVIEW").await;
    assert_eq!(reasons(&test, id).await, "[\"PROVIDER_UNAVAILABLE\"] UNDER_REVIEW false");
    assert_eq!(test.trail(id).await, "PENDING VALIDATING UNDER_REVIEW");
    assert_eq!(state(&test, Country::Es).await, State::Closed, "a 429 must not count as a failure");
}

#[actix_rt::test]
async fn a_hanging_bureau_does_not_block_other_countries() {
    let test = TestEngine::start(&[("AVAL__PROVIDERS__ES__CALL__CALL_TIMEOUT_MS", "60000")]).await;
    let simulator = test.engine.simulator.as_ref().unwrap();
    simulator.script().set_latency(Country::Es, std::time::Duration::from_secs(60));
    for _ in 0..120 {
        test.submit(Country::Es, "12345678Z").await;
    }
    let bulkhead = test.engine.resources.settings.providers.of(Country::Es).call.max_in_flight;
    eventually("Spain's bulkhead to fill", async || {
        (simulator.in_flight(Country::Es) >= bulkhead.into()).then_some(())
    })
    .await;
    let mexican = test.submit(Country::Mx, "HERM850101MDFRRR08").await;
    test.reaches(mexican, "APPROVED").await;
}
