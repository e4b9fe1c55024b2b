//! `GET /stats` and `GET /stats/countries/{code}`: totals, filters, caching, and the metrics of the leader.

use actix_web::http::Method;
use aval::domain::application::Country;
use aval::providers::simulator::scenario::Scenario;
use aval::providers::simulator::test_documents::test_documents;
use serde_json::{Value, json};

use super::counter_errors;
use crate::support::accounts::{ANALYST, Caller, OTHER, USER};
use crate::support::app::TestApp;
use crate::support::builders::{body, spanish};
use crate::support::eventually;

const STATS: &str = "/api/v1/stats";
/// Only the first round updates the counters. After that, each request adds the uncounted events to them.
const UNCOUNTED: [(&str, &str); 1] = [("AVAL__STATISTICS__MIN_INTERVAL_MS", "3600000")];
/// Every event updates the counters immediately.
const COUNTED: [(&str, &str); 1] = [("AVAL__STATISTICS__MIN_INTERVAL_MS", "1")];

async fn stats(caller: &Caller<'_>) -> Value {
    caller.get(STATS).await.expect(200)
}

async fn spain(caller: &Caller<'_>) -> Value {
    caller.get(&format!("{STATS}/countries/es")).await.expect(200)
}

fn last<'a>(view: &'a Value, periods: &str) -> &'a Value {
    view[periods].as_array().unwrap().last().unwrap()
}

#[actix_rt::test]
async fn an_application_counts_from_its_creation_until_its_deletion_and_after_its_restoration() {
    for settings in [UNCOUNTED, COUNTED] {
        let app = TestApp::start_idle_with(&settings).await;
        let (user, other) = (app.acting_as(USER).await, app.acting_as(OTHER).await);
        let analyst = app.acting_as(ANALYST).await;
        let totals = async || {
            let of = async |caller: &Caller<'_>| stats(caller).await["total"].as_i64().unwrap();
            let all = [of(&user).await, of(&other).await, of(&analyst).await];
            assert_eq!(counter_errors(&app).await, "");
            all
        };
        assert_eq!(totals().await, [0, 0, 0]);
        let id = user.submit(&spanish()).await;
        assert_eq!(totals().await, [1, 0, 1]);
        user.submit(&body(Country::Mx, "HERM850101MDFRRR08")).await;
        other.submit(&spanish()).await;
        assert_eq!(totals().await, [2, 1, 3]);
        user.delete(&format!("/api/v1/applications/{id}")).await.expect(204);
        assert_eq!(totals().await, [1, 1, 2]);
        assert_eq!(last(&stats(&user).await, "days")["created"], 2, "past activity must be kept");
        app.post(&format!("/api/v1/applications/{id}/restore"), &Value::Null).await.expect(200);
        assert_eq!(totals().await, [2, 1, 3]);
        let cancelled = json!({"status": "CANCELLED"});
        user.put(&format!("/api/v1/applications/{id}/status"), &cancelled).await.expect(200);
        let view = stats(&user).await;
        assert_eq!((&view["total"], &view["by_status"]["CANCELLED"]), (&json!(2), &json!(1)));
        assert_eq!(view["by_status"]["PENDING"], 1);
        assert_eq!(last(&view, "days")["cancelled"], 1);
        assert_eq!(totals().await, [2, 1, 3]);
    }
}

#[actix_rt::test]
async fn decisions_are_counted_by_country_with_risks_and_amounts() {
    let app = TestApp::start(&COUNTED).await;
    let scenarios = [Scenario::Approve, Scenario::LowScore, Scenario::Defaults, Scenario::NoScore];
    for row in test_documents().filter(|row| scenarios.contains(&row.scenario)) {
        let id = app.submit(&body(row.country, row.document)).await;
        app.decided(&id).await;
    }
    for view in [stats(&app.admin()).await, stats(&app.acting_as(ANALYST).await).await] {
        for country in view["countries"].as_array().unwrap() {
            let code = country["country"].as_str().unwrap();
            let of = |condition: &str| format!("country = '{code}' AND {condition}");
            for (status, expected) in country["by_status"].as_object().unwrap() {
                let listed =
                    app.get(&format!("/api/v1/applications?page=1&country={code}&status={status}")).await;
                assert_eq!(&listed.expect(200)["total"], expected, "{code} {status}");
            }
            for (member, sum) in
                [("requested_amount", of("true")), ("approved_amount", of("status = 'APPROVED'"))]
            {
                let sum = format!(
                    "SELECT coalesce(sum(requested_amount), 0)::numeric(20, 2) FROM applications WHERE {sum}"
                );
                assert_eq!(country[member], app.sql(&sum).await, "{code} {member}");
            }
            for (band, condition) in [
                ("low", "risk_score < 30"),
                ("medium", "risk_score >= 30 AND risk_score < 50"),
                ("high", "risk_score >= 50 AND risk_score < 70"),
                ("critical", "risk_score >= 70"),
                ("unknown", "risk_score IS NULL"),
            ] {
                let decided = of(&format!("status IN ('APPROVED', 'REJECTED') AND {condition}"));
                let count = app.sql(&format!("SELECT count(*) FROM applications WHERE {decided}")).await;
                assert_eq!(country["risk"][band].to_string(), count, "{code} {band}");
            }
        }
        let (approved, decided) = (view["approved"].as_i64().unwrap(), view["decided"].as_i64().unwrap());
        assert!(approved > 0 && approved < decided, "{approved} of {decided}");
        let today = last(&view, "days");
        assert_eq!(
            (today["created"].as_i64(), today["approved"].as_i64()),
            (view["total"].as_i64(), Some(approved))
        );
        assert_eq!(view["days"].as_array().unwrap().len(), 30);
        let month = last(&view, "months");
        assert_eq!((&month["created"], &month["amounts"]), (&today["created"], &today["amounts"]));
        assert_eq!(month["amounts"][0]["currency"], "EUR");
    }
    assert_eq!(counter_errors(&app).await, "");
    assert_eq!(
        stats(&app.acting_as(USER).await).await["total"],
        0,
        "a user must only see their own applications"
    );
}

#[actix_rt::test]
async fn statistics_can_be_filtered_by_country() {
    let app = TestApp::start_idle().await;
    let user = app.acting_as(USER).await;
    user.submit(&spanish()).await;
    user.submit(&body(Country::Mx, "HERM850101MDFRRR08")).await;
    let view = spain(&user).await;
    assert_eq!(
        (&view["country"], &view["currency"], &view["total"]),
        (&json!("ES"), &json!("EUR"), &json!(1))
    );
    assert_eq!(last(&view, "months")["amounts"].as_array().unwrap().len(), 1);
    let all = stats(&user).await;
    let of_spain = all["countries"].as_array().unwrap().iter().find(|c| c["country"] == "ES").unwrap();
    for (member, value) in of_spain.as_object().unwrap() {
        assert_eq!(&view[member], value, "{member}");
    }
    for code in ["XX", "ESP", "FR"] {
        let answer = user.get(&format!("{STATS}/countries/{code}")).await;
        assert_eq!(answer.expect(404)["code"], "not_found", "{code}");
    }
}

#[actix_rt::test]
async fn unchanged_figures_are_not_sent_again() {
    let app = TestApp::start_idle().await;
    for path in [STATS.to_owned(), format!("{STATS}/countries/ES")] {
        let tag = app.get(&path).await.header("etag").to_owned();
        let known = [("If-None-Match", &*tag)];
        let again = app.send(Method::GET, &path, &known, "").await;
        assert_eq!((again.status.as_u16(), again.header("etag")), (304, &*tag));
        app.submit(&spanish()).await;
        let changed = app.send(Method::GET, &path, &known, "").await;
        assert_ne!(changed.header("etag"), tag);
        changed.expect(200);
    }
}

#[actix_rt::test]
async fn figures_without_the_latest_events_state_the_time_up_to_which_they_are_complete() {
    let settings = [UNCOUNTED[0], ("AVAL__STATISTICS__MAX_UNCOUNTED", "3")];
    let app = TestApp::start_idle_with(&settings).await;
    for _ in 0..2 {
        app.submit(&spanish()).await;
    }
    let before = stats(&app.admin()).await;
    assert_eq!(before["total"], 2);
    for _ in 0..8 {
        app.submit(&spanish()).await;
    }
    let behind = stats(&app.admin()).await;
    let latest =
        app.sql("SELECT max(created_at) AT TIME ZONE 'UTC' FROM applications").await.replace(' ', "T");
    assert!(behind["total"].as_i64().unwrap() < 10, "{behind}");
    assert!(behind["as_of"].as_str().unwrap() < &*latest, "{} is before {latest}", behind["as_of"]);
    let listed = app.get("/api/v1/applications?page=1").await.expect(200);
    assert_eq!(
        (&listed["total"], &listed["total_is_exact"]),
        (&json!(10), &json!(true)),
        "the total must be exact, because fewer rows than the limit are counted"
    );
    assert_eq!(counter_errors(&app).await, "");
}

#[actix_rt::test]
async fn only_the_leader_publishes_figures_of_all_applications() {
    let first = TestApp::start(&COUNTED).await;
    let id = first.submit(&spanish()).await;
    assert_eq!(first.decided(&id).await, "APPROVED");
    let approved = "applications_by_status{country=\"ES\",status=\"APPROVED\"}";
    let has_figures = async |app: &TestApp| (app.metric(approved).await == 1.0).then_some(());
    eventually("the leader's figures", async || has_figures(&first).await).await;
    for (series, value) in [
        ("approval_rate{country=\"ES\"}", 1.0),
        ("monthly_amount_approved{country=\"ES\"}", 6000.0),
        ("risk_score_distribution_count{country=\"ES\"}", 1.0),
        ("applications_by_status{country=\"MX\",status=\"PENDING\"}", 0.0),
    ] {
        assert_eq!(first.metric(series).await, value, "{series}");
    }
    let next = TestApp::start_on(std::rc::Rc::clone(&first.database), &COUNTED).await;
    let page = next.get("/metrics").await.text();
    assert!(!page.contains("applications_by_status{"), "other instances must have none");
    first.stop().await;
    eventually("the next leader's figures", async || has_figures(&next).await).await;
}
