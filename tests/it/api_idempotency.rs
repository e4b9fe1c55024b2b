//! `Idempotency-Key`: repeated requests take effect once, on any instance.

use std::collections::HashSet;
use std::rc::Rc;

use actix_web::http::Method;
use aval::domain::application::Country;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::accounts::{OTHER, USER};
use crate::support::app::{Answer, TestApp};
use crate::support::builders::{body, samples, spanish, with};
use crate::support::db::{TestDatabase, execute, text};
use crate::support::eventually;

const APPLICATIONS: &str = "/api/v1/applications";

async fn post_with(app: &TestApp, path: &str, key: &str, body: &Value) -> Answer {
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
    app.send(Method::POST, path, &headers, body.to_string()).await
}

async fn count(app: &TestApp) -> String {
    app.sql("SELECT count(*) FROM applications").await
}

/// The parts of a response that must be equal when it is replayed.
fn replayed_parts(answer: &Answer) -> (u16, String, String, String) {
    let header = |name| answer.header(name).to_owned();
    (answer.status.as_u16(), header("location"), header("etag"), answer.text())
}

#[actix_rt::test]
async fn a_repeated_request_gets_the_same_response_and_creates_nothing() {
    let app = TestApp::start_idle().await;
    let first = post_with(&app, APPLICATIONS, "key-1", &spanish()).await;
    assert_eq!((first.status.as_u16(), first.header("idempotency-replayed")), (201, ""));
    for key in ["key-1", "\"key-1\""] {
        let again = post_with(&app, APPLICATIONS, key, &spanish()).await;
        assert_eq!(replayed_parts(&again), replayed_parts(&first));
        assert_eq!(again.header("content-type"), first.header("content-type"));
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"), "it is a different request");
    }
    assert_eq!(count(&app).await, "1");
    assert_eq!(app.sql("SELECT count(*) FROM pending_jobs").await, "1");
    let read = app.get(first.header("location")).await;
    assert_eq!(read.json, first.json, "the response must match the stored application");
    assert_eq!(app.metric("applications_created_total{country=\"ES\"}").await, 1.0);
}

#[actix_rt::test]
async fn fifty_concurrent_equal_requests_create_one_application_on_any_instance() {
    let database = Rc::new(TestDatabase::create().await);
    let window = [("AVAL__APPLICATIONS__DUPLICATE_WINDOW_HOURS", "24")];
    let here = TestApp::start_on(Rc::clone(&database), &window).await;
    let there = TestApp::start_on(Rc::clone(&database), &[]).await;
    for (round, (country, document)) in samples().into_iter().enumerate() {
        let request = with(body(country, document), "term_months", 12);
        let key = format!("round-{round}");
        let requests =
            (0..50).map(|n| post_with(if n % 2 == 0 { &here } else { &there }, APPLICATIONS, &key, &request));
        let answers = join_all(requests).await;
        let (made, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status.as_u16() == 201);
        assert!(!made.is_empty());
        assert!(made.iter().all(|answer| replayed_parts(answer) == replayed_parts(made[0])));
        assert_eq!(made.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count(), 1);
        for answer in refused {
            assert_eq!((answer.status.as_u16(), &answer.json["code"]), (409, &"in_flight".into()));
            assert_eq!(answer.header("retry-after"), "1");
        }
        let after = post_with(&there, APPLICATIONS, &key, &request).await;
        assert_eq!(replayed_parts(&after), replayed_parts(made[0]));
        assert_eq!(count(&here).await, (round + 1).to_string());
    }
}

#[actix_rt::test]
async fn many_concurrent_keys_and_documents_on_two_instances_do_not_block_each_other() {
    let database = Rc::new(TestDatabase::create().await);
    let window = [("AVAL__APPLICATIONS__DUPLICATE_WINDOW_HOURS", "24")];
    let here = TestApp::start_on(Rc::clone(&database), &window).await;
    let there = TestApp::start_on(Rc::clone(&database), &window).await;
    let ids = async |n: usize| {
        // Every key is sent three times, and each instance gets the keys in a different order.
        let app = if n.is_multiple_of(2) { &here } else { &there };
        let number = (n * 7) % 60;
        let request = body(Country::Co, &(1_000_000_000 + number).to_string());
        let key = number.to_string();
        let answer = eventually("a final response", async || {
            let answer = post_with(app, APPLICATIONS, &key, &request).await;
            (answer.status.as_u16() != 409).then_some(answer)
        })
        .await;
        (number, answer.expect(201)["id"].as_str().unwrap().to_owned())
    };
    let answers: HashSet<(usize, String)> = join_all((0..180).map(ids)).await.into_iter().collect();
    assert_eq!(answers.len(), 60);
    assert_eq!(count(&here).await, "60");
    assert_eq!(here.sql("SELECT count(*) FROM idempotency_keys").await, "60");
    let log = format!("{}{}", here.log.text().await, there.log.text().await);
    assert!(!log.contains("deadlock"), "{log}");
}

#[actix_rt::test]
async fn a_used_key_with_another_body_or_path_is_rejected_and_keys_are_per_route() {
    let app = TestApp::start_idle().await;
    let id = post_with(&app, APPLICATIONS, "key", &spanish()).await.expect(201)["id"].clone();
    let other = post_with(&app, APPLICATIONS, "key", &with(spanish(), "term_months", 12)).await;
    assert_eq!((&other.json["code"], other.status.as_u16()), (&"idempotency_key_reused".into(), 422));

    let path = format!("{APPLICATIONS}/{}", id.as_str().unwrap());
    app.delete(&path).await.expect(204);
    let restore = format!("{path}/restore");
    let restored = app.send(Method::POST, &restore, &[("Idempotency-Key", "key")], "").await;
    assert_eq!(
        (restored.status.as_u16(), restored.header("etag")),
        (200, "\"v3\""),
        "keys must be per route"
    );
    let again = app.send(Method::POST, &restore, &[("Idempotency-Key", "key")], "").await;
    assert_eq!(replayed_parts(&again), replayed_parts(&restored));
    assert_eq!(again.header("idempotency-replayed"), "true");
    let elsewhere = format!("{APPLICATIONS}/01890a5d-ac96-774b-bcce-b302099a8057/restore");
    let elsewhere = app.send(Method::POST, &elsewhere, &[("Idempotency-Key", "key")], "").await;
    assert_eq!(elsewhere.json["code"], "idempotency_key_reused");
    assert_eq!(count(&app).await, "1");
}

#[actix_rt::test]
async fn a_rejected_request_does_not_use_up_its_key() {
    let app = TestApp::start_idle().await;
    let bad = with(spanish(), "identity_document", "12345678A");
    assert_eq!(post_with(&app, APPLICATIONS, "key", &bad).await.status.as_u16(), 422);
    let missing = format!("{APPLICATIONS}/01890a5d-ac96-774b-bcce-b302099a8057/restore");
    assert_eq!(
        app.send(Method::POST, &missing, &[("Idempotency-Key", "key")], "").await.status.as_u16(),
        404
    );
    assert_eq!(app.sql("SELECT count(*) FROM idempotency_keys").await, "0");
    let good = post_with(&app, APPLICATIONS, "key", &spanish()).await;
    assert_eq!((good.status.as_u16(), good.header("idempotency-replayed")), (201, ""));
}

#[actix_rt::test]
async fn a_key_in_use_by_another_instance_gets_a_409_with_retry_after() {
    let app = TestApp::start_idle().await;
    let first = post_with(&app, APPLICATIONS, "key", &spanish()).await;
    let mut elsewhere = app.database.connect().await;
    // Takes the lock as another instance does. It is held until its transaction ends.
    execute(&mut elsewhere, "BEGIN").await.unwrap();
    let take = "SELECT verdict FROM idempotency_keys k, begin_keyed_write(k.key_digest, now())";
    assert_eq!(text(&mut elsewhere, take).await.as_deref(), Some("known"));
    let meanwhile = post_with(&app, APPLICATIONS, "key", &spanish()).await;
    assert_eq!((meanwhile.header("retry-after"), &meanwhile.json["code"]), ("1", &"in_flight".into()));
    let other = post_with(&app, APPLICATIONS, "another", &spanish()).await;
    assert_eq!(other.status.as_u16(), 201, "other requests must not wait");
    execute(&mut elsewhere, "ROLLBACK").await.unwrap();
    let after = post_with(&app, APPLICATIONS, "key", &spanish()).await;
    assert_eq!(replayed_parts(&after), replayed_parts(&first));
}

#[actix_rt::test]
async fn an_expired_key_counts_as_new_and_is_deleted_by_the_housekeeper() {
    let app = TestApp::start_idle().await;
    let first = post_with(&app, APPLICATIONS, "key", &spanish()).await.expect(201);
    let lifetime =
        "SELECT round(extract(epoch FROM expires_at - created_at) / 3600)::text FROM idempotency_keys";
    assert_eq!(app.sql(lifetime).await, "24");
    app.execute("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'").await;
    let other = with(spanish(), "term_months", 12);
    let second = post_with(&app, APPLICATIONS, "key", &other).await;
    assert_eq!(second.header("idempotency-replayed"), "");
    assert_ne!(second.expect(201)["id"], first["id"]);
    assert_eq!(post_with(&app, APPLICATIONS, "key", &other).await.header("idempotency-replayed"), "true");

    app.execute("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'").await;
    let mut sql = app.database.connect().await;
    let now = aval::clock::Clock::system().now();
    assert_eq!(aval::storage::idempotency::delete_expired(&mut sql, now, 10).await.unwrap(), 1);
    assert_eq!(app.sql("SELECT count(*) FROM idempotency_keys").await, "0");
}

#[actix_rt::test]
async fn an_invalid_key_is_rejected_before_anything_is_created() {
    let app = TestApp::start_idle().await;
    for key in ["", "a b", "\"unfinished", &"x".repeat(256)] {
        let refused = post_with(&app, APPLICATIONS, key, &spanish()).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json["code"]),
            (400, &"malformed_request".into()),
            "{key}"
        );
    }
    assert_eq!(count(&app).await, "0");
}

#[actix_rt::test]
async fn a_lost_response_is_replayed_when_the_request_is_repeated() {
    let app = TestApp::start_idle().await;
    let mut lock = app.database.connect().await;
    execute(&mut lock, "BEGIN").await.unwrap();
    execute(&mut lock, "LOCK TABLE applications").await.unwrap();
    let waits = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '/* insert_applications%'";
    {
        let application = spanish();
        let request = post_with(&app, APPLICATIONS, "key", &application);
        let under_way =
            eventually("the insert to wait", async || (app.sql(waits).await == "1").then_some(()));
        // The client disconnects while its application is being written.
        tokio::select! {
            answer = request => panic!("{answer:?}"),
            () = under_way => {}
        }
    }
    execute(&mut lock, "COMMIT").await.unwrap();
    eventually("the application", async || (count(&app).await == "1").then_some(())).await;
    let again = post_with(&app, APPLICATIONS, "key", &spanish()).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(app.sql("SELECT id::text FROM applications").await, again.expect(201)["id"].as_str().unwrap());
}

#[actix_rt::test]
async fn two_accounts_can_use_the_same_key() {
    let app = TestApp::start_idle().await;
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "key")];
    let mut ids = HashSet::new();
    for account in [USER, OTHER, USER, OTHER] {
        let caller = app.acting_as(account).await;
        let made = caller.send(Method::POST, APPLICATIONS, &headers, spanish().to_string()).await.expect(201);
        assert_eq!(made["created_by"], account);
        ids.insert(made["id"].to_string());
    }
    assert_eq!(ids.len(), 2);
    assert_eq!(count(&app).await, "2");
}

#[actix_rt::test]
async fn accounts_and_api_keys_are_created_once_and_the_text_of_a_key_is_never_stored() {
    let app = TestApp::start_idle().await;
    let user = json!({"username": "new.analyst", "password": "correct horse battery", "role": "analyst"});
    let key = json!({"name": "bank", "role": "user", "scopes": ["applications:read"]});
    for (path, request) in [("/api/v1/users", user), ("/api/v1/api-keys", key)] {
        let first = post_with(&app, path, "key", &request).await;
        assert_eq!(first.status.as_u16(), 201, "{}", first.json);
        let again = post_with(&app, path, "key", &request).await;
        assert_eq!((again.status, again.header("location")), (first.status, first.header("location")));
        let mut kept = first.json.clone();
        kept.as_object_mut().unwrap().remove("key");
        assert_eq!(again.json, kept);
        assert_eq!(again.header("cache-control"), first.header("cache-control"));
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(
            post_with(&app, path, "another", &request).await.status.as_u16(),
            409,
            "the name must be taken"
        );
        if let Some(text) = first.json["key"].as_str() {
            app.with_key(text).get("/api/v1/applications").await.expect(200);
        }
    }
    assert_eq!(app.sql("SELECT count(*) FROM idempotency_keys").await, "2");
}

#[actix_rt::test]
async fn bodies_are_compared_by_value() {
    let app = TestApp::start_idle().await;
    let key = [("Content-Type", "application/json"), ("Idempotency-Key", "\"a key\"")];
    let send = async |body: &str| app.send(Method::POST, APPLICATIONS, &key, body.to_owned()).await;
    let first = send(
        r#"{"country": "ES", "full_name": "Ana", "identity_document": "12345678Z", "requested_amount": 15000.0,
            "monthly_income": 3500, "country_specific_data": {"employer": "Acme", "years_employed": 3}}"#,
    )
    .await;
    let first_id = first.expect(201)["id"].clone();
    let again = send(
        r#"{"monthly_income":3500.00,"country_specific_data":{"years_employed":3,"employer":"\u0041cme"},"requested_amount":15000,
            "identity_document":"\u00312345678Z","full_name":"Ana","country":"ES"}"#,
    )
    .await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.expect(201)["id"], first_id);
    let other = send(
        r#"{"country": "ES", "full_name": "Ana", "identity_document": "12345678Z", "requested_amount": "15000.0",
            "monthly_income": 3500, "country_specific_data": {"employer": "Acme", "years_employed": 3}}"#,
    )
    .await;
    assert_eq!(other.expect(422)["code"], "idempotency_key_reused");
}
