//! Four eyes: what one person requests, another must approve.

use aval::domain::application::Country;

use super::*;
use crate::support::accounts::{ADMIN, ANALYST};

/// The second admin.
const SECOND: &str = "second-admin";

async fn second_admin(app: &TestApp) -> Caller<'_> {
    app.execute(&format!(
        "INSERT INTO users (id, username, password_hash, role, created_by) \
         SELECT uuid_v7_now(), '{SECOND}', password_hash, 'admin', 'test' FROM users WHERE username = '{ADMIN}' \
         ON CONFLICT DO NOTHING"
    ))
    .await;
    app.acting_as(SECOND).await
}

/// Requests an action as the first admin and approves it as the second.
pub(super) async fn act(app: &TestApp, id: &str, action: &str, body: &Value) {
    let path = format!("/api/v1/admin/disbursements/{id}/{action}");
    let requested = app.post(&path, body).await.expect(202);
    let approve =
        format!("/api/v1/admin/disbursement-approvals/{}/approve", requested["id"].as_str().unwrap());
    app.post(&approve, &json!({})).await.expect(403);
    let approved = second_admin(app).await.post(&approve, &json!({})).await.expect(200);
    assert_eq!((&approved["decision"], &approved["decided_by"]), (&json!("approved"), &json!(SECOND)));
}

/// The identifier of the only pending request.
async fn pending(app: &TestApp) -> String {
    let listed = app.get("/api/v1/admin/disbursement-approvals").await.expect(200);
    assert_eq!(listed["approvals"].as_array().unwrap().len(), 1, "{listed}");
    listed["approvals"][0]["id"].as_str().unwrap().to_owned()
}

#[actix_rt::test]
async fn a_large_amount_waits_for_a_second_person() {
    let app = start_with(&[("AVAL__DISBURSEMENTS__APPROVAL_ABOVE__ES", "5999")]).await;
    let second = second_admin(&app).await;
    for (decision, state) in [("approve", "COMPLETED"), ("decline", "CANCELLED")] {
        let id = begin(&app, Country::Es, &spanish("32")).await;
        let waiting = reaches(&app, &id, "AWAITING_APPROVAL").await;
        assert_eq!(waiting["approvals"][0]["reason"], "amount_above_limit");
        let path = format!("/api/v1/admin/disbursement-approvals/{}/{decision}", pending(&app).await);
        app.post(&path, &json!({})).await.expect(403);
        app.acting_as(ANALYST).await.post(&path, &json!({})).await.expect(403);
        second.post(&path, &json!({})).await.expect(200);
        second.post(&path, &json!({})).await.expect(409);
        reaches(&app, &id, state).await;
        assert_sound(&app).await;
    }
}

#[actix_rt::test]
async fn another_holder_than_the_applicant_needs_a_second_person() {
    let app = start().await;
    let mut other = spanish("32");
    other["destination"]["holder_name"] = json!("Luis Vega");
    let sent = begin(&app, Country::Es, &other).await;
    let found = reaches(&app, &sent, "AWAITING_APPROVAL").await;
    assert_eq!(found["destination"]["holder_differs"], true);
    assert_eq!(found["reason"], "holder_differs");
    // The rail names another holder.
    let reported = begin(&app, Country::Es, &spanish("91")).await;
    assert_eq!(reaches(&app, &reported, "AWAITING_APPROVAL").await["reason"], "holder_differs");
}

#[actix_rt::test]
async fn a_request_that_expires_reverts_the_disbursement() {
    let app = start_with(&[("AVAL__DISBURSEMENTS__APPROVAL_ABOVE__ES", "1")]).await;
    let id = begin(&app, Country::Es, &spanish("32")).await;
    reaches(&app, &id, "AWAITING_APPROVAL").await;
    app.execute("UPDATE pending_jobs SET run_at = now() WHERE task_name = 'disbursement_step'").await;
    let cancelled = reaches(&app, &id, "CANCELLED").await;
    assert_eq!(cancelled["reason"], "approval_expired");
    assert_eq!(cancelled["approvals"][0]["decision"], "expired");
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn a_disbursement_can_be_cancelled_by_two_people_before_its_payment_is_started() {
    let app = start_with(&[("AVAL__DISBURSEMENTS__APPROVAL_ABOVE__ES", "1")]).await;
    let id = begin(&app, Country::Es, &spanish("32")).await;
    reaches(&app, &id, "AWAITING_APPROVAL").await;
    let path = format!("/api/v1/admin/disbursements/{id}/cancel");
    // One pending request per disbursement.
    app.post(&path, &json!({"reason": "withdrawn"})).await.expect(409);
    let payment = format!("/api/v1/admin/disbursement-approvals/{}/approve", pending(&app).await);
    second_admin(&app).await.post(&payment, &json!({})).await.expect(200);
    reaches(&app, &id, "COMPLETED").await;
    app.post(&path, &json!({"reason": "withdrawn"})).await.expect(409);
    let resume = format!("/api/v1/admin/disbursements/{id}/resume");
    app.post(&resume, &json!({"reason": "again"})).await.expect(409);
}

#[actix_rt::test]
async fn the_database_refuses_an_approval_by_the_person_who_requested_it() {
    let app = start_with(&[("AVAL__DISBURSEMENTS__APPROVAL_ABOVE__ES", "1")]).await;
    let id = begin(&app, Country::Es, &spanish("32")).await;
    reaches(&app, &id, "AWAITING_APPROVAL").await;
    let approve = "UPDATE disbursement_approvals SET decision = 'approved', decided_at = now(), checker = maker, \
        checker_id = maker_id";
    let refused = crate::support::db::execute(&mut app.database.connect().await, approve).await;
    assert!(refused.unwrap_err().to_string().contains("disbursement_approvals_four_eyes"));
}
