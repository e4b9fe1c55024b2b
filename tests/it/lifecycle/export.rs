//! Exports of months: how they are written, read back, and compared with the database.

use std::process::{Command, Output};

use aval::app::archive::{Comparison, Month, Months, verify_file};
use aval::clock::Clock;
use aval::error::Error;
use aval::storage::statistics;
use diesel_async::SimpleAsyncConnection as _;

use super::{model, old_application, run, started};
use crate::support::app::TestApp;
use crate::support::db::{TestDatabase, execute};
use crate::support::engine::{SECRETS, settings_on};

async fn months(database: &TestDatabase) -> Months {
    let settings = settings_on(database, &[]);
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    Months::open(settings, &Clock::system(), &logger).await.unwrap()
}

fn month(text: &str) -> Month {
    Month::parse(text).unwrap()
}

/// Starts an instance with three applications of March 2024.
async fn with_old_month() -> TestApp {
    let app = started(&[]).await;
    let model = model(&app).await;
    for _ in 0..3 {
        old_application(&app, "2024-03", &model).await;
    }
    app
}

#[actix_rt::test]
async fn an_export_matches_the_database_for_live_and_archived_months() {
    let app = with_old_month().await;
    let operator = months(&app.database).await;
    let folder = tempfile::tempdir().unwrap();
    let (hot, warm) = (folder.path().join("hot.gz"), folder.path().join("warm.gz"));
    let header = operator.export(month("2024-03"), &hot).await.unwrap();
    let rows: Vec<(&str, u64)> =
        header.tables.iter().map(|table| (table.name.as_str(), table.rows)).collect();
    assert_eq!(rows, [("applications", 3), ("audit_logs", 9), ("decisions", 3)]);
    run(&app, "archive").await;
    let archived = operator.export(month("2024-03"), &warm).await.unwrap();
    assert_eq!(archived.tables, header.tables, "archiving must change nothing");
    for file in [&hot, &warm] {
        assert_eq!(verify_file(file).unwrap().tables, header.tables);
        assert_eq!(operator.verify(file).await.unwrap().comparison, Comparison::Same);
    }
    assert_eq!(app.sql("SELECT count(*) FROM applications_archive").await, "3", "nothing must be deleted");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    // Personal data is encrypted, as in the database.
    let compressed = std::fs::read(&hot).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(compressed.as_slice()), &mut text)
        .unwrap();
    assert!(
        text.contains("\"status\":\"APPROVED\"") && !text.contains("12345678Z") && !text.contains("Ana Garc")
    );

    let elsewhere = TestDatabase::create().await;
    assert_eq!(months(&elsewhere).await.verify(&hot).await.unwrap().comparison, Comparison::Absent);
}

#[actix_rt::test]
async fn an_export_can_be_imported_as_documented() {
    let app = with_old_month().await;
    let operator = months(&app.database).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("2024-03.jsonl.gz");
    operator.export(month("2024-03"), &file).await.unwrap();
    operator.detach(month("2024-03")).await.unwrap();
    let mut sql = app.database.connect().await;
    for tree in ["applications", "audit_logs", "decisions", "job_history"] {
        execute(&mut sql, &format!("DROP TABLE partitions.{tree}_2024_03")).await.unwrap();
    }
    assert_eq!(operator.verify(&file).await.unwrap().comparison, Comparison::Absent);

    let documentation = std::fs::read_to_string("docs/lifecycle.md").unwrap();
    let script = documentation.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    let script = script.replace("2025-01", "2024-03").replace("2025_01", "2024_03");
    let (begin, rest) = script.split_once("\\copy").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    sql.batch_execute(begin).await.unwrap();
    let compressed = std::fs::read(&file).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(compressed.as_slice()), &mut text)
        .unwrap();
    for line in text.lines().skip(1) {
        execute(&mut sql, &format!("INSERT INTO lines VALUES ($line${line}$line$)")).await.unwrap();
    }
    sql.batch_execute(rest).await.unwrap();
    assert_eq!(operator.verify(&file).await.unwrap().comparison, Comparison::Same);
    for move_away in [true, false] {
        // This test inserted its rows without events, so the daily statistics do not include them. Only the totals are
        // compared.
        let mut wrong = statistics::differences(&mut sql).await.unwrap();
        wrong.retain(|difference| difference.starts_with("applications of"));
        assert_eq!(wrong, Vec::<String>::new());
        if move_away {
            operator.detach(month("2024-03")).await.unwrap();
        }
    }
}

#[actix_rt::test]
async fn a_modified_export_is_detected() {
    let app = with_old_month().await;
    let operator = months(&app.database).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("2024-03.jsonl.gz");
    operator.export(month("2024-03"), &file).await.unwrap();
    let bytes = std::fs::read(&file).unwrap();
    for position in [0, 5, 10, bytes.len() / 3, bytes.len() / 2, bytes.len() - 9, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[position] = !changed[position];
        std::fs::write(&file, changed).unwrap();
        assert!(matches!(operator.verify(&file).await, Err(Error::Conflict(_))), "byte {position}");
    }
    std::fs::write(&file, &bytes).unwrap();
    let mut sql = app.database.connect().await;
    execute(&mut sql, "SET session_replication_role = replica").await.unwrap();
    execute(&mut sql, "UPDATE applications SET term_months = 12 WHERE created_by = 'tester'").await.unwrap();
    let differs = operator.verify(&file).await.unwrap_err().to_string();
    assert!(differs.contains("the export differs from the database: applications"), "{differs}");
}

#[actix_rt::test]
async fn a_rejected_export_leaves_no_file() {
    let app = with_old_month().await;
    let operator = months(&app.database).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("month.gz");
    let error_of = async |requested: Month| operator.export(requested, &file).await.unwrap_err().to_string();
    assert!(error_of(month("2023-01")).await.contains("month not found"));
    assert!(error_of(Month::of(app.engine().resources.clock.now())).await.contains("is not over"));
    let mut sql = app.database.connect().await;
    execute(&mut sql, "SET session_replication_role = replica").await.unwrap();
    execute(&mut sql, "UPDATE applications SET status = 'PENDING' WHERE created_by = 'tester'")
        .await
        .unwrap();
    assert!(error_of(month("2024-03")).await.contains("3 applications that are not closed"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    std::fs::write(&file, "precious").unwrap();
    assert!(error_of(month("2024-03")).await.contains("already exists"));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}

#[actix_rt::test]
async fn an_operator_archives_exports_and_verifies_from_the_command_line() {
    let app = with_old_month().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("2024-03.jsonl.gz").into_os_string().into_string().unwrap();
    let aval = |arguments: &[&str]| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aval"));
        command.arg("archive").args(arguments).envs(app.database.variables());
        command.envs(SECRETS).output().unwrap()
    };
    let prints = |arguments: &[&str], expected: &str| {
        let output = aval(arguments);
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(printed.contains(expected), "{arguments:?}: {printed}");
        output.status.success()
    };
    assert!(prints(&["list"], "2024-03  hot"));
    assert!(prints(&["detach", "2024-03"], "2024-03 has been moved to the archive"));
    assert!(!prints(&["detach", "2024-03"], "already archived"));
    assert!(!prints(&["detach", "March"], "must be a month in the form YYYY-MM"));
    assert!(prints(&["list"], "2024-03  archived"));
    assert!(prints(&["export", "2024-03", "--output", &file], "2024-03: exported"));
    assert!(prints(&["verify", &file], "valid, and identical to the database"));
    assert!(prints(&["verify", &file, "--offline"], "2024-03: valid"));
    assert!(prints(&["attach", "2024-03"], "moved back from the archive"));
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] = !bytes[middle];
    std::fs::write(&file, bytes).unwrap();
    assert!(!prints(&["verify", &file, "--offline"], "damaged"));
}
