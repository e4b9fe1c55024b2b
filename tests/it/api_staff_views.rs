//! Audit views: recorded despite failures, and immutable.

use actix_web::http::Method;
use aval::domain::application::Country;
use aval::storage::applications::Insertion;
use serde_json::{Value, json};

use crate::support::accounts::{ADMIN, ANALYST, USER};
use crate::support::app::TestApp;
use crate::support::builders::spanish;
use crate::support::db::execute;
use crate::support::engine::application;
use crate::support::eventually;

const VIEWS: &str = "/api/v1/admin/staff-views";
/// Settings with which each view is written immediately.
const AT_ONCE: [(&str, &str); 1] = [("AVAL__STAFF_VIEWS__BATCH_SIZE", "1")];

/// An application of the account `tester`, which is not the reader.
async fn application_of_another(app: &TestApp) -> String {
    let row = application(&app.engine().resources.clock, Country::Es, "12345678Z");
    let id = row.id.to_string();
    aval::lending::submit::insert(&app.engine().write_batchers, Insertion::from(row)).await.unwrap();
    app.decided(&id).await;
    id
}

async fn views(app: &TestApp, query: &str) -> Vec<Value> {
    app.get(&format!("{VIEWS}{query}")).await.expect(200)["views"].as_array().unwrap().clone()
}

#[actix_rt::test]
async fn views_of_others_applications_are_recorded_and_those_of_ones_own_are_not() {
    let app = TestApp::start(&AT_ONCE).await;
    let own = app.submit(&spanish()).await;
    app.decided(&own).await;
    app.get(&format!("/api/v1/applications/{own}")).await.expect(200);
    let id = application_of_another(&app).await;
    let count_before = app.sql("SELECT count(*) FROM staff_views").await;
    for (part, action) in [
        ("", "application"),
        ("/status", "application_status"),
        ("/audit", "application_audit"),
        ("/decision", "application_decision"),
    ] {
        let request = format!("view-{action}");
        let path = format!("/api/v1/applications/{id}{part}");
        app.send(Method::GET, &path, &[("X-Request-ID", &request)], "").await.expect(200);
        let found = eventually(action, async || {
            let found = views(&app, &format!("?application_id={id}&action={action}")).await;
            found.into_iter().find(|view| view["request_id"] == request.as_str())
        })
        .await;
        assert_eq!(
            (&found["account"], &found["application_id"]),
            (&"test-admin".into(), &id.as_str().into())
        );
        assert_eq!((&found["filter"], &found["document_index"]), (&json!({}), &Value::Null));
    }
    app.get("/api/v1/applications/01890a5d-ac96-774b-bcce-b302099a8057").await.expect(404);
    assert!(count_before.parse::<u32>().unwrap() > 0, "the test itself polled the status");
    assert_eq!(views(&app, &format!("?application_id={own}")).await, Vec::<Value>::new());
}

#[actix_rt::test]
async fn a_change_returns_the_application_and_each_response_is_recorded_as_a_view() {
    let app = TestApp::start_idle_with(&AT_ONCE).await;
    let (user, admin) = (app.acting_as(USER).await, app.acting_as(ADMIN).await);
    let id = user.submit(&spanish()).await;
    let path = format!("/api/v1/applications/{id}");
    let (status, restore) = (format!("{path}/status"), format!("{path}/restore"));
    let data = json!({"country_specific_data": {"employer": "Acme"}}).to_string();
    let cancelled = json!({"status": "CANCELLED"}).to_string();
    let assert_recorded = async |request: &str| {
        let count = format!(
            "SELECT count(*) FROM staff_views WHERE account = '{ADMIN}' AND action = 'application' \
             AND application_id = '{id}' AND request_id = '{request}'"
        );
        eventually(request, async || (app.sql(&count).await == "1").then_some(())).await;
    };
    for (method, target, request, body) in [
        (Method::PATCH, &path, "patched", &*data),
        (Method::PUT, &status, "put", &*cancelled),
        (Method::DELETE, &path, "deleted", ""),
        (Method::POST, &restore, "restored", ""),
        (Method::POST, &restore, "replayed", ""),
    ] {
        let mut headers = vec![("X-Request-ID", request)];
        headers.extend((!body.is_empty()).then_some(("Content-Type", "application/json")));
        headers.extend((method == Method::POST).then_some(("Idempotency-Key", "key")));
        let answer = admin.send(method, target, &headers, body.to_owned()).await;
        assert!(answer.status.is_success(), "{request}: {}", answer.json);
        if request != "deleted" {
            assert_recorded(request).await;
        }
    }
    let deleting = "SELECT count(*) FROM staff_views WHERE request_id = 'deleted'";
    assert_eq!(app.sql(deleting).await, "0", "a deletion must not count as a view");

    let own = admin.submit(&spanish()).await;
    admin.patch(&format!("/api/v1/applications/{own}"), &json!({"status": "CANCELLED"})).await.expect(200);
    admin.get(&path).await.expect(200);
    eventually("a later view", async || {
        let recorded = views(&app, &format!("?application_id={id}")).await;
        (recorded.len() == 5).then_some(())
    })
    .await;
    assert_eq!(views(&app, &format!("?application_id={own}")).await, Vec::<Value>::new());
}

#[actix_rt::test]
async fn lists_and_searches_are_recorded_once_with_their_filter_and_without_personal_data() {
    let app = TestApp::start(&AT_ONCE).await;
    application_of_another(&app).await;
    app.get("/api/v1/applications?country=ES&min_amount=10&from=2026-01-01").await.expect(200);
    let search = json!({"country": "ES", "identity_document": "12345678Z", "country_specific_data": {"employer": "García"}});
    app.post("/api/v1/applications/search", &search).await.expect(200);
    let listed = eventually("the list", async || views(&app, "?action=application_list").await.pop()).await;
    assert_eq!(
        listed["filter"],
        json!({"country": "ES", "min_amount": "10.00", "from": "2026-01-01T00:00:00.000000Z"})
    );
    let found =
        eventually("the search", async || views(&app, "?action=application_search").await.pop()).await;
    assert_eq!(
        found["filter"],
        json!({"country": "ES", "identity_document": true, "country_specific_data": true})
    );
    let index = "SELECT encode(document_index, 'hex') FROM applications";
    assert_eq!(found["document_index"], app.sql(index).await.as_str());
    let rows = app.sql("SELECT string_agg(v::text, ' ') FROM staff_views v").await;
    assert!(!rows.contains("12345678") && !rows.contains("Garc"), "{rows}");
}

#[actix_rt::test]
async fn views_are_read_page_by_page_newest_first() {
    let app = TestApp::start(&AT_ONCE).await;
    for n in 1..=5 {
        app.get(&format!("/api/v1/applications?page_size={n}")).await.expect(200);
        let count = n.to_string();
        eventually("the view", async || {
            (app.sql("SELECT count(*) FROM staff_views").await == count).then_some(())
        })
        .await;
    }
    let mut seen = Vec::new();
    let mut query = "?page_size=2&account=test-admin".to_owned();
    loop {
        let page = app.get(&format!("{VIEWS}{query}")).await.expect(200);
        seen.extend(page["views"].as_array().unwrap().iter().map(|view| view["id"].to_string()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?page_size=2&account=test-admin&cursor={cursor}");
        let elsewhere = app.get(&format!("{VIEWS}?account=ana&cursor={cursor}")).await;
        assert_eq!(elsewhere.field_errors(), ["?cursor bad_cursor"]);
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|newer, older| newer > older));
    assert!(views(&app, "?account=ana").await.is_empty());
    assert!(views(&app, "?from=2100-01-01").await.is_empty());
    for (query, error) in [
        ("?action=nothing", "?action unknown_action"),
        ("?application_id=7", "?application_id bad_uuid"),
        ("?page_size=101", "?page_size out_of_range"),
        ("?from=2026-02-01&to=2026-01-01", "?to bad_range"),
        ("?account=%00", "?account bad_account"),
    ] {
        assert_eq!(app.get(&format!("{VIEWS}{query}")).await.field_errors(), [error]);
    }
}

#[actix_rt::test]
async fn no_view_is_lost_by_a_panic_or_an_unavailable_database() {
    let app = TestApp::start(&AT_ONCE).await;
    let fault = json!({"target": "view_recorder", "failure_count": 1});
    app.post("/api/v1/test/inject-failure", &fault).await.expect(200);
    let mut lock = app.database.connect().await;
    execute(&mut lock, "BEGIN").await.unwrap();
    execute(&mut lock, "LOCK TABLE staff_views").await.unwrap();
    for _ in 0..5 {
        app.get("/api/v1/applications").await.expect(200);
    }
    eventually("the panic", async || {
        (app.metric("actor_restarts_total{actor=\"view_recorder\"}").await >= 1.0).then_some(())
    })
    .await;
    execute(&mut lock, "COMMIT").await.unwrap();
    // Counted after the commit that makes the rows visible.
    eventually("every view to be recorded", async || {
        (app.metric("staff_views_recorded_total").await >= 5.0).then_some(())
    })
    .await;
    assert_eq!(app.sql("SELECT count(*) FROM staff_views").await, "5");
    assert_eq!(app.metric("staff_views_recorded_total").await, 5.0);
    assert_eq!(app.metric("staff_views_lost_total").await, 0.0);
}

#[actix_rt::test]
async fn a_view_that_exceeds_the_queue_is_logged_and_counted() {
    let app =
        TestApp::start(&[("AVAL__STAFF_VIEWS__BATCH_SIZE", "1"), ("AVAL__STAFF_VIEWS__QUEUE", "1")]).await;
    let mut lock = app.database.connect().await;
    execute(&mut lock, "BEGIN").await.unwrap();
    execute(&mut lock, "LOCK TABLE staff_views").await.unwrap();
    for _ in 0..3 {
        app.get("/api/v1/applications?country=PT").await.expect(200);
    }
    assert_eq!(app.metric("staff_views_lost_total").await, 2.0);
    let log = app.log.text().await;
    assert_eq!(log.matches("audit view not stored").count(), 2, "{log}");
    execute(&mut lock, "COMMIT").await.unwrap();
    eventually("the queued view", async || {
        (app.sql("SELECT count(*) FROM staff_views").await == "1").then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn a_shutdown_writes_queued_views() {
    let app = TestApp::start(&[("AVAL__STAFF_VIEWS__FLUSH_INTERVAL_MS", "600000")]).await;
    app.get("/api/v1/applications").await.expect(200);
    let database = std::rc::Rc::clone(&app.database);
    assert_eq!(app.sql("SELECT count(*) FROM staff_views").await, "0");
    app.stop().await;
    let count =
        crate::support::db::text(&mut database.connect().await, "SELECT count(*) FROM staff_views").await;
    assert_eq!(count.as_deref(), Some("1"));
}

#[actix_rt::test]
async fn views_are_append_only_until_their_retention_ends() {
    let app = TestApp::start(&AT_ONCE).await;
    app.get("/api/v1/applications").await.expect(200);
    eventually("the view", async || (app.sql("SELECT count(*) FROM staff_views").await == "1").then_some(()))
        .await;
    let mut sql = app.database.connect().await;
    for statement in
        ["UPDATE staff_views SET account = 'nobody'", "DELETE FROM staff_views", "TRUNCATE staff_views"]
    {
        assert!(execute(&mut sql, statement).await.is_err(), "{statement}");
    }
    assert_eq!(aval::storage::staff_views::delete_expired(&mut sql, 10).await.unwrap(), 0);
    let old = "INSERT INTO staff_views (id, account, action, viewed_at, keep_until) \
               VALUES (uuid_v7_now(), 'test-admin', 'application', now() - interval '3 years', now() - interval '1 year')";
    execute(&mut sql, old).await.unwrap();
    assert_eq!(aval::storage::staff_views::delete_expired(&mut sql, 10).await.unwrap(), 1);
    assert_eq!(app.sql("SELECT count(*) FROM staff_views").await, "1");
}

#[actix_rt::test]
async fn an_admin_reads_the_views_of_analysts_and_users_cause_none() {
    let app = TestApp::start(&AT_ONCE).await;
    let (user, analyst) = (app.acting_as(USER).await, app.acting_as(ANALYST).await);
    let id = user.submit(&spanish()).await;
    let path = format!("/api/v1/applications/{id}");
    user.get(&path).await.expect(200);
    user.get("/api/v1/applications").await.expect(200);
    analyst.get(&path).await.expect(200);
    let seen = eventually("the analyst's view", async || views(&app, "").await.pop()).await;
    assert_eq!((&seen["account"], &seen["action"]), (&ANALYST.into(), &"application".into()));
    assert_eq!(app.sql(&format!("SELECT count(*) FROM staff_views WHERE account = '{USER}'")).await, "0");
    assert_eq!(analyst.get(VIEWS).await.status.as_u16(), 403);
}
