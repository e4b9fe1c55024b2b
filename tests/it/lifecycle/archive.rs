//! The archive: lists exclude archived months, but their applications can still be read, and months can be restored.

use std::rc::Rc;

use actix_web::http::Method;
use aval::app::archive::{Month, Months};
use aval::app::reencrypt::reencrypt;
use aval::clock::Clock;
use diesel_async::SimpleAsyncConnection as _;
use serde_json::{Value, json};

use super::{model, old_application, only, pairs, run, started};
use crate::support::accounts::OTHER;
use crate::support::app::TestApp;
use crate::support::builders::spanish;
use crate::support::db::{TestDatabase, connect, execute, text};
use crate::support::engine::settings_on;
use crate::webhooks::confirmed;

const PARTS: [&str; 4] = ["", "/status", "/audit", "/decision"];

/// Opens the database as an operator's command does.
async fn months(app: &TestApp) -> Months {
    let settings = settings_on(&app.database, &[]);
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    Months::open(settings, &Clock::system(), &logger).await.unwrap()
}

fn month(text: &str) -> Month {
    Month::parse(text).unwrap()
}

/// The `ETag` and the body of the four reads of an application.
async fn reads(app: &TestApp, id: &str) -> Vec<(String, Value)> {
    let mut answers = Vec::new();
    for part in PARTS {
        let answer = app.get(&format!("/api/v1/applications/{id}{part}")).await;
        answers.push((answer.header("etag").to_owned(), answer.expect(200)));
    }
    answers
}

/// The number of applications in the list.
async fn listed(app: &TestApp) -> Value {
    app.get("/api/v1/applications?page=1").await.expect(200)["total"].clone()
}

#[actix_rt::test]
async fn an_archived_application_reads_as_before_is_in_no_list_and_can_be_restored() {
    let app = started(&[]).await;
    let model = model(&app).await;
    let id = old_application(&app, "2024-03", &model).await;
    let path = format!("/api/v1/applications/{id}");
    let before = reads(&app, &id).await;
    assert_eq!(before[0].1["status"], "APPROVED");
    assert!(before[2].1["entries"].as_array().unwrap().len() == 3 && before[3].1["rules"].is_array());
    assert_eq!(
        before[3].1["risk_components"],
        json!(null),
        "an earlier version stored no parts of the score"
    );
    assert_eq!(listed(&app).await, 2);

    assert_eq!(run(&app, "archive").await["detail"], json!({"archived": ["2024-03"], "open": []}));
    assert_eq!(reads(&app, &id).await, before);
    assert_eq!(listed(&app).await, 1);
    let search = json!({"country": "ES", "identity_document": "12345678Z"});
    let found = app.post("/api/v1/applications/search", &search).await.expect(200);
    assert_eq!(found["applications"].as_array().unwrap().len(), 1);
    let tag = [("If-None-Match", before[0].0.as_str())];
    app.send(Method::GET, &path, &tag, "").await.expect(304);
    let other = app.acting_as(OTHER).await;
    for part in PARTS {
        other.get(&format!("{path}{part}")).await.expect(404);
    }
    // Reads of a current application and of a missing one are unchanged.
    app.get(&format!("/api/v1/applications/{model}/decision")).await.expect(200);
    app.get("/api/v1/applications/018e1c3e-0000-7000-8000-000000000000").await.expect(404);

    months(&app).await.attach(month("2024-03")).await.unwrap();
    assert_eq!(reads(&app, &id).await, before);
    assert_eq!(listed(&app).await, 2);
    let changed = json!({"country_specific_data": {"note": "back"}});
    app.patch(&path, &changed).await.expect(200);
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING APPROVED APPROVED", "its triggers must be restored");
}

#[actix_rt::test]
async fn changes_of_an_archived_application_are_rejected_with_the_code_archived() {
    let app = started(&[]).await;
    let model = model(&app).await;
    let id = old_application(&app, "2024-03", &model).await;
    let deleted = old_application(&app, "2024-03", &model).await;
    app.delete(&format!("/api/v1/applications/{deleted}")).await.expect(204);
    run(&app, "archive").await;
    let before = reads(&app, &id).await;
    let path = format!("/api/v1/applications/{id}");
    let data = json!({"country_specific_data": {"note": "x"}});
    let status = json!({"status": "CANCELLED"});
    let refusals = [
        app.patch(&path, &data).await,
        app.patch(&path, &status).await,
        app.put(&format!("{path}/status"), &status).await,
        app.delete(&path).await,
        app.post(&format!("{path}/restore"), &Value::Null).await,
        app.post(&format!("/api/v1/applications/{deleted}/restore"), &Value::Null).await,
    ];
    for refused in refusals {
        let problem = refused.expect(409);
        assert_eq!(problem["code"], "archived", "{problem}");
    }
    let json = [("Content-Type", "application/json"), ("If-Match", "\"v99\"")];
    app.send(Method::PATCH, &path, &json, data.to_string()).await.expect(412);
    // Accounts that may not see it cannot tell that it exists.
    let other = app.acting_as(OTHER).await;
    assert_eq!(other.patch(&path, &data).await.expect(404)["code"], "not_found");
    app.patch(&format!("/api/v1/applications/{deleted}"), &data).await.expect(404);

    let receipt = confirmed(&id).send(&app).await.expect(200);
    assert_eq!((&receipt["applied"], &receipt["status"]), (&json!(false), &json!("APPROVED")));
    let kept = format!("SELECT status FROM webhook_events WHERE application_id = '{id}'");
    assert_eq!(app.sql(&kept).await, "ignored");
    assert_eq!(reads(&app, &id).await, before);
}

#[actix_rt::test]
async fn a_month_with_open_applications_is_not_archived_and_others_are() {
    let app = started(&[]).await;
    let model = model(&app).await;
    let mut sql = app.database.connect().await;
    for (month, change) in [
        ("2024-01", "UPDATE applications SET status = 'UNDER_REVIEW' WHERE id = '{id}'"),
        (
            "2024-02",
            "INSERT INTO pending_jobs (task_name, application_id, status) VALUES ('other', '{id}', 'waiting_external')",
        ),
        (
            "2024-04",
            "WITH failed AS (INSERT INTO webhook_events (id, idempotency_key, provider, country, application_id, \
                 provider_reference, outcome, fingerprint, payload, status, occurred_at, received_at) VALUES \
             (uuid_v7_now(), 'k', 'x', 'ES', '{id}', 'r', 'confirmed', decode(repeat('00', 32), 'hex'), '', 'failed', \
              now(), now()) RETURNING id) \
             INSERT INTO pending_jobs (task_name, lane, job_args, run_at) SELECT 'retry_webhook_event', 'webhooks', \
                 jsonb_build_object('webhook_event_id', id), now() + interval '1 day' FROM failed",
        ),
        // This application was deleted while it was open, so it counts as closed.
        ("2024-05", "UPDATE applications SET status = 'PENDING', deleted_at = now() WHERE id = '{id}'"),
    ] {
        let id = old_application(&app, month, &model).await;
        execute(&mut sql, "SET session_replication_role = replica").await.unwrap();
        execute(&mut sql, &change.replace("{id}", &id)).await.unwrap();
        execute(&mut sql, "RESET session_replication_role").await.unwrap();
    }
    let done = run(&app, "archive").await;
    assert_eq!(done["detail"], json!({"archived": ["2024-05"], "open": ["2024-01", "2024-02", "2024-04"]}));
    let operator = months(&app).await;
    let refused = operator.detach(month("2024-01")).await.unwrap_err().to_string();
    assert!(refused.contains("2024-01 has 1 applications that are not closed"), "{refused}");
    // The database itself also rejects it.
    for statement in ["SELECT bound_month('2024-01-01')", "SELECT validate_month('2024-01-01')"] {
        execute(&mut sql, statement).await.unwrap();
    }
    let refused = execute(&mut sql, "SELECT archive_month('2024-01-01')").await.unwrap_err().to_string();
    assert!(refused.contains("not closed"), "{refused}");
    for (result, expected) in [
        (operator.detach(month("2023-01")).await, "month not found"),
        (operator.detach(month("2024-05")).await, "already archived"),
        (operator.attach(month("2024-01")).await, "not archived"),
        (operator.attach(month("2023-01")).await, "month not found"),
        (
            operator.detach(Month::of(app.engine().resources.clock.now())).await,
            "has not been over for a month",
        ),
    ] {
        let refused = result.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}: {expected}");
    }
    let tiers: Vec<String> = operator
        .list()
        .await
        .unwrap()
        .iter()
        .map(|report| format!("{} {} {}", report.listed.month, report.listed.tier.as_str(), report.open))
        .take(4)
        .collect();
    assert_eq!(tiers, ["2024-01 hot 1", "2024-02 hot 1", "2024-04 hot 1", "2024-05 archived 0"]);
}

#[actix_rt::test]
async fn applications_are_created_and_read_while_a_month_is_archived_and_restored() {
    let app = started(&[]).await;
    let model = model(&app).await;
    let id = old_application(&app, "2024-03", &model).await;
    let before = reads(&app, &id).await;
    let operator = months(&app).await;
    let over = std::cell::Cell::new(false);
    let moving = async {
        for _ in 0..6 {
            operator.detach(month("2024-03")).await.unwrap();
            operator.attach(month("2024-03")).await.unwrap();
        }
        over.set(true);
    };
    let client = async {
        let mut made = 0;
        while !over.get() {
            app.submit(&spanish()).await;
            assert_eq!(reads(&app, &id).await, before);
            made += 1;
        }
        made
    };
    let ((), made) = futures_util::join!(moving, client);
    assert!(made > 0);
    assert_eq!(listed(&app).await, made + 2);
}

#[actix_rt::test]
async fn archiving_retries_while_the_table_is_locked() {
    let app = started(&[]).await;
    let model = model(&app).await;
    old_application(&app, "2024-03", &model).await;
    let mut reader = app.database.connect().await;
    execute(&mut reader, "BEGIN").await.unwrap();
    text(&mut reader, "SELECT count(*) FROM applications").await;
    let operator = months(&app).await;
    let waiting = async {
        // These statements must not wait behind the lock request.
        for _ in 0..5 {
            app.submit(&spanish()).await;
        }
        execute(&mut reader, "COMMIT").await.unwrap();
    };
    let (moved, ()) = futures_util::join!(operator.detach(month("2024-03")), waiting);
    moved.unwrap();
}

#[actix_rt::test]
async fn archived_rows_are_immutable() {
    let app = started(&[]).await;
    let model = model(&app).await;
    old_application(&app, "2024-03", &model).await;
    run(&app, "archive").await;
    let mut owner = app.database.connect().await;
    for tree in ["applications", "audit_logs", "decisions"] {
        let column =
            if tree == "applications" { "created_by = 'x'" } else { "application_id = uuid_v7_now()" };
        let archive = format!("{tree}_archive");
        for table in [archive.clone(), format!("partitions.{tree}_2024_03")] {
            for statement in [
                format!("UPDATE {table} SET {column}"),
                format!("DELETE FROM {table}"),
                format!("TRUNCATE {archive}"),
            ] {
                let refused = execute(&mut owner, &statement).await.expect_err(&statement).to_string();
                assert!(refused.contains("is archived"), "{statement}: {refused}");
            }
        }
    }
    let columns = "id, country, full_name, identity_document, requested_amount, monthly_income, currency";
    let insert = format!(
        "INSERT INTO applications_archive ({columns}) SELECT {} FROM applications_archive",
        columns.replacen("id", "overlay(id::text PLACING 'ffff' FROM 20)::uuid", 1)
    );
    let refused = execute(&mut owner, &insert).await.unwrap_err().to_string();
    assert!(refused.contains("is archived"), "{refused}");
}

#[actix_rt::test]
async fn the_serving_user_can_archive_but_not_write_to_the_archive() {
    const SCRIPT: &str = include_str!("../../../config/roles.sql");
    let as_user = |url: &str, user: &str| url.replacen("user=aval", &format!("user={user}"), 1);
    let database = Rc::new(TestDatabase::create_empty().await);
    database.connect().await.batch_execute(SCRIPT).await.unwrap();
    let (server, owner) = (as_user(database.url(), "aval_server"), as_user(database.url(), "aval_owner"));
    let keys = only(&[]);
    let mut overrides = pairs(&keys);
    overrides.extend([
        ("AVAL__DATABASE__URL", server.as_str()),
        ("AVAL__DATABASE__MIGRATION_URL", owner.as_str()),
    ]);
    let app = TestApp::start_on(Rc::clone(&database), &overrides).await;
    let model = model(&app).await;
    let mut admin = database.connect().await;
    // The owner cannot move a partition that a superuser created.
    connect(&owner).await.batch_execute("SELECT ensure_month_partitions('2024-03-01', 1)").await.unwrap();
    let id = old_application(&app, "2024-03", &model).await;
    let before = reads(&app, &id).await;
    assert_eq!(run(&app, "archive").await["detail"]["archived"], json!(["2024-03"]));
    assert_eq!(reads(&app, &id).await, before);
    assert_eq!(run(&app, "expire_job_history").await["detail"]["dropped"], json!(["2024-03"]));

    let mut sql = connect(&server).await;
    for statement in [
        "UPDATE applications_archive SET created_by = 'x'",
        "DELETE FROM audit_logs_archive",
        "INSERT INTO decisions_archive SELECT * FROM decisions",
        "TRUNCATE applications_archive",
        "ALTER TABLE applications_archive DISABLE TRIGGER ALL",
        "ALTER TABLE applications_archive DETACH PARTITION partitions.applications_2024_03",
        "SELECT move_month('2024-03-01', '_archive', '')",
    ] {
        let refused = execute(&mut sql, statement).await.expect_err(statement).to_string();
        let denied = refused.contains("permission denied") || refused.contains("must be owner");
        assert!(denied, "{statement}: {refused}");
    }
    execute(&mut sql, "SELECT unarchive_month('2024-03-01')").await.unwrap();
    assert_eq!(reads(&app, &id).await, before);
    let too_recent = execute(&mut sql, "SELECT archive_month(now()::date)").await.unwrap_err().to_string();
    assert!(too_recent.contains("has not been over for a month"), "{too_recent}");
    let held = text(
        &mut admin,
        "SELECT string_agg(g.privilege_type, ' ') FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) g \
         WHERE c.relname LIKE '%\\_archive' AND g.grantee = 'aval_server'::regrole AND g.privilege_type <> 'SELECT'",
    )
    .await;
    assert_eq!(held, None);
}

#[actix_rt::test]
async fn archived_months_are_moved_to_the_configured_tablespace() {
    let keys = only(&[]);
    let database = Rc::new(TestDatabase::create().await);
    let name = format!("cold_{}", uuid::Uuid::new_v4().simple());
    let mut admin = database.connect().await;
    for statement in
        ["SET allow_in_place_tablespaces = on".to_owned(), format!("CREATE TABLESPACE {name} LOCATION ''")]
    {
        execute(&mut admin, &statement).await.unwrap();
    }
    let mut overrides = pairs(&keys);
    overrides.push(("AVAL__ARCHIVE__TABLESPACE", &name));
    let app = TestApp::start_on(Rc::clone(&database), &overrides).await;
    let model = model(&app).await;
    let id = old_application(&app, "2024-03", &model).await;
    let before = reads(&app, &id).await;
    assert_eq!(run(&app, "archive").await["outcome"], "completed");
    let elsewhere = format!(
        "SELECT count(*) FROM pg_class c LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace \
         WHERE c.relname ~ '^(applications|audit_logs|decisions)_2024_03' AND s.spcname IS DISTINCT FROM '{name}'"
    );
    assert_eq!(app.sql(&elsewhere).await, "0");
    assert_eq!(reads(&app, &id).await, before);
    app.stop().await;
    let database = Rc::into_inner(database).unwrap();
    let mut elsewhere = connect(&database.url().replacen(&database_name(&database), "postgres", 1)).await;
    drop((admin, database));
    execute(&mut elsewhere, &format!("DROP TABLESPACE {name}")).await.unwrap();
}

fn database_name(database: &TestDatabase) -> String {
    let url = database.url();
    let start = url.find("/test_").unwrap() + 1;
    url[start..].split('?').next().unwrap().to_owned()
}

#[actix_rt::test]
async fn re_encryption_names_the_archived_months_that_still_need_the_old_key() {
    const NEW: &str = "b7Qx2NfLr9Yk4TzW1vHc8mGd3PjSe6uAoXi5RtZq0Bw=";
    const OLD: &str = "6rxMyVLkMlGuz2yI3CoZ2G4rJ8Kxyq2gk8cW3M1tQJc=";
    let app = started(&[]).await;
    let model = model(&app).await;
    old_application(&app, "2024-03", &model).await;
    run(&app, "archive").await;
    let both = format!("{NEW},{OLD}");
    let reseal = async || {
        let settings = settings_on(&app.database, &[("ENCRYPTION_KEY", &both)]);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        reencrypt(settings, 100, &Clock::system(), &logger, |_| {}).await
    };
    let refused = reseal().await.unwrap_err().to_string();
    assert!(refused.contains("1 archived applications are not (2024-03)"), "{refused}");
    months(&app).await.attach(month("2024-03")).await.unwrap();
    assert_eq!(reseal().await.unwrap(), 1);
    months(&app).await.detach(month("2024-03")).await.unwrap();
    assert_eq!(reseal().await.unwrap(), 0);
}

#[actix_rt::test]
async fn the_archive_has_the_columns_and_checks_of_the_live_tables() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    for tree in ["applications", "audit_logs", "decisions"] {
        let columns = |table: String| {
            format!(
                "SELECT string_agg(concat_ws(' ', attname, atttypid::regtype, atttypmod, attnotnull, attgenerated), ', ' \
                     ORDER BY attnum) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
            )
        };
        let checks = |table: String| {
            format!(
                "SELECT string_agg(conname || ' ' || pg_get_constraintdef(oid), ', ' ORDER BY conname) FROM pg_constraint \
                 WHERE conrelid = '{table}'::regclass AND contype = 'c'"
            )
        };
        for query in [columns, checks] as [fn(String) -> String; 2] {
            let (live, archived) = (query(tree.to_owned()), query(format!("{tree}_archive")));
            assert_eq!(text(&mut sql, &archived).await, text(&mut sql, &live).await, "{tree}");
        }
    }
}
