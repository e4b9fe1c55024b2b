//! The activity of single days.

use aval::domain::application::Country;
use serde_json::{Value, json};

use crate::support::accounts::{OTHER, USER};
use crate::support::app::TestApp;
use crate::support::builders::{body, spanish};

const DAILY: &str = "/api/v1/stats/daily";
/// Only the first round updates the counters. After that, each request adds the uncounted events to them.
const UNCOUNTED: [(&str, &str); 1] = [("AVAL__STATISTICS__MIN_INTERVAL_MS", "3600000")];
/// Every event updates the counters immediately.
const COUNTED: [(&str, &str); 1] = [("AVAL__STATISTICS__MIN_INTERVAL_MS", "1")];

fn items(view: &Value) -> &Vec<Value> {
    view["items"].as_array().unwrap()
}

/// Today's entry of a country.
fn today<'a>(view: &'a Value, country: &str) -> &'a Value {
    items(view).iter().rfind(|item| item["country"] == country).unwrap()
}

#[actix_rt::test]
async fn each_day_shows_what_was_created_decided_and_approved_in_each_country() {
    for settings in [UNCOUNTED, COUNTED] {
        let app = TestApp::start(&settings).await;
        let (user, other) = (app.acting_as(USER).await, app.acting_as(OTHER).await);
        let approved = user.submit(&spanish()).await;
        let mexican = user.submit(&body(Country::Mx, "HERM850101MDFRRR08")).await;
        assert_eq!(
            (app.decided(&approved).await, app.decided(&mexican).await),
            ("APPROVED".into(), "APPROVED".into())
        );
        let view = user.get(DAILY).await.expect(200);
        assert_eq!(items(&view).len(), 30 * Country::ALL.len(), "every day has an entry for every country");
        let spain = today(&view, "ES");
        let amount = app.sql("SELECT requested_amount FROM applications WHERE country = 'ES'").await;
        let expected = json!({
            "date": app.sql("SELECT (now() AT TIME ZONE 'UTC')::date").await, "country": "ES", "created": 1,
            "decided": 1, "approved": 1, "rejected": 0, "under_review": 0,
            "amount_requested": amount, "amount_approved": amount,
        });
        assert_eq!(*spain, expected);
        assert_eq!(today(&view, "MX")["approved"], 1);
        assert_eq!(today(&view, "PT")["created"], 0);

        let all = app.get(&format!("{DAILY}?country=es")).await.expect(200);
        assert_eq!((items(&all).len(), today(&all, "ES")), (30, &expected));
        let foreign = other.get(DAILY).await.expect(200);
        assert_eq!(today(&foreign, "ES")["created"], 0, "the applications of others are not counted");
    }
}

#[actix_rt::test]
async fn a_period_is_inclusive_and_read_from_the_counted_days() {
    let app = TestApp::start_idle().await;
    app.execute(
        "INSERT INTO application_days VALUES \
             ('', '2026-01-31', 'ES', 4, 400.5, 2, 1, 1, 0, 200), ('', '2026-02-02', 'ES', 1, 10, 0, 0, 0, 0, 0), \
             ('test-user', '2026-01-31', 'ES', 1, 100, 0, 0, 0, 0, 0)",
    )
    .await;
    let view = app.get(&format!("{DAILY}?country=ES&from=2026-01-31&to=2026-02-01")).await.expect(200);
    let shown: Vec<(&str, i64)> = items(&view)
        .iter()
        .map(|item| (item["date"].as_str().unwrap(), item["created"].as_i64().unwrap()))
        .collect();
    assert_eq!(shown, [("2026-01-31", 4), ("2026-02-01", 0)]);
    let first = &items(&view)[0];
    assert_eq!((&first["decided"], &first["amount_requested"]), (&json!(3), &json!("400.50")));
    let own = app.acting_as(USER).await;
    let own = own.get(&format!("{DAILY}?country=ES&from=2026-01-31&to=2026-01-31")).await.expect(200);
    assert_eq!(items(&own)[0]["created"], 1);
    for (query, error) in [
        ("from=2026-01-02&to=2026-01-01", "?to bad_range"),
        ("from=2026-01-01&to=2026-04-03", "?from out_of_range"),
        ("from=today", "?from bad_time"),
        ("country=FR", "?country unknown_country"),
        ("days=7", "?days unknown_parameter"),
    ] {
        assert_eq!(app.get(&format!("{DAILY}?{query}")).await.field_errors(), [error]);
    }
    app.anonymous().get(DAILY).await.expect(401);
}
