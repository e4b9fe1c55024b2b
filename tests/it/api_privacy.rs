//! Personal data only appears in sealed columns and in responses to authorized readers.

use actix_web::http::Method;
use aval::domain::application::Country;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::builders::{body, samples, with};
use crate::support::engine::SECRETS;

const NAME: &str = "Xochiquetzalina Quetzalcoatlzin";
/// The parts to search for. Searching for the whole name would miss partial leaks.
const NAMES: [&str; 2] = ["Xochiquetzalina", "Quetzalcoatlzin"];
/// Spanish documents with other results than the samples: a malformed report, a server error, a thin file, a generated report.
const SPANISH: [&str; 4] = ["90000014W", "90000011E", "90000008L", "48214907F"];
/// The first two are encoded in the Italian and the Mexican document. The third is sent by the client for Spanish applicants.
const BIRTH_DATES: [&str; 3] = ["1980-01-01", "1985-01-01", "1971-03-29"];

/// Contact data in applications.
const CONTACTS: [&str; 5] = [
    "quiteria.zz@example.net",
    "ES9121000418450200051332",
    "54362315K",
    "reachable through her sister Wilhelmina",
    "+34 699 123 987",
];

/// The forms in which a text may appear in a dump: plain, hexadecimal, and Base64 at each of its three alignments.
fn forms(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let aligned = |offset: usize| {
        let encoded = BASE64.encode([vec![0; offset], secret.as_bytes().to_vec()].concat());
        // Characters that contain bits of adjacent bytes are omitted.
        encoded[(offset * 8).div_ceil(6)..(offset + secret.len()) * 8 / 6].to_owned()
    };
    vec![
        secret.to_owned(),
        secret.to_lowercase(),
        hex.to_uppercase(),
        hex,
        aligned(0),
        aligned(1),
        aligned(2),
    ]
}

fn assert_private(place: &str, text: &str, secrets: &[&str]) {
    assert!(!text.is_empty(), "{place} is empty");
    for secret in secrets {
        for form in forms(secret) {
            if let Some(at) = text.find(&form) {
                let before = text[..at].chars().rev().take(120).collect::<Vec<_>>();
                let context: String = before.into_iter().rev().collect();
                panic!("{place} has {secret} as {form} after {context:?}");
            }
        }
    }
}

/// The whole database as dumped by `pg_dump`.
async fn dump(app: &TestApp) -> String {
    let postmaster = app.sql("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)").await;
    let postgres = std::fs::read_link(format!("/proc/{postmaster}/exe")).unwrap();
    let dumped = std::process::Command::new(postgres.with_file_name("pg_dump"))
        .arg(app.database.url())
        .output()
        .unwrap();
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    String::from_utf8(dumped.stdout).unwrap()
}

/// Decided applications of every country with every kind of report. The actor of the last one panics.
async fn applications_of_every_kind(app: &TestApp) -> Vec<String> {
    let mut ids = Vec::new();
    let personal_members = json!({"birth_date": BIRTH_DATES[2], "employer": "kept", "email": CONTACTS[0], "iban": CONTACTS[1],
        "spouse_document": CONTACTS[2], "note": CONTACTS[3]});
    for (country, document) in samples().into_iter().chain(SPANISH.map(|document| (Country::Es, document))) {
        let mut application = with(body(country, document), "full_name", NAME);
        if country == Country::Es {
            application["country_specific_data"] = personal_members.clone();
        }
        ids.push(app.submit(&application).await);
    }
    for id in &ids {
        app.decided(id).await;
    }
    let fault = json!({"failure_count": 1000, "target": "application_actor", "country": "MX"});
    app.post("/api/v1/test/inject-failure", &fault).await.expect(200);
    let panicking = app.submit(&with(body(Country::Mx, "HERM850101MDFRRR08"), "full_name", NAME)).await;
    assert_eq!(app.decided(&panicking).await, "UNDER_REVIEW");
    assert_eq!(app.sql("SELECT count(*) FROM failed_jobs").await, "1");
    ids.push(panicking);
    ids
}

/// Sends every kind of request that is rejected and contains personal data. Returns the responses.
async fn refusals(app: &TestApp, id: &str) -> String {
    let path = format!("/api/v1/applications/{id}");
    let mut refusals = Vec::new();
    for (member, value) in [
        ("requested_amount", json!(NAME)),
        ("identity_document", json!("RSSMRA80A01H501X")),
        ("country", json!(NAME)),
        ("full_name", json!([NAME])),
        ("country_specific_data", json!({"birth_date": [BIRTH_DATES[0]]})),
        ("term_months", json!(BIRTH_DATES[0])),
    ] {
        let application = with(body(Country::It, "RSSMRA80A01H501U"), "full_name", NAME);
        refusals.push(app.post("/api/v1/applications", &with(application, member, value)).await.expect(422));
    }
    refusals.push(app.patch(&path, &json!({"status": "CANCELLED"})).await.expect(409));
    let birth_date = json!({"country_specific_data": {"birth_date": BIRTH_DATES[0]}});
    refusals.push(app.patch(&path, &birth_date).await.expect(422));
    let stale = [("Content-Type", "application/json"), ("If-Match", "\"1\"")];
    let change = json!({"country_specific_data": {"employer": "Acme"}}).to_string();
    refusals.push(app.send(Method::PATCH, &path, &stale, change).await.expect(412));
    for document in ["RSSMRA80A01H501U", "12345678Z"] {
        refusals.push(app.get(&format!("/api/v1/applications/{document}")).await.expect(400));
        refusals.push(app.get(&format!("/api/v1/applications?country={document}")).await.expect(422));
        refusals.push(app.get(&format!("/api/v1/{document}")).await.expect(404));
    }
    Value::from(refusals).to_string()
}

#[actix_rt::test]
async fn stored_logged_and_pushed_data_identifies_no_one() {
    let app = TestApp::start(&[
        ("AVAL__PROVIDERS__DEFAULTS__BREAKER__CONSECUTIVE_FAILURES", "10000"),
        ("AVAL__PROVIDERS__DEFAULTS__BREAKER__MIN_CALLS", "10000"),
    ])
    .await;
    let mut socket = app.websocket().await;
    socket.subscribe(&json!({"channel": "applications"})).await;
    let ids = applications_of_every_kind(&app).await;
    let (first, panicking) = (&ids[0], &ids[ids.len() - 1]);
    app.patch(
        &format!("/api/v1/applications/{first}"),
        &json!({"country_specific_data": {"phone": CONTACTS[4]}}),
    )
    .await
    .expect(200);
    let refusals = refusals(&app, first).await;
    app.patch(&format!("/api/v1/applications/{panicking}"), &json!({"status": "REJECTED"})).await.expect(200);
    app.delete(&format!("/api/v1/applications/{}", ids[1])).await;

    let mut frames = String::new();
    loop {
        let frame = socket.json().await;
        frames += &frame.to_string();
        if frame["data"]["id"] == panicking.as_str() && frame["data"]["status"] == "REJECTED" {
            break;
        }
    }
    let documents: Vec<&str> = samples().iter().map(|(_, document)| *document).chain(SPANISH).collect();
    let person = [&documents[..], &BIRTH_DATES, &NAMES].concat();
    let keys = SECRETS.map(|(_, secret)| secret);
    let everything = [&person[..], &CONTACTS, &keys].concat();
    let dump = dump(&app).await;
    assert!(ids.iter().all(|id| dump.contains(id.as_str())) && dump.contains("\"employer\": \"kept\""));
    assert_private("a dump of the database", &dump, &everything);
    assert_private("the log", &app.log.text().await, &everything);
    assert_private("/metrics", &app.get("/metrics").await.text(), &everything);
    assert_private("WebSocket frames", &frames, &everything);
    assert_private("refusals", &refusals, &everything);
    let list = app.get("/api/v1/applications?page_size=100").await.expect(200).to_string();
    assert_eq!(list.matches(NAME).count(), ids.len() - 1);
    assert_private("a list", &list, &[&documents[..], &BIRTH_DATES].concat());
    for id in ids.iter().filter(|id| **id != ids[1]) {
        let path = format!("/api/v1/applications/{id}");
        assert_private(
            "a response with an application",
            &app.get(&path).await.text(),
            &[&documents[..], &CONTACTS].concat(),
        );
        for part in ["decision", "status", "audit"] {
            assert_private(
                part,
                &app.get(&format!("{path}/{part}")).await.text(),
                &[&person[..], &CONTACTS].concat(),
            );
        }
    }
}

#[actix_rt::test]
async fn authorized_readers_see_the_birth_date_and_changes_keep_it() {
    let app = TestApp::start_idle().await;
    let created = app.post("/api/v1/applications", &body(Country::It, "RSSMRA80A01H501U")).await.expect(201);
    let data = json!({"birth_date": "1980-01-01", "sex": "male"});
    assert_eq!(created["country_specific_data"], data);
    let path = format!("/api/v1/applications/{}", created["id"].as_str().unwrap());
    assert_eq!(app.get(&path).await.expect(200)["country_specific_data"], data);
    let changed = app.patch(&path, &json!({"country_specific_data": {"employer": "Acme"}})).await.expect(200);
    let data = json!({"birth_date": "1980-01-01", "sex": "male", "employer": "Acme"});
    assert_eq!(changed["country_specific_data"], data);
    assert_eq!(app.get(&path).await.expect(200)["country_specific_data"], data);
    assert_eq!(
        app.sql("SELECT country_specific_data - 'sex' FROM applications").await,
        "{\"employer\": \"Acme\"}"
    );
}

#[actix_rt::test]
async fn rejected_values_appear_neither_in_the_response_nor_in_the_log() {
    let app = TestApp::start_idle().await;
    let wrong = "48214907A";
    let refused = app.post("/api/v1/applications", &with(body(Country::Es, wrong), "full_name", NAME)).await;
    let bodies = [
        refused.expect(422),
        app.post("/api/v1/applications", &json!({"country": NAME, "identity_document": [wrong]}))
            .await
            .expect(422),
        app.get(&format!("/api/v1/applications/{wrong}")).await.expect(400),
        app.get(&format!("/api/v1/applications?country={wrong}")).await.expect(422),
        app.get(&format!("/no/such/{wrong}")).await.expect(404),
        app.send(
            Method::POST,
            "/api/v1/applications",
            &[("Content-Type", "application/json")],
            format!("{{\"{wrong}"),
        )
        .await
        .expect(400),
    ];
    for body in bodies {
        assert_private("a problem", &body.to_string(), &[wrong, NAME]);
    }
    assert_private("the log", &app.log.text().await, &[wrong]);
    assert_private("/metrics", &app.get("/metrics").await.text(), &[wrong]);
}

#[actix_rt::test]
async fn a_row_rejected_by_the_database_is_not_quoted_in_the_log() {
    let app = TestApp::start_idle().await;
    // PostgreSQL's own message for a violated CHECK quotes the whole row.
    app.execute("ALTER TABLE applications ADD CONSTRAINT refuse_all CHECK (requested_amount < 0) NOT VALID")
        .await;
    let refused =
        app.post("/api/v1/applications", &with(body(Country::Es, "48214907F"), "full_name", NAME)).await;
    assert!(refused.status.is_server_error(), "{:?}", refused);
    assert_private("the response", &refused.text(), &["48214907F"]);
    assert_private("the log", &app.log.text().await, &["48214907F", NAME]);
}

#[test]
fn a_secret_in_a_dump_is_found_in_every_form() {
    let secret = "RSSMRA80A01H501U";
    let inside = |before: &str| [before.as_bytes(), secret.as_bytes(), b"..."].concat();
    for text in ["", "a", "ab"] {
        let encoded = BASE64.encode(inside(text));
        assert!(forms(secret).iter().any(|form| encoded.contains(form.as_str())), "{encoded}");
    }
    let hex: String = inside("\0").iter().map(|byte| format!("{byte:02x}")).collect();
    for text in [hex, format!("<{secret}>"), secret.to_lowercase()] {
        assert!(forms(secret).iter().any(|form| text.contains(form.as_str())), "{text}");
    }
}
