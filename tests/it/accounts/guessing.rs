//! Password guessing is slowed down without locking out the account's user.

use actix_web::http::Method;
use serde_json::json;

use super::{LOGIN, login};
use crate::support::accounts::{ADMIN, ANALYST, PASSWORD, USER};
use crate::support::app::{Answer, TestApp};

/// Signs in through a proxy, from `address`.
async fn login_from(app: &TestApp, address: &str, username: &str, password: &str) -> Answer {
    let body = json!({"username": username, "password": password}).to_string();
    let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", address)];
    app.anonymous().send(Method::POST, LOGIN, &headers, body).await
}

#[actix_rt::test]
async fn guesses_from_one_address_block_only_that_address_and_guesses_from_many_block_no_known_address() {
    let app = TestApp::start_idle_with(&[
        ("AVAL__LIMITS__ENABLED", "true"),
        ("AVAL__LIMITS__LOGIN__ADDRESS__BURST", "1000"),
        ("AVAL__LIMITS__LOGIN__USER__BURST", "1000"),
        ("AVAL__SERVER__TRUSTED_PROXIES", "127.0.0.1/32"),
        ("AVAL__ACCOUNTS__GUESSING__ATTEMPTS", "3"),
        ("AVAL__ACCOUNTS__GUESSING__ADDRESSES", "4"),
    ])
    .await;
    let (known, unknown) = ("192.0.2.1", "198.51.100.1");
    login_from(&app, known, ADMIN, PASSWORD).await.expect(200);
    for attempt in 0..8 {
        let expected = if attempt < 4 { 401 } else { 429 };
        login_from(&app, "203.0.113.9", ADMIN, "not the password").await.expect(expected);
    }
    let refused = login_from(&app, "203.0.113.9", ADMIN, PASSWORD).await;
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 20, "{refused:?}");
    login_from(&app, unknown, ADMIN, PASSWORD).await.expect(200);

    for username in [ADMIN, "nobody-at-all"] {
        for host in 10..20 {
            let answer = login_from(&app, &format!("203.0.113.{host}"), username, "not the password").await;
            assert!(matches!(answer.status.as_u16(), 401 | 429));
        }
        login_from(&app, "198.51.100.77", username, PASSWORD).await.expect(429);
    }
    // Both addresses have signed in to this account before, so failures from other addresses do not delay them.
    for address in [known, unknown] {
        login_from(&app, address, ADMIN, PASSWORD).await.expect(200);
    }
    login_from(&app, "198.51.100.78", USER, PASSWORD).await.expect(200);
    assert!(app.log.text().await.contains("password guessing from many addresses"));
    assert!(app.metric("login_pauses_total").await >= 4.0 && app.metric("login_failures_total").await >= 8.0);
}

#[actix_rt::test]
async fn guessing_is_slowed_down_without_revealing_whether_the_name_exists() {
    let rates = |per_address: &'static str| {
        [
            ("AVAL__LIMITS__ENABLED", "true"),
            ("AVAL__LIMITS__LOGIN__ADDRESS__BURST", per_address),
            ("AVAL__LIMITS__LOGIN__ADDRESS__PER_MINUTE", per_address),
        ]
    };
    let app = TestApp::start(&rates("1000")).await;
    for username in [USER, "nobody-at-all"] {
        for _ in 0..5 {
            login(&app, username, "not the password").await.expect(401);
        }
        let refused = login(&app, username, PASSWORD).await;
        assert!(!refused.header("retry-after").is_empty());
        assert_eq!(refused.expect(429)["code"], "rate_limited", "{username}");
    }
    login(&app, ANALYST, PASSWORD).await.expect(200);

    let app = TestApp::start(&rates("3")).await;
    for name in ["one-name", "two-names", "three-names"] {
        login(&app, name, PASSWORD).await.expect(401);
    }
    login(&app, ADMIN, PASSWORD).await.expect(429);
}
