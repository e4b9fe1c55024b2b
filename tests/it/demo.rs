//! The demonstration (`make demo`) against a running instance.

use std::time::Duration;

use aval::app::App;
use aval::cli::demo::{self, DemoArgs};
use aval::clock::Clock;
use aval::error::Error;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::support::accounts;
use crate::support::db::TestDatabase;
use crate::support::engine::settings_on;

fn arguments(url: String, token: &str, with_outages: bool) -> DemoArgs {
    DemoArgs {
        url: Some(url),
        token: Some(token.into()),
        username: None,
        password: None,
        token_stdin: false,
        password_stdin: false,
        refused_token: None,
        refused_password: None,
        count: 60,
        rate: None,
        deadline: Some(60),
        with_outages,
        json: true,
    }
}

/// Runs the demonstration against a new instance and returns its report.
async fn demonstrate(with_outages: bool) -> Value {
    demonstrate_with(&[], |args| DemoArgs { with_outages, ..args }).await
}

async fn demonstrate_with(overrides: &[(&str, &str)], changed: impl Fn(DemoArgs) -> DemoArgs) -> Value {
    let database = TestDatabase::create().await;
    let own = [
        ("PORT", "0"),
        ("AVAL__APPLICATIONS__DUPLICATE_WINDOW_HOURS", "24"),
        ("AVAL__PROVIDERS__DEFAULTS__CALL__CALL_TIMEOUT_MS", "500"),
    ];
    let settings = settings_on(&database, &[&own, overrides].concat());
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let app = App::start(settings, Clock::system(), logger).await.unwrap();
    accounts::create(&mut database.connect().await).await;
    let token =
        app.engine().accounts.operator_token(accounts::ANALYST, Duration::from_secs(600)).await.unwrap();
    let mut output = Vec::new();
    let url = format!("http://{}", app.address());
    let arguments = changed(arguments(url, token.expose_secret(), false));
    let result = demo::run(arguments, Clock::system(), &mut output).await;
    app.shutdown().await;
    result.unwrap();
    serde_json::from_slice(&output).unwrap()
}

#[actix_rt::test]
async fn every_demonstrated_case_is_decided_as_expected_and_pushed_once_in_order() {
    let report = demonstrate(false).await;
    for (member, expected) in
        [("sent", 60), ("decided", 60), ("as_expected", 60), ("without_bureau", 0), ("refused", 0)]
    {
        assert_eq!(report[member], expected, "{member}: {report:#}");
    }
    assert_eq!(
        report["websocket"],
        json!({"updates": 180, "expected_updates": 180, "duplicates": 0, "out_of_order": 0})
    );
    let rejected = report["applications"].as_array().unwrap().iter().filter(|a| a["status"] == "REJECTED");
    assert!(rejected.clone().count() > 0);
    assert!(rejected.clone().all(|application| !application["reasons"].as_array().unwrap().is_empty()));
}

#[actix_rt::test]
async fn the_demonstration_adapts_to_rate_limits() {
    let limits = [
        ("AVAL__LIMITS__ENABLED", "true"),
        ("AVAL__LIMITS__CREATE__ANALYST__PER_MINUTE", "120"),
        ("AVAL__LIMITS__CREATE__ANALYST__BURST", "2"),
    ];
    let report = demonstrate_with(&limits, |args| DemoArgs { count: 6, ..args }).await;
    assert_eq!((&report["decided"], &report["refused"]), (&json!(6), &json!(0)), "{report:#}");
}

#[actix_rt::test]
async fn applications_during_outages_end_under_review_without_a_bureau_report() {
    let report = demonstrate(true).await;
    assert_eq!((&report["sent"], &report["decided"]), (&json!(66), &json!(66)), "{report:#}");
    assert_eq!(report["without_bureau"], 6, "{report:#}");
    assert_eq!(report["websocket"]["duplicates"], 0);
    assert_eq!(report["websocket"]["out_of_order"], 0);
}

#[actix_rt::test]
async fn without_a_server_the_demonstration_fails_immediately() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut output = Vec::new();
    let result = demo::run(arguments(url, "none", false), Clock::system(), &mut output).await;
    assert!(matches!(result, Err(Error::Unavailable { what: "the server", .. })));
    assert!(output.is_empty());
}
