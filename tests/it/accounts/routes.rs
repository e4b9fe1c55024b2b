//! Authorization of every operation in the OpenAPI document.

use actix_web::http::Method;
use aval::domain::account::{Role, Scope};
use aval::http::auth::Access;
use serde_json::{Value, json};

use crate::support::accounts::{ANALYST, Caller, OTHER, USER};
use crate::support::app::{Answer, TestApp};
use crate::support::builders::spanish;

/// Operations without authentication. A new public route must be listed here.
const OPEN: [&str; 19] = [
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/browser-session",
    "POST /api/v1/auth/browser-session/refresh",
    "POST /api/v1/webhooks/bank-confirmation",
    "POST /api/v1/webhooks/provider",
    "POST /api/v1/webhooks/payment-report",
    "GET /api/v1/ws",
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /api/v1/health",
    "GET /api/v1/health/live",
    "GET /api/v1/health/ready",
    "GET /problems/{code}",
    "GET /",
    "GET /console",
    "GET /console/{page}",
    "GET /assets/{file}",
];

/// An operation of the OpenAPI document, with a concrete path.
struct Operation {
    name: String,
    method: Method,
    path: String,
    access: Access,
}

/// All operations of the OpenAPI document. Each must be in the route table, which contains its access rule.
fn operations(document: &Value, application: &str) -> Vec<Operation> {
    let table = aval::http::routes::table(true);
    let mut operations = Vec::new();
    for (pattern, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let line = table
                .iter()
                .find(|entry| entry.method == method && entry.documented_path() == *pattern)
                .unwrap_or_else(|| panic!("{method} {pattern} has no line in the route table"));
            let path = pattern
                .replace("{id}", application)
                .replace("{code}", "ES")
                .replace("{lane}", "ES")
                .replace("{consumer}", "unknown")
                .replace("{file}", "index.html")
                .replace("{page}", "applications")
                .replace("{task}", "expire_webhooks");
            operations.push(Operation {
                name: format!("{method} {pattern}"),
                access: line.access,
                method,
                path,
            });
        }
    }
    operations
}

async fn call(caller: &Caller<'_>, operation: &Operation) -> Answer {
    let body = if operation.method == Method::GET { "" } else { "{}" };
    let json = [("Content-Type", "application/json")];
    caller.send(operation.method.clone(), &operation.path, &json, body).await
}

async fn documented(app: &TestApp) -> Vec<Operation> {
    let id = app.acting_as(USER).await.submit(&spanish()).await;
    operations(&app.get("/openapi.json").await.expect(200), &id)
}

#[actix_rt::test]
async fn requests_without_credentials_only_reach_public_routes() {
    let app = TestApp::start_idle().await;
    for operation in documented(&app).await {
        let name = operation.name.as_str();
        let is_open = OPEN.contains(&name);
        match operation.access {
            Access::Public | Access::Signed => assert!(is_open, "{name} is public but not listed"),
            Access::Metrics | Access::Operators => {
                assert_ne!(
                    call(&app.anonymous(), &operation).await.status,
                    401,
                    "{name}: public in development"
                );
            }
            Access::Anyone | Access::People(_) | Access::AtLeast(..) => {
                assert!(!is_open, "{name}");
                let answer = call(&app.anonymous(), &operation).await;
                assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="aval""#, "{name}");
                assert_eq!(answer.expect(401)["code"], "unauthenticated", "{name}");
            }
        }
    }
}

#[actix_rt::test]
async fn an_invalid_credential_is_rejected_on_every_route() {
    let app = TestApp::start_idle().await;
    let part = |index: usize| app.token.split('.').nth(index).unwrap().to_owned();
    let none = base64_url(r#"{"typ":"JWT","alg":"none"}"#);
    let other_key = TestApp::start_on(
        std::rc::Rc::clone(&app.database),
        &[("JWT_SECRET", "Yc5Hn2Vt8Qm1Zr7Kx4Bd9Lw3Gf6Js0P_")],
    )
    .await;
    let tokens = [
        "garbage".to_owned(),
        format!("{none}.{}.", part(1)),
        format!("{none}.{}.{}", part(1), part(2)),
        format!("{}.{}.", part(0), part(1)),
        format!("{}.{}.{}", part(0), part(1), part(2).chars().rev().collect::<String>()),
        other_key.token.clone(),
    ];
    let operations = documented(&app).await;
    let guarded = operations
        .iter()
        .filter(|o| matches!(o.access, Access::Anyone | Access::People(_) | Access::AtLeast(..)));
    for operation in guarded {
        for token in &tokens {
            let answer = call(&app.with_token(token), operation).await;
            let challenge = answer.header("www-authenticate").to_owned();
            let code = answer.expect(401)["code"].as_str().unwrap().to_owned();
            let expected = ["unauthenticated", "credential_malformed"];
            assert!(expected.contains(&code.as_str()), "{} {token}: {code}", operation.name);
            assert_eq!(challenge, r#"Bearer realm="aval", error="invalid_token""#);
        }
        call(&app.with_key("aval_0_0"), operation).await.expect(401);
    }
    // The other instance accepts its own tokens.
    other_key.get("/api/v1/auth/me").await.expect(200);
}

fn base64_url(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

#[actix_rt::test]
async fn every_route_requires_its_role() {
    let app = TestApp::start_idle().await;
    let (user, analyst) = (app.acting_as(USER).await, app.acting_as(ANALYST).await);
    let mut refusals = 0;
    for operation in documented(&app).await {
        let (Access::AtLeast(needed, _) | Access::People(needed @ Role::Admin)) = operation.access else {
            continue;
        };
        for (caller, role) in [(&user, Role::User), (&analyst, Role::Analyst)] {
            let answer = call(caller, &operation).await;
            if role < needed {
                refusals += 1;
                let problem = answer.expect(403);
                assert_eq!(
                    problem["detail"],
                    format!("The role {needed} is required."),
                    "{}",
                    operation.name
                );
            } else {
                assert!(!matches!(answer.status.as_u16(), 401 | 403), "{}: {}", operation.name, answer.json);
            }
        }
    }
    assert!(refusals > 20, "{refusals}");
}

#[actix_rt::test]
async fn a_key_needs_the_scope_of_the_route() {
    let app = TestApp::start_idle().await;
    let mut keys = Vec::new();
    for scope in Scope::ALL {
        let name = scope.as_str().replace(':', "-");
        let body = json!({"name": name, "role": "admin", "scopes": [scope.as_str()]});
        let made = app.post("/api/v1/api-keys", &body).await.expect(201);
        keys.push((scope, made["key"].as_str().unwrap().to_owned()));
    }
    for operation in documented(&app).await {
        for (scope, key) in &keys {
            let caller = app.with_key(key);
            match operation.access {
                Access::People(_) => {
                    call(&caller, &operation).await.expect(403);
                }
                Access::AtLeast(_, needed) if needed != *scope => {
                    let answer = call(&caller, &operation).await;
                    let challenge =
                        format!(r#"Bearer realm="aval", error="insufficient_scope", scope="{needed}""#);
                    assert_eq!(answer.header("www-authenticate"), challenge, "{}", operation.name);
                    answer.expect(403);
                }
                Access::AtLeast(..) | Access::Anyone => {
                    let status = call(&caller, &operation).await.status.as_u16();
                    assert!(!matches!(status, 401 | 403), "{}: {status}", operation.name);
                }
                Access::Public | Access::Signed | Access::Metrics | Access::Operators => {}
            }
        }
    }
}

#[actix_rt::test]
async fn a_staff_key_changes_others_applications_only_with_the_review_scope() {
    let app = TestApp::start_idle().await;
    let id = app.acting_as(USER).await.submit(&spanish()).await;
    let path = format!("/api/v1/applications/{id}");
    let cancel = json!({"status": "CANCELLED"});
    for (name, scopes, status) in [
        ("writer", json!(["applications:write"]), 404),
        ("collector", json!(["applications:write", "metrics:read"]), 404),
        ("reviewer", json!(["applications:write", "applications:review"]), 200),
    ] {
        let body = json!({"name": name, "role": "analyst", "scopes": scopes});
        let made = app.post("/api/v1/api-keys", &body).await.expect(201);
        let caller = app.with_key(made["key"].as_str().unwrap());
        let json = [("Content-Type", "application/json")];
        caller.send(Method::PATCH, &path, &json, cancel.to_string()).await.expect(status);
    }
}

#[actix_rt::test]
async fn the_application_of_another_user_is_not_found_on_any_route() {
    let app = TestApp::start_idle().await;
    let id = app.acting_as(USER).await.submit(&spanish()).await;
    let other = app.acting_as(OTHER).await;
    let document = app.get("/openapi.json").await.expect(200);
    let mut checked = 0;
    for operation in operations(&document, &id) {
        if !operation.name.contains("/applications/{id}")
            || !matches!(operation.access, Access::AtLeast(Role::User, _))
        {
            continue;
        }
        checked += 1;
        let body = match operation.method {
            Method::PATCH | Method::PUT => r#"{"status": "CANCELLED"}"#,
            Method::POST => {
                r#"{"destination": {"kind": "iban", "value": "ES9121000418450200051332", "holder_name": "Ana"}}"#
            }
            _ => "",
        };
        let json = [("Content-Type", "application/json"), ("Idempotency-Key", "one")];
        let answer = other.send(operation.method.clone(), &operation.path, &json, body).await;
        assert_eq!(answer.expect(404)["code"], "not_found", "{}", operation.name);
    }
    assert!(checked >= 7, "{checked}");
    assert_eq!(other.get("/api/v1/applications").await.expect(200)["applications"], json!([]));
    let mine = app.acting_as(USER).await.get("/api/v1/applications").await.expect(200);
    assert_eq!(mine["applications"].as_array().unwrap().len(), 1);
    let all = app.acting_as(ANALYST).await.get("/api/v1/applications").await.expect(200);
    assert_eq!(all["applications"].as_array().unwrap().len(), 1);
}

#[actix_rt::test]
async fn the_openapi_document_states_the_access_rule_of_every_operation() {
    let document = serde_json::to_value(aval::http::openapi::document(true)).unwrap();
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    assert_eq!(schemes["access_token"]["scheme"], "bearer");
    assert_eq!(
        (&schemes["api_key"]["in"], &schemes["api_key"]["name"]),
        (&json!("header"), &json!("X-API-Key"))
    );
    for operation in operations(&document, "x") {
        let pattern = operation.name.split_once(' ').unwrap().1;
        let described = &document["paths"][pattern][operation.method.as_str().to_lowercase()];
        let security = described["security"].as_array().unwrap_or_else(|| panic!("{}", operation.name));
        let responses = described["responses"].as_object().unwrap();
        match operation.access {
            Access::Public | Access::Signed => assert!(security.is_empty(), "{}", operation.name),
            Access::People(_) => assert_eq!(security, &[json!({"access_token": []})]),
            Access::Anyone | Access::AtLeast(..) => {
                assert_eq!(security, &[json!({"access_token": []}), json!({"api_key": []})]);
                assert!(responses.contains_key("401"), "{}", operation.name);
            }
            Access::Metrics | Access::Operators => assert_eq!(security[0], json!({})),
        }
        if operation.access.needs().is_some() {
            assert!(responses.contains_key("403"), "{}", operation.name);
        }
    }
}
