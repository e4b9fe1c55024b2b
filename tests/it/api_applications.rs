//! The life cycle of an application over HTTP.

use std::time::Duration;

use actix_web::http::Method;
use aval::domain::application::Country;
use aval::domain::status::{Initiator, Status};
use aval::providers::simulator::scenario::Scenario;
use aval::providers::simulator::test_documents::test_documents;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp};
use crate::support::builders::{body, samples, spanish, with};
use crate::support::engine::start_engine;
use crate::support::redact::redacted;

fn path(id: &str) -> String {
    format!("/api/v1/applications/{id}")
}

#[actix_rt::test]
async fn every_sample_document_is_accepted_decided_and_explained() {
    let app = TestApp::start(&[]).await;
    for (country, document) in samples() {
        let accepted = app.post("/api/v1/applications", &body(country, document)).await;
        let id = accepted.json["id"].as_str().unwrap().to_owned();
        assert_eq!(accepted.header("location"), path(&id));
        assert_eq!(accepted.header("etag"), "\"v1\"");
        let created = accepted.expect(201);
        assert_eq!(created["status"], "PENDING");
        let last_four = &document[document.len() - 4..];
        assert_eq!(created["identity_document"], format!("****{last_four}"));
        assert_eq!(created["requested_amount"], body(country, document)["requested_amount"]);

        assert_eq!(app.decided(&id).await, "APPROVED", "{country:?}");
        let read = app.get(&path(&id)).await;
        assert_eq!(read.header("etag"), "\"v3\"");
        let decided = read.expect(200);
        let status = app.get(&format!("{}/status", path(&id))).await.expect(200);
        assert_eq!(
            (&status["status"], &status["allowed"], &status["version"]),
            (&"APPROVED".into(), &json!([]), &3.into())
        );
        assert_eq!(status["risk_score"], decided["risk_score"]);
        assert_eq!(app.trail(&id).await, "PENDING VALIDATING APPROVED");
        let decision = app.get(&format!("{}/decision", path(&id))).await.expect(200);
        assert_eq!((&decision["status"], &decision["reasons"]), (&"APPROVED".into(), &json!([])));
        assert_eq!(decision["risk_score"], decided["risk_score"]);
        let parts = decision["risk_components"].as_array().unwrap();
        let points = parts.iter().map(|part| part["points"].as_str().unwrap().parse::<Decimal>().unwrap());
        assert_eq!(points.sum::<Decimal>().to_string(), decision["risk_score"].as_str().unwrap());
        assert_eq!(decision["banking_data"], decided["banking_data"]);
        let rules = decision["rules"].as_array().unwrap();
        assert!(rules.len() >= 3 && rules.iter().all(|rule| rule["result"] == "passed"), "{decision}");
    }
}

#[actix_rt::test]
async fn every_test_document_has_its_documented_result() {
    let app = TestApp::start(&[
        ("AVAL__PROVIDERS__DEFAULTS__CALL__CALL_TIMEOUT_MS", "150"),
        ("AVAL__PROVIDERS__DEFAULTS__BREAKER__CONSECUTIVE_FAILURES", "10000"),
        ("AVAL__PROVIDERS__DEFAULTS__BREAKER__MIN_CALLS", "10000"),
        ("AVAL__REDECISION__MIN_INTERVAL_MS", "60000"),
        // Eighty clients that read as fast as the cache responds would starve this thread, which also serves the
        // database connections.
        ("AVAL__CACHE__ENABLED", "false"),
    ])
    .await;
    // A slow report would take longer than this test waits for a call. The rate limit of a bureau delays its whole
    // country; another test covers it.
    let rows = test_documents().filter(|row| !matches!(row.scenario, Scenario::Slow | Scenario::RateLimited));
    let app = &app;
    let followed = rows.map(|row| async move {
        let id = app.submit(&body(row.country, row.document)).await;
        let mut end = format!("`{}`", app.decided(&id).await);
        if app.reasons(&id).await == ["PROVIDER_UNAVAILABLE"] {
            end.push_str(", `PROVIDER_UNAVAILABLE`");
        }
        assert_eq!(end, row.effect(), "{:?} {:?}", row.country, row.scenario);
    });
    let count = futures_util::future::join_all(followed).await.len();
    assert!(count > 70, "{count}");
    assert_eq!(app.sql("SELECT count(*) FROM failed_jobs").await, "0");
    assert_eq!(app.sql("SELECT count(*) FROM pending_jobs").await, "0");
}

#[actix_rt::test]
async fn the_worked_examples_of_the_specification_match_to_the_cent() {
    let app = TestApp::start(&[]).await;
    let evaluate = async |country: &str, amount: &str, income: &str, term: u16, report: Value| {
        let case = json!({"requested_amount": amount, "monthly_income": income, "term_months": term, "banking_data": report});
        let decision = app.post(&format!("/api/v1/countries/{country}/evaluations"), &case).await.expect(200);
        format!("{} {} {}", decision["status"], decision["risk_score"], decision["reasons"])
    };
    let report = |obligations: &str, score: u16, defaults: bool| {
        json!({"account_status": "active", "credit_score": score, "monthly_obligations": obligations,
            "has_defaults": defaults, "average_monthly_income": "3000.00"})
    };
    let good = report("300", 720, false);
    assert_eq!(evaluate("ES", "15000", "3500", 36, good).await, r#""APPROVED" "25.96" []"#);
    let burdened = report("920", 600, false);
    assert_eq!(evaluate("ES", "15000", "3500", 36, burdened).await, r#""APPROVED" "47.97" []"#);
    let large = evaluate("ES", "25000", "6000", 48, report("200", 780, false)).await;
    assert!(large.starts_with(r#""UNDER_REVIEW" "25.22" ["#), "{large}");
    let defaults = evaluate("IT", "10000", "3000", 36, report("100", 640, true)).await;
    assert!(defaults.starts_with(r#""REJECTED" "77.08" ["#), "{defaults}");

    let first = with(with(spanish(), "requested_amount", "15000"), "monthly_income", 3500);
    let id = app.submit(&first).await;
    assert_eq!(app.decided(&id).await, "APPROVED");
    assert_eq!(app.get(&path(&id)).await.expect(200)["risk_score"], "25.96");
}

/// Moves a new application to `status` by plain SQL, along the transitions of the status machine.
async fn application_in(app: &TestApp, status: Status) -> String {
    let id = app.submit(&spanish()).await;
    let steps: &[Status] = match status {
        Status::Pending => &[],
        Status::Validating | Status::Cancelled => &[status],
        Status::Approved | Status::Rejected | Status::UnderReview => &[Status::Validating, status],
        Status::Completed => &[Status::Validating, Status::Approved, Status::Completed],
    };
    for step in steps {
        app.execute(&format!("UPDATE applications SET status = '{step}' WHERE id = '{id}'")).await;
    }
    id
}

#[actix_rt::test]
async fn staff_can_make_the_permitted_transitions_and_no_others() {
    let app = TestApp::start_idle().await;
    let mut allowed_pairs = 0;
    for from in Status::ALL {
        let (allowed, refused): (Vec<Status>, Vec<Status>) =
            Status::ALL.into_iter().partition(|to| from.next_for(Initiator::Staff).any(|next| next == *to));
        let untouched = application_in(&app, from).await;
        for to in refused {
            for problem in change_both_ways(&app, [&untouched, &untouched], to).await {
                let problem = problem.expect(409);
                assert_eq!(problem["code"], "illegal_transition");
                let actual = (&problem["from"], &problem["to"], &problem["allowed"]);
                assert_eq!(actual, (&json!(from), &json!(to), &json!(allowed)));
            }
        }
        let now = app.get(&path(&untouched)).await.expect(200);
        assert_eq!(now["status"], from.as_str(), "a rejected change must change nothing");
        for to in allowed {
            allowed_pairs += 1;
            let ids = [application_in(&app, from).await, application_in(&app, from).await];
            for changed in change_both_ways(&app, [&ids[0], &ids[1]], to).await {
                assert_eq!(changed.expect(200)["status"], to.as_str(), "{from} {to}");
            }
            for id in ids {
                let audit = app.get(&format!("{}/audit", path(&id))).await.expect(200);
                let last = audit["entries"].as_array().unwrap().last().unwrap();
                assert_eq!((&last["reason"], &last["old_status"]), (&"because".into(), &json!(from)));
            }
        }
    }
    assert_eq!(allowed_pairs, 3, "PENDING to CANCELLED, UNDER_REVIEW to APPROVED and REJECTED");
}

/// Requests a status with `PUT` on the first application and with `PATCH` on the second.
async fn change_both_ways(app: &TestApp, ids: [&str; 2], to: Status) -> [Answer; 2] {
    let change = json!({"status": to, "reason": "because"});
    [app.put(&format!("{}/status", path(ids[0])), &change).await, app.patch(&path(ids[1]), &change).await]
}

#[actix_rt::test]
async fn cancelling_a_pending_application_ends_the_work_on_it() {
    let app = TestApp::start_idle().await;
    let id = app.submit(&spanish()).await;
    let cancel = json!({"status": "CANCELLED", "reason": "Withdrawn"});
    let answer = app.patch(&path(&id), &cancel).await;
    assert_eq!(answer.header("etag"), "\"v2\"");
    assert_eq!(answer.expect(200)["status"], "CANCELLED");
    assert_eq!(app.sql("SELECT count(*) FROM pending_jobs").await, "0");
    assert_eq!(app.sql("SELECT result FROM job_history").await, "superseded");
    assert_eq!(app.get(&format!("{}/decision", path(&id))).await.expect(404)["code"], "not_found");
    assert_eq!(app.trail(&id).await, "PENDING CANCELLED");
}

async fn restore(app: &TestApp, id: &str) -> Answer {
    app.send(Method::POST, &format!("{}/restore", path(id)), &[], "").await
}

#[actix_rt::test]
async fn a_deleted_application_is_not_found_and_a_restored_one_is_processed() {
    let app = TestApp::start_idle().await;
    let id = app.submit(&spanish()).await;
    assert_eq!(app.delete(&path(&id)).await.status, 204);
    for part in ["", "/status", "/audit", "/decision"] {
        app.get(&format!("{}{part}", path(&id))).await.expect(404);
    }
    app.delete(&path(&id)).await.expect(404);
    app.patch(&path(&id), &json!({"status": "CANCELLED"})).await.expect(404);
    let listed = app.get("/api/v1/applications?page=1").await.expect(200);
    assert_eq!(listed["total"], 0);
    assert_eq!(app.sql("SELECT count(*) FROM pending_jobs").await, "0");

    let restored = restore(&app, &id).await;
    assert_eq!(restored.expect(200)["status"], "PENDING");
    restore(&app, &id).await.expect(409);
    let _worker = start_engine(&app.database, &[]).await;
    assert_eq!(app.decided(&id).await, "APPROVED");
}

#[actix_rt::test]
async fn deleting_a_decided_application_leaves_its_history_in_the_database() {
    let app = TestApp::start(&[]).await;
    let id = app.submit(&spanish()).await;
    app.decided(&id).await;
    assert_eq!(app.delete(&path(&id)).await.status, 204);
    let restored = restore(&app, &id).await;
    assert_eq!(restored.expect(200)["status"], "APPROVED");
    assert_eq!(
        app.sql("SELECT count(*) FROM pending_jobs").await,
        "0",
        "a decided application must not be queued again"
    );
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING APPROVED APPROVED APPROVED");
}

#[actix_rt::test]
async fn data_derived_from_the_document_is_stored_and_read_only() {
    let app = TestApp::start_idle().await;
    for (country, document, birth_date, sex) in [
        (Country::It, "RSSMRA80A01H501U", "1980-01-01", "male"),
        (Country::Mx, "HERM850101MDFRRR08", "1985-01-01", "female"),
    ] {
        let sent = json!({"birth_date": "2001-02-03", "sex": "non_binary", "employer": "Acme", "monthly_rent": 450.5});
        let id = app.submit(&with(body(country, document), "country_specific_data", sent)).await;
        let data = app.get(&path(&id)).await.expect(200)["country_specific_data"].clone();
        let expected =
            json!({"birth_date": birth_date, "sex": sex, "employer": "Acme", "monthly_rent": "450.50"});
        assert_eq!(data, expected);

        let patch = |data: Value| json!({"country_specific_data": data});
        let change = patch(json!({"employer": "Beta", "years_employed": 3, "monthly_rent": null}));
        let added = app.patch(&path(&id), &change).await.expect(200);
        let expected = json!({"birth_date": birth_date, "sex": sex, "employer": "Beta", "years_employed": 3});
        assert_eq!(added["country_specific_data"], expected);
        let refused = app.patch(&path(&id), &patch(json!({"sex": "X"}))).await;
        assert_eq!(refused.field_errors(), ["/country_specific_data/sex read_only"]);
    }
}

#[actix_rt::test]
async fn a_stale_change_is_rejected_and_a_known_version_is_not_sent_again() {
    let app = TestApp::start_idle().await;
    let id = app.submit(&spanish()).await;
    let send = async |method: &str, header: (&str, &str), body: &Value| {
        let method = method.parse().unwrap();
        let headers = [header, ("Content-Type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        app.send(method, &path(&id), &headers, body).await
    };
    assert_eq!(send("GET", ("If-None-Match", "\"v1\""), &Value::Null).await.status, 304);
    assert_eq!(send("GET", ("If-None-Match", "\"v0\", W/\"v1\""), &Value::Null).await.status, 304);
    assert_eq!(send("GET", ("If-None-Match", "\"v2\""), &Value::Null).await.status, 200);
    let add = json!({"country_specific_data": {"employer": "Acme"}});
    send("PATCH", ("If-Match", "\"v7\""), &add).await.expect(412);
    for header in [("If-Match", "v1"), ("If-None-Match", "v1")] {
        let method = if header.0 == "If-Match" { "PATCH" } else { "GET" };
        let refused = send(method, header, &add).await.expect(400);
        assert!(refused["detail"].as_str().unwrap().contains("double quotes"), "{refused}");
    }
    assert_eq!(send("PATCH", ("If-Match", "\"v1\""), &add).await.expect(200)["version"], 2);
    assert_eq!(send("PATCH", ("If-Match", "\"v1\""), &add).await.expect(412)["code"], "precondition_failed");
    send("DELETE", ("If-Match", "\"v1\""), &Value::Null).await.expect(412);
    assert_eq!(send("DELETE", ("If-Match", "\"v2\""), &Value::Null).await.status, 204);
}

#[actix_rt::test]
async fn the_request_id_is_traceable_from_the_response_to_the_bureau() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let app = TestApp::start(&[]).await;
    let headers =
        [("X-Request-ID", "suite-request-1"), ("traceparent", TRACE), ("Content-Type", "application/json")];
    let answer = app.send(Method::POST, "/api/v1/applications", &headers, spanish().to_string()).await;
    assert_eq!(answer.header("x-request-id"), "suite-request-1");
    let created = answer.expect(201);
    let id = created["id"].as_str().unwrap();
    app.decided(id).await;

    let audit = app.get(&format!("{}/audit", path(id))).await.expect(200);
    for entry in audit["entries"].as_array().unwrap() {
        assert_eq!(entry["request_id"], "suite-request-1", "{entry}");
    }
    let events = format!("SELECT string_agg(DISTINCT traceparent, ' ') FROM outbox WHERE subject = '{id}'");
    assert!(app.sql(&events).await.contains("4bf92f3577b34da6a3ce929d0e0e4736"));
    let traced = format!("SELECT bool_and(traceparent IS NOT NULL) FROM outbox WHERE subject = '{id}'");
    assert_eq!(app.sql(&traced).await, "true");
    assert_eq!(app.sql("SELECT request_id FROM job_history").await, "suite-request-1");

    let lines = app.log.lines().await;
    let of_request = lines.iter().filter(|line| line["request_id"] == "suite-request-1");
    let loggers: std::collections::BTreeSet<&str> =
        of_request.filter_map(|line| line["logger"].as_str()).collect();
    for logger in ["http", "job", "simulator"] {
        assert!(loggers.contains(logger), "{logger} is missing from {loggers:?}");
    }
}

#[actix_rt::test]
async fn an_unacceptable_request_identifier_is_replaced() {
    let app = TestApp::start_idle().await;
    for bad in ["", "two words", "é", "<script>", &"x".repeat(500)] {
        let answer = app.send(Method::GET, "/health", &[("X-Request-ID", bad)], "").await;
        let given = answer.header("x-request-id");
        assert_ne!(given, bad);
        assert!(uuid::Uuid::try_parse(given).is_ok(), "{given}");
    }
}

#[actix_rt::test]
async fn amounts_are_exact_and_documents_are_accepted_in_common_spellings() {
    let app = TestApp::start_idle().await;
    for (amount, shown) in [
        (json!("9999999999.99"), "9999999999.99"),
        (json!(0.01), "0.01"),
        (json!("007.5"), "7.50"),
        (json!(15000), "15000.00"),
    ] {
        let created = app.post("/api/v1/applications", &with(spanish(), "requested_amount", amount)).await;
        assert_eq!(created.expect(201)["requested_amount"], shown);
    }
    for (country, document) in [
        ("es", " 12.345.678-z "),
        ("BR", "123.456.789-09"),
        ("mx", "herm850101mdfrrr08"),
        ("PT", "123 456 789"),
    ] {
        let country = country.parse().unwrap();
        app.post("/api/v1/applications", &body(country, document)).await.expect(201);
    }
}

#[actix_rt::test]
async fn accepted_and_decided_applications_match_their_snapshots() {
    let app = TestApp::start(&[]).await;
    let created = app.post("/api/v1/applications", &spanish()).await.expect(201);
    let id = created["id"].as_str().unwrap().to_owned();
    app.decided(&id).await;
    let decided = app.get(&path(&id)).await.expect(200);
    let decision = app.get(&format!("{}/decision", path(&id))).await.expect(200);
    let audit = app.get(&format!("{}/audit", path(&id))).await.expect(200);
    redacted().bind(|| {
        insta::assert_json_snapshot!("created", created);
        insta::assert_json_snapshot!("decided", decided);
        insta::assert_json_snapshot!("decision", decision);
        insta::assert_json_snapshot!("audit", audit);
    });
}

#[actix_rt::test]
async fn from_acceptance_to_push_no_step_waits_for_a_timer() {
    let app = TestApp::start(&[
        ("AVAL__JOBS__POLL_INTERVAL_MS", "60000"),
        ("AVAL__OUTBOX__POLL_INTERVAL_MS", "60000"),
    ])
    .await;
    let mut socket = app.websocket().await;
    socket.subscribe(&json!({"channel": "applications"})).await;
    for _ in 0..5 {
        let started = std::time::Instant::now();
        let id = app.submit(&spanish()).await;
        let seen = socket.updates_until(&id, "APPROVED").await;
        assert_eq!(
            seen,
            ["PENDING", "VALIDATING", "APPROVED"],
            "each change must be pushed once and in order"
        );
        assert!(started.elapsed() < Duration::from_secs(10), "every timer is set to a minute");
    }
}

#[actix_rt::test]
async fn a_patch_of_data_is_a_json_merge_patch() {
    let app = TestApp::start_idle().await;
    let data = json!({"employer": "Acme", "years_employed": 3});
    let id = app.submit(&with(spanish(), "country_specific_data", data)).await;
    let patch = json!({"country_specific_data": {"employer": null, "monthly_rent": "700.00"}});
    for media in
        ["application/merge-patch+json", "application/json", "Application/Merge-Patch+JSON; charset=utf-8"]
    {
        let patched =
            app.send(Method::PATCH, &path(&id), &[("Content-Type", media)], patch.to_string()).await;
        let data = patched.expect(200)["country_specific_data"].clone();
        assert_eq!((data.get("employer"), &data["years_employed"]), (None, &json!(3)), "{media}");
        assert!(!data["monthly_rent"].is_null(), "{media}");
    }
    let media = [("Content-Type", "application/merge-patch+json")];
    app.send(Method::POST, "/api/v1/applications", &media, spanish().to_string()).await.expect(415);
    for member in ["status", "country_specific_data"] {
        let removed = app.patch(&path(&id), &json!({member: null})).await;
        assert_eq!(removed.field_errors(), [format!("/{member} required")]);
    }
    let read_only =
        app.patch(&path(&id), &json!({"country_specific_data": {"birth_date": "2000-01-01"}})).await;
    assert_eq!(read_only.field_errors(), ["/country_specific_data/birth_date read_only"]);
    let options = app.send(Method::OPTIONS, &path(&id), &[], "").await;
    assert_eq!(options.header("accept-patch"), "application/json, application/merge-patch+json");
}
