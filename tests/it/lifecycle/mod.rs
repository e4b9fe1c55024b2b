//! Scheduled tasks, retention and the archive.

mod archive;
mod export;
mod retention;
mod schedule;

use aval::clock::Clock;
use aval::domain::application::Country;
use aval::storage::applications::{Insertion, insert};
use serde_json::Value;

use crate::support::accounts::ADMIN;
use crate::support::app::TestApp;
use crate::support::builders::spanish;
use crate::support::db::execute;
use crate::support::engine::{SCHEDULED_TASKS, application, cron_key};
use crate::support::eventually;

/// Settings with only these scheduled tasks: name, cron expression, policy for missed runs. All other tasks are off, even at
/// the first start on a database.
///
/// Tests advance the clocks of their instances by days, but not the clock of the database. Therefore the settings allow a
/// large clock skew.
fn only(tasks: &[(&str, &str, &str)]) -> Vec<(String, String)> {
    let mut keys = vec![("AVAL__INSTANCE__MAX_CLOCK_SKEW_MS".to_owned(), (400_i64 * 86_400_000).to_string())];
    for task in SCHEDULED_TASKS {
        let found = tasks.iter().find(|(name, _, _)| *name == task);
        let (_, cron, missed) = found.copied().unwrap_or((task, "off", "skip"));
        keys.push((cron_key(task), cron.to_owned()));
        keys.push((cron_key(task).replace("__CRON", "__MISSED"), missed.to_owned()));
    }
    keys
}

/// The settings as overrides for [`TestApp::start`].
fn pairs(keys: &[(String, String)]) -> Vec<(&str, &str)> {
    keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// Starts an instance with only these tasks.
async fn started(tasks: &[(&str, &str, &str)]) -> TestApp {
    // Moving a month to the archive causes no event, so cached lists would be outdated for a while.
    let no_cache = ("AVAL__CACHE__ENABLED", "false");
    TestApp::start(&[pairs(&only(tasks)).as_slice(), &[no_cache]].concat()).await
}

/// Requests a run of a task and waits until it has finished.
async fn run(app: &TestApp, task: &str) -> Value {
    let admin = app.acting_as(ADMIN).await;
    let requested = admin.post(&format!("/api/v1/admin/schedule/{task}/run"), &Value::Null).await.expect(202);
    eventually(&format!("{task} to finish"), async || {
        let runs = admin.get(&format!("/api/v1/admin/scheduled-runs?task={task}")).await.expect(200);
        let runs = runs["runs"].as_array().unwrap().clone();
        runs.into_iter().find(|run| run["id"] == requested["id"] && !run["finished_at"].is_null())
    })
    .await
}

/// Submits an application and waits for its decision. [`old_application`] copies it.
async fn model(app: &TestApp) -> String {
    let id = app.submit(&spanish()).await;
    assert_eq!(app.decided(&id).await, "APPROVED");
    id
}

/// Inserts an application created on the tenth of a month (`YYYY-MM`), with the history and the decision of `model`.
async fn old_application(app: &TestApp, month: &str, model: &str) -> String {
    let moment = format!("{month}-10T12:00:00Z").parse().unwrap();
    let row = application(&Clock::manual(moment), Country::Es, "12345678Z");
    let id = row.id.to_string();
    let mut sql = app.database.connect().await;
    execute(&mut sql, &format!("SELECT ensure_month_partitions('{month}-01', 1)")).await.unwrap();
    let part = format!("partitions.applications_{}", month.replace('-', "_"));
    let count = |sign: i32| format!("SELECT statistics_move_applications('{part}', {sign})");
    execute(&mut sql, &count(-1)).await.unwrap();
    // Disables triggers, so the application looks old and causes no event.
    execute(&mut sql, "SET session_replication_role = replica").await.unwrap();
    let keys = app.engine().resources.database.keys();
    insert(&mut sql, keys, &[Insertion::from(row)]).await.unwrap();
    for statement in [
        format!(
            "UPDATE applications o SET status = m.status, banking_data = m.banking_data, risk_score = m.risk_score, \
             version = m.version, updated_at = '{moment}' FROM applications m WHERE o.id = '{id}' AND m.id = '{model}'"
        ),
        format!(
            "INSERT INTO audit_logs (application_id, version, action, old_status, new_status, changed_by, change_id) \
             SELECT '{id}', version, action, old_status, new_status, changed_by, change_id FROM audit_logs \
             WHERE application_id = '{model}'"
        ),
        format!(
            "INSERT INTO decisions (id, application_id, job_id, status, risk_score, reasons, rules, rules_version, \
                 input, provider_available) \
             SELECT id, '{id}', job_id, status, risk_score, reasons, rules, rules_version, input, provider_available \
             FROM decisions WHERE application_id = '{model}'"
        ),
    ] {
        execute(&mut sql, &statement).await.unwrap();
    }
    execute(&mut sql, &count(1)).await.unwrap();
    id
}
