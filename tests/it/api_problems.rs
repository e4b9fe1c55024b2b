//! Every kind of invalid input gets a problem with the right 4xx status, and no malformed request causes a 500 or a panic.

use actix_web::http::Method;
use aval::domain::application::Country;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp};
use crate::support::builders::{body, spanish, with};

const APPLICATIONS: &str = "/api/v1/applications";
const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn post_raw(app: &TestApp, headers: &[(&str, &str)], body: impl Into<bytes::Bytes>) -> Answer {
    app.send(Method::POST, APPLICATIONS, headers, body).await
}

#[actix_rt::test]
async fn unknown_routes_are_404_and_unknown_methods_405_with_allow() {
    let app = TestApp::start_idle().await;
    for path in ["/nothing", "/api/v1", "/api/v2/applications", "/api/v1/applications/", "/docs/no-such-file"]
    {
        assert_eq!(app.get(path).await.expect(404)["code"], "not_found", "{path}");
    }
    for (method, path, allow) in [
        ("DELETE", "/api/v1/applications", "POST, GET, HEAD, OPTIONS"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("GET", "/api/v1/test/inject-failure", "POST, OPTIONS"),
        ("BREW", "/api/v1/countries", "GET, HEAD, OPTIONS"),
    ] {
        let answer = app.send(method.parse().unwrap(), path, &[], "").await;
        assert_eq!(answer.header("allow"), allow);
        assert_eq!(answer.expect(405)["code"], "method_not_allowed");
    }
    let options = app.send(Method::OPTIONS, APPLICATIONS, &[], "").await;
    assert_eq!((options.status.as_u16(), options.header("allow")), (204, "POST, GET, HEAD, OPTIONS"));
    let head = app.send(Method::HEAD, "/health", &[], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[actix_rt::test]
async fn a_body_that_is_not_json_in_utf_8_is_415() {
    let app = TestApp::start_idle().await;
    let good = spanish().to_string();
    for media in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
        "application/problem+json",
    ] {
        let answer = post_raw(&app, &[("Content-Type", media)], good.clone()).await;
        assert_eq!(answer.expect(415)["code"], "unsupported_media_type", "{media}");
    }
    post_raw(&app, &[], good.clone()).await.expect(415);
    post_raw(&app, &[JSON, ("Content-Encoding", "gzip")], good.clone()).await.expect(415);
    for media in ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=\"UTF-8\""]
    {
        post_raw(&app, &[("Content-Type", media)], good.clone()).await.expect(201);
    }
}

#[actix_rt::test]
async fn an_unreadable_body_is_400_and_is_not_quoted() {
    let app = TestApp::start_idle().await;
    let duplicate = spanish().to_string().replacen('{', "{\"country\":\"SECRET\",", 1);
    let deep = format!("{{\"SECRET\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let unreadable: [&[u8]; 11] = [
        b"",
        b"SECRET",
        b"{\"country\": \"SECRET",
        b"{\"SECRET\": 1,}",
        b"{'SECRET': 1}",
        b"[{\"SECRET\": 1}]",
        b"\"SECRET\"",
        b"{\"SECRET\": \"\xff\xfe\"}",
        b"{\"SECRET\": 1} SECRET",
        deep.as_bytes(),
        duplicate.as_bytes(),
    ];
    for bytes in unreadable {
        let problem = post_raw(&app, &[JSON], bytes.to_vec()).await.expect(400);
        assert_eq!(problem["code"], "malformed_request");
        assert!(!problem.to_string().contains("SECRET"), "{problem}");
    }
}

#[actix_rt::test]
async fn an_oversized_body_is_413_whether_it_is_declared_or_streamed() {
    let app = TestApp::start(&[("AVAL__SERVER__BODY_LIMIT_BYTES", "2048")]).await;
    let large = with(spanish(), "full_name", "x".repeat(3000)).to_string();
    let problem = post_raw(&app, &[JSON], large.clone()).await.expect(413);
    assert_eq!(problem["code"], "payload_too_large");
    let head = format!(
        "POST /api/v1/applications HTTP/1.1\r\nHost: aval\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\n",
        app.token
    );
    let declared = app.send_raw(format!("{head}Content-Length: 99999999999\r\n\r\n").as_bytes()).await;
    assert!(declared.starts_with("HTTP/1.1 413") && declared.contains("payload_too_large"), "{declared}");
    let chunked =
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let streamed = app.send_raw(chunked.as_bytes()).await;
    assert!(
        streamed.starts_with("HTTP/1.1 413") && streamed.contains("application/problem+json"),
        "{streamed}"
    );
    let malformed = app.send_raw(format!("{head}Content-Length: 12x\r\n\r\n{{}}").as_bytes()).await;
    assert!(malformed.starts_with("HTTP/1.1 4"), "{malformed}");
}

#[actix_rt::test]
async fn the_size_and_number_of_values_of_a_body_are_limited_per_route() {
    let app = TestApp::start_idle().await;
    let padded = |bytes: usize| format!("{{\"username\":\"{}\",\"password\":\"x\"}}", "x".repeat(bytes));
    let members = |count: usize| {
        let all: Vec<_> = (0..count).map(|n| format!("\"m{n}\":[[0,1],{{}}]")).collect();
        format!("{{{}}}", all.join(","))
    };
    for (path, body, status) in [
        ("/api/v1/auth/login", padded(5_000), 413),
        ("/api/v1/auth/refresh", padded(5_000), 413),
        ("/api/v1/auth/login", members(17), 400),
        ("/api/v1/api-keys", padded(17_000), 413),
        ("/api/v1/applications/search", members(60), 400),
        ("/api/v1/applications", padded(66_000), 413),
        ("/api/v1/applications", members(1_100), 400),
        ("/api/v1/applications", members(600), 422),
    ] {
        let answer = app.admin().send(Method::POST, path, &[JSON], body).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.json);
        if status == 400 {
            assert!(answer.json["detail"].as_str().unwrap().contains("members"), "{path}: {}", answer.json);
        }
    }
}

#[actix_rt::test]
async fn every_amount_that_is_not_a_plain_decimal_is_rejected() {
    let app = TestApp::start_idle().await;
    let raw = [
        "1e3",
        "1E3",
        "-1",
        "0",
        "0.00",
        "-0",
        "0.001",
        "1.999",
        "12345678901",
        "10000000000.00",
        "1e-2",
        "true",
        "null",
        "[]",
        "{}",
        "\"\"",
        "\"abc\"",
        "\"1_000\"",
        "\"1,000\"",
        "\"+5\"",
        "\"-5\"",
        "\" 5\"",
        "\"5 \"",
        "\"5.\"",
        "\".5\"",
        "\"0x10\"",
        "\"NaN\"",
        "\"Infinity\"",
        "\"1e3\"",
        "\"٥\"",
        "\"5\\u0000\"",
        "99999999999999999999999999999999999999",
    ];
    for name in ["requested_amount", "monthly_income"] {
        for amount in raw {
            let text = with(spanish(), name, "@").to_string().replace("\"@\"", amount);
            let answer = post_raw(&app, &[JSON], text).await;
            assert_eq!(answer.status, 422, "{amount}");
            let errors = answer.field_errors();
            assert!(errors.len() == 1 && errors[0].starts_with(&format!("/{name} ")), "{amount}: {errors:?}");
        }
        for unreadable in ["NaN", "1_000", "01", ".5", "+1", "Infinity", "1.", "0x10"] {
            let text = with(spanish(), name, "@").to_string().replace("\"@\"", unreadable);
            post_raw(&app, &[JSON], text).await.expect(400);
        }
    }
}

#[actix_rt::test]
async fn every_member_is_validated_and_all_errors_are_reported_together() {
    let app = TestApp::start_idle().await;
    for (name, value, expected) in [
        ("country", json!("FR"), "/country unknown_country"),
        ("country", json!(34), "/country bad_type"),
        ("country", json!("ES\u{0}"), "/country unknown_country"),
        ("full_name", json!(""), "/full_name bad_name"),
        ("full_name", json!("   "), "/full_name bad_name"),
        ("full_name", json!("x".repeat(256)), "/full_name bad_name"),
        ("full_name", json!("Ana\u{0}"), "/full_name bad_name"),
        ("full_name", json!(["Ana"]), "/full_name bad_type"),
        ("identity_document", json!(12345678), "/identity_document bad_type"),
        ("identity_document", json!("9".repeat(51)), "/identity_document bad_length"),
        ("identity_document", json!("12345678A"), "/identity_document bad_check_digit"),
        ("term_months", json!(5), "/term_months out_of_range"),
        ("term_months", json!(85), "/term_months out_of_range"),
        ("term_months", json!(-36), "/term_months out_of_range"),
        ("term_months", json!(36.5), "/term_months out_of_range"),
        ("term_months", json!("36"), "/term_months bad_type"),
        ("country_specific_data", json!([]), "/country_specific_data bad_type"),
        ("country_specific_data", json!("text"), "/country_specific_data bad_type"),
        (
            "country_specific_data",
            json!({"employer": "nul\u{0}"}),
            "/country_specific_data/employer bad_text",
        ),
        ("country_specific_data", json!({"a": {"b": 1e308}}), "/country_specific_data/a unknown_field"),
        ("country_specific_data", json!({"a": "x".repeat(17_000)}), "/country_specific_data too_large"),
        ("status", json!("APPROVED"), "/status unknown_field"),
        ("a/b~c", json!(1), "/a~1b~0c unknown_field"),
    ] {
        let answer = app.post(APPLICATIONS, &with(spanish(), name, value)).await;
        assert_eq!(answer.field_errors(), [expected]);
        assert_eq!(answer.expect(422)["code"], "validation_failed");
    }
    let everything =
        app.post(APPLICATIONS, &json!({"country": "XX", "monthly_income": -1, "oops": true})).await;
    let expected = [
        "/country unknown_country",
        "/full_name required",
        "/identity_document required",
        "/requested_amount required",
        "/monthly_income bad_amount",
        "/oops unknown_field",
    ];
    assert_eq!(everything.field_errors(), expected);
    assert_eq!(app.sql("SELECT count(*) FROM applications").await, "0");
}

#[actix_rt::test]
async fn an_invalid_document_is_rejected_with_reasons() {
    let app = TestApp::start_idle().await;
    for (country, document, reason) in [
        (Country::Es, "12345678A", "bad_check_digit"),
        (Country::Es, "1234", "bad_length"),
        (Country::Es, "１２３４５６７８Z", "bad_format"),
        (Country::Es, "𝟏2345678Z", "bad_format"),
        (Country::Pt, "123456780", "bad_check_digit"),
        (Country::Pt, "500000000", "not_a_person"),
        (Country::It, "RSSMRA80A01H501A", "bad_check_digit"),
        (Country::Mx, "HERM850101MDFRRR01", "bad_check_digit"),
        (Country::Mx, "HERM850231MDFRRR08", "bad_date"),
        (Country::Co, "0123456789", "bad_format"),
        (Country::Br, "11111111111", "repeated_digits"),
        (Country::Br, "12345678900", "bad_check_digit"),
    ] {
        let answer = app.post(APPLICATIONS, &body(country, document)).await;
        let errors = answer.field_errors();
        let expected = format!("/identity_document {reason}");
        assert!(errors.contains(&expected), "{country:?} {document}: {errors:?}");
        assert!(!answer.expect(422).to_string().contains(document), "the document must not be quoted");
    }
}

#[actix_rt::test]
async fn invalid_identifiers_and_queries_are_rejected_with_field_errors() {
    let app = TestApp::start_idle().await;
    for id in ["1", "not-a-uuid", "%00", "{id}", "019a5d2e7c1a7b3e9a540d7a3c1f5e21", "..%2f..", "%ff"] {
        for rest in ["", "/status", "/audit", "/decision"] {
            let problem = app.get(&format!("{APPLICATIONS}/{id}{rest}")).await.expect(400);
            assert_eq!(problem["code"], "malformed_request");
        }
    }
    let unused_ids = [
        "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "6fa459ea-ee8a-4ca4-894e-db77e160355e",
    ];
    for id in unused_ids {
        app.get(&format!("{APPLICATIONS}/{id}")).await.expect(404);
        app.delete(&format!("{APPLICATIONS}/{id}")).await.expect(404);
        app.put(&format!("{APPLICATIONS}/{id}/status"), &json!({"status": "CANCELLED"})).await.expect(404);
    }
    for (query, expected) in [
        ("country=FR", "?country unknown_country"),
        ("status=pending", "?status unknown_status"),
        ("page=0", "?page out_of_range"),
        ("page=-1", "?page out_of_range"),
        ("page=9223372036854775807", "?page out_of_range"),
        ("page=99999999999999999999", "?page out_of_range"),
        ("page_size=0", "?page_size out_of_range"),
        ("page_size=101", "?page_size out_of_range"),
        ("page_size=ten", "?page_size out_of_range"),
        ("sort=name", "?sort unknown_sort"),
        ("from=yesterday", "?from bad_time"),
        ("to=2026-02-30", "?to bad_time"),
        ("from=2026-02-02&to=2026-01-01", "?to bad_range"),
        ("min_amount=1e3", "?min_amount bad_amount"),
        ("min_amount=10&max_amount=9", "?max_amount bad_range"),
        ("risk_band=extreme", "?risk_band unknown_risk_band"),
        ("country=ES&country=PT", "?country duplicate_parameter"),
        ("contry=ES", "?contry unknown_parameter"),
    ] {
        let answer = app.get(&format!("{APPLICATIONS}?{query}")).await;
        assert_eq!(answer.field_errors(), [expected], "{query}");
    }
    for query in ["country=%ff", "country=%", "%zz=1", "status=%e2%28%a1"] {
        app.get(&format!("{APPLICATIONS}?{query}")).await.expect(400);
    }
    for path in ["/api/v1/countries/FR", "/api/v1/countries/%00", "/api/v1/countries/ESP"] {
        app.get(path).await.expect(404);
    }
}

#[actix_rt::test]
async fn invalid_changes_are_rejected_with_field_errors() {
    let app = TestApp::start_idle().await;
    let id = app.submit(&spanish()).await;
    let path = format!("{APPLICATIONS}/{id}");
    for (change, expected) in [
        (json!({}), " required"),
        (json!({"status": "DONE"}), "/status unknown_status"),
        (json!({"status": 1}), "/status bad_type"),
        (json!({"status": "CANCELLED", "reason": "x".repeat(501)}), "/reason bad_reason"),
        (json!({"status": "CANCELLED", "reason": "a\u{0}b"}), "/reason bad_reason"),
        (json!({"status": "CANCELLED", "country_specific_data": {"a": 1}}), "/status ambiguous"),
        (json!({"country_specific_data": {}}), "/country_specific_data required"),
        (
            json!({"country_specific_data": {"birth_date": "2000-01-01"}}),
            "/country_specific_data/birth_date read_only",
        ),
        (json!({"requested_amount": "1"}), "/requested_amount unknown_field"),
    ] {
        let answer = app.patch(&path, &change).await;
        assert_eq!(answer.field_errors(), [expected], "{change}");
    }
    let missing = app.put(&format!("{path}/status"), &json!({"reason": "why"})).await;
    assert_eq!(missing.field_errors(), ["/status required"]);
    assert_eq!(app.get(&path).await.expect(200)["version"], 1);
}

#[actix_rt::test]
async fn invalid_http_is_rejected_and_the_server_keeps_running() {
    let app = TestApp::start_idle().await;
    let long_head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let noise: [&[u8]; 7] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET \x00 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /api/v1/applications HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        long_head.as_bytes(),
    ];
    for bytes in noise {
        let answer = app.send_raw(bytes).await;
        // The HTTP server itself answers bytes that it cannot parse, with a status but without a problem.
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    app.get("/health").await.expect(200);
}

/// Possible replacements for the value of a member.
fn odd_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[0-9]{1,30}(\\.[0-9]{0,5})?(e-?[0-9]{1,4})?",
        "\"\\\\PC{0,40}\"",
        "\"[A-Z0-9]{6,20}\"",
        "[\\[\\]{}\",:0-9a-z]{0,20}",
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("\"\\u0000\"".to_owned()),
        Just("\"\\ud800\"".to_owned()),
        Just("{\"a\":{\"b\":[[[[[[[[1]]]]]]]]}}".to_owned()),
    ]
}

/// A nearly valid body.
fn odd_body() -> impl Strategy<Value = Vec<u8>> {
    let names = [
        "country",
        "full_name",
        "identity_document",
        "requested_amount",
        "monthly_income",
        "term_months",
        "country_specific_data",
        "status",
        "reason",
        "failure_count",
        "target",
        "document",
        "banking_data",
    ];
    let nearly = (prop::sample::select(names.to_vec()), odd_value(), any::<bool>()).prop_map(
        |(name, odd, has_all_members)| {
            let base = if has_all_members { spanish() } else { json!({}) };
            with(base, name, "@").to_string().replace("\"@\"", &odd).into_bytes()
        },
    );
    prop_oneof![4 => nearly, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

fn odd_path() -> impl Strategy<Value = String> {
    let known = [
        "/api/v1/applications",
        "/api/v1/applications/ID",
        "/api/v1/applications/ID/status",
        "/api/v1/applications/ID/audit",
        "/api/v1/applications/ID/decision",
        "/api/v1/applications/ID/restore",
        "/api/v1/countries",
        "/api/v1/countries/ES",
        "/api/v1/countries/mx/document-checks",
        "/api/v1/countries/PT/evaluations",
        "/api/v1/ws",
        "/api/v1/test/inject-failure",
        "/health/detailed",
        "/metrics",
        "/openapi.json",
        "/docs/",
    ];
    let ending = prop_oneof![
        6 => Just(String::new()),
        3 => "\\?(country|status|from|to|page|page_size|cursor|sort|min_amount)=[A-Za-z0-9%:.+-]{0,30}",
        1 => "/[a-zA-Z0-9%._~-]{0,30}",
    ];
    (prop::sample::select(known.to_vec()), ending).prop_map(|(path, ending)| format!("{path}{ending}"))
}

fn odd_header() -> impl Strategy<Value = (String, String)> {
    let names = [
        "content-type",
        "if-match",
        "if-none-match",
        "x-request-id",
        "traceparent",
        "accept",
        "content-encoding",
        "range",
        "expect-nothing",
        "upgrade",
        "sec-websocket-key",
        "x-forwarded-for",
    ];
    (prop::sample::select(names.to_vec()).prop_map(str::to_owned), "[ -~]{0,40}")
}

#[actix_rt::test]
async fn random_requests_cause_no_500_and_no_panic() {
    // With fault injection, random requests could inject panics.
    let app = TestApp::start(&[("AVAL__FAULTS__INJECTION", "false")]).await;
    let id = app.submit(&spanish()).await;
    let seed: [u8; 32] = match std::env::var("AVAL_FUZZ_SEED") {
        Ok(text) => text.into_bytes().try_into().expect("32 characters"),
        Err(_) => uuid::Uuid::new_v4().simple().to_string().into_bytes().try_into().unwrap(),
    };
    println!("repeat with AVAL_FUZZ_SEED={}", String::from_utf8_lossy(&seed));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let methods =
        prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]);
    let requests = (
        methods,
        odd_path(),
        prop::collection::vec(odd_header(), 0..3),
        odd_body(),
        prop::bool::weighted(0.9),
    );
    let mut refused = 0;
    for _ in 0..600 {
        let (method, path, mut headers, body, is_json) = requests.new_tree(&mut runner).unwrap().current();
        if is_json {
            headers.retain(|(name, _)| name != "content-type");
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let path = path.replace("ID", &id);
        let body = if matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE") { Vec::new() } else { body };
        let answer = app.send(method.parse().unwrap(), &path, &headers, body).await;
        assert!(answer.status.as_u16() < 500, "{method} {path}: {}", answer.json);
        refused += usize::from(answer.status.is_client_error());
    }
    assert!(refused > 100, "only {refused} of the requests were invalid");
    app.get("/health").await.expect(200);
    let panicked = app.log.lines().await.into_iter().find(is_unexpected);
    assert_eq!(panicked, None);
}

/// A panic that was not injected, or a failure of Aval itself.
fn is_unexpected(line: &Value) -> bool {
    let text = line.to_string().to_lowercase();
    (text.contains("panic") && !text.contains("inject")) || text.contains("internal_error")
}

/// Every line of the route table with a concrete path.
fn routes() -> Vec<(Method, String)> {
    let known = [
        ("{id}", "01890a5d-ac96-774b-bcce-b302099a8057"),
        ("{code}", "ES"),
        ("{lane}", "ES"),
        ("{task}", "expire_webhooks"),
        ("{file}", "index.html"),
        ("{page}", "applications"),
        ("{consumer}", "webhook_deliveries"),
    ];
    let path = |entry: &aval::http::routes::RouteEntry| {
        known.iter().fold(entry.documented_path(), |path, (name, value)| path.replace(name, value))
    };
    aval::http::routes::table(true).iter().map(|entry| (entry.method.clone(), path(entry))).collect()
}

#[actix_rt::test]
async fn unknown_query_parameters_are_rejected_on_every_route() {
    let app = TestApp::start_idle().await;
    let json = [("Content-Type", "application/json")];
    let table = aval::http::routes::table(true);
    for ((method, path), _) in routes().into_iter().zip(table).filter(|(_, entry)| !entry.ignores_query) {
        let body = if method == Method::GET { "" } else { "{}" };
        // The list of ingested events requires a parameter.
        let required = if path == "/api/v1/ingest/events" && body.is_empty() { "user_id=ana&" } else { "" };
        let url = format!("{path}?{required}no_such_parameter=1");
        let answer = app.send(method.clone(), &url, &json, body).await;
        assert_eq!(answer.field_errors(), ["?no_such_parameter unknown_parameter"], "{method} {path}");
        answer.expect(422);
        app.send(method, &format!("{path}?a=%zz"), &json, body).await.expect(400);
    }
}

#[actix_rt::test]
async fn a_body_that_is_not_json_is_malformed_on_every_route() {
    let app = TestApp::start_idle().await;
    let document = serde_json::to_value(aval::http::openapi::document(true)).unwrap();
    let json = [("Content-Type", "application/json")];
    let mut checked = 0;
    for (method, path) in routes().into_iter().filter(|(method, _)| *method != Method::GET) {
        let pattern = aval::http::routes::table(true).into_iter().map(|entry| entry.documented_path()).find(
            |pattern| {
                document["paths"][pattern][method.as_str().to_lowercase()].is_object() && fits(pattern, &path)
            },
        );
        let operation = &document["paths"][pattern.unwrap()][method.as_str().to_lowercase()];
        // Webhooks are parsed after their signature is verified; `webhooks::responses` tests them.
        if operation["requestBody"].is_null() || path.contains("/webhooks/") {
            continue;
        }
        checked += 1;
        for body in ["", "{", "[]", "{\"a\": 1,}", "nil"] {
            let problem = app.send(method.clone(), &path, &json, body).await.expect(400);
            assert_eq!(problem["code"], "malformed_request", "{method} {path} {body}");
        }
    }
    assert!(checked > 15, "{checked}");
}

fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern.iter().zip(path).all(|(part, sent)| part.starts_with('{') || *part == sent)
}

#[actix_rt::test]
async fn the_type_of_a_problem_is_the_path_of_its_documentation() {
    let app = TestApp::start_idle().await;
    let problem = app.get("/api/v1/applications/1").await.expect(400);
    let page = app.anonymous().get(problem["type"].as_str().unwrap()).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.text().contains("malformed_request"));
    app.anonymous().get("/problems/no_such_problem").await.expect(404);
}
