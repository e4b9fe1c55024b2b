//! Changing the log level of a module at run time.

use serde_json::{Value, json};

use crate::support::accounts::ANALYST;
use crate::support::app::TestApp;
use crate::support::builders::spanish;
use crate::support::eventually;

const PATH: &str = "/api/v1/admin/log-level";

/// A change that ends after some minutes.
fn change(app: &TestApp, minutes: i64) -> Value {
    let end = app.engine().resources.clock.now() + chrono::TimeDelta::minutes(minutes);
    json!({
        "module": "actors::scheduler",
        "level": "debug",
        "reason": "Looking for lost leases",
        "expires_at": end.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
    })
}

async fn has_line(app: &TestApp, message: &str) -> bool {
    app.log.lines().await.iter().any(|line| line["message"] == message)
}

#[actix_rt::test]
async fn the_level_of_a_module_changes_on_this_instance_and_the_change_is_recorded() {
    let app = TestApp::start(&[("AVAL__LOG__LEVEL", "info")]).await;
    let id = app.submit(&spanish()).await;
    app.decided(&id).await;
    assert!(has_line(&app, "application decided").await);
    assert!(!has_line(&app, "jobs claimed").await, "the level is info");
    let set = app.put(PATH, &change(&app, 60)).await.expect(200);
    assert_eq!(set["configured"], "info");
    assert_eq!(set["instance"], json!(&*app.engine().resources.instance));
    let in_force = &set["changes"][0];
    assert_eq!(
        (&in_force["module"], &in_force["level"], &in_force["set_by"]),
        (&json!("actors::scheduler"), &json!("debug"), &json!("test-admin"))
    );
    assert_eq!(app.get(PATH).await.expect(200), set);
    app.submit(&spanish()).await;
    eventually("a debug line of the scheduler", async || has_line(&app, "jobs claimed").await.then_some(()))
        .await;
    assert!(!has_line(&app, "write batcher started").await, "other modules keep their level");
    let events = app.get("/api/v1/admin/security-events?kind=log_level_changed").await.expect(200);
    let event = &events["events"][0];
    assert_eq!(event["actor"], "test-admin", "{events}");
    assert_eq!(event["detail"]["reason"], "Looking for lost leases");
    assert_eq!(event["detail"]["module"], "actors::scheduler");
}

#[actix_rt::test]
async fn only_admins_change_the_level_and_only_for_a_limited_time() {
    let app = TestApp::start_idle().await;
    let analyst = app.acting_as(ANALYST).await;
    analyst.get(PATH).await.expect(403);
    analyst.put(PATH, &change(&app, 60)).await.expect(403);
    for (member, value, error) in [
        ("expires_at", Value::Null, "/expires_at required"),
        ("expires_at", change(&app, 24 * 60 + 1)["expires_at"].clone(), "/expires_at out_of_range"),
        ("level", json!("loud"), "/level unknown_level"),
        ("module", json!("Actors"), "/module bad_module"),
        ("reason", Value::Null, "/reason required"),
    ] {
        let mut body = change(&app, 60);
        body[member] = value;
        let answer = app.put(PATH, &body).await;
        assert_eq!(answer.status, 422, "{member}");
        assert_eq!(answer.field_errors(), [error]);
    }
    assert_eq!(app.get(PATH).await.expect(200)["changes"], json!([]));
}
