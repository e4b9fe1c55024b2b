//! Sessions of users: sign-in, refresh, sign-out.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{ME, login, me, pair, refresh, session, user_path};
use crate::support::accounts::{ADMIN, ANALYST, PASSWORD, USER};
use crate::support::app::TestApp;
use crate::support::eventually;

#[actix_rt::test]
async fn a_sign_in_returns_tokens_for_the_account() {
    let app = TestApp::start_idle().await;
    let answer = login(&app, ANALYST, PASSWORD).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let tokens = answer.expect(200);
    assert_eq!(
        (&tokens["token_type"], &tokens["expires_in"], &tokens["refresh_expires_in"]),
        (&json!("Bearer"), &json!(3600), &json!(604_800))
    );
    let me = app.with_token(&pair(&tokens).0).get(ME).await.expect(200);
    assert_eq!(
        (&me["account"], &me["role"], &me["credential"]),
        (&json!(ANALYST), &json!("analyst"), &json!("access_token"))
    );
    // Neither token is stored in the database or the log.
    let (access, refresh_token) = pair(&tokens);
    let stored = app.sql("SELECT string_agg(t::text, ' ') FROM refresh_tokens t").await;
    let log = app.log.text().await;
    for secret in [access.as_str(), refresh_token.as_str(), PASSWORD] {
        assert!(!stored.contains(secret) && !log.contains(secret));
    }
}

#[actix_rt::test]
async fn unknown_disabled_and_wrong_sign_ins_get_the_same_response_after_the_same_work() {
    let app = TestApp::start_idle().await;
    app.patch(&user_path(&app, USER).await, &json!({"disabled": true})).await.expect(200);
    let mut answers = Vec::new();
    let mut fastest = Vec::new();
    for (username, password) in [
        (ANALYST, "not the password"),
        ("nobody-at-all", PASSWORD),
        ("Not A Name!", PASSWORD),
        (USER, PASSWORD),
    ] {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let started = Instant::now();
            let mut problem = login(&app, username, password).await.expect(401);
            best = best.min(started.elapsed());
            problem["request_id"] = json!(null);
            answers.push(problem);
        }
        fastest.push(best);
    }
    assert!(answers.windows(2).all(|two| two[0] == two[1]), "{answers:#?}");
    // Hashing takes most of the time of a sign-in. Without it, the response would arrive much sooner.
    let shortest = fastest.iter().min().unwrap();
    let longest = fastest.iter().max().unwrap();
    assert!(*shortest * 3 > *longest, "{fastest:?}");
}

#[actix_rt::test]
async fn a_refresh_token_is_valid_once_and_a_second_use_within_the_grace_keeps_the_session() {
    let app = TestApp::start_idle().await;
    let (_, first) = session(&app, USER).await;
    let (access, second) = pair(&refresh(&app, &first).await.expect(200));
    assert_eq!(me(&app, &access).await, 200);
    let (_, sibling) = pair(&refresh(&app, &first).await.expect(200));
    assert_ne!(second, sibling);
    refresh(&app, &second).await.expect(200);
    refresh(&app, &sibling).await.expect(200);
    assert_eq!(app.sql("SELECT count(DISTINCT family) FROM refresh_tokens").await, "1");
    for bad in ["", "x", &"x".repeat(43)] {
        refresh(&app, bad).await.expect(401);
    }
}

#[actix_rt::test]
async fn a_refresh_token_reused_after_the_grace_ends_its_session_and_all_access_tokens() {
    let app = TestApp::start_idle().await;
    let (_, stolen) = session(&app, USER).await;
    let (access, newest) = pair(&refresh(&app, &stolen).await.expect(200));
    let (_, elsewhere) = session(&app, USER).await;
    app.execute("UPDATE refresh_tokens SET rotated_at = rotated_at - interval '11 seconds' WHERE rotated_at IS NOT NULL")
        .await;
    refresh(&app, &stolen).await.expect(401);
    refresh(&app, &newest).await.expect(401);
    assert_eq!(me(&app, &access).await, 401);
    refresh(&app, &elsewhere).await.expect(200);
}

#[actix_rt::test]
async fn fifty_concurrent_refreshes_leave_one_session_and_a_concurrent_reuse_ends_it() {
    let app = TestApp::start_idle().await;
    let (_, token) = session(&app, USER).await;
    let answers = futures_util::future::join_all((0..50).map(|_| refresh(&app, &token))).await;
    let (answers, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((answers.len(), refused.len()), (10, 40), "the grace period must allow ten uses");
    let rotated = "SELECT count(*) FROM refresh_tokens WHERE rotated_at IS NOT NULL";
    assert_eq!(app.sql(rotated).await, "1");

    app.execute("UPDATE refresh_tokens SET rotated_at = rotated_at - interval '11 seconds' WHERE rotated_at IS NOT NULL")
        .await;
    let children: Vec<String> = answers.iter().map(|answer| pair(&answer.json).1).collect();
    let reuse = refresh(&app, &token);
    let renewals = futures_util::future::join_all(children.iter().map(|child| refresh(&app, child)));
    let (reuse, renewals) = futures_util::join!(reuse, renewals);
    reuse.expect(401);
    assert!(renewals.iter().all(|answer| matches!(answer.status.as_u16(), 200 | 401)));
    let alive = "SELECT count(*) FROM refresh_tokens WHERE revoked_at IS NULL";
    assert_eq!(app.sql(alive).await, "0", "no token may survive");
}

#[actix_rt::test]
async fn tokens_do_not_multiply_within_the_grace_and_a_session_ends_despite_renewals() {
    let app = TestApp::start_idle().await;
    let (_, first) = session(&app, USER).await;
    let mut tokens = vec![first.clone()];
    // Each token is exchanged twice, and so are its replacements.
    for round in 0..31 {
        for _ in 0..2 {
            let answer = refresh(&app, &tokens[round]).await;
            if answer.status == 200 {
                tokens.push(pair(&answer.json).1);
            }
        }
    }
    let unused = "SELECT count(*) FROM refresh_tokens WHERE revoked_at IS NULL AND rotated_at IS NULL";
    assert_eq!(app.sql(unused).await, "10");

    let newest = tokens.last().unwrap();
    app.execute(
        "UPDATE refresh_tokens SET session_started_at = now() - interval '29 days 23 hours 30 minutes'",
    )
    .await;
    let renewed = refresh(&app, newest).await.expect(200);
    for (member, max) in [("expires_in", 1800), ("refresh_expires_in", 1800)] {
        let seconds = renewed[member].as_u64().unwrap();
        assert!((1700..=max).contains(&seconds), "{member}: {seconds}");
    }
    let end = "SELECT count(*) FROM (SELECT * FROM refresh_tokens ORDER BY issued_at DESC LIMIT 1) newest \
               WHERE expires_at > session_started_at + interval '30 days'";
    assert_eq!(app.sql(end).await, "0");
    app.execute("UPDATE refresh_tokens SET session_started_at = session_started_at - interval '1 hour'")
        .await;
    assert_eq!(refresh(&app, &pair(&renewed).1).await.expect(401)["code"], "credential_expired");
}

#[actix_rt::test]
async fn a_refresh_token_is_exchanged_at_most_ten_times_within_its_grace() {
    let app = TestApp::start_idle_with(&[("AVAL__ACCOUNTS__REFRESH_GRACE_MS", "60000")]).await;
    let (_, token) = session(&app, USER).await;
    for _ in 0..10 {
        refresh(&app, &token).await.expect(200);
    }
    for _ in 0..2 {
        assert_eq!(refresh(&app, &token).await.expect(401)["code"], "credential_revoked");
    }
    let ended = "SELECT count(*) FROM security_events WHERE kind = 'refresh_token_reused'";
    assert_eq!(app.sql(ended).await, "0", "a use within the grace must not count as reuse");
}

#[actix_rt::test]
async fn a_hash_with_other_costs_is_replaced_at_sign_in_without_ending_sessions() {
    let app = TestApp::start_idle_with(&[("AVAL__ACCOUNTS__PASSWORDS__ITERATIONS", "3")]).await;
    let token = app.engine().accounts.operator_token(USER, Duration::from_secs(60)).await.unwrap();
    let hash = format!("SELECT password_hash FROM users WHERE username = '{USER}'");
    assert!(app.sql(&hash).await.contains(",t=2,"));
    login(&app, USER, "not the password").await.expect(401);
    assert!(app.sql(&hash).await.contains(",t=2,"));
    let (_, refresh_token) = session(&app, USER).await;
    assert!(app.sql(&hash).await.contains(",t=3,"));
    assert_eq!(me(&app, secrecy::ExposeSecret::expose_secret(&token)).await, 200);
    login(&app, USER, PASSWORD).await.expect(200);
    refresh(&app, &refresh_token).await.expect(200);
    assert_eq!(app.sql("SELECT count(*) FROM security_events WHERE kind = 'password_changed'").await, "0");
}

#[actix_rt::test]
async fn a_sign_out_ends_the_session_and_immediately_all_access_tokens_of_the_account() {
    let app = TestApp::start_idle().await;
    let (access, refresh_token) = session(&app, USER).await;
    let (other_access, other_renewal) = session(&app, USER).await;
    app.with_token(&access).post("/api/v1/auth/logout", &json!({})).await.expect(204);
    assert_eq!((me(&app, &access).await, me(&app, &other_access).await), (401, 401));
    refresh(&app, &refresh_token).await.expect(401);
    let (renewed, _) = pair(&refresh(&app, &other_renewal).await.expect(200));
    assert_eq!(me(&app, &renewed).await, 200);
}

#[actix_rt::test]
async fn revocations_by_another_instance_or_plain_sql_take_effect() {
    let one = TestApp::start_idle().await;
    let two =
        TestApp::start_on(std::rc::Rc::clone(&one.database), &[("AVAL__ACCOUNTS__CACHE_TTL_MS", "300000")])
            .await;
    let (access, _) = session(&one, USER).await;
    assert_eq!((me(&one, &access).await, me(&two, &access).await), (200, 200));
    one.with_token(&access).post("/api/v1/auth/logout", &json!({})).await.expect(204);
    eventually("the other instance to be notified", async || (me(&two, &access).await == 401).then_some(()))
        .await;

    let (access, refresh_token) = session(&one, USER).await;
    assert_eq!(me(&two, &access).await, 200);
    one.execute(&format!("UPDATE users SET disabled_at = now() WHERE username = '{USER}'")).await;
    eventually("both instances to be notified", async || {
        (me(&one, &access).await == 401 && me(&two, &access).await == 401).then_some(())
    })
    .await;
    refresh(&two, &refresh_token).await.expect(401);
}

#[actix_rt::test]
async fn without_notifications_cached_accounts_are_not_used() {
    let app = TestApp::start(&[("AVAL__ACCOUNTS__CACHE_TTL_MS", "300000")]).await;
    let (access, _) = session(&app, USER).await;
    assert_eq!(me(&app, &access).await, 200);
    app.engine().accounts.set_listening(false);
    app.execute("ALTER TABLE users DISABLE TRIGGER users_announce").await;
    app.execute(&format!("UPDATE users SET disabled_at = now() WHERE username = '{USER}'")).await;
    assert_eq!(me(&app, &access).await, 401);
}

#[actix_rt::test]
async fn a_password_change_ends_all_sessions_and_begins_a_new_one() {
    let app = TestApp::start_idle().await;
    let (access, refresh_token) = session(&app, USER).await;
    let change = |current: &str, new: &str| json!({"current_password": current, "new_password": new});
    let caller = app.with_token(&access);
    let path = "/api/v1/auth/password";
    let refused = caller.post(path, &change(PASSWORD, "too short")).await;
    assert_eq!(refused.field_errors(), ["/new_password bad_length"]);
    caller.post(path, &change("not the password", "a longer horse battery")).await.expect(403);
    let (fresh, _) = pair(&caller.post(path, &change(PASSWORD, "a longer horse battery")).await.expect(200));
    assert_eq!((me(&app, &access).await, me(&app, &fresh).await), (401, 200));
    refresh(&app, &refresh_token).await.expect(401);
    login(&app, USER, PASSWORD).await.expect(401);
    login(&app, USER, "a longer horse battery").await.expect(200);
}

#[actix_rt::test]
async fn sign_ins_beyond_the_hashing_capacity_are_rejected_and_later_ones_served() {
    let app = TestApp::start(&[
        ("AVAL__ACCOUNTS__PASSWORDS__HASHERS", "1"),
        ("AVAL__ACCOUNTS__PASSWORDS__QUEUE", "1"),
        ("AVAL__ACCOUNTS__PASSWORDS__ITERATIONS", "8"),
    ])
    .await;
    // The password of an unknown account is hashed at the configured cost.
    let answers =
        futures_util::future::join_all((0..20).map(|_| login(&app, "nobody-at-all", PASSWORD))).await;
    let (refused, overloads): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 401);
    assert!(!refused.is_empty() && !overloads.is_empty());
    for answer in overloads {
        assert_eq!(answer.header("retry-after"), "2");
        assert_eq!(answer.expect(503)["code"], "overloaded");
    }
    login(&app, ADMIN, PASSWORD).await.expect(200);
}
