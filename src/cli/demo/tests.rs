//! Tests of the arguments and the printed report. `tests/it/demo.rs` runs the demonstration against a server.

use clap::Parser;

use super::journal::tests::six_decided;
use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    demo: DemoArgs,
}

fn args(line: &[&str]) -> DemoArgs {
    Line::try_parse_from(["demo"].iter().chain(line)).unwrap().demo
}

fn with_input(line: &[&str], input: &str) -> DemoArgs {
    let mut args = args(line);
    args.read_credentials(input.as_bytes()).unwrap();
    args
}

#[test]
fn a_credential_is_read_from_standard_input_and_rejected_as_an_argument() {
    let token = with_input(&["--token-stdin"], "eyJ.x.y\n").token.unwrap();
    assert_eq!(token.expose_secret(), "eyJ.x.y");
    let password = with_input(&["--username", "ana", "--password-stdin"], "a b \n").password.unwrap();
    assert_eq!(password.expose_secret(), "a b ");
    for line in [["--token", "hunter2"], ["--password", "hunter2"]] {
        let refused = args(&line).read_credentials(&b""[..]).unwrap_err().to_string();
        assert!(refused.contains("AVAL_TOKEN") && !refused.contains("hunter2"), "{refused}");
    }
    assert!(args(&["--token-stdin"]).read_credentials(&b""[..]).is_err());
    assert!(Line::try_parse_from(["demo", "--token-stdin", "--username", "ana"]).is_err());
}

fn sizes(args: &DemoArgs) -> Vec<(Phase, usize)> {
    args.phases().into_iter().map(|(phase, cases)| (phase, cases.len())).collect()
}

#[test]
fn three_fifths_are_measured_sequentially_and_the_rest_is_a_burst() {
    assert_eq!(sizes(&args(&["--count", "60"])), [(Phase::Measured, 36), (Phase::Burst, 24)]);
    assert_eq!(sizes(&args(&["--count", "1"])), [(Phase::Measured, 1), (Phase::Burst, 0)]);
}

#[test]
fn a_local_token_is_used_only_for_a_local_server() {
    for url in ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000/"] {
        assert!(args(&["--url", url]).needs_local_token(), "{url}");
        assert!(!with_input(&["--url", url, "--token-stdin"], "t\n").needs_local_token());
        assert!(
            !with_input(&["--url", url, "--username", "ana", "--password-stdin"], "p\n").needs_local_token()
        );
    }
    for url in ["https://aval.example", "http://localhost.example", "http://10.0.0.1", "nothing"] {
        assert!(!args(&["--url", url]).needs_local_token(), "{url}");
    }
}

#[test]
fn outages_come_last_and_only_if_requested() {
    let args = args(&["--count", "6", "--with-outages"]);
    assert_eq!(sizes(&args), [(Phase::Measured, 4), (Phase::Burst, 2), (Phase::Outages, 6)]);
}

#[test]
fn outages_have_a_longer_default_deadline() {
    assert_eq!(args(&[]).deadline(), Duration::from_secs(30));
    assert_eq!(args(&["--with-outages"]).deadline(), Duration::from_secs(240));
    assert_eq!(args(&["--with-outages", "--deadline", "5"]).deadline(), Duration::from_secs(5));
}

#[test]
fn invalid_counts_and_rates_are_rejected() {
    for line in [["--count", "0"], ["--count", "10001"], ["--rate", "0"], ["--deadline", "-1"]] {
        assert!(Line::try_parse_from(["demo"].iter().chain(&line)).is_err(), "{line:?}");
    }
}

#[test]
fn a_report_is_printed_as_tables_or_as_one_line_of_json() {
    let submissions = six_decided();
    let report = Report::new(&submissions, &Histories::default());
    let printed = |line: &[&str]| {
        let mut output = Vec::new();
        let surface = Surface { coloured: false, width: None };
        print(&args(line), surface, &submissions, &report, &mut output).unwrap();
        String::from_utf8(output).unwrap()
    };
    assert!(printed(&[]).contains("Goal, accepted to pushed p50 < 50 ms on an idle machine: met"));
    let json = printed(&["--json"]);
    assert_eq!(json.lines().count(), 1);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["decided"], 6);
}
