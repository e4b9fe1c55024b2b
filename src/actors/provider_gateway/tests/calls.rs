//! Single calls: requests, responses, failures, retries and logs.

use super::*;

#[test]
fn a_base_url_must_be_absolute() {
    for bad in ["", "bureau", "/v1", "ftp://bureau/v1", "http://", "http://bureau/v1?key=1"] {
        let endpoint = Endpoint::new(&PlainFormat(Country::Es), bad, call_settings(), breaker_settings());
        assert!(matches!(endpoint, Err(Error::Configuration(_))), "{bad:?}");
    }
}

#[actix_rt::test]
async fn a_report_is_returned_and_the_request_carries_its_headers() {
    let rig = Rig::new();
    assert_eq!((rig.gauge(Country::Es), rig.gauge(Country::Mx)), (0, 0));
    assert!(is_report(&rig.fetch(Country::Es).await));
    let seen = rig.script.seen.lock().unwrap().clone();
    let [Seen { country, headers, body }] = seen.as_slice() else { panic!("one request") };
    assert_eq!((country.as_str(), body.as_str()), ("es", "{\"document\":\"99887766Q\"}"));
    for (name, value) in [
        ("x-request-id", "req-1"),
        ("traceparent", TRACE),
        ("content-type", "application/json"),
        ("accept", "application/vnd.report+json"),
    ] {
        assert_eq!(headers[name], value);
    }
    assert_eq!(rig.counted(Country::Es, "success"), 1);
}

#[actix_rt::test]
async fn each_kind_of_failure_is_distinguished_and_counts_for_the_breaker() {
    let rig = Rig::with(|spain| {
        spain.call.call_timeout_ms = 300;
        spain.breaker.consecutive_failures = 100;
        spain.breaker.min_calls = 100;
    });
    for (failures, (step, expected)) in (1..).zip([
        (Step::Status(500), "server_error"),
        (Step::Status(503), "server_error"),
        (Step::Status(401), "unauthorized"),
        (Step::Status(403), "unauthorized"),
        (Step::Status(204), "malformed"),
        (Step::StatusWithHeader(307, "location", "/mx/reports"), "malformed"),
        (Step::Body("<html>".to_owned()), "malformed"),
        (Step::Body(format!("{{{}}}", " ".repeat(9_999))), "malformed"),
        (Step::Truncated, "connect"),
        (Step::Hang, "timeout"),
    ]) {
        rig.script.play(Country::Es, [step]);
        let before = rig.counted(Country::Es, expected);
        assert_eq!(reason(&rig.fetch(Country::Es).await), expected);
        assert_eq!(rig.counted(Country::Es, expected), before + 1);
        assert_eq!(rig.status(Country::Es).await.snapshot.consecutive_failures, failures);
        assert_eq!(
            rig.script.hits(),
            usize::try_from(failures).unwrap(),
            "no request is redirected or repeated"
        );
    }
}

#[actix_rt::test]
async fn the_largest_allowed_body_is_read() {
    let rig = Rig::new();
    rig.script.play(Country::Es, [Step::Body(format!("{{{}}}", " ".repeat(9_998)))]);
    assert!(is_report(&rig.fetch(Country::Es).await));
}

#[actix_rt::test]
async fn an_unreachable_bureau_is_a_failed_connection() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = Rig::with(|spain| spain.base_url = format!("http://{free}"));
    assert_eq!(reason(&rig.fetch(Country::Es).await), "connect");
}

#[actix_rt::test]
async fn a_failed_tls_handshake_is_a_failed_connection_without_panic() {
    let rig = Rig::with(|spain| spain.base_url = spain.base_url.replace("http://", "https://"));
    assert_eq!(reason(&rig.fetch(Country::Es).await), "connect");
}

#[actix_rt::test]
async fn other_client_errors_count_as_success() {
    let rig = Rig::new();
    rig.script
        .play(Country::Es, [Step::Status(500), Step::Status(404), Step::Status(500), Step::Status(422)]);
    rig.fetch(Country::Es).await;
    let thin = rig.fetch(Country::Es).await;
    assert!(matches!(&thin, BankingAnswer::Report(data) if data.is_thin_file()), "{thin:?}");
    assert_eq!(rig.status(Country::Es).await.snapshot.consecutive_failures, 0);
    rig.fetch(Country::Es).await;
    assert_eq!(reason(&rig.fetch(Country::Es).await), "refused");
    assert_eq!(rig.status(Country::Es).await.snapshot.consecutive_failures, 0);
}

#[actix_rt::test]
async fn rejected_credentials_are_logged_as_an_alert_and_not_retried() {
    let rig = Rig::with(|spain| spain.call.retries = 2);
    rig.script.play(Country::Es, [Step::Status(401)]);
    assert_eq!(reason(&rig.fetch(Country::Es).await), "unauthorized");
    assert_eq!(rig.script.hits(), 1);
    let log = rig.log();
    let alert =
        log.lines().find(|line| line.contains("\"alert\":\"provider_credentials\"")).expect("an alert");
    assert!(alert.contains("\"level\":\"CRIT\"") && alert.contains("\"request_id\":\"req-1\""), "{alert}");
}

#[actix_rt::test]
async fn a_failing_call_is_retried_and_every_attempt_counts() {
    let rig = Rig::with(|spain| spain.call.retries = 2);
    rig.script.play(Country::Es, [Step::Status(500), Step::Body("?".to_owned())]);
    assert!(is_report(&rig.fetch(Country::Es).await));
    let spain = rig.status(Country::Es).await.snapshot;
    assert_eq!((rig.script.hits(), spain.calls, spain.failures), (3, 3, 2));

    rig.script.play(Country::Es, vec![Step::Status(500); 5]);
    assert_eq!(reason(&rig.fetch(Country::Es).await), "server_error");
    assert_eq!(rig.script.hits(), 6);
    let opened_during_retries = rig.fetch(Country::Es).await;
    assert!(is_fallback(&opened_during_retries), "{opened_during_retries:?}");
    assert_eq!(rig.script.hits(), 8, "the fifth consecutive failure must end the retries");
}

#[actix_rt::test]
async fn retries_stop_when_the_budget_is_exhausted_and_resume_a_minute_later() {
    let rig = Rig::with(|spain| {
        spain.call.retries = 2;
        spain.call.retry_budget_min_per_minute = 3;
        spain.breaker.consecutive_failures = 100;
        spain.breaker.min_calls = 100;
    });
    rig.script.play(Country::Es, vec![Step::Status(500); 20]);
    let mut requests = Vec::new();
    for _ in 0..4 {
        let before = rig.script.hits();
        rig.fetch(Country::Es).await;
        requests.push(rig.script.hits() - before);
    }
    assert_eq!(requests, [3, 2, 1, 1]);
    rig.parts.clock.advance(Duration::from_secs(60));
    rig.fetch(Country::Es).await;
    assert_eq!(rig.script.hits(), 7 + 3);
}

#[actix_rt::test]
async fn a_panic_of_an_adapter_fails_only_its_call() {
    let rig = Rig::with(|spain| spain.call.max_in_flight = 1);
    rig.script.play(Country::Es, [Step::Body(format!("surprise {DOCUMENT}"))]);
    for name in [NAME, "Panic"] {
        let answer = rig.ask_about(Country::Es, name).await.unwrap();
        assert!(matches!(answer, Err(Error::Panicked { what: "provider call", .. })), "{answer:?}");
    }
    let spain = rig.status(Country::Es).await;
    assert_eq!((spain.in_flight, spain.snapshot.calls), (0, 0));
    assert!(is_report(&rig.fetch(Country::Es).await));
    assert!(rig.log().contains("bureau call panicked"));
    assert!(!rig.log().contains(DOCUMENT), "{}", rig.log());
}

#[actix_rt::test]
async fn logs_describe_calls_without_personal_data() {
    let rig = Rig::with(|spain| spain.call.retries = 1);
    rig.script
        .play(Country::Es, [Step::Status(500), Step::Body(format!("{{\"document\": \"{DOCUMENT}\"}}"))]);
    rig.fetch(Country::Es).await;
    rig.script.play(Country::Es, vec![Step::Status(500); 3]);
    rig.fetch(Country::Es).await;
    rig.fetch(Country::Es).await;
    rig.parts.clock.advance(Duration::from_secs(60));
    rig.fetch(Country::Es).await;
    let log = rig.log();
    for expected in [
        "bureau call failed",
        "\"status\":\"malformed\"",
        "\"application_id\":\"00000000-0000-0000-0000-000000000000\"",
        "\"request_id\":\"req-1\"",
        "\"country\":\"ES\"",
        "\"logger\":\"provider_gateway\"",
        "circuit breaker opened",
        "\"open_ms\":60000",
        "\"failure_count\":5",
        "\"last_failure\":\"server_error: ",
        "circuit breaker half-open",
        "the bureau has recovered",
    ] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
    assert!(!log.contains(DOCUMENT) && !log.contains(NAME), "{log}");
}
