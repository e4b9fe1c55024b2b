//! Admission of calls: the bulkhead, pauses after a 429, and abandoned calls.

use super::*;

#[actix_rt::test]
async fn a_full_bulkhead_refuses_calls_and_serves_the_others_in_order() {
    let rig = Rig::with(|spain| {
        spain.call.max_in_flight = 1;
        spain.call.max_queued = 3;
    });
    rig.script.play(Country::Es, vec![Step::Gate; 4]);
    let order = Mutex::new(Vec::new());
    let calls = join_all((0..4).map(|number| {
        let call = rig.ask(Country::Es);
        let order = &order;
        async move {
            assert!(is_report(&call.await.unwrap().unwrap()));
            order.lock().unwrap().push(number);
        }
    }));
    let others = async {
        rig.wait_for_spain("one in flight, three waiting", |spain| (spain.in_flight, spain.queued) == (1, 3))
            .await;
        assert!(matches!(rig.fetch(Country::Es).await, BankingAnswer::BulkheadFull));
        assert!(is_report(&rig.fetch(Country::Mx).await), "Mexico must have its own permits");
        rig.script.gate.add_permits(4);
    };
    tokio::join!(calls, others);
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
    let spain = rig.status(Country::Es).await;
    assert_eq!((spain.in_flight, spain.queued, spain.snapshot.failures), (0, 0, 0));
    assert_eq!(rig.counted(Country::Es, "bulkhead_full"), 1);
}

#[actix_rt::test]
async fn waiting_calls_fall_back_immediately_when_the_breaker_opens() {
    let rig = Rig::with(|spain| {
        spain.call.max_in_flight = 2;
        spain.breaker.consecutive_failures = 1;
    });
    rig.script.play(Country::Es, [Step::GateThenFail, Step::Hang]);
    let mut calls: VecDeque<_> = (0..12).map(|_| actix_rt::spawn(rig.ask(Country::Es))).collect();
    rig.wait_for_hits(2).await;
    rig.wait_for_spain("ten wait", |spain| spain.queued == 10).await;
    rig.script.gate.add_permits(1);
    let (failing, _hanging) = (calls.pop_front().unwrap(), calls.pop_front().unwrap());
    assert!(is_fallback(&failing.await.unwrap().unwrap().unwrap()));
    for waiting in calls {
        assert!(is_fallback(&waiting.await.unwrap().unwrap().unwrap()));
    }
    assert_eq!(rig.script.hits(), 2);
    assert_eq!(rig.status(Country::Es).await.in_flight, 1, "the hanging call must remain");
}

#[actix_rt::test]
async fn a_dropped_caller_releases_its_permit_and_its_place_in_the_queue() {
    let rig = Rig::with(|spain| spain.call.max_in_flight = 1);
    rig.script.play(Country::Es, [Step::Hang]);
    let call_in_flight = actix_rt::spawn(rig.ask(Country::Es));
    rig.wait_for_hits(1).await;
    let waiting = actix_rt::spawn(rig.ask(Country::Es));
    rig.wait_for_spain("one waits", |spain| spain.queued == 1).await;
    waiting.abort();
    rig.wait_for_spain("the queue is empty", |spain| spain.queued == 0).await;
    call_in_flight.abort();
    rig.wait_for_spain("nothing is in flight", |spain| spain.in_flight == 0).await;
    assert_eq!(
        rig.status(Country::Es).await.snapshot.calls,
        0,
        "an aborted call must not count for the breaker"
    );
    assert!(is_report(&rig.fetch(Country::Es).await));
}

#[actix_rt::test]
async fn a_bureau_that_responds_429_is_not_called_during_the_requested_pause() {
    let rig = Rig::with(|spain| spain.call.retries = 2);
    rig.script.play(Country::Es, [Step::StatusWithHeader(429, "retry-after", "30")]);
    let seconds = |answer: &BankingAnswer| match answer {
        BankingAnswer::RateLimited { retry_after } => retry_after.as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!(seconds(&rig.fetch(Country::Es).await), 30);
    rig.parts.clock.advance(Duration::from_secs(29));
    assert_eq!(seconds(&rig.fetch(Country::Es).await), 1);
    let spain = rig.status(Country::Es).await;
    assert_eq!((spain.snapshot.calls, spain.paused_for), (0, Some(Duration::from_secs(1))));
    assert_eq!(rig.script.hits(), 1);
    assert!(is_report(&rig.fetch(Country::Mx).await));
    rig.parts.clock.advance(Duration::from_secs(1));
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert_eq!(rig.status(Country::Es).await.paused_for, None);
}

#[actix_rt::test]
async fn calls_waiting_behind_a_429_are_answered_immediately() {
    let rig = Rig::with(|spain| spain.call.max_in_flight = 1);
    rig.script.play(Country::Es, [Step::StatusWithHeader(429, "retry-after", "9")]);
    for answer in join_all((0..20).map(|_| rig.fetch(Country::Es))).await {
        assert!(matches!(answer, BankingAnswer::RateLimited { retry_after } if retry_after.as_secs() == 9));
    }
    assert_eq!((rig.script.hits(), rig.status(Country::Es).await.in_flight), (1, 0));
}

#[actix_rt::test]
async fn a_country_without_a_bureau_is_an_internal_error() {
    let rig = Rig::new();
    assert!(matches!(rig.ask(Country::Pt).await.unwrap(), Err(Error::Internal(_))));
}

#[actix_rt::test]
async fn a_message_whose_response_is_not_awaited_makes_no_call() {
    let rig = Rig::new();
    rig.gateway
        .try_send(FetchBankingData {
            country: Country::Es,
            subject: Subject {
                full_name: FullName::parse(NAME).unwrap(),
                identity_document: IdentityDocument::from_normalized(DOCUMENT.to_owned()),
            },
            application_id: ApplicationId::new(Uuid::nil()),
            request_id: None,
            trace: Carried::capture(),
        })
        .unwrap();
    assert_eq!(rig.status(Country::Es).await.in_flight, 0);
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert_eq!(rig.script.hits(), 1);
}
