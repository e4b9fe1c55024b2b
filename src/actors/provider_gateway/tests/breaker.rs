//! The circuit breaker: transitions, probes, fallbacks and overrides.

use super::*;

#[actix_rt::test]
async fn five_failures_open_the_breaker_and_the_sixth_call_falls_back_without_a_request() {
    let rig = Rig::new();
    rig.open_spain().await;
    assert_eq!((rig.gauge(Country::Es), rig.script.hits()), (1, 5));
    let answer = rig.fetch(Country::Es).await;
    let BankingAnswer::CircuitOpen(data) = answer else { panic!("{answer:?}") };
    assert_eq!(data.provider_name, "Scripted Bureau (FALLBACK - Circuit Open)");
    assert_eq!(data.additional_data["circuit_state"], "open");
    assert_eq!(rig.script.hits(), 5);

    assert!(is_report(&rig.fetch(Country::Mx).await));
    let mexico = rig.status(Country::Mx).await.snapshot;
    assert_eq!((mexico.state, mexico.failures, rig.gauge(Country::Mx)), (State::Closed, 0, 0));
}

#[actix_rt::test]
async fn a_fallback_takes_less_than_a_millisecond_and_makes_no_call() {
    let rig = Rig::new();
    rig.open_spain().await;
    let began = Instant::now();
    for _ in 0..2_000 {
        assert!(is_fallback(&rig.fetch(Country::Es).await));
    }
    let each = began.elapsed() / 2_000;
    assert!(each < Duration::from_millis(1), "each took {each:?}, including the mailbox");
    assert_eq!(rig.script.hits(), 5);
    // The first fallback was the response to the failure that opened the breaker.
    assert_eq!(rig.counted(Country::Es, "circuit_open"), 2_001);
}

#[actix_rt::test]
async fn exactly_one_of_a_hundred_half_open_calls_reaches_the_bureau() {
    let rig = Rig::new();
    rig.open_spain().await;
    rig.parts.clock.advance(Duration::from_secs(60));
    rig.script.play(Country::Es, [Step::Gate]);
    let answered = AtomicUsize::new(0);
    let calls = join_all((0..100).map(|_| async {
        let answer = rig.fetch(Country::Es).await;
        answered.fetch_add(1, Ordering::SeqCst);
        answer
    }));
    let open_the_gate = async {
        rig.wait_for_hits(6).await;
        while answered.load(Ordering::SeqCst) < 99 {
            tokio::task::yield_now().await;
        }
        assert_eq!(rig.gauge(Country::Es), 2);
        rig.script.gate.add_permits(1);
    };
    let (answers, ()) = tokio::join!(calls, open_the_gate);
    assert_eq!(answers.iter().filter(|answer| is_report(answer)).count(), 1);
    assert_eq!(answers.iter().filter(|answer| is_fallback(answer)).count(), 99);
    assert_eq!(rig.script.hits(), 6);
    assert_eq!(rig.state(Country::Es).await, State::Closed);
}

#[actix_rt::test]
async fn a_successful_probe_closes_the_breaker_and_reports_the_recovery_once() {
    let rig = Rig::new();
    rig.open_spain().await;
    assert!(rig.recovered.lock().unwrap().is_empty());
    rig.parts.clock.advance(Duration::from_secs(60));
    assert!(rig.status(Country::Es).await.snapshot.is_ready_for_probe());
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert_eq!(*rig.recovered.lock().unwrap(), [Country::Es]);
    assert_eq!(rig.gauge(Country::Es), 0);
    let transitions = &rig.parts.metrics.provider_circuit_breaker_transitions_total;
    for to in ["open", "half_open", "closed"] {
        assert_eq!(transitions.with_label_values(&["ES", "scripted_bureau", to]).get(), 1, "{to}");
    }
}

#[actix_rt::test]
async fn a_failed_probe_opens_the_breaker_for_twice_as_long() {
    let rig = Rig::with(|spain| spain.call.retries = 2);
    rig.script.play(Country::Es, vec![Step::Status(500); 6]);
    rig.fetch(Country::Es).await;
    rig.fetch(Country::Es).await;
    rig.parts.clock.advance(Duration::from_secs(60));
    assert!(is_fallback(&rig.fetch(Country::Es).await));
    assert_eq!(rig.script.hits(), 6, "a probe must not be retried");
    assert_eq!(rig.status(Country::Es).await.snapshot.retry_in, Duration::from_secs(120));
}

#[actix_rt::test]
async fn slow_responses_open_the_breaker() {
    let rig = Rig::with(|spain| spain.breaker.min_calls = 4);
    rig.script.play(Country::Es, vec![Step::Slow(Duration::from_millis(3_001)); 4]);
    for _ in 0..4 {
        assert!(is_report(&rig.fetch(Country::Es).await));
    }
    assert_eq!(rig.state(Country::Es).await, State::Open);
    assert!(rig.log().contains("\"cause\":\"slow_rate\""));
}

#[actix_rt::test]
async fn after_a_dropped_probe_the_next_call_is_the_probe() {
    let rig = Rig::new();
    rig.open_spain().await;
    rig.parts.clock.advance(Duration::from_secs(60));
    rig.script.play(Country::Es, [Step::Hang]);
    let probe = actix_rt::spawn(rig.ask(Country::Es));
    rig.wait_for_hits(6).await;
    assert!(is_fallback(&rig.fetch(Country::Es).await));
    probe.abort();
    rig.wait_for_spain("ready for a probe", |spain| spain.snapshot.is_ready_for_probe()).await;
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert_eq!(rig.state(Country::Es).await, State::Closed);
}

#[actix_rt::test]
async fn a_probe_with_429_leaves_the_breaker_half_open() {
    let rig = Rig::new();
    rig.open_spain().await;
    rig.parts.clock.advance(Duration::from_secs(60));
    rig.script.play(Country::Es, [Step::StatusWithHeader(429, "retry-after", "5")]);
    assert!(matches!(rig.fetch(Country::Es).await, BankingAnswer::RateLimited { .. }));
    assert!(matches!(rig.fetch(Country::Es).await, BankingAnswer::RateLimited { .. }));
    assert_eq!((rig.state(Country::Es).await, rig.script.hits()), (State::HalfOpen, 6));
    rig.parts.clock.advance(Duration::from_secs(5));
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert_eq!(rig.state(Country::Es).await, State::Closed);
}

#[actix_rt::test]
async fn a_panic_of_the_gateway_ends_its_calls_and_its_replacement_starts_closed() {
    let rig = Rig::new();
    rig.open_spain().await;
    rig.script.play(Country::Mx, [Step::Hang]);
    let call_in_flight = actix_rt::spawn(rig.ask(Country::Mx));
    rig.wait_for_hits(6).await;
    rig.parts.faults.arm(FaultPoint::ProviderGateway, Some(Country::Es.code()), 1).unwrap();
    assert!(rig.ask(Country::Es).await.is_err(), "a mailbox error");
    rig.termination.wait().await;
    assert!(call_in_flight.await.unwrap().is_err(), "calls in flight must end with the actor");

    let (liveness, _termination) = LivenessGuard::pair();
    let next = ProviderGateway::new(rig.parts.clone(), liveness).start();
    let all = next.send(ReadBreakers).await.unwrap();
    assert!(all.iter().all(|status| status.snapshot.state == State::Closed && status.in_flight == 0));
    let labels = ["ES", "scripted_bureau"];
    assert_eq!(rig.parts.metrics.provider_circuit_breaker_state.with_label_values(&labels).get(), 0);
}

#[actix_rt::test]
async fn an_override_applies_from_the_next_call_survives_restarts_and_expires() {
    let rig = Rig::new();
    assert!(is_report(&rig.fetch(Country::Es).await));
    let left = Duration::from_secs(60);
    rig.parts.overrides.set(&[InForce { country: Country::Es, mode: CircuitMode::ForcedOpen, left }]);
    assert!(matches!(rig.fetch(Country::Es).await, BankingAnswer::CircuitOpen(_)));
    assert!(is_report(&rig.fetch(Country::Mx).await));
    let (liveness, _termination) = LivenessGuard::pair();
    let next = ProviderGateway::new(rig.parts.clone(), liveness).start();
    let all = next.send(ReadBreakers).await.unwrap();
    assert_eq!((all[0].snapshot.state, all[0].snapshot.mode), (State::Open, CircuitMode::ForcedOpen));
    let labels = ["ES", "scripted_bureau"];
    let mode = rig.parts.metrics.provider_circuit_breaker_mode.with_label_values(&labels);
    assert_eq!((mode.get(), rig.script.hits()), (1, 2));

    rig.parts.clock.advance(left);
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert_eq!((mode.get(), rig.state(Country::Es).await), (0, State::Closed));
    assert_eq!(
        *rig.recovered.lock().unwrap(),
        [Country::Es],
        "the end of the override must report the recovery"
    );
}
