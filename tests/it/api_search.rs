//! Searching by document and by data, without personal data in URLs.

use aval::clock::Clock;
use aval::domain::application::Country;
use aval::storage::applications::{Insertion, insert};
use diesel_async::SimpleAsyncConnection as _;
use futures_util::future::{join_all, join3};
use serde_json::{Value, json};

use crate::support::accounts::{ANALYST, OTHER, USER};
use crate::support::app::TestApp;
use crate::support::builders::{body, spanish, with};
use crate::support::db::{TestDatabase, execute, text};
use crate::support::engine::{application, key_ring, settings};
use crate::support::{PATIENCE, eventually};

const SEARCH: &str = "/api/v1/applications/search";

async fn found(app: &TestApp, search: &Value) -> Vec<String> {
    let page = app.post(SEARCH, search).await.expect(200);
    let ids = page["applications"].as_array().unwrap().iter();
    ids.map(|application| application["id"].as_str().unwrap().to_owned()).collect()
}

#[actix_rt::test]
async fn a_document_is_found_in_any_spelling() {
    let app = TestApp::start_idle().await;
    let first = app.submit(&spanish()).await;
    let second = app.submit(&spanish()).await;
    app.submit(&body(Country::Es, "87654321X")).await;
    app.submit(&body(Country::Co, "12345678")).await;
    for document in ["12345678Z", "12.345.678-z"] {
        let search = json!({"country": "ES", "identity_document": document});
        assert_eq!(found(&app, &search).await, [second.as_str(), &first], "the newest must come first");
    }
    let oldest = json!({"country": "ES", "identity_document": "12345678Z", "sort": "created_at"});
    assert_eq!(found(&app, &oldest).await, [first.as_str(), &second]);
    assert!(found(&app, &json!({"country": "ES", "identity_document": "00000000T"})).await.is_empty());
    app.delete(&format!("/api/v1/applications/{second}")).await.expect(204);
    assert_eq!(found(&app, &json!({"country": "ES", "identity_document": "12345678Z"})).await, [first]);
}

#[actix_rt::test]
async fn applications_are_found_by_their_data() {
    let app = TestApp::start(&[]).await;
    let data = json!({"employer": "Acme", "years_employed": 3});
    let id = app.submit(&with(spanish(), "country_specific_data", data)).await;
    let other = app
        .submit(&with(spanish(), "country_specific_data", json!({"employer": "Other", "years_employed": 3})))
        .await;
    for (criteria, expected) in [
        (json!({"employer": "Acme"}), vec![&id]),
        (json!({"years_employed": 3.0}), vec![&other, &id]),
        (json!({"employer": "Acme", "years_employed": 4}), vec![]),
    ] {
        let search = json!({"country_specific_data": criteria});
        assert_eq!(found(&app, &search).await.iter().collect::<Vec<_>>(), expected, "{search}");
    }
    app.decided(&id).await;
    assert_eq!(app.decided(&other).await, "APPROVED");
    let score =
        app.get(&format!("/api/v1/applications/{id}")).await.expect(200)["banking_data"]["credit_score"]
            .clone();
    assert_eq!(
        found(&app, &json!({"banking_data": {"credit_score": score}, "status": "APPROVED"})).await.len(),
        2
    );
    assert!(found(&app, &json!({"banking_data": {"credit_score": 1}})).await.is_empty());
}

#[actix_rt::test]
async fn a_cursor_is_only_valid_for_its_own_search() {
    let app = TestApp::start_idle().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, app.submit(&spanish()).await);
        app.submit(&body(Country::Es, "87654321X")).await;
    }
    let mut search = json!({"country": "ES", "identity_document": "12345678Z", "page_size": 2});
    let mut seen = Vec::new();
    loop {
        let page = app.post(SEARCH, &search).await.expect(200);
        assert_eq!((&page["page_size"], page.get("total")), (&2.into(), None));
        seen.extend(
            page["applications"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap().to_owned()),
        );
        if page["next_cursor"].is_null() {
            break;
        }
        search["cursor"] = page["next_cursor"].clone();
        let other = app.post(SEARCH, &with(search.clone(), "identity_document", "87654321X")).await;
        assert_eq!(other.field_errors(), ["/cursor bad_cursor"]);
    }
    assert_eq!(seen, ids);
    assert_eq!(app.get(&format!("{SEARCH}?document=12345678Z")).await.status.as_u16(), 405);
}

/// The plan of a query, as text.
async fn plan(sql: &mut diesel_async::AsyncPgConnection, query: &str) -> String {
    let explain = format!("SELECT plan_of($query${query}$query$)");
    text(sql, &explain).await.unwrap()
}

#[actix_rt::test]
async fn searches_use_their_indexes() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    let clock = Clock::system();
    let rows: Vec<Insertion> = (0..3000)
        .map(|n| {
            let mut row = application(&clock, Country::Co, &(10_000_000 + n % 1000).to_string());
            row.country_specific_data.insert("employer".to_owned(), json!(n % 1000));
            row.into()
        })
        .collect();
    for group in rows.chunks(500) {
        insert(&mut sql, &key_ring(&settings(&[])), group).await.unwrap();
    }
    execute(&mut sql, "UPDATE applications SET banking_data = country_specific_data").await.unwrap();
    execute(&mut sql, "VACUUM ANALYZE applications").await.unwrap();
    let function = "CREATE FUNCTION plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$ \
        DECLARE line text; plan text := ''; BEGIN FOR line IN EXECUTE 'EXPLAIN ' || query LOOP \
        plan := plan || line || E'\\n'; END LOOP; RETURN plan; END $$";
    execute(&mut sql, function).await.unwrap();
    let order = "AND deleted_at IS NULL ORDER BY id DESC LIMIT 21";
    for (condition, index) in [
        (
            "document_index = (SELECT document_index FROM applications LIMIT 1)".to_owned(),
            "document_index_id_idx",
        ),
        ("country_specific_data @> '{\"employer\": 7}'".to_owned(), "country_specific_data_idx"),
        ("banking_data @> '{\"employer\": 7}'".to_owned(), "banking_data_idx"),
    ] {
        let found = plan(&mut sql, &format!("SELECT id FROM applications WHERE {condition} {order}")).await;
        assert!(found.contains(index), "{condition}\n{found}");
    }
    let elsewhere = "SELECT FROM applications o WHERE o.document_index = '\\x00' AND o.id < uuid_v7_floor(now()) \
        AND o.id >= uuid_v7_floor(now() - interval '1 day') AND o.created_by <> 'ana'";
    let found = plan(&mut sql, elsewhere).await;
    assert!(found.contains("document_index_id_idx") && !found.contains("Seq Scan"), "{found}");
}

/// Makes all reads of applications wait until the transaction of `sql` ends.
async fn lock_applications(sql: &mut diesel_async::AsyncPgConnection) {
    sql.batch_execute("BEGIN; LOCK TABLE applications IN ACCESS EXCLUSIVE MODE").await.unwrap();
}

#[actix_rt::test]
async fn one_account_leaves_connections_for_others_on_every_route() {
    let app = TestApp::start_idle().await;
    let (analyst, mut sql) = (app.acting_as(ANALYST).await, app.database.connect().await);
    let id = app.submit(&spanish()).await;
    lock_applications(&mut sql).await;
    let search = json!({"country": "ES"});
    let decision = format!("/api/v1/applications/{id}/decision");
    let searches = join_all((0..10).map(|_| app.post(SEARCH, &search)));
    let reads = join_all((0..10).map(|_| analyst.get(&decision)));
    let others = async {
        let requests = &app.engine().resources.metrics.http_requests_in_progress;
        eventually("every request to be in progress", async || {
            let under_way = |labels: [&str; 2]| requests.with_label_values(&labels).get();
            let decisions = under_way(["GET", "/api/v1/applications/{id}/decision"]);
            (under_way(["POST", SEARCH]) == 10 && decisions == 10).then_some(())
        })
        .await;
        // The pool has six connections. Each account may use one, and counting for the statistics may also wait.
        app.get("/health/ready").await.expect(200);
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND wait_event_type = 'Lock'";
        assert!(app.sql(waiting).await.parse::<u32>().unwrap() <= 3);
        sql.batch_execute("ROLLBACK").await.unwrap();
    };
    let (searches, reads, ()) = join3(searches, reads, others).await;
    for answer in searches {
        answer.expect(200);
    }
    for answer in reads {
        assert_ne!(answer.status.as_u16(), 503);
    }
}

#[actix_rt::test]
async fn a_slow_search_is_cancelled() {
    // No other limit ends the search within the timeout of the test.
    let app = TestApp::start_idle_with(&[
        ("AVAL__LISTS__STATEMENT_TIMEOUT_MS", "50"),
        ("AVAL__DATABASE__STATEMENT_TIMEOUT_MS", "600000"),
        ("AVAL__SERVER__REQUEST_TIMEOUT_MS", "600000"),
    ])
    .await;
    let mut sql = app.database.connect().await;
    lock_applications(&mut sql).await;
    let criteria = json!({"country": "ES"});
    let search = tokio::time::timeout(PATIENCE, app.post(SEARCH, &criteria)).await;
    let search = search.expect("the search to be cancelled");
    assert_eq!((search.status.as_u16(), search.header("retry-after").is_empty()), (503, false));
    assert_eq!(app.get("/api/v1/applications").await.status.as_u16(), 503);
    sql.batch_execute("ROLLBACK").await.unwrap();
    app.post(SEARCH, &json!({"country": "ES"})).await.expect(200);
}

#[actix_rt::test]
async fn a_user_finds_its_own_applications_and_cannot_search_reports() {
    let app = TestApp::start_idle().await;
    let (user, other) = (app.acting_as(USER).await, app.acting_as(OTHER).await);
    let own = user.submit(&spanish()).await;
    let theirs = other.submit(&spanish()).await;
    let search = json!({"country": "ES", "identity_document": "12345678Z"});
    assert_eq!(found(&app, &search).await, [theirs, own.clone()], "an admin must find all");
    let page = user.post(SEARCH, &search).await.expect(200);
    assert_eq!(page["applications"].as_array().unwrap().len(), 1);
    assert_eq!(page["applications"][0]["id"], own.as_str());
    let report = json!({"banking_data": {"credit_score": 700}});
    assert_eq!(user.post(SEARCH, &report).await.json["code"], "forbidden");
    app.acting_as(ANALYST).await.post(SEARCH, &report).await.expect(200);
    assert_eq!(app.anonymous().post(SEARCH, &search).await.status.as_u16(), 401);
}
