//! The settings and saved views of user accounts.

use serde_json::{Value, json};

use crate::support::accounts::{ANALYST, OTHER, USER};
use crate::support::app::TestApp;

const SETTINGS: &str = "/api/v1/auth/me/settings";
const VIEWS: &str = "/api/v1/auth/me/views";

#[actix_rt::test]
async fn an_account_has_default_settings_until_it_replaces_them_all() {
    let app = TestApp::start_idle().await;
    let (user, other) = (app.acting_as(USER).await, app.acting_as(OTHER).await);
    let defaults = json!({"language": null, "time_zone": null, "theme": "auto"});
    assert_eq!(user.get(SETTINGS).await.expect(200), defaults);
    let chosen = json!({"language": "pt", "time_zone": "America/Sao_Paulo", "theme": "dark"});
    assert_eq!(user.put(SETTINGS, &chosen).await.expect(200), chosen);
    assert_eq!(user.get(SETTINGS).await.expect(200), chosen);
    assert_eq!(other.get(SETTINGS).await.expect(200), defaults, "settings belong to one account");
    let fewer = json!({"theme": "light"});
    let replaced = json!({"language": null, "time_zone": null, "theme": "light"});
    assert_eq!(user.put(SETTINGS, &fewer).await.expect(200), replaced);
    assert_eq!(user.get(SETTINGS).await.expect(200), replaced);
}

#[actix_rt::test]
async fn invalid_settings_are_refused_and_change_nothing() {
    let app = TestApp::start_idle().await;
    for (body, errors) in [
        (json!({}), vec!["/theme required"]),
        (json!({"theme": "blue"}), vec!["/theme unknown_value"]),
        (json!({"theme": "dark", "language": "fr"}), vec!["/language unknown_value"]),
        (json!({"theme": "dark", "time_zone": "Europe/Atlantis"}), vec!["/time_zone unknown_time_zone"]),
        (json!({"theme": "dark", "time_zone": 1}), vec!["/time_zone bad_type"]),
        (json!({"theme": "dark", "font": "big"}), vec!["/font unknown_field"]),
    ] {
        assert_eq!(app.put(SETTINGS, &body).await.field_errors(), errors, "{body}");
    }
    assert_eq!(app.sql("SELECT count(*) FROM account_settings").await, "0");
}

fn view(page: &str, name: &str, filters: Value) -> Value {
    json!({"page": page, "name": name, "filters": filters})
}

#[actix_rt::test]
async fn an_account_saves_lists_and_deletes_its_own_views() {
    let app = TestApp::start_idle().await;
    let (analyst, other) = (app.acting_as(ANALYST).await, app.acting_as(OTHER).await);
    let filters = json!({"country": "ES", "min_amount": "20000.00", "sort": "created_at"});
    let saved =
        analyst.post(VIEWS, &view("applications", "  Large in Spain ", filters.clone())).await.expect(201);
    assert_eq!(
        (&saved["page"], &saved["name"], &saved["filters"]),
        (&json!("applications"), &json!("Large in Spain"), &filters)
    );
    let mine = json!({"assignment": "mine"});
    let reviews = analyst.post(VIEWS, &view("reviews", "Large in Spain", mine)).await.expect(201);
    assert_eq!(analyst.get(VIEWS).await.expect(200)["items"], json!([saved, reviews]));
    assert_eq!(other.get(VIEWS).await.expect(200)["items"], json!([]), "views belong to one account");

    let repeated = analyst.post(VIEWS, &view("applications", "Large in Spain", json!({}))).await.expect(409);
    assert_eq!(repeated["code"], "duplicate_view");
    other.post(VIEWS, &view("applications", "Large in Spain", json!({}))).await.expect(201);

    let path = format!("{VIEWS}/{}", saved["id"].as_str().unwrap());
    other.delete(&path).await.expect(404);
    assert_eq!(analyst.delete(&path).await.status, 204);
    analyst.delete(&path).await.expect(404);
    assert_eq!(analyst.get(VIEWS).await.expect(200)["items"], json!([reviews]));
}

#[actix_rt::test]
async fn a_view_with_filters_that_its_list_does_not_accept_is_refused() {
    let app = TestApp::start_idle().await;
    for (body, errors) in [
        (json!({}), vec!["/page required", "/name required", "/filters required"]),
        (view("stats", "a", json!({})), vec!["/page unknown_value"]),
        (view("reviews", " ", json!({})), vec!["/name bad_name"]),
        (view("reviews", &"x".repeat(61), json!({})), vec!["/name bad_name"]),
        (view("reviews", "a", json!({"assignment": "nobody"})), vec!["/filters/assignment unknown_value"]),
        (
            view("applications", "a", json!({"document": "12345678Z"})),
            vec!["/filters/document unknown_field"],
        ),
        (
            view("applications", "a", json!({"from": "yesterday", "status": 1})),
            vec!["/filters/status bad_type", "/filters/from bad_time"],
        ),
    ] {
        assert_eq!(app.post(VIEWS, &body).await.field_errors(), errors, "{body}");
    }
    assert_eq!(app.sql("SELECT count(*) FROM saved_views").await, "0");
}

#[actix_rt::test]
async fn an_account_has_at_most_fifty_views_even_if_they_are_saved_concurrently() {
    let app = TestApp::start_idle().await;
    app.execute(
        "INSERT INTO saved_views (id, user_id, page, name, filters) \
         SELECT uuid_v7_now(), u.id, 'reviews', 'view ' || n, '{}' FROM users u, generate_series(1, 48) n",
    )
    .await;
    let bodies: Vec<Value> = (0..5).map(|n| view("applications", &format!("new {n}"), json!({}))).collect();
    let answers = futures_util::future::join_all(bodies.iter().map(|body| app.post(VIEWS, body))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 409, 409, 409]);
    let refused = answers.iter().find(|answer| answer.status == 409).unwrap();
    assert_eq!(refused.json["code"], "conflict");
    app.acting_as(USER).await.post(VIEWS, &view("reviews", "mine", json!({}))).await.expect(201);
}

#[actix_rt::test]
async fn only_users_have_settings_and_views_which_are_deleted_with_the_account() {
    let app = TestApp::start_idle().await;
    let key = json!({"name": "machine", "role": "admin", "scopes": ["operations:read"]});
    let made = app.post("/api/v1/api-keys", &key).await.expect(201);
    let machine = app.with_key(made["key"].as_str().unwrap());
    for path in [SETTINGS, VIEWS] {
        machine.get(path).await.expect(403);
    }
    let user = app.acting_as(USER).await;
    user.put(SETTINGS, &json!({"theme": "dark"})).await.expect(200);
    user.post(VIEWS, &view("reviews", "mine", json!({}))).await.expect(201);
    app.execute(&format!("DELETE FROM users WHERE username = '{USER}'")).await;
    let left = "SELECT (SELECT count(*) FROM saved_views) + (SELECT count(*) FROM account_settings)";
    assert_eq!(app.sql(left).await, "0");
}
