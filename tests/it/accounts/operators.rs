//! The creation of the first account, the commands `aval user`, `aval token` and `aval api-key`, and access to internal
//! pages in production.

use std::io::Cursor;

use aval::app::App;
use aval::cli::api_key::{self, ApiKeyArgs};
use aval::cli::token::{self, TokenArgs};
use aval::cli::user::{self, UserArgs};
use aval::clock::Clock;
use aval::domain::application::Country;
use clap::Parser;
use secrecy::ExposeSecret as _;

use super::{ME, login, me};
use crate::support::accounts::{ADMIN, ANALYST, USER};
use crate::support::app::TestApp;
use crate::support::db::TestDatabase;
use crate::support::engine::settings_on;

#[derive(Parser)]
struct UserLine {
    #[command(flatten)]
    args: UserArgs,
}

#[derive(Parser)]
struct KeyLine {
    #[command(flatten)]
    args: ApiKeyArgs,
}

fn quiet() -> slog::Logger {
    slog::Logger::root(slog::Discard, slog::o!())
}

/// Runs `aval user …` on the database of `app`. Returns its output or the error.
async fn run(app: &TestApp, line: &[&str], input: &str) -> Result<String, String> {
    let args = UserLine::try_parse_from(["user"].iter().chain(line)).map_err(|error| error.to_string())?.args;
    let settings = settings_on(&app.database, &[]);
    let mut output = Vec::new();
    user::run(args, settings, Clock::system(), quiet(), Cursor::new(input.to_owned()), &mut output)
        .await
        .map_err(|error| error.to_string())?;
    Ok(String::from_utf8(output).unwrap())
}

#[actix_rt::test]
async fn the_first_start_creates_one_admin_even_if_two_instances_start_together() {
    let app = TestApp::start_idle().await;
    app.execute("DELETE FROM users").await;
    let other = TestApp::start_on(std::rc::Rc::clone(&app.database), &[]).await;
    app.execute("DELETE FROM users").await;
    let (one, two) = futures_util::join!(
        app.engine().accounts.make_first_admin(),
        other.engine().accounts.make_first_admin()
    );
    let made: Vec<_> = [one.unwrap(), two.unwrap()].into_iter().flatten().collect();
    let [(name, password)] = &made[..] else { panic!("{} admins were created", made.len()) };
    login(&app, name, password.expose_secret()).await.expect(200);
    assert!(app.engine().accounts.make_first_admin().await.unwrap().is_none());
    assert!(!app.log.text().await.contains(password.expose_secret()));
}

#[actix_rt::test]
async fn an_instance_is_not_ready_before_the_first_account_exists() {
    let database = TestDatabase::create().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = settings_on(&database, &[("AVAL__SERVER__PORT", &port.to_string())]);
    let ready = format!("http://127.0.0.1:{port}/health/ready");
    let status = async || awc::Client::default().get(&ready).send().await.unwrap().status().as_u16();
    let app = App::start_after(settings, Clock::system(), quiet(), async |engine| {
        assert_eq!(status().await, 503);
        engine.accounts.make_first_admin().await?;
        assert_eq!(status().await, 503);
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(status().await, 200);
    app.shutdown().await;
}

#[actix_rt::test]
async fn an_operator_creates_changes_and_lists_accounts() {
    let app = TestApp::start_idle().await;
    let made = run(&app, &["add", "rui.costa", "--role", "analyst"], "").await.unwrap();
    let password = made.split("password: ").nth(1).unwrap().trim();
    login(&app, "rui.costa", password).await.expect(200);

    run(&app, &["password", "rui.costa", "--password-stdin"], "a password of his own\n").await.unwrap();
    login(&app, "rui.costa", password).await.expect(401);
    login(&app, "rui.costa", "a password of his own").await.expect(200);

    run(&app, &["disable", "rui.costa"], "").await.unwrap();
    login(&app, "rui.costa", "a password of his own").await.expect(401);
    run(&app, &["enable", "rui.costa"], "").await.unwrap();
    run(&app, &["role", "rui.costa", "user"], "").await.unwrap();
    let listed = run(&app, &["list"], "").await.unwrap();
    assert!(listed.lines().any(|line| line.contains("rui.costa") && line.contains("user")), "{listed}");

    for (line, input, expected) in [
        (&["add", "Rui", "--role", "user"][..], "", "a name must be"),
        (&["add", "rui.costa", "--role", "user"], "", "conflict"),
        (&["add", "ana.lopez", "--role", "user", "--password-stdin"], "short\n", "12 to 128"),
        (&["disable", "nobody-at-all"], "", "not found"),
        (&["disable", ADMIN], "", "last enabled admin"),
        (&["add", "x", "--role", "root"], "", "must be user, analyst or admin"),
    ] {
        let error = run(&app, line, input).await.unwrap_err();
        assert!(error.contains(expected), "{line:?}: {error}");
    }
}

#[actix_rt::test]
async fn an_operator_gets_tokens_and_keys_that_work() {
    let app = TestApp::start_idle().await;
    let settings = || settings_on(&app.database, &[]);
    let mut printed = Vec::new();
    let args = TokenArgs { user: USER.to_owned(), minutes: 5 };
    token::run(args, settings(), Clock::system(), quiet(), &mut printed).await.unwrap();
    assert_eq!(me(&app, String::from_utf8(printed).unwrap().trim()).await, 200);

    let line = ["key", "add", "core-banking", "--scope", "applications:read", "--days", "30"];
    let args = KeyLine::try_parse_from(line).unwrap().args;
    let mut printed = Vec::new();
    api_key::run(args, settings(), Clock::system(), quiet(), &mut printed).await.unwrap();
    let key = String::from_utf8(printed).unwrap();
    let account = app.with_key(key.trim()).get(ME).await.expect(200);
    assert_eq!(account["account"], "key:core-banking");
    assert!(account["valid_until"].is_string());
}

#[actix_rt::test]
async fn production_shows_internals_only_to_admins_and_keys_with_the_operations_scope() {
    let simulators = Country::ALL.map(|country| format!("AVAL__PROVIDERS__{country}__SIMULATOR"));
    let mut overrides = vec![
        ("AVAL_ENV", "production"),
        ("AVAL__FAULTS__INJECTION", "false"),
        ("METRICS_PORT", "0"),
        ("JWT_SECRET", "vZ3k9Qw7Lx2Rt8Yb5Nc1Md6Pf4Gh0Js_"),
        ("ENCRYPTION_KEY", "6rxMyVLkMlGuz2yI3CoZ2G4rJ8Kxyq2gk8cW3M1tQJc="),
        ("INDEX_KEY", "q0c7d8i2w5zB1nXl3eVt9yUoHkGfSaPm4rT6jLqZbNs="),
        ("WEBHOOK_SECRET", "whsec_kT8w2Zr5Vx1Qm9Lc4Yb7Nf3Hj6Ds0GaP"),
    ];
    overrides.extend(simulators.iter().map(|key| (key.as_str(), "true")));
    let app = TestApp::start(&overrides).await;
    let body = serde_json::json!({"name": "scraper", "role": "admin", "scopes": ["operations:read"]});
    let key = app.post("/api/v1/api-keys", &body).await.expect(201)["key"].as_str().unwrap().to_owned();
    let analyst = app.acting_as(ANALYST).await;
    for path in [
        "/metrics",
        "/docs/index.html",
        "/openapi.json",
        "/asyncapi.json",
        "/health/detailed",
        "/api/v1/health/detailed",
    ] {
        app.anonymous().get(path).await.expect(401);
        assert_eq!(analyst.get(path).await.status, 403, "{path}");
        assert_eq!(app.get(path).await.status, 200, "{path}");
        assert_eq!(app.with_key(&key).get(path).await.status, 200, "{path}");
    }
    let body = serde_json::json!({"name": "prometheus", "role": "user", "scopes": ["metrics:read"]});
    let key = app.post("/api/v1/api-keys", &body).await.expect(201)["key"].as_str().unwrap().to_owned();
    for caller in [app.with_key(&key), app.with_token(&key)] {
        let metrics = caller.get("/metrics").await.text();
        assert!(metrics.contains("\nprocess_resident_memory_bytes "), "the process metrics are missing");
        for other in ["/openapi.json", "/health/detailed", "/api/v1/applications", "/api/v1/admin/jobs"] {
            caller.get(other).await.expect(403);
        }
    }
    for path in ["/health", "/health/live", "/health/ready"] {
        app.anonymous().get(path).await.expect(200);
    }
    let address = app.metrics_address().unwrap();
    for path in ["/metrics", "/health/detailed"] {
        let answer = app.client.get(format!("http://{address}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 200, "the metrics port needs no credentials for {path}");
    }
}
