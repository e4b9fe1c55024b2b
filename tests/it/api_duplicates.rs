//! The duplicate rule: one open application per account and document within a day. Applications of other accounts with the
//! same document cause a review.

use std::rc::Rc;
use std::time::Duration;

use actix_web::http::Method;
use aval::clock::Clock;
use aval::domain::application::{Country, NewApplication};
use aval::storage::applications::Insertion;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::accounts::USER;
use crate::support::app::{Answer, TestApp};
use crate::support::builders::{body, spanish, with};
use crate::support::db::TestDatabase;
use crate::support::engine::application;

const APPLICATIONS: &str = "/api/v1/applications";
const RULE: (&str, &str) = ("AVAL__APPLICATIONS__DUPLICATE_WINDOW_HOURS", "24");

fn path(id: &str) -> String {
    format!("{APPLICATIONS}/{id}")
}

#[track_caller]
fn assert_duplicate_of(answer: &Answer, id: &str) {
    assert_eq!((answer.status.as_u16(), &answer.json["code"]), (409, &"duplicate_application".into()));
    assert_eq!(answer.json["application_id"], id);
    let open_until = answer.json["open_until"].as_str().unwrap();
    let left = open_until.parse::<chrono::DateTime<chrono::Utc>>().unwrap() - Clock::system().now();
    assert!((23..=24).contains(&left.num_hours()) && open_until.len() == 27, "{open_until}");
}

/// Inserts an application of the account `tester` whose creation time is `ago` before now.
async fn by_another_account(app: &TestApp, ago: Duration, document: &str) -> NewApplication {
    let clock = Clock::manual(Clock::system().now() - ago);
    let row = application(&clock, Country::Es, document);
    aval::lending::submit::insert(&app.engine().write_batchers, Insertion::from(row.clone())).await.unwrap();
    row
}

#[actix_rt::test]
async fn a_duplicate_of_an_open_application_is_rejected_with_its_identifier() {
    let app = TestApp::start_idle_with(&[RULE]).await;
    let first = app.submit(&spanish()).await;
    for again in
        [spanish(), with(spanish(), "identity_document", "12.345.678-z"), with(spanish(), "term_months", 6)]
    {
        assert_duplicate_of(&app.post(APPLICATIONS, &again).await, &first);
    }
    assert_eq!(app.sql("SELECT count(*) FROM applications").await, "1");
    app.submit(&body(Country::Co, "12345678")).await;
    app.submit(&body(Country::Es, "87654321X")).await;

    app.patch(&path(&first), &json!({"status": "CANCELLED"})).await.expect(200);
    let second = app.submit(&spanish()).await;
    app.delete(&path(&second)).await.expect(204);
    let third = app.submit(&spanish()).await;
    assert_duplicate_of(&app.post(APPLICATIONS, &spanish()).await, &third);
}

#[actix_rt::test]
async fn a_restored_application_claims_its_document_again() {
    let app = TestApp::start_idle_with(&[RULE]).await;
    let first = app.submit(&spanish()).await;
    app.delete(&path(&first)).await.expect(204);
    app.send(Method::POST, &format!("{}/restore", path(&first)), &[], "").await.expect(200);
    assert_duplicate_of(&app.post(APPLICATIONS, &spanish()).await, &first);
}

#[actix_rt::test]
async fn an_owner_cannot_release_a_document_by_deleting_an_undecided_or_approved_application() {
    let app = TestApp::start_idle_with(&[RULE]).await;
    let owner = app.acting_as(USER).await;
    let id = owner.submit(&spanish()).await;
    for status in ["VALIDATING", "UNDER_REVIEW", "APPROVED"] {
        app.execute(&format!("UPDATE applications SET status = '{status}' WHERE id = '{id}'")).await;
        let refused = owner.delete(&path(&id)).await;
        assert_eq!((refused.status.as_u16(), &refused.json["code"]), (409, &"conflict".into()), "{status}");
        assert!(refused.json["detail"].as_str().unwrap().contains(status), "{}", refused.json);
        assert_duplicate_of(&owner.post(APPLICATIONS, &spanish()).await, &id);
    }
    app.delete(&path(&id)).await.expect(204);

    let pending = owner.submit(&spanish()).await;
    owner.delete(&path(&pending)).await.expect(204);
    for last in ["CANCELLED", "REJECTED", "COMPLETED"] {
        let id = owner.submit(&spanish()).await;
        let steps: &[&str] = match last {
            "CANCELLED" => &["CANCELLED"],
            "REJECTED" => &["VALIDATING", "REJECTED"],
            _ => &["VALIDATING", "APPROVED", "COMPLETED"],
        };
        for status in steps {
            app.execute(&format!("UPDATE applications SET status = '{status}' WHERE id = '{id}'")).await;
        }
        owner.delete(&path(&id)).await.expect(204);
    }
}

#[actix_rt::test]
async fn a_rejected_application_releases_its_document_and_an_approved_one_does_not() {
    let app = TestApp::start(&[RULE]).await;
    let first = app.submit(&with(spanish(), "requested_amount", "900000")).await;
    app.reaches(&first, "REJECTED").await;
    let second = app.submit(&spanish()).await;
    app.reaches(&second, "APPROVED").await;
    assert_duplicate_of(&app.post(APPLICATIONS, &spanish()).await, &second);

    app.execute("UPDATE document_claims SET expires_at = now() - interval '1 second'").await;
    let third = app.submit(&spanish()).await;
    app.reaches(&third, "APPROVED").await;
    app.execute("UPDATE document_claims SET expires_at = now() - interval '1 second'").await;
    let mut sql = app.database.connect().await;
    let now = Clock::system().now();
    let deleted = aval::storage::applications::delete_expired_claims(&mut sql, now, 10).await.unwrap();
    assert_eq!((deleted, app.sql("SELECT count(*) FROM document_claims").await.as_str()), (1, "0"));
}

#[actix_rt::test]
async fn fifty_concurrent_duplicates_create_one_application_and_the_refusals_identify_it() {
    let database = Rc::new(TestDatabase::create().await);
    let here = TestApp::start_on(Rc::clone(&database), &[RULE]).await;
    let there = TestApp::start_on(Rc::clone(&database), &[RULE]).await;
    let application = body(Country::Pt, "123456789");
    let requests = (0..50).map(|n| if n % 2 == 0 { &here } else { &there }.post(APPLICATIONS, &application));
    let answers = join_all(requests).await;
    let made: Vec<&Answer> = answers.iter().filter(|answer| answer.status.as_u16() == 201).collect();
    assert_eq!(made.len(), 1);
    let id = made[0].json["id"].as_str().unwrap();
    for answer in answers.iter().filter(|answer| answer.status.as_u16() != 201) {
        match answer.json["code"].as_str() {
            Some("in_flight") => assert_eq!(answer.header("retry-after"), "1"),
            _ => assert_duplicate_of(answer, id),
        }
    }
    assert_eq!(here.sql("SELECT count(*) FROM applications").await, "1");
    assert_duplicate_of(&there.post(APPLICATIONS, &application).await, id);
}

#[actix_rt::test]
async fn a_repeated_request_is_replayed_instead_of_rejected_as_a_duplicate() {
    let app = TestApp::start_idle_with(&[RULE]).await;
    let post = async |key: &str| {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        app.send(Method::POST, APPLICATIONS, &headers, spanish().to_string()).await
    };
    let first = post("one").await.expect(201);
    let again = post("one").await;
    assert_eq!((again.header("idempotency-replayed"), &again.json), ("true", &first));
    assert_duplicate_of(&post("two").await, first["id"].as_str().unwrap());
    assert_eq!(
        app.sql("SELECT count(*) FROM idempotency_keys").await,
        "1",
        "a rejected request must not use up its key"
    );
}

#[actix_rt::test]
async fn a_document_used_by_another_account_causes_a_review() {
    let app = TestApp::start(&[RULE]).await;
    let theirs = by_another_account(&app, Duration::from_secs(3600), "12345678Z").await;
    let ours = app.submit(&spanish()).await;
    app.reaches(&ours, "UNDER_REVIEW").await;
    assert_eq!(app.reasons(&ours).await, ["APPLIED_ELSEWHERE"]);
    let input = format!("SELECT input->>'applied_elsewhere' FROM decisions WHERE application_id = '{ours}'");
    assert_eq!(app.sql(&input).await, "true");
    app.reaches(&theirs.id.to_string(), "APPROVED").await;

    let other = app.submit(&body(Country::Es, "87654321X")).await;
    app.reaches(&other, "APPROVED").await;
}

#[actix_rt::test]
async fn only_test_documents_may_be_shared_by_accounts() {
    let app = TestApp::start(&[RULE, ("AVAL__APPLICATIONS__SHARED_TEST_DOCUMENTS", "true")]).await;
    for (document, status) in [("12345678Z", "APPROVED"), ("48214907F", "UNDER_REVIEW")] {
        by_another_account(&app, Duration::from_secs(60), document).await;
        let id = app.submit(&body(Country::Es, document)).await;
        app.reaches(&id, status).await;
    }
}

#[actix_rt::test]
async fn applications_of_other_accounts_count_only_within_the_window() {
    let app = TestApp::start(&[("AVAL__APPLICATIONS__DUPLICATE_WINDOW_HOURS", "1")]).await;
    by_another_account(&app, Duration::from_secs(2 * 3600), "12345678Z").await;
    let first = app.submit(&spanish()).await;
    app.reaches(&first, "APPROVED").await;
    by_another_account(&app, Duration::from_secs(1800), "87654321X").await;
    let second = app.submit(&body(Country::Es, "87654321X")).await;
    app.reaches(&second, "UNDER_REVIEW").await;
    let mut sql = app.database.connect().await;
    for (id, expected) in [(&first, false), (&second, true)] {
        let window = app.engine().resources.settings.applications.duplicate_window();
        let id = id.parse().unwrap();
        let found = aval::storage::applications::another_account_applied(&mut sql, id, window).await.unwrap();
        assert_eq!(found, expected);
    }
}

#[actix_rt::test]
async fn a_window_of_zero_hours_disables_the_rule() {
    let app = TestApp::start(&[]).await;
    by_another_account(&app, Duration::ZERO, "12345678Z").await;
    for _ in 0..2 {
        let id = app.submit(&spanish()).await;
        app.reaches(&id, "APPROVED").await;
    }
    assert_eq!(app.sql("SELECT count(*) FROM document_claims").await, "0");
}
