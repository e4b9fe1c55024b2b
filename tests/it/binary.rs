//! The built binary: how it starts, stops and rejects an invalid configuration.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::db::TestDatabase;

#[actix_rt::test]
async fn a_server_stops_gracefully_on_a_signal_and_logs_it_last() {
    let database = TestDatabase::create().await;
    for sent_signal in [Signal::SIGTERM, Signal::SIGHUP] {
        stop_with(&database, sent_signal);
    }
}

fn stop_with(database: &TestDatabase, sent_signal: Signal) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_aval"))
        .arg("serve")
        .envs(database.variables())
        .env("AVAL__DATABASE__PARTITIONS_AHEAD_MONTHS", "1")
        .env("PORT", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(server.id()).unwrap());
    let mut last = String::new();
    for line in BufReader::new(server.stderr.take().unwrap()).lines() {
        last = line.unwrap();
        if last.contains("Aval is ready") {
            kill(pid, sent_signal).unwrap();
        }
    }
    assert!(last.contains("\"message\":\"stopped\""), "{sent_signal}: {last}");
    assert!(server.wait().unwrap().success());
}

#[test]
fn an_invalid_configuration_is_rejected_in_one_sentence() {
    let refused = Command::new(env!("CARGO_BIN_EXE_aval"))
        .arg("serve")
        .env("AVAL__SERVER__REQUEST_TIMEOUT_MS", "1")
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let printed = String::from_utf8(refused.stderr).unwrap();
    assert!(
        printed.starts_with("aval: configuration: server.request_timeout_ms must be at least 100"),
        "{printed}"
    );
}

#[actix_rt::test]
async fn migrating_in_production_needs_no_secrets_and_prints_one_line() {
    let database = TestDatabase::create_empty().await;
    let migrated = Command::new(env!("CARGO_BIN_EXE_aval"))
        .arg("migrate")
        .env("AVAL_ENV", "production")
        .envs(database.variables())
        .output()
        .unwrap();
    let printed = String::from_utf8(migrated.stderr).unwrap();
    assert!(migrated.status.success(), "{printed}");
    assert_eq!(printed.lines().filter(|line| line.contains("migration")).count(), 1, "{printed}");
    let folders = std::fs::read_dir("migrations").unwrap().count();
    assert!(printed.contains(&format!("\"count\":{folders}")), "{printed}");
}

#[test]
fn in_production_no_command_creates_a_private_database() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    for line in [&["serve"][..], &["migrate"], &["token", "--user", "ana"], &["user", "list"], &["reencrypt"]]
    {
        let refused = Command::new(env!("CARGO_BIN_EXE_aval"))
            .args(line)
            .env("AVAL_ENV", "production")
            .env("AVAL_DATA_DIR", &data_dir)
            .output()
            .unwrap();
        let printed = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && printed.contains("DATABASE_URL"), "{line:?}: {printed}");
        assert!(!data_dir.exists(), "{line:?}");
    }
}

#[test]
fn a_closed_output_pipe_ends_a_command_silently() {
    let mut printing =
        Command::new(env!("CARGO_BIN_EXE_aval")).arg("openapi").stdout(Stdio::piped()).spawn().unwrap();
    drop(printing.stdout.take());
    assert!(printing.wait().unwrap().success());
}
