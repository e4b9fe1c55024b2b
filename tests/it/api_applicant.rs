//! What owners see of their applications, and how old values are stored.

use aval::domain::application::Country;
use serde_json::{Value, json};

use crate::support::accounts::{ANALYST, OTHER, USER};
use crate::support::app::TestApp;
use crate::support::builders::{body, spanish, with};

fn path(id: &str) -> String {
    format!("/api/v1/applications/{id}")
}

/// The audit entry with an action.
fn entry<'a>(trail: &'a Value, action: &str) -> &'a Value {
    let entries = trail["entries"].as_array().unwrap();
    entries.iter().rev().find(|entry| entry["action"] == action).unwrap()
}

#[actix_rt::test]
async fn an_owner_sees_no_other_applicants_and_only_public_notes_of_staff() {
    let window = ("AVAL__APPLICATIONS__DUPLICATE_WINDOW_HOURS", "24");
    let app = TestApp::start(&[window]).await;
    let (user, other, analyst) =
        (app.acting_as(USER).await, app.acting_as(OTHER).await, app.acting_as(ANALYST).await);
    let other_application = other.submit(&body(Country::Es, "48214907F")).await;
    app.reaches(&other_application, "APPROVED").await;
    let id = user.submit(&body(Country::Es, "48214907F")).await;
    app.reaches(&id, "UNDER_REVIEW").await;

    let decision = format!("{}/decision", path(&id));
    assert_eq!(analyst.get(&decision).await.expect(200)["reasons"], json!(["APPLIED_ELSEWHERE"]));
    let seen = user.get(&decision).await;
    assert_eq!(seen.json["reasons"], json!(["MANUAL_REVIEW"]));
    assert!(!seen.text().contains("ELSEWHERE"), "{}", seen.text());

    let verdict = json!({"status": "APPROVED", "reason": "Welcome", "internal_note": "known to the branch"});
    analyst.patch(&path(&id), &verdict).await.expect(200);
    let audit = format!("{}/audit", path(&id));
    let full_trail = analyst.get(&audit).await.expect(200);
    let last = entry(&full_trail, "status_changed");
    assert_eq!(
        (&last["changed_by"], &last["reason"], &last["internal_note"]),
        (&ANALYST.into(), &"Welcome".into(), &"known to the branch".into())
    );
    let seen = user.get(&audit).await;
    let last = entry(&seen.json, "status_changed");
    assert_eq!((&last["changed_by"], &last["reason"]), (&"staff".into(), &"Welcome".into()));
    assert_eq!((last.get("internal_note"), &last["request_id"]), (None, &Value::Null));
    assert_eq!(entry(&seen.json, "created")["changed_by"], USER);
    for hidden in [ANALYST, "known to the branch", "system:", "ELSEWHERE"] {
        assert!(!seen.text().contains(hidden), "{hidden} in {}", seen.text());
    }

    // Reasons without the public flag were written for staff.
    app.execute(&format!(
        "UPDATE applications SET status = 'COMPLETED', change_id = gen_random_uuid(), changed_by = '{ANALYST}', \
         change_reason = 'old suspicion' WHERE id = '{id}'"
    ))
    .await;
    assert!(analyst.get(&audit).await.text().contains("old suspicion"));
    let seen = user.get(&audit).await;
    assert!(!seen.text().contains("old suspicion"), "{}", seen.text());
    let note = json!({"status": "CANCELLED", "internal_note": "mine"});
    assert_eq!(user.patch(&path(&id), &note).await.field_errors(), ["/internal_note staff_only"]);
}

#[actix_rt::test]
async fn changed_values_are_audited_sealed_if_personal_and_owners_cannot_change_decided_applications() {
    let app = TestApp::start_idle().await;
    let (user, analyst) = (app.acting_as(USER).await, app.acting_as(ANALYST).await);
    let data = json!({"employer": "Acme", "email": "quiteria@example.net"});
    let id = user.submit(&with(spanish(), "country_specific_data", data)).await;
    let change = |data: Value| json!({"country_specific_data": data});
    let changed = json!({"employer": null, "occupation": "baker", "email": "wilhelmina@example.org"});
    user.patch(&path(&id), &change(changed)).await.expect(200);

    let audit = format!("{}/audit", path(&id));
    let trail = analyst.get(&audit).await.expect(200);
    assert_eq!(
        entry(&trail, "data_changed")["changes"],
        json!([
            {"pointer": "/country_specific_data/employer", "old": "Acme", "new": null},
            {"pointer": "/country_specific_data/occupation", "old": null, "new": "baker"},
            {"pointer": "/country_specific_data/email", "old": "****.net", "new": "****.org"},
        ])
    );
    let stored = app.sql("SELECT string_agg(a::text || l::text, '') FROM applications a, audit_logs l").await;
    assert!(stored.contains("Acme") && !stored.contains("example"), "{stored}");
    let sealed = "SELECT count(*) FROM audit_logs WHERE metadata #>> '{sealed,personal_data,old}' LIKE '01%'";
    assert_eq!(app.sql(sealed).await, "1");

    // Direct SQL is audited with old values too.
    app.execute(&format!("UPDATE applications SET requested_amount = 7 WHERE id = '{id}'")).await;
    let trail = analyst.get(&audit).await.expect(200);
    let amount = json!([{"pointer": "/requested_amount", "old": "6000.00", "new": "7.00"}]);
    assert_eq!(entry(&trail, "data_changed")["changes"], amount);

    for status in ["VALIDATING", "UNDER_REVIEW", "APPROVED"] {
        app.execute(&format!("UPDATE applications SET status = '{status}' WHERE id = '{id}'")).await;
        let edited = user.patch(&path(&id), &change(json!({"employer": status}))).await;
        let expected = if status == "VALIDATING" { 200 } else { 409 };
        assert_eq!(edited.status.as_u16(), expected, "{status}: {}", edited.json);
    }
    analyst.patch(&path(&id), &change(json!({"employer": "by staff"}))).await.expect(200);
    for update in [
        "UPDATE audit_logs SET metadata = '{}'",
        "UPDATE audit_logs SET metadata = jsonb_set(metadata, '{sealed,personal_data,old}', '\"00\"') \
         WHERE metadata ? 'sealed'",
        "UPDATE audit_logs SET metadata = metadata - 'sealed' WHERE metadata ? 'sealed'",
        "UPDATE audit_logs SET changed_by = 'me'",
        "DELETE FROM audit_logs",
    ] {
        let refused = crate::support::db::execute(&mut app.database.connect().await, update).await;
        assert!(refused.is_err(), "{update}");
    }
}

#[actix_rt::test]
async fn personal_members_stored_in_plain_text_by_plain_sql_are_masked() {
    let app = TestApp::start_idle().await;
    let id = app.submit(&spanish()).await;
    let inserted = r#"{"email": "quiteria@example.net", "a": 1.7976931348623157e308}"#;
    app.execute(&format!("UPDATE applications SET country_specific_data = '{inserted}' WHERE id = '{id}'"))
        .await;
    let data = app.get(&path(&id)).await.expect(200)["country_specific_data"].clone();
    assert_eq!(data["email"], "****.net", "{data}");
    assert!(data["a"].as_str().is_some_and(|digits| digits.starts_with("17976931348623157000")), "{data}");
    let changed = app.patch(&path(&id), &json!({"country_specific_data": {"email": "w@example.org"}})).await;
    assert_eq!(changed.expect(200)["country_specific_data"]["email"], "****.org");
    let trail = app.get(&format!("{}/audit", path(&id))).await.expect(200).to_string();
    assert!(trail.contains("****.net") && !trail.contains("quiteria"), "{trail}");
}
