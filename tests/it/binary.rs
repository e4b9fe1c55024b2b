//! The built binary, as an operator starts and stops it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::db::TestDatabase;

#[actix_rt::test]
async fn a_server_that_is_told_to_stop_ends_in_order_and_its_last_line_says_so() {
    let database = TestDatabase::create().await;
    let mut server = Command::new(env!("CARGO_BIN_EXE_aval"))
        .arg("serve")
        .env("DATABASE_URL", database.url())
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
        if last.contains("Aval serves") {
            kill(pid, Signal::SIGTERM).unwrap();
        }
    }
    assert!(last.contains("\"message\":\"stopped\""), "{last}");
    assert!(server.wait().unwrap().success());
}

#[test]
fn a_configuration_that_cannot_be_run_with_is_refused_in_one_sentence() {
    let refused = Command::new(env!("CARGO_BIN_EXE_aval"))
        .arg("serve")
        .env("AVAL__SERVER__REQUEST_TIMEOUT_MS", "1")
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.starts_with("aval: configuration: server.request_timeout_ms must be at least 100"),
        "{said}"
    );
}

#[test]
fn output_whose_reader_has_gone_ends_quietly() {
    let mut printing =
        Command::new(env!("CARGO_BIN_EXE_aval")).arg("openapi").stdout(Stdio::piped()).spawn().unwrap();
    drop(printing.stdout.take());
    assert!(printing.wait().unwrap().success());
}
