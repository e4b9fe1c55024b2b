//! A disbursement from the request to the ledger.

use aval::domain::application::Country;
use aval::domain::disbursement::rail::Rail;

use super::*;
use crate::support::accounts::{ANALYST, OTHER, USER};

#[actix_rt::test]
async fn every_rail_pays_an_approved_application_once() {
    let app = start().await;
    for (country, value, rail) in [
        (Country::Es, iban("32"), Rail::Sepa),
        (Country::Mx, "032180000118359719".to_owned(), Rail::Spei),
        (Country::Br, "52998224725".to_owned(), Rail::Pix),
        (Country::Co, "1007-A-12345678901".to_owned(), Rail::CoAch),
    ] {
        fund(&app, country.code(), "90000000.00").await;
        let id = begin(&app, country, &destination(country, &value)).await;
        let paid = reaches(&app, &id, "COMPLETED").await;
        app.reaches(paid["application_id"].as_str().unwrap(), "COMPLETED").await;
        let payment = only_payment(&app, rail);
        assert_eq!((payment.submissions, &json!(payment.amount)), (1, &paid["amount"]));
        assert!(paid["rail_reference"].is_string(), "{paid}");
        assert!(!paid.to_string().contains(&value), "{paid}");
    }
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn the_events_tell_what_happened_and_the_message_to_the_applicant_is_visibly_skipped() {
    let app = start().await;
    let id = begin(&app, Country::Es, &spanish("32")).await;
    let paid = reaches(&app, &id, "COMPLETED").await;
    assert_eq!(paid["reason"], "no_contact");
    let expected = [
        "requested",
        "funds_reserved",
        "destination_verified",
        "payment_started",
        "payment_confirmed",
        "booked",
        "notification_skipped",
    ];
    assert_eq!(history(&app, &id).await, expected);
    let lines = "SELECT string_agg(e.kind || ' ' || l.account || ' ' || l.amount, ', ' ORDER BY e.id, l.account) \
        FROM ledger_entries e JOIN ledger_lines l ON l.entry_id = e.id WHERE e.country = 'ES'";
    assert_eq!(
        app.sql(lines).await,
        "deposit pool 1000000.00, deposit treasury -1000000.00, payout loans 6000.00, payout pool -6000.00"
    );
    assert_eq!(spanish_pool(&app).await, ("994000.00".to_owned(), "0.00".to_owned()));
    let jobs =
        "SELECT count(*) FROM job_history WHERE task_name = 'disbursement_step' AND result = 'completed'";
    assert_eq!(app.sql(jobs).await, "6");
    assert!(app.metric("disbursement_transitions_total{state=\"COMPLETED\"}").await >= 1.0);
}

#[actix_rt::test]
async fn a_repeated_request_gets_the_first_answer_and_another_one_is_refused() {
    let app = start().await;
    let application = approved(&app, Country::Es).await;
    let path = format!("/api/v1/applications/{application}/disbursements");
    let headers = [("Idempotency-Key", "one"), ("Content-Type", "application/json")];
    let mut answers = Vec::new();
    for _ in 0..2 {
        let answer = app.admin().send(Method::POST, &path, &headers, spanish("32").to_string()).await;
        assert_eq!(answer.status, 202);
        answers.push(answer.expect(202));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0]["status"], "PENDING");
    request(&app, &application, &spanish("32")).await.expect(409);
    reaches(&app, answers[0]["disbursement_id"].as_str().unwrap(), "COMPLETED").await;
    request(&app, &application, &spanish("32")).await.expect(409);
    assert_eq!(only_payment(&app, Rail::Sepa).submissions, 1);
}

#[actix_rt::test]
async fn invalid_requests_are_refused_with_a_reason() {
    let app = start().await;
    let application = approved(&app, Country::Es).await;
    let path = format!("/api/v1/applications/{application}/disbursements");
    app.post(&path, &spanish("32")).await.expect(400);
    let refused = async |body: Value| request(&app, &application, &body).await;
    for (value, code) in [
        ("ES9121000418450200051333", "/destination/value bad_check_digit"),
        ("ES91", "/destination/value bad_length"),
        ("SA0380000000608010167519", "/destination/value unreachable_country"),
    ] {
        assert_eq!(refused(destination(Country::Es, value)).await.field_errors(), [code]);
    }
    let wrong = destination(Country::Mx, "032180000118359719");
    assert_eq!(refused(wrong).await.field_errors(), ["/destination/kind unsupported_kind"]);
    assert_eq!(refused(json!({})).await.field_errors(), ["/destination required"]);
    let spanish_application = crate::support::builders::spanish();
    let large = crate::support::builders::with(spanish_application, "requested_amount", "60000.00");
    let undecided = app.submit(&large).await;
    app.decided(&undecided).await;
    request(&app, &undecided, &spanish("32")).await.expect(409);
    assert_eq!(app.sql("SELECT count(*) FROM disbursements").await, "0");
}

#[actix_rt::test]
async fn owners_see_their_own_disbursements_and_staff_see_all() {
    let app = start().await;
    let owner = app.acting_as(USER).await;
    let application = owner.submit(&crate::support::builders::spanish()).await;
    app.reaches(&application, "APPROVED").await;
    let path = format!("/api/v1/applications/{application}/disbursements");
    let other = app.acting_as(OTHER).await;
    keyed(&other, &path, &spanish("32")).await.expect(404);
    let begun = keyed(&owner, &path, &spanish("32")).await.expect(202);
    let id = begun["disbursement_id"].as_str().unwrap();
    reaches(&app, id, "COMPLETED").await;
    for sub in ["", "/status", "/events"] {
        let path = format!("/api/v1/disbursements/{id}{sub}");
        owner.get(&path).await.expect(200);
        app.acting_as(ANALYST).await.get(&path).await.expect(200);
        other.get(&path).await.expect(404);
    }
    let listed = async |caller: &Caller<'_>, query: &str| {
        let page = caller.get(&format!("/api/v1/disbursements{query}")).await.expect(200);
        page["disbursements"].as_array().unwrap().len()
    };
    assert_eq!(listed(&owner, "?status=COMPLETED&country=es").await, 1);
    assert_eq!(listed(&owner, "?status=STUCK").await, 0);
    assert_eq!(listed(&other, "").await, 0);
    assert_eq!(listed(&app.admin(), &format!("?application_id={application}")).await, 1);
    owner.get("/api/v1/admin/funding-pools").await.expect(403);
}

#[actix_rt::test]
async fn account_numbers_and_names_are_in_no_log_event_or_column() {
    let app = start().await;
    let id = begin(&app, Country::Es, &spanish("32")).await;
    reaches(&app, &id, "COMPLETED").await;
    let number = iban("32");
    let found = "SELECT count(*) FROM (SELECT d::text AS row FROM disbursements d UNION ALL \
        SELECT e::text FROM disbursement_events e UNION ALL SELECT o::text FROM outbox o UNION ALL \
        SELECT encode(destination, 'escape') FROM disbursement_destinations) rows";
    let leaked = app.sql(&format!("{found} WHERE row LIKE '%{number}%' OR row LIKE '%Garc_a L_pez%'")).await;
    assert_eq!(leaked, "0");
    for line in app.log.lines().await {
        let line = format!("{line:?}");
        assert!(!line.contains(&number) && !line.contains(HOLDER), "{line}");
    }
}
