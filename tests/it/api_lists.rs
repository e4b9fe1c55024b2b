//! Lists of applications: filters, cursors and pages.

use std::collections::BTreeSet;

use aval::domain::application::{Country, NewApplication};
use aval::domain::money::Money;
use aval::providers::simulator::scenario::Scenario;
use aval::providers::simulator::test_documents::test_documents;
use serde_json::{Value, json};

use crate::support::accounts::USER;
use crate::support::app::TestApp;
use crate::support::builders::{body, samples};
use crate::support::engine::application;

/// `fill` uses only the first six countries, so the expected counts do not change when a country is added.
const FILLED: usize = 6;

/// Inserts `count` applications of the first six countries in turn, with amounts 1.00, 2.00 and so on.
async fn fill(app: &TestApp, count: usize) {
    let clock = &app.engine().resources.clock;
    let rows = (0..count).map(|n| {
        let (country, document) = samples()[n % FILLED];
        let requested_amount = Money::parse_positive(&format!("{}", n + 1)).unwrap();
        let row = NewApplication { requested_amount, ..application(clock, country, document) };
        aval::lending::submit::insert(&app.engine().write_batchers, row)
    });
    for inserted in futures_util::future::join_all(rows).await {
        inserted.unwrap();
    }
}

fn applications(page: &Value) -> &[Value] {
    page["applications"].as_array().unwrap()
}

fn ids(page: &Value) -> Vec<String> {
    applications(page).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Reads the whole list page by page. Calls `after_each_page` after each page.
async fn walk(app: &TestApp, query: &str, after_each_page: impl AsyncFn()) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = app.get(&format!("/api/v1/applications?{query}{cursor}")).await.expect(200);
        assert!(page.get("total").is_none(), "pages after a cursor must have no total");
        rows.extend_from_slice(applications(&page));
        after_each_page().await;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

fn column(rows: &[Value], name: &str) -> Vec<String> {
    rows.iter().map(|row| row[name].as_str().unwrap().to_owned()).collect()
}

#[actix_rt::test]
async fn a_cursor_reads_250_applications_once_and_in_order_while_new_ones_are_created() {
    let app = TestApp::start_idle().await;
    fill(&app, 250).await;
    let listed = walk(&app, "page_size=100", async || {}).await;
    let initial: BTreeSet<String> = column(&listed, "id").into_iter().collect();
    assert_eq!(initial.len(), 250);
    let one_more = async || {
        fill(&app, 1).await;
    };

    let newest_first = column(&walk(&app, "page_size=37", one_more).await, "id");
    let expected: Vec<String> = initial.iter().rev().cloned().collect();
    assert_eq!(newest_first, expected, "new applications must sort before the first page");

    let oldest_first = column(&walk(&app, "page_size=100&sort=created_at", one_more).await, "id");
    assert!(oldest_first.is_sorted(), "identifiers must sort like times");
    let seen: BTreeSet<String> = oldest_first.iter().cloned().collect();
    assert_eq!(seen.len(), oldest_first.len(), "no application may be listed twice");
    assert!(oldest_first.starts_with(&initial.iter().cloned().collect::<Vec<_>>()));
}

#[actix_rt::test]
async fn numbered_pages_have_a_total_and_a_cursor_to_continue() {
    let app = TestApp::start_idle().await;
    fill(&app, 45).await;
    let all = column(&walk(&app, "page_size=100", async || {}).await, "id");
    let mut read = Vec::new();
    for (number, length) in [(1, 20), (2, 20), (3, 5), (4, 0)] {
        let page = app.get(&format!("/api/v1/applications?page={number}")).await.expect(200);
        assert_eq!((&page["total"], &page["page"]), (&45.into(), &number.into()));
        assert_eq!((&page["page_size"], applications(&page).len()), (&20.into(), length));
        assert_eq!(page["next_cursor"].is_string(), number < 3);
        read.extend(ids(&page));
    }
    assert_eq!(read, all);
    let second = app.get("/api/v1/applications?page=2&page_size=20").await.expect(200);
    let cursor = second["next_cursor"].as_str().unwrap();
    let rest = app.get(&format!("/api/v1/applications?cursor={cursor}")).await.expect(200);
    assert_eq!(ids(&rest), all[40..]);
    let exact = app.get("/api/v1/applications?page_size=45").await.expect(200);
    assert!(exact["next_cursor"].is_null(), "the last page must have no cursor");
}

#[actix_rt::test]
async fn a_cursor_is_only_valid_for_its_own_list() {
    let app = TestApp::start_idle().await;
    fill(&app, 30).await;
    let page = app.get("/api/v1/applications?country=ES&page_size=2").await.expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let mut altered = cursor.to_owned();
    altered.replace_range(10..11, if &cursor[10..11] == "A" { "B" } else { "A" });
    for query in [
        format!("country=PT&cursor={cursor}"),
        format!("cursor={cursor}"),
        format!("country=ES&status=PENDING&cursor={cursor}"),
        format!("country=ES&sort=created_at&cursor={cursor}"),
        format!("country=ES&cursor={altered}"),
        "country=ES&cursor=nonsense".to_owned(),
        "country=ES&cursor=%00".to_owned(),
        format!("country=ES&cursor={}", "A".repeat(4000)),
    ] {
        let answer = app.get(&format!("/api/v1/applications?{query}")).await;
        assert_eq!(answer.field_errors(), ["?cursor bad_cursor"], "{query}");
    }
    let both = app.get(&format!("/api/v1/applications?country=ES&page=1&cursor={cursor}")).await;
    assert_eq!(both.field_errors(), ["?cursor ambiguous"]);
    let its_own = app.get(&format!("/api/v1/applications?country=es&page_size=3&cursor={cursor}")).await;
    assert_eq!(applications(&its_own.expect(200)).len(), 3, "the page size may change");
}

#[actix_rt::test]
async fn lists_are_filtered_by_country_status_and_amount() {
    let app = TestApp::start_idle().await;
    fill(&app, 60).await;
    app.execute("UPDATE applications SET status = 'CANCELLED' WHERE requested_amount <= 6").await;
    let total = async |query: &str| {
        app.get(&format!("/api/v1/applications?page=1&{query}")).await.expect(200)["total"].as_i64().unwrap()
    };
    for (query, expected) in [
        ("", 60),
        ("country=ES", 10),
        ("country=mx", 10),
        ("status=CANCELLED", 6),
        ("status=PENDING", 54),
        ("status=APPROVED", 0),
        ("country=BR&status=CANCELLED", 1),
        ("min_amount=11", 50),
        ("min_amount=10.01", 50),
        ("max_amount=10", 10),
        ("max_amount=9.99", 9),
        ("min_amount=10&max_amount=10.00", 1),
        ("min_amount=61", 0),
        ("country=", 60),
    ] {
        assert_eq!(total(query).await, expected, "{query}");
    }
}

#[actix_rt::test]
async fn a_total_is_exact_if_counted_and_otherwise_a_bounded_lower_bound() {
    let app = TestApp::start_idle_with(&[("AVAL__LISTS__EXACT_UP_TO", "40")]).await;
    fill(&app, 60).await;
    app.execute("UPDATE applications SET status = 'CANCELLED' WHERE requested_amount <= 6").await;
    app.execute("UPDATE applications SET deleted_at = now() WHERE requested_amount = 12").await;
    let user = app.acting_as(crate::support::accounts::USER).await;
    for _ in 0..3 {
        user.submit(&crate::support::builders::spanish()).await;
    }
    let total = async |caller: &crate::support::accounts::Caller<'_>, query: &str| {
        let page = caller.get(&format!("/api/v1/applications?page=1&{query}")).await.expect(200);
        (page["total"].as_i64().unwrap(), page["total_is_exact"].as_bool().unwrap())
    };
    let admin = app.admin();
    let now = app.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')").await;
    for (query, expected) in [
        ("", (62, true)),
        ("country=ES", (13, true)),
        ("status=CANCELLED", (6, true)),
        ("country=BR&status=PENDING", (8, true)),
        ("min_amount=1&status=CANCELLED", (6, true)),
        ("max_amount=3&status=CANCELLED", (3, true)),
        ("min_amount=50&status=PENDING", (14, false)),
        ("min_amount=5000", (3, false)),
        ("min_amount=9999999", (0, false)),
        ("risk_band=low", (0, false)),
        ("to=2020-01-01", (0, true)),
        (&format!("from={now}&status=CANCELLED"), (6, false)),
    ] {
        let (count, is_exact) = total(&admin, query).await;
        assert_eq!(is_exact, expected.1, "{query}");
        assert!(count == expected.0 || count < expected.0 && !is_exact, "{query}: {count} of {}", expected.0);
    }
    assert_eq!(total(&user, "").await, (3, true));
    assert_eq!(total(&user, "min_amount=1").await, (3, true));
    assert_eq!(total(&user, "max_amount=1").await, (0, true));
    let walked = app.get("/api/v1/applications").await.expect(200);
    assert!(walked.get("total_is_exact").is_none());
}

#[actix_rt::test]
async fn from_and_to_filter_by_milliseconds_and_by_whole_days() {
    let app = TestApp::start_idle().await;
    for _ in 0..12 {
        fill(&app, 2).await;
    }
    let all = column(&walk(&app, "sort=created_at", async || {}).await, "created_at");
    let moments: BTreeSet<&String> = all.iter().collect();
    assert!(moments.len() >= 3, "{moments:?}");
    for moment in moments {
        let query = |name: &str| format!("sort=created_at&{name}={}", moment.replace('+', "%2B"));
        let since = column(&walk(&app, &query("from"), async || {}).await, "created_at");
        let until = column(&walk(&app, &query("to"), async || {}).await, "created_at");
        assert!(since.iter().all(|time| time >= moment), "from must be inclusive");
        assert!(until.iter().all(|time| time < moment), "to must be exclusive");
        assert_eq!([until, since].concat(), all);
    }
    let today = &all[0][..10];
    let count = async |query: String| walk(&app, &query, async || {}).await.len();
    assert_eq!(count(format!("from={today}")).await, 24);
    assert_eq!(count(format!("to={}", &all[23][..10])).await, 24, "a date must mean its whole day");
    assert_eq!(count("to=2020-01-01".to_owned()).await, 0);
    assert_eq!(count("from=2099-12-31T23:59:59Z".to_owned()).await, 0);
}

#[actix_rt::test]
async fn lists_are_filtered_by_risk_band() {
    let app = TestApp::start(&[]).await;
    let covered = [Scenario::Approve, Scenario::LowScore, Scenario::Defaults, Scenario::NoScore];
    for row in test_documents().filter(|row| covered.contains(&row.scenario)) {
        let id = app.submit(&body(row.country, row.document)).await;
        app.decided(&id).await;
    }
    let all = walk(&app, "", async || {}).await;
    let mut found = 0;
    for (band, risk) in
        [("low", 0.0..30.0), ("medium", 30.0..50.0), ("high", 50.0..70.0), ("critical", 70.0..100.1)]
    {
        let listed = walk(&app, &format!("risk_band={band}"), async || {}).await;
        let scores = column(&listed, "risk_score");
        assert!(scores.iter().all(|score| risk.contains(&score.parse().unwrap())), "{band}: {scores:?}");
        let of_band = all.iter().filter(|row| row["risk_band"] == band).cloned().collect::<Vec<_>>();
        assert_eq!(listed, of_band);
        found += usize::from(!listed.is_empty());
    }
    assert!(found >= 3, "the scenarios must cover several bands");
    let without_risk = all.iter().filter(|row| row["risk_band"].is_null()).count();
    assert_eq!(without_risk, Country::ALL.len(), "applications without a score must have no band");
}

#[actix_rt::test]
async fn entries_of_a_list_match_their_applications() {
    let app = TestApp::start_idle().await;
    fill(&app, 6).await;
    for line in walk(&app, "", async || {}).await {
        let application =
            app.get(&format!("/api/v1/applications/{}", line["id"].as_str().unwrap())).await.expect(200);
        for (name, value) in line.as_object().unwrap() {
            assert_eq!(&application[name], value, "{name}");
        }
    }
}

#[actix_rt::test]
async fn changed_applications_are_listed_in_the_order_of_their_changes() {
    let app = TestApp::start_idle().await;
    let mut ids = Vec::new();
    for (country, document) in samples().into_iter().take(6) {
        ids.push(app.submit(&body(country, document)).await);
    }
    let all = app.get("/api/v1/applications?updated_since=2020-01-01").await.expect(200);
    let listed = |page: &Value| -> Vec<String> {
        let lines = page["applications"].as_array().unwrap().iter();
        lines.map(|line| line["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&all), ids, "the least recently changed must come first");
    let since = all["applications"][5]["updated_at"].as_str().unwrap().replace('+', "%2B");
    app.patch(
        &format!("/api/v1/applications/{}", ids[1]),
        &json!({"country_specific_data": {"employer": "Acme"}}),
    )
    .await
    .expect(200);
    let page = app.get(&format!("/api/v1/applications?page_size=1&updated_since={since}")).await.expect(200);
    assert_eq!(listed(&page), ids[5..]);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = format!("/api/v1/applications?page_size=1&updated_since={since}&cursor={cursor}");
    let rest = app.get(&rest).await.expect(200);
    assert_eq!((listed(&rest), &rest["next_cursor"]), (vec![ids[1].clone()], &Value::Null));
    let own =
        app.acting_as(USER).await.get("/api/v1/applications?updated_since=2020-01-01").await.expect(200);
    assert!(listed(&own).is_empty());
    let other = app.get(&format!("/api/v1/applications?cursor={cursor}")).await;
    assert_eq!(other.field_errors(), ["?cursor bad_cursor"]);
}
