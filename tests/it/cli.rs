//! The subcommands for operators. The tests run the built binary and check its output and its exit code.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use aval::config::FOREIGN_VARIABLES;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::app::TestApp;
use crate::support::db::TestDatabase;
use crate::support::eventually;
use crate::support::process::{ServerProcess, free_port};
use crate::support::system_user::postgres_program;

/// Runs the binary outside the test's thread, which may be serving the instance that it reads.
async fn aval(
    arguments: &[impl AsRef<OsStr>],
    variables: &[(&str, impl AsRef<OsStr>)],
) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aval"));
    command.args(arguments).stdin(Stdio::null());
    for (name, value) in variables {
        command.env(name, value);
    }
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

const NO_VARIABLES: [(&str, &str); 0] = [];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A directory that the server's user can access, even when the tests run as root.
fn open_dir() -> TempDir {
    tempfile::Builder::new().prefix("aval-it-").permissions(Permissions::from_mode(0o755)).tempdir().unwrap()
}

/// A directory with a configuration file that overrides the defaults.
fn config_dir(development: &str) -> TempDir {
    let folder = open_dir();
    fs::write(folder.path().join("development.toml"), development).unwrap();
    folder
}

#[actix_rt::test]
async fn check_config_shows_where_every_value_comes_from_and_no_secret() {
    let folder = config_dir("# own\n[server]\nport = 9123\n\n[jobs]\nmax_attempts = 4\n");
    let dir = folder.path().to_str().unwrap();
    let jwt = "vZ3k9Qw7Lx2Rt8Yb5Nc1Md6Pf4Gh0Js_";
    let variables = [
        ("AVAL_CONFIG_DIR", dir),
        ("DATABASE_URL", "postgres://aval:hunter2@localhost/aval"),
        ("JWT_SECRET", jwt),
        ("AVAL__JOBS__LEASE_MS", "40000"),
        ("ENABLE_PROMETHEUS", "false"),
        ("DB_HOST", "db.example"),
    ];
    let (code, printed, _) = aval(&["check-config", "--json"], &variables).await;
    assert_eq!(code, 0, "{printed}");
    assert!(!printed.contains("hunter2") && !printed.contains(jwt), "{printed}");
    let report = json(&printed);
    assert_eq!((&report["is_valid"], &report["environment"]), (&true.into(), &"development".into()));
    assert!(report["notes"][0].as_str().unwrap().contains("use DATABASE_URL"), "{}", report["notes"]);
    let value = |key: &str| {
        let values = report["values"].as_array().unwrap();
        values.iter().find(|value| value["key"] == key).unwrap_or_else(|| panic!("{key} is missing")).clone()
    };
    let port = value("server.port");
    assert_eq!((&port["value"], &port["source"], &port["line"]), (&9123.into(), &"file".into(), &3.into()));
    assert!(port["file"].as_str().unwrap().ends_with("/development.toml"));
    assert_eq!(value("jobs.lease_ms")["variable"], "AVAL__JOBS__LEASE_MS");
    assert_eq!(value("jobs.lease_ms")["value"], 40_000);
    assert_eq!(value("server.metrics")["variable"], "ENABLE_PROMETHEUS");
    assert_eq!(value("jobs.heartbeat_ms")["source"], "default");
    assert_eq!(value("database.url")["value"], "postgres://aval:********@localhost/aval");
    assert_eq!(value("secrets.jwt")["value"], "********");
    assert_eq!(value("secrets.index")["value"], "");

    let (code, printed, _) = aval(&["check-config", "--changed"], &variables).await;
    assert_eq!(code, 0);
    let port = printed.lines().find(|line| line.starts_with("server.port = 9123")).unwrap();
    assert!(port.ends_with("/development.toml:3"), "{port}");
    assert!(
        !printed.contains("jobs.heartbeat_ms") && printed.contains("the configuration is valid"),
        "{printed}"
    );
}

#[actix_rt::test]
async fn an_unknown_or_contradictory_key_is_reported_with_its_file_and_line() {
    for (text, parts) in [
        ("[server]\nprot = 1\n", &["server.prot is not a known key", "development.toml:2"][..]),
        ("[sever]\nport = 1\n", &["sever is not a known key", "development.toml:2"]),
        ("[limits.create.user]\n\nburts = 1\n", &["limits.create.user.burts", "development.toml:3"]),
        ("[server]\nport = 'many'\n", &["server.port", "development.toml:2"]),
        (
            "[jobs]\nlease_ms = 6000\n",
            &["jobs.heartbeat_ms must be above 0 and at most half of jobs.lease_ms", "development.toml:2"],
        ),
        ("[server]\nport = = 1\n", &["development.toml:2"]),
    ] {
        let folder = config_dir(text);
        let (code, _, printed) = aval(&["check-config"], &[("AVAL_CONFIG_DIR", folder.path())]).await;
        assert_eq!(code, 3, "{text}: {printed}");
        assert!(parts.iter().all(|part| printed.contains(part)), "{text}: {printed}");
    }
    let (code, printed, _) = aval(&["check-config", "--json"], &[("AVAL__SERVER__PROT", "1")]).await;
    let report = json(&printed);
    assert_eq!((code, &report["is_valid"]), (3, &false.into()));
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("server.prot is not a known key (AVAL__SERVER__PROT)"), "{error}");
    let (code, _, printed) = aval(&["check-config"], &[("API_PREFIX", "api/v2")]).await;
    assert!(code == 3 && printed.contains("API_PREFIX"), "{printed}");
    let (code, ..) = aval(&["check-config"], &[("API_PREFIX", "/api/v1"), ("AVAL_ENV", "test")]).await;
    assert_eq!(code, 0);
}

#[actix_rt::test]
async fn exit_codes_distinguish_wrong_arguments_configuration_outages_and_refusals() {
    let folder = open_dir();
    let unreachable = [("DATABASE_URL", "postgres://127.0.0.1:1/aval?connect_timeout=1")];
    let damaged = folder.path().join("damaged.tar");
    fs::write(&damaged, "not a backup").unwrap();
    let empty = [("AVAL_DATA_DIR", folder.path().join("data"))];
    let (code, help, _) = aval(&["--help"], &NO_VARIABLES).await;
    assert_eq!(code, 0);
    assert!(help.contains("Exit codes:"), "{help}");
    assert_eq!(aval(&["serve", "--port", "1"], &NO_VARIABLES).await.0, 2);
    assert_eq!(aval(&["migrate"], &[("AVAL_ENV", "staging")]).await.0, 3);
    assert_eq!(aval(&["migrate", "--status"], &unreachable).await.0, 4);
    let (code, shown, _) = aval(&["status", "--url", "http://127.0.0.1:1"], &unreachable).await;
    assert_eq!(code, 4);
    assert!(shown.contains("DATABASE\nunavailable"), "{shown}");
    let from = ["restore".as_ref(), "--from".as_ref(), damaged.as_os_str()];
    assert_eq!(aval(&from, &empty).await.0, 5);
}

/// The names of the visible subcommands, from the help text.
async fn subcommands() -> BTreeSet<String> {
    let (_, help, _) = aval(&["--help"], &NO_VARIABLES).await;
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let names: BTreeSet<String> = names.filter(|name| *name != "help").map(str::to_owned).collect();
    assert!(names.contains("status") && names.len() > 15, "{names:?}");
    names
}

#[actix_rt::test]
async fn completions_and_manual_pages_cover_every_subcommand() {
    let names = subcommands().await;
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = aval(&["completions", shell], &NO_VARIABLES).await;
        assert_eq!(code, 0);
        let missing: Vec<_> = names.iter().filter(|name| !script.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "{shell}: {missing:?}");
    }
    let (_, script, _) = aval(&["completions", "bash"], &NO_VARIABLES).await;
    let checked = Command::new("bash").args(["-n", "-c", &script]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let folder = open_dir();
    let out = folder.path().join("man1");
    let (code, ..) = aval(&["man".as_ref(), "--out".as_ref(), out.as_os_str()], &NO_VARIABLES).await;
    assert_eq!(code, 0);
    for name in &names {
        let page = fs::read_to_string(out.join(format!("aval-{name}.1"))).unwrap();
        assert!(page.contains(".TH") && page.contains(".SH SYNOPSIS"), "{name}");
    }
    assert!(fs::read_to_string(out.join("aval.1")).unwrap().contains("Exit codes"));
}

#[actix_rt::test]
async fn no_color_is_honoured_on_a_terminal() {
    let database = TestDatabase::create().await;
    let binary = env!("CARGO_BIN_EXE_aval");
    for line in [format!("{binary} --help"), format!("{binary} migrate")] {
        let on_a_terminal = |no_color: &str| {
            let output = Command::new("script")
                .args(["--quiet", "--return", "--command", &line, "/dev/null"])
                .env("TERM", "xterm")
                .env("NO_COLOR", no_color)
                .env("DATABASE_URL", database.url())
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stdout));
            output.stdout.contains(&0x1b)
        };
        assert!(on_a_terminal(""), "{line}");
        assert!(!on_a_terminal("1"), "{line}");
    }
}

#[actix_rt::test]
async fn status_shows_the_instance_and_what_all_instances_share() {
    let app = TestApp::start(&[]).await;
    let url = format!("http://{}", app.address());
    let variables = [("DATABASE_URL", app.database.url())];
    let report = eventually("both leaders", async || {
        let (code, printed, errors) = aval(&["status", "--json", "--url", &url], &variables).await;
        assert_eq!(code, 0, "{errors}");
        let report = json(&printed);
        let leaders = report["database"]["leaders"].as_array().unwrap().clone();
        leaders.iter().all(|leader| leader["pid"].is_number()).then_some(report)
    })
    .await;
    let health = &report["instances"][0]["health"];
    assert_eq!(health["status"], "ok");
    assert_eq!(health["breakers"].as_array().unwrap().len(), 6);
    let database = &report["database"];
    assert_eq!(database["pending_migrations"], 0);
    assert_eq!(database["dead_letters"][0]["status"], "pending");
    assert!(database["last_offset"].is_number() && database["outbox_lag_ms"].is_number());

    let (code, screen, _) = aval(&["status", "--url", &url], &variables).await;
    assert_eq!(code, 0);
    for part in [
        "INSTANCE",
        "6 closed",
        "DEAD LETTERS",
        "housekeeper: session",
        "relay: session",
        "LAST ERRORS\nnone",
    ] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    // Without an instance, the shared state is still shown.
    let (code, printed, _) = aval(&["status", "--json", "--url", "http://127.0.0.1:1"], &variables).await;
    let report = json(&printed);
    assert_eq!(code, 0);
    assert!(report["instances"][0]["error"].is_string() && report["database"]["queue"].is_array());
}

#[actix_rt::test]
async fn migrations_are_listed_reverted_after_confirmation_and_run_again() {
    let database = TestDatabase::create().await;
    let variables = [("DATABASE_URL", database.url())];
    let pending = async || {
        let (code, printed, errors) = aval(&["migrate", "--status", "--json"], &variables).await;
        assert_eq!(code, 0, "{errors}");
        let listed = json(&printed)["migrations"].as_array().unwrap().clone();
        assert_eq!(listed.len(), fs::read_dir("migrations").unwrap().count());
        listed.iter().filter(|migration| migration["applied_at"].is_null()).count()
    };
    assert_eq!(pending().await, 0);
    let (code, _, printed) = aval(&["migrate", "--revert", "9"], &variables).await;
    assert!(
        code == 5 && printed.contains("--yes") && printed.contains("retry_webhooks_as_jobs"),
        "{printed}"
    );
    assert_eq!(pending().await, 0, "nothing is reverted without confirmation");
    let (code, printed, errors) = aval(&["migrate", "--revert", "9", "--yes"], &variables).await;
    assert!(code == 0 && printed.starts_with("reverted "), "{printed}{errors}");
    assert_eq!(pending().await, 9);
    let (code, _, printed) = aval(&["migrate", "--revert", "500", "--yes"], &variables).await;
    assert_eq!(code, 5, "{printed}");
    assert_eq!(aval(&["migrate"], &variables).await.0, 0);
    assert_eq!(pending().await, 0);
}

/// An installation with a private PostgreSQL.
struct Installation {
    data_dir: PathBuf,
}

impl Installation {
    fn new(root: &Path, name: &str) -> Self {
        Self { data_dir: root.join(name) }
    }

    fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("AVAL_ENV", "test".to_owned()),
            ("AVAL_DATA_DIR", self.data_dir.to_str().unwrap().to_owned()),
            ("AVAL__DATABASE__PARTITIONS_AHEAD_MONTHS", "1".to_owned()),
        ]
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        aval(arguments, &self.variables()).await
    }

    async fn succeed(&self, arguments: &[&str]) -> String {
        let (code, printed, errors) = self.run(arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {errors}");
        printed
    }

    /// The names of the accounts.
    async fn users(&self) -> Vec<String> {
        let listed = json(&self.succeed(&["user", "list", "--json"]).await);
        let users = listed["users"].as_array().unwrap();
        users.iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect()
    }
}

#[actix_rt::test]
async fn a_backup_is_restored_with_its_secrets_into_an_empty_directory_only() {
    let root = open_dir();
    let original = Installation::new(root.path(), "original");
    original.succeed(&["user", "add", "ana", "--role", "analyst"]).await;

    // The backup is made while Aval serves.
    let variables = original.variables();
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut server = ServerProcess::new(&["serve"], &variables, free_port(), &root.path().join("log"));
    server.spawn();
    eventually("the server", async || server.log().contains("Aval is ready").then_some(())).await;
    let file = root.path().join("backup.tar");
    let path = file.to_str().unwrap();
    let written = json(&original.succeed(&["backup", "--to", path, "--json"]).await);
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(server.ended().await.success());
    assert_eq!(written["manifest"]["files"].as_array().unwrap().len(), 2);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(original.run(&["backup", "--to", path]).await.0, 5, "an existing file must not be replaced");
    original.succeed(&["backup", "--verify", path]).await;

    let restored = Installation::new(root.path(), "restored");
    restored.succeed(&["restore", "--from", path]).await;
    assert_eq!(restored.users().await, original.users().await);
    assert!(restored.users().await.contains(&"ana".to_owned()));
    let secrets = |installation: &Installation| fs::read(installation.data_dir.join("secrets.toml")).unwrap();
    assert_eq!(secrets(&restored), secrets(&original));
    let mode = fs::metadata(restored.data_dir.join("secrets.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let (code, _, printed) = restored.run(&["restore", "--from", path]).await;
    assert!(code == 5 && printed.contains("is not empty"), "{printed}");
    assert_eq!(restored.users().await, original.users().await);
}

#[actix_rt::test]
async fn a_damaged_backup_changes_nothing_and_a_failed_restore_leaves_the_directory_empty() {
    let root = open_dir();
    let original = Installation::new(root.path(), "original");
    original.succeed(&["migrate"]).await;
    // In an existing directory, the file is named after the current time.
    let folder = root.path().to_str().unwrap().to_owned();
    let written = json(&original.succeed(&["backup", "--to", &folder, "--without-secrets", "--json"]).await);
    let path = PathBuf::from(written["path"].as_str().unwrap());
    assert_eq!(written["manifest"]["files"].as_array().unwrap().len(), 1);

    let whole = fs::read(&path).unwrap();
    let half = root.path().join("half.tar");
    fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    let target = Installation::new(root.path(), "target");
    let (code, _, printed) = target.run(&["restore", "--from", half.to_str().unwrap()]).await;
    assert!(code == 5 && printed.contains("damaged"), "{printed}");
    assert!(!target.data_dir.exists());

    // If `pg_restore` fails, the work directory is removed again.
    let programs = root.path().join("bin");
    fs::create_dir(&programs).unwrap();
    fs::set_permissions(&programs, Permissions::from_mode(0o755)).unwrap();
    for name in ["initdb", "postgres", "pg_dump", "pg_restore"] {
        let line = match name {
            "pg_restore" => "echo 'disk full' >&2; exit 1".to_owned(),
            name => format!("exec {} \"$@\"", postgres_program(name).display()),
        };
        fs::write(programs.join(name), format!("#!/bin/sh\n{line}\n")).unwrap();
        fs::set_permissions(programs.join(name), Permissions::from_mode(0o755)).unwrap();
    }
    let mut variables = target.variables().to_vec();
    variables.push(("AVAL_PG_BIN", programs.to_str().unwrap().to_owned()));
    let (code, _, printed) = aval(&["restore", "--from", path.to_str().unwrap()], &variables).await;
    assert!(code == 4 && printed.contains("disk full"), "{printed}");
    assert_eq!(fs::read_dir(&target.data_dir).unwrap().count(), 0);
    target.succeed(&["restore", "--from", path.to_str().unwrap()]).await;
}

#[actix_rt::test]
async fn backups_are_refused_for_a_server_of_the_operator() {
    let (code, _, printed) =
        aval(&["backup", "--to", "b.tar"], &[("DATABASE_URL", "postgres://localhost/aval")]).await;
    assert!(code == 3 && printed.contains("pg_dump") && printed.contains("docs/backup.md"), "{printed}");
}

/// The requests in `api.http`: the method, and the path without variables and query.
fn requests() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string("api.http").unwrap();
    let lines = text.lines().filter_map(|line| {
        let (method, target) = line.split_once(' ')?;
        let is_method = ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method);
        let path = target.trim().strip_prefix("{{url}}").filter(|_| is_method)?;
        let path = path.split('?').next().unwrap();
        Some((method.to_owned(), path.split('/').map(str::to_owned).collect()))
    });
    lines.collect()
}

#[actix_rt::test]
async fn api_http_has_every_operation_of_the_api_and_no_other() {
    let (_, document, _) = aval(&["openapi"], &NO_VARIABLES).await;
    let document = json(&document);
    let mut operations: Vec<(String, Vec<String>)> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            operations.push((method.to_uppercase(), path.split('/').map(str::to_owned).collect()));
        }
    }
    let same = |(method, path): &(String, Vec<String>), (other, template): &(String, Vec<String>)| {
        let is_same = |(own, part): (&String, &String)| own == part || part.starts_with('{');
        method == other && path.len() == template.len() && path.iter().zip(template).all(is_same)
    };
    // The document is that of a server without fault injection.
    operations
        .push(("POST".to_owned(), "/api/v1/test/inject-failure".split('/').map(str::to_owned).collect()));
    let requests = requests();
    let unknown: Vec<_> =
        requests.iter().filter(|request| !operations.iter().any(|known| same(request, known))).collect();
    assert!(unknown.is_empty(), "not in the OpenAPI document: {unknown:?}");
    // Health checks have aliases below /api/v1; the documentation and the pages of the console are for browsers.
    let is_main = |path: &[String]| {
        let path = path.join("/");
        !["/api/v1/health", "/docs", "/problems", "/console", "/assets", "/api/v1/webhooks/provider"]
            .iter()
            .any(|prefix| path.starts_with(prefix))
    };
    let missing: Vec<_> = operations
        .iter()
        .filter(|(_, path)| is_main(path))
        .filter(|known| !requests.iter().any(|request| same(request, known)))
        .map(|(method, path)| format!("{method} {}", path.join("/")))
        .collect();
    assert!(missing.is_empty(), "not in api.http: {missing:#?}");
}

/// The texts that a page marks as code.
fn code_in(page: &str) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[actix_rt::test]
async fn the_pages_on_configuration_and_tuning_name_only_keys_and_metrics_that_exist() {
    let (_, report, _) = aval(&["check-config", "--json"], &NO_VARIABLES).await;
    let report = json(&report);
    let keys: BTreeSet<&str> =
        report["values"].as_array().unwrap().iter().map(|value| value["key"].as_str().unwrap()).collect();
    let sections: BTreeSet<&str> = keys.iter().map(|key| key.split('.').next().unwrap()).collect();
    let metrics = fs::read_to_string("src/telemetry/metrics.rs").unwrap();
    let (mut named_keys, mut named_metrics) = (0, 0);
    for page in ["docs/tuning.md", "docs/configuration.md"] {
        for code in code_in(page) {
            let is_name =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ['_', '.', '<', '>'].contains(&c);
            let name = code.split(['=', ' ', '{']).next().unwrap();
            if !name.chars().all(is_name) {
                continue;
            }
            if name.split_once('.').is_some_and(|(section, _)| sections.contains(section)) {
                // A country's table has the keys of the defaults.
                let key = name.replace("<country>", "defaults");
                let inside = format!("{key}.");
                let exists = keys.iter().any(|known| *known == key || known.starts_with(&inside));
                assert!(exists || name.starts_with("providers.<country>."), "{page} names {name}");
                named_keys += 1;
            } else if page == "docs/tuning.md" && name.contains('_') && !name.contains('.') {
                assert!(metrics.contains(name), "{page} names the metric {name}");
                named_metrics += 1;
            }
        }
    }
    assert!(named_keys > 30 && named_metrics > 10, "{named_keys} {named_metrics}");
    let page = fs::read_to_string("docs/configuration.md").unwrap();
    for (variable, _) in FOREIGN_VARIABLES {
        assert!(page.contains(&format!("`{variable}`")), "docs/configuration.md lacks {variable}");
    }
}

/// A repository with one released migration, and a folder for new ones.
fn released() -> TempDir {
    let root = open_dir();
    let scripts = root.path().join("scripts");
    fs::create_dir_all(&scripts).unwrap();
    fs::copy("scripts/migrations.sh", scripts.join("migrations.sh")).unwrap();
    migration(root.path(), "0001_create", "CREATE TABLE a (id int);\n");
    git(root.path(), &["init", "--quiet"]);
    git(root.path(), &["add", "."]);
    let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    git(root.path(), &[&identity[..], &["commit", "--quiet", "-m", "Release"]].concat());
    git(root.path(), &["tag", "v1.0.0"]);
    root
}

fn migration(root: &Path, name: &str, sql: &str) {
    let folder = root.join("migrations").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("up.sql"), sql).unwrap();
    fs::write(folder.join("down.sql"), "SELECT 1;\n").unwrap();
}

fn git(root: &Path, arguments: &[&str]) {
    assert!(Command::new("git").current_dir(root).args(arguments).status().unwrap().success());
}

#[test]
fn a_migration_after_a_release_that_breaks_or_blocks_the_previous_version_is_refused() {
    let root = released();
    let check = |sql: Option<&str>| {
        let folder = root.path().join("migrations/0002_change");
        let _ = fs::remove_dir_all(&folder);
        if let Some(sql) = sql {
            migration(root.path(), "0002_change", sql);
        }
        let done = Command::new("scripts/migrations.sh").current_dir(root.path()).output().unwrap();
        (done.status.success(), String::from_utf8(done.stdout).unwrap())
    };
    let timeout = "SET LOCAL lock_timeout = '2s';\n";
    let accepted = |sql: &str| check(Some(&format!("{timeout}{sql}\n")));
    assert!(check(None).0);
    for sql in [
        "ALTER TABLE a ADD COLUMN note text;",
        "CREATE TABLE b (id int); CREATE INDEX b_idx ON b (id);",
        "ALTER TABLE a ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;",
        "-- allowed: no released version reads it\nALTER TABLE a DROP COLUMN id;",
        "-- DROP TABLE a; in a comment",
    ] {
        let (passed, printed) = accepted(sql);
        assert!(passed, "{sql}: {printed}");
    }
    for sql in [
        "DROP TABLE a;",
        "ALTER TABLE a DROP COLUMN id;",
        "alter table a\n    drop column id;",
        "ALTER TABLE a RENAME COLUMN id TO number;",
        "ALTER TABLE a ALTER COLUMN id TYPE bigint;",
        "ALTER TABLE a ALTER COLUMN id SET NOT NULL;",
        "ALTER TABLE a ADD COLUMN note text NOT NULL;",
        "ALTER TABLE a ADD CONSTRAINT positive CHECK (id > 0);",
        "CREATE INDEX a_idx ON a (id);",
        "LOCK TABLE a;",
        "UPDATE a SET id = 1;",
        "DELETE FROM a;",
        "TRUNCATE a;",
        "DROP FUNCTION f();",
    ] {
        let (passed, printed) = accepted(sql);
        assert!(!passed && printed.contains("0002_change/up.sql"), "{sql}: {printed}");
    }
    let (passed, printed) = check(Some("ALTER TABLE a ADD COLUMN note text;\n"));
    assert!(!passed && printed.contains("lock_timeout"), "{printed}");
    assert!(check(None).0);
    migration(root.path(), "0001_create", "CREATE TABLE a (id bigint);\n");
    let (passed, printed) = check(None);
    assert!(!passed && printed.contains("0001_create"), "{printed}");
}
