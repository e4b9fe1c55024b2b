//! Operators' overrides of the circuit breakers, on one instance and on two.

use std::rc::Rc;

use aval::domain::application::Country;
use aval::supervision::faults::FaultPoint;
use serde_json::{Value, json};

use crate::support::accounts::ANALYST;
use crate::support::app::TestApp;
use crate::support::builders::{body, spanish, with};
use crate::support::eventually;

const LIST: &str = "/api/v1/admin/circuits";
const SPAIN: &str = "/api/v1/admin/circuits/es";

/// A request whose override ends after this many seconds.
fn forced(app: &TestApp, mode: &str, seconds: i64) -> Value {
    let end = app.engine().resources.clock.now() + chrono::TimeDelta::seconds(seconds);
    json!({"mode": mode, "reason": "The bureau has announced maintenance", "expires_at": end.to_rfc3339()})
}

async fn spain(app: &TestApp) -> Value {
    let list = app.get(LIST).await.expect(200);
    list["circuits"].as_array().unwrap().iter().find(|circuit| circuit["country"] == "ES").unwrap().clone()
}

async fn wait_for_breaker(app: &TestApp, mode: &str, state: &str) {
    eventually(&format!("Spain's breaker to be {mode} and {state}"), async || {
        let here = spain(app).await["here"].clone();
        (here["mode"] == mode && here["state"] == state).then_some(())
    })
    .await;
}

const HISTORY: &str = "/api/v1/admin/circuits/history";

/// The kinds of the entries, newest first.
fn kinds(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap()).collect()
}

#[actix_rt::test]
async fn the_history_lists_overrides_with_their_operators_and_changes_of_breakers_newest_first() {
    let app = TestApp::start(&[]).await;
    app.put(SPAIN, &forced(&app, "forced_open", 600)).await.expect(200);
    wait_for_breaker(&app, "forced_open", "open").await;
    app.put(SPAIN, &json!({"mode": "auto", "reason": "Maintenance is over"})).await.expect(200);
    wait_for_breaker(&app, "auto", "closed").await;
    let history = eventually("four entries", async || {
        let page = app.get(&format!("{HISTORY}?country=es")).await.expect(200);
        (kinds(&page).len() == 4).then_some(page)
    })
    .await;
    let of_kind = |kind: &str| {
        history["items"].as_array().unwrap().iter().find(|item| item["kind"] == kind).unwrap().clone()
    };
    let (opened, forced_open) = (of_kind("opened"), of_kind("forced_open"));
    assert_eq!((&opened["country"], &opened["provider"]), (&json!("ES"), &json!("ASNEF-CIRBE")));
    assert_eq!((&opened["cause"], &opened["by"]), (&json!("forced"), &Value::Null));
    let instance = app.get(LIST).await.expect(200)["instance"].clone();
    assert_eq!(opened["instance"], instance);
    assert_eq!((&forced_open["by"], &forced_open["provider"]), (&json!("test-admin"), &json!("ASNEF-CIRBE")));
    assert_eq!(forced_open["reason"], "The bureau has announced maintenance");
    assert!(forced_open["expires_at"].is_string() && forced_open["instance"].is_null(), "{forced_open}");
    assert_eq!(of_kind("automatic")["reason"], "Maintenance is over");
    assert_eq!(of_kind("closed")["cause"], "given_back");
    let times: Vec<&str> =
        history["items"].as_array().unwrap().iter().map(|item| item["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer[..23] >= older[..23]), "{times:?}");

    let mut read = Vec::new();
    let mut path = format!("{HISTORY}?limit=3");
    loop {
        let page = app.get(&path).await.expect(200);
        read.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{HISTORY}?limit=3&cursor={cursor}");
    }
    assert_eq!(Value::from(read), history["items"]);
    assert_eq!(app.get(&format!("{HISTORY}?country=PT")).await.expect(200)["items"], json!([]));
    for (query, error) in [
        ("limit=0", "?limit out_of_range"),
        ("country=FR", "?country unknown_country"),
        ("cursor=x", "?cursor bad_cursor"),
    ] {
        assert_eq!(app.get(&format!("{HISTORY}?{query}")).await.field_errors(), [error]);
    }
    app.acting_as(ANALYST).await.get(HISTORY).await.expect(403);
}

#[actix_rt::test]
async fn the_history_of_an_outage_shows_that_the_breaker_opened_probed_and_closed() {
    let app = TestApp::start(&[("AVAL__PROVIDERS__DEFAULTS__BREAKER__CONSECUTIVE_FAILURES", "1")]).await;
    app.simulator().script().fail_next(Country::Es, 1);
    app.submit(&spanish()).await;
    let history = eventually("the breaker to have closed again", async || {
        let page = app.get(HISTORY).await.expect(200);
        (kinds(&page).first() == Some(&"closed")).then_some(page)
    })
    .await;
    assert_eq!(kinds(&history), ["closed", "half_opened", "opened"]);
    let causes: Vec<&str> =
        history["items"].as_array().unwrap().iter().map(|item| item["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, ["probe_succeeded", "open_time_over", "consecutive_failures"]);
    let events =
        "SELECT string_agg(o.type, ' ' ORDER BY o.id) FROM outbox o JOIN circuit_changes c USING (id)";
    assert_eq!(app.sql(events).await, "circuit.opened.v1 circuit.closed.v1");
}

fn mode_metric(country: &str, provider: &str) -> String {
    format!("provider_circuit_breaker_mode{{country=\"{country}\",provider=\"{provider}\"}}")
}

#[actix_rt::test]
async fn an_override_on_one_instance_applies_to_all_and_stops_all_calls() {
    let first = TestApp::start(&[]).await;
    // Its poll interval is too long for a poll to apply the override.
    let second =
        TestApp::start_on(Rc::clone(&first.database), &[("AVAL__JOBS__POLL_INTERVAL_MS", "3600000")]).await;
    let answer = first.put(SPAIN, &forced(&first, "forced_open", 600)).await.expect(200);
    assert_eq!(answer["here"]["state"], "open", "the instance must apply it before it responds");
    assert_eq!(answer["override"]["set_by"], "test-admin");
    wait_for_breaker(&second, "forced_open", "open").await;

    for app in [&first, &second] {
        assert_eq!(app.metric(&mode_metric("ES", "asnef_cirbe")).await, 1.0);
        assert_eq!(app.metric(&mode_metric("PT", "banco_de_portugal")).await, 0.0);
        let id = app.submit(&spanish()).await;
        assert_eq!(app.decided(&id).await, "UNDER_REVIEW");
        assert_eq!(app.reasons(&id).await, ["PROVIDER_UNAVAILABLE"]);
    }
    let other = first.submit(&body(Country::Mx, "HERM850101MDFRRR08")).await;
    assert_eq!(first.decided(&other).await, "APPROVED");
    assert_eq!(first.simulator().calls(Country::Es) + second.simulator().calls(Country::Es), 0);

    second.put(SPAIN, &json!({"mode": "auto", "reason": "Maintenance is over"})).await.expect(200);
    wait_for_breaker(&first, "auto", "closed").await;
    assert_eq!(spain(&first).await["override"], json!(null));
    eventually("both Spanish applications to be decided again", async || {
        (first.sql("SELECT count(*) FROM applications WHERE status = 'APPROVED'").await == "3").then_some(())
    })
    .await;
    let log = "SELECT string_agg(concat_ws(' ', country, mode, changed_by, request_id IS NOT NULL), ', ' \
               ORDER BY changed_at) FROM circuit_override_log";
    assert_eq!(first.sql(log).await, "ES forced_open test-admin t, ES auto test-admin t");
    let mut sql = first.database.connect().await;
    let rewriting =
        crate::support::db::execute(&mut sql, "UPDATE circuit_override_log SET changed_by = 'x'").await;
    assert!(rewriting.is_err(), "the log of overrides must be immutable");
}

#[actix_rt::test]
async fn an_override_expires_without_a_poll() {
    let app = TestApp::start(&[("AVAL__JOBS__POLL_INTERVAL_MS", "3600000")]).await;
    app.put(SPAIN, &forced(&app, "forced_open", 2)).await.expect(200);
    wait_for_breaker(&app, "forced_open", "open").await;
    wait_for_breaker(&app, "auto", "closed").await;
    assert_eq!(spain(&app).await["override"], json!(null));
    assert_eq!(app.metric(&mode_metric("ES", "asnef_cirbe")).await, 0.0);
}

#[actix_rt::test]
async fn an_override_without_notification_is_found_by_the_poll() {
    let app = TestApp::start(&[("AVAL__JOBS__POLL_INTERVAL_MS", "50")]).await;
    app.execute("ALTER TABLE circuit_overrides DISABLE TRIGGER circuit_overrides_log").await;
    app.execute(
        "INSERT INTO circuit_overrides (country, mode, reason, expires_at) \
         VALUES ('ES', 'forced_open', 'by hand', now() + interval '1 hour')",
    )
    .await;
    wait_for_breaker(&app, "forced_open", "open").await;
    app.execute("DELETE FROM circuit_overrides").await;
    wait_for_breaker(&app, "auto", "closed").await;
}

#[actix_rt::test]
async fn a_restarted_gateway_applies_overrides_from_its_first_call() {
    let app = TestApp::start(&[("AVAL__JOBS__POLL_INTERVAL_MS", "100")]).await;
    app.put(SPAIN, &forced(&app, "forced_open", 600)).await.expect(200);
    app.engine().resources.faults.arm(FaultPoint::ProviderGateway, None, 1).unwrap();
    let id = app.submit(&spanish()).await;
    assert_eq!(app.decided(&id).await, "UNDER_REVIEW");
    let restarts = app.metric("actor_restarts_total{actor=\"provider_gateway\"}").await;
    assert_eq!((restarts, app.simulator().calls(Country::Es)), (1.0, 0));
    app.stop().await;
}

#[actix_rt::test]
async fn a_new_instance_applies_overrides_from_its_first_call() {
    let first = TestApp::start_idle().await;
    first.put(SPAIN, &forced(&first, "forced_open", 600)).await.expect(200);
    first.submit(&spanish()).await;
    let second = TestApp::start_on(Rc::clone(&first.database), &[]).await;
    eventually("a decision", async || {
        (second.sql("SELECT status FROM applications").await == "UNDER_REVIEW").then_some(())
    })
    .await;
    assert_eq!(second.simulator().calls(Country::Es), 0);
}

#[actix_rt::test]
async fn a_breaker_that_is_forced_closed_admits_and_counts_calls_despite_failures() {
    let app = TestApp::start(&[
        ("AVAL__PROVIDERS__ES__BREAKER__CONSECUTIVE_FAILURES", "1"),
        ("AVAL__PROVIDERS__ES__CALL__RETRIES", "0"),
        ("AVAL__REDECISION__MIN_INTERVAL_MS", "3600000"),
    ])
    .await;
    app.put(SPAIN, &forced(&app, "forced_closed", 600)).await.expect(200);
    app.simulator().script().fail_next(Country::Es, 3);
    let id = app.submit(&spanish()).await;
    assert_eq!(app.decided(&id).await, "UNDER_REVIEW");
    let here = spain(&app).await["here"].clone();
    assert_eq!((&here["state"], &here["mode"]), (&json!("closed"), &json!("forced_closed")));
    assert_eq!(
        (&here["calls"], &here["failures"], &here["consecutive_failures"]),
        (&json!(3), &json!(3), &json!(3))
    );
    assert_eq!(app.metric(&mode_metric("ES", "asnef_cirbe")).await, 2.0);
    let next = app.submit(&spanish()).await;
    assert_eq!(app.decided(&next).await, "APPROVED");
}

#[actix_rt::test]
async fn a_forced_open_breaker_pauses_its_country_if_configured() {
    let app = TestApp::start(&[("AVAL__PROVIDERS__ES__WHEN_OPEN", "pause")]).await;
    app.put(SPAIN, &forced(&app, "forced_open", 600)).await.expect(200);
    let waiting = app.submit(&spanish()).await;
    let other = app.submit(&body(Country::Mx, "HERM850101MDFRRR08")).await;
    assert_eq!(app.decided(&other).await, "APPROVED");
    assert_eq!(app.trail(&waiting).await, "PENDING");
    let lanes = app.get("/api/v1/admin/jobs/lanes").await.expect(200);
    let spain = lanes["lanes"].as_array().unwrap().iter().find(|lane| lane["lane"] == "ES").unwrap();
    assert_eq!((&spain["paused"], &spain["intake"]), (&json!(false), &json!("nothing")));
    app.put(SPAIN, &json!({"mode": "auto"})).await.expect(200);
    assert_eq!(app.decided(&waiting).await, "APPROVED");
}

#[actix_rt::test]
async fn an_instance_without_the_worker_role_sets_overrides_and_reports_no_breakers() {
    let worker = TestApp::start(&[]).await;
    let api = [("AVAL__INSTANCE__ROLES", "api")];
    let api = TestApp::start_on(Rc::clone(&worker.database), &api).await;
    let set = api.put(SPAIN, &forced(&api, "forced_open", 600)).await.expect(200);
    assert_eq!((&set["here"], &set["override"]["mode"]), (&json!(null), &json!("forced_open")));
    assert_eq!(spain(&api).await["override"]["set_by"], "test-admin");
    wait_for_breaker(&worker, "forced_open", "open").await;
    let lanes = api.get("/api/v1/admin/jobs/lanes").await.expect(200);
    assert_eq!(lanes["lanes"][0]["intake"], json!(null));
    let actors = api.get("/api/v1/admin/actors").await.expect(200);
    assert_eq!(actors["roles"], json!(["api"]));
}

#[actix_rt::test]
async fn an_override_without_reason_or_expiry_is_rejected() {
    let app = TestApp::start_idle().await;
    let valid = forced(&app, "forced_closed", 600);
    for (request, error) in [
        (with(valid.clone(), "mode", "half_open"), "/mode unknown_mode"),
        (with(valid.clone(), "reason", json!(null)), "/reason required"),
        (with(valid.clone(), "expires_at", json!(null)), "/expires_at required"),
        (with(valid.clone(), "expires_at", "2001-01-01T00:00:00Z"), "/expires_at out_of_range"),
        (forced(&app, "forced_closed", 25 * 3600), "/expires_at out_of_range"),
        (with(valid.clone(), "until", 7), "/until unknown_field"),
        (with(valid.clone(), "mode", "auto"), "/expires_at not_allowed"),
    ] {
        let answer = app.put(SPAIN, &request).await;
        assert_eq!(answer.field_errors(), [error]);
        answer.expect(422);
    }
    app.put("/api/v1/admin/circuits/XX", &valid).await.expect(404);
    assert_eq!(app.sql("SELECT count(*) FROM circuit_override_log").await, "0");
    let list = app.get(LIST).await.expect(200);
    assert_eq!(list["circuits"].as_array().unwrap().len(), Country::ALL.len());
    assert_eq!(list["instance"], json!(&*app.engine().resources.instance));
}
