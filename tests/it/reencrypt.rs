//! Re-encryption of personal data without downtime.

use std::cell::Cell;
use std::rc::Rc;

use aval::app::reencrypt::{Progress, reencrypt};
use aval::clock::Clock;
use aval::domain::application::{Country, NewApplication};
use aval::domain::personal_data::{Email, FullName};
use aval::error::{Error, Result};
use aval::storage::account_contacts::{self, Contact};
use aval::storage::applications::{Insertion, insert};
use aval::storage::deliveries::endpoints;
use aval::storage::deliveries::list::attempts_page;
use aval::storage::disbursements::get_destination;
use aval::storage::seal::SealedField;
use aval::storage::{refresh_tokens, security_events};
use diesel_async::SimpleAsyncConnection as _;
use futures_util::future::join_all;

use crate::support::app::TestApp;
use crate::support::builders::{body, samples, with};
use crate::support::db::{TestDatabase, execute, text};
use crate::support::engine::{application, key_ring, settings, settings_on};

const OLD: (&str, &str) = ("ENCRYPTION_KEY", "Zk1vV2sXc0yq7mP3tJ9rB5uH8dL4nA6wEoGiTzQxCfY=");
const NEW: (&str, &str) = ("ENCRYPTION_KEY", "b7Qx2NfLr9Yk4TzW1vHc8mGd3PjSe6uAoXi5RtZq0Bw=");
const NEW_AND_OLD: (&str, &str) = (
    "ENCRYPTION_KEY",
    "b7Qx2NfLr9Yk4TzW1vHc8mGd3PjSe6uAoXi5RtZq0Bw=,Zk1vV2sXc0yq7mP3tJ9rB5uH8dL4nA6wEoGiTzQxCfY=",
);
const OTHER_INDEX: (&str, &str) = ("INDEX_KEY", "h3VtPz8Kq1Lx6Wc9Yd2Jr5Ng7Bm4Sf0EaUoTiRyQkMw=");

/// Applications of every country, sealed with the old key.
async fn sealed_with_the_old_key(database: &TestDatabase, count: usize) -> Vec<NewApplication> {
    let clock = Clock::system();
    let rows: Vec<_> = (0..count)
        .map(|n| {
            let (country, document) = samples()[n % 6];
            application(&clock, country, document)
        })
        .collect();
    let insertions: Vec<_> = rows.iter().cloned().map(Insertion::from).collect();
    insert(&mut database.connect().await, &key_ring(&settings(&[OLD])), &insertions).await.unwrap();
    rows
}

async fn run(
    database: &TestDatabase,
    variables: &[(&str, &str)],
    on_progress: impl FnMut(Progress),
) -> Result<u64> {
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let settings = settings_on(database, variables);
    reencrypt(settings, 7, &Clock::system(), &logger, on_progress).await
}

/// The distinct prefixes of all envelopes. A prefix identifies the key.
async fn prefixes(database: &TestDatabase) -> String {
    text(
        &mut database.connect().await,
        "SELECT string_agg(DISTINCT encode(substring(envelope FOR 5), 'hex'), ' ') FROM applications, \
         unnest(ARRAY[full_name, identity_document, birth_date, personal_data]) AS envelope WHERE envelope IS NOT NULL",
    )
    .await
    .unwrap()
}

fn prefix_of(variable: (&str, &str)) -> String {
    key_ring(&settings(&[variable])).active_prefix().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything that is stored about the applications, except envelopes.
async fn unsealed_state(database: &TestDatabase) -> Vec<String> {
    let mut sql = database.connect().await;
    let mut unsealed_state = Vec::new();
    for query in [
        "SELECT string_agg(concat_ws(' ', id, status, version, updated_at, change_id, changed_by), E'\\n' ORDER BY id) \
         FROM applications",
        "SELECT count(*) FROM audit_logs",
        "SELECT count(*) FROM outbox",
        "SELECT count(*) FROM pending_jobs",
    ] {
        unsealed_state.push(text(&mut sql, query).await.unwrap());
    }
    unsealed_state
}

#[actix_rt::test]
async fn keys_are_rotated_under_load_without_failures() {
    let database = Rc::new(TestDatabase::create().await);
    let old = sealed_with_the_old_key(&database, 150).await;
    let app = TestApp::start_on(Rc::clone(&database), &[NEW_AND_OLD]).await;
    let (finished, created) = (Cell::new(false), Cell::new(0_usize));
    let client = async |n: usize| {
        let mut seen = Vec::new();
        while !finished.get() || seen.is_empty() {
            let (country, document) = samples()[(n + seen.len()) % 6];
            let id = app.submit(&with(body(country, document), "full_name", "Nuria Nueva")).await;
            assert_eq!(
                app.get(&format!("/api/v1/applications/{id}")).await.expect(200)["full_name"],
                "Nuria Nueva"
            );
            let earlier = &old[(n * 37 + seen.len()) % old.len()];
            let read = app.get(&format!("/api/v1/applications/{}", earlier.id)).await.expect(200);
            assert_eq!(read["full_name"], earlier.full_name.reveal());
            assert_eq!(read["identity_document"], earlier.identity_document.masked());
            app.get("/api/v1/applications?page_size=100").await.expect(200);
            seen.push(id);
            created.set(created.get() + 1);
        }
        seen
    };
    let changing = async {
        let resealed = run(&database, &[NEW_AND_OLD], |_| {}).await;
        finished.set(true);
        resealed
    };
    let (resealed, new) = futures_util::join!(changing, join_all((0..3).map(client)));
    assert_eq!(resealed.unwrap(), 150);
    for id in new.iter().flatten() {
        app.decided(id).await;
    }
    assert_eq!(prefixes(&database).await, prefix_of(NEW));
    app.stop().await;

    let app = TestApp::start_on(Rc::clone(&database), &[NEW]).await;
    for earlier in &old {
        let read = app.get(&format!("/api/v1/applications/{}", earlier.id)).await.expect(200);
        assert_eq!(read["full_name"], earlier.full_name.reveal());
    }
    let all = app.get("/api/v1/applications?page=1").await.expect(200);
    assert_eq!(all["total"], 150 + created.get());
}

#[actix_rt::test]
async fn re_encryption_changes_no_versions_audit_rows_events_or_jobs() {
    let database = TestDatabase::create().await;
    sealed_with_the_old_key(&database, 20).await;
    let before = unsealed_state(&database).await;
    let found = Cell::new(None);
    let record_found = |progress| {
        if let Progress::Found(rows) = progress {
            found.set(Some(rows));
        }
    };
    assert_eq!(run(&database, &[NEW_AND_OLD], record_found).await.unwrap(), 20);
    assert_eq!(found.get(), Some(20));
    assert_eq!(unsealed_state(&database).await, before);
    assert_eq!(prefixes(&database).await, prefix_of(NEW));
    assert_eq!(run(&database, &[NEW_AND_OLD], |_| {}).await.unwrap(), 0);
}

#[actix_rt::test]
async fn an_interrupted_run_can_be_continued() {
    let database = TestDatabase::create().await;
    sealed_with_the_old_key(&database, 40).await;
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let first = run(&database, &[NEW_AND_OLD], |progress| {
        if let Progress::Resealed(rows) = progress {
            sender.send(rows).unwrap();
        }
    });
    let done = tokio::select! {
        biased;
        rows = receiver.recv() => rows.unwrap(),
        _ = first => panic!("the run ended before its first batch was reported"),
    };
    assert!((1..40).contains(&done), "{done}");
    let rest = run(&database, &[NEW_AND_OLD], |_| {}).await.unwrap();
    assert!((1..=40 - done).contains(&rest), "{rest} after {done}");
    assert_eq!(prefixes(&database).await, prefix_of(NEW));
}

#[actix_rt::test]
async fn concurrent_changes_take_precedence() {
    let database = TestDatabase::create().await;
    let rows = sealed_with_the_old_key(&database, 1).await;
    let id = rows[0].id;
    let renamed =
        key_ring(&settings(&[OLD])).seal(SealedField::FullName, id.as_uuid(), "Renata Renombrada").unwrap();
    let renamed: String = renamed.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut other = database.connect().await;
    execute(&mut other, "BEGIN").await.unwrap();
    execute(&mut other, &format!("UPDATE applications SET full_name = '\\x{renamed}'")).await.unwrap();
    let running = run(&database, &[NEW_AND_OLD], |_| {});
    let committing = async {
        let mut sql = database.connect().await;
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
            AND datname = current_database()";
        crate::support::eventually("the run to wait for the row's lock", async || {
            (text(&mut sql, waiting).await.as_deref() == Some("1")).then_some(())
        })
        .await;
        execute(&mut other, "COMMIT").await.unwrap();
    };
    let (resealed, ()) = futures_util::join!(running, committing);
    // Two rows: the application, and the audit row of its change, which contains the old and the new envelope.
    assert_eq!(resealed.unwrap(), 2);
    let app = TestApp::start_on(Rc::new(database), &[NEW]).await;
    let read = app.get(&format!("/api/v1/applications/{id}")).await.expect(200);
    assert_eq!(read["full_name"], "Renata Renombrada");
}

#[actix_rt::test]
async fn personal_members_and_old_values_are_resealed() {
    let database = Rc::new(TestDatabase::create().await);
    let app = TestApp::start_on(Rc::clone(&database), &[OLD]).await;
    let personal = serde_json::json!({"email": "quiteria@example.net"});
    let id = app.submit(&with(body(Country::Es, "12345678Z"), "country_specific_data", personal)).await;
    let path = format!("/api/v1/applications/{id}");
    app.decided(&id).await;
    let change = serde_json::json!({"country_specific_data": {"email": "wilhelmina@example.org"}});
    app.patch(&path, &change).await.expect(200);
    app.stop().await;
    let before = unsealed_state(&database).await;
    assert_eq!(run(&database, &[NEW_AND_OLD], |_| {}).await.unwrap(), 2);
    assert_eq!(unsealed_state(&database).await, before);

    let app = TestApp::start_on(Rc::clone(&database), &[NEW]).await;
    let data = app.get(&path).await.expect(200)["country_specific_data"].clone();
    assert_eq!(data, serde_json::json!({"email": "****.org"}));
    let trail = app.get(&format!("{path}/audit")).await.expect(200);
    let change = |pointer: &str, old: &str, new: &str| {
        serde_json::json!({"pointer": pointer, "old": old, "new": new}).to_string()
    };
    let text = trail.to_string();
    assert!(text.contains(&change("/country_specific_data/email", "****.net", "****.org")), "{text}");
}

#[actix_rt::test]
async fn unreadable_rows_are_left_and_reported() {
    let database = TestDatabase::create().await;
    sealed_with_the_old_key(&database, 3).await;
    let in_plain_text = "INSERT INTO applications (id, country, full_name, identity_document, requested_amount, \
         monthly_income, currency) VALUES (uuid_v7_now(), 'IT', 'Ana', 'RSSMRA80A01H501U', 15000, 3500, 'EUR')";
    execute(&mut database.connect().await, in_plain_text).await.unwrap();
    let refusal = async |variable| match run(&database, &[variable], |_| {}).await {
        Err(Error::Conflict(message)) => message.to_string(),
        other => panic!("{other:?}"),
    };
    let without_old_key = refusal(NEW).await;
    assert!(
        without_old_key.starts_with("4 rows are not sealed by the active key: 4 could not"),
        "{without_old_key}"
    );
    let with_old_key = refusal(NEW_AND_OLD).await;
    assert!(
        with_old_key.starts_with("1 rows are not sealed by the active key: 1 could not"),
        "{with_old_key}"
    );
}

#[actix_rt::test]
async fn a_new_index_key_rebuilds_the_blind_index() {
    let database = TestDatabase::create().await;
    sealed_with_the_old_key(&database, 9).await;
    let entries = async || {
        let query = "SELECT string_agg(DISTINCT encode(document_index, 'hex'), ' ') FROM applications";
        text(&mut database.connect().await, query).await.unwrap()
    };
    let before = entries().await;
    let mut sql = database.connect().await;
    let users = "INSERT INTO users (id, username, password_hash, role, created_by) SELECT md5(n::text)::uuid, \
        'user-' || n, '$argon2id$', 'user', 'test' FROM generate_series(1, 2) n";
    execute(&mut sql, users).await.unwrap();
    let first = "SELECT id FROM users WHERE username = 'user-1'";
    let first = text(&mut sql, first).await.unwrap().parse().unwrap();
    let second = "SELECT id FROM users WHERE username = 'user-2'";
    let second = text(&mut sql, second).await.unwrap().parse().unwrap();
    let contact = Contact { name: FullName::parse("Ada Lovelace"), email: Email::parse("ada@example.com") };
    let old = key_ring(&settings(&[OLD]));
    assert!(account_contacts::replace(&mut sql, &old, first, &contact).await.unwrap());
    let resealed = run(&database, &[OLD, OTHER_INDEX], |_| {}).await;
    assert_eq!(resealed.unwrap(), 10);
    let other = key_ring(&settings(&[OLD, OTHER_INDEX]));
    assert!(!account_contacts::replace(&mut sql, &other, second, &contact).await.unwrap());
    assert_eq!(account_contacts::of(&mut sql, &other, &[first]).await.unwrap()[&first], contact);
    let after = entries().await;
    assert_eq!((before.split(' ').count(), after.split(' ').count()), (6, 6));
    assert!(after.split(' ').all(|entry| !before.contains(entry)));
}

/// Creates minimal versions of two other tables with envelopes, in a schema that precedes the real one in the search
/// path. Re-encryption needs only the key and the sealed column of a table.
const OTHER_TABLES: &str = "CREATE SCHEMA small; \
    CREATE TABLE small.webhook_events (id uuid PRIMARY KEY, payload bytea NOT NULL); \
    CREATE TABLE small.idempotency_keys (key_digest bytea PRIMARY KEY, reply bytea NOT NULL); \
    DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = small, public', current_database()); END $$";

#[actix_rt::test]
async fn other_tables_are_resealed() {
    let database = TestDatabase::create().await;
    database.connect().await.batch_execute(OTHER_TABLES).await.unwrap();
    let mut sql = database.connect().await;
    let (old, new) = (key_ring(&settings(&[OLD])), key_ring(&settings(&[NEW])));
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let rows: Vec<(SealedField, Vec<u8>)> = (0..20_u8)
        .flat_map(|n| {
            [(SealedField::WebhookPayload, vec![n; 16]), (SealedField::IdempotentReply, vec![n; 32])]
        })
        .collect();
    for (field, row) in &rows {
        let (table, ..) = field.place();
        let key = if row.len() == 16 { format!("'{}'", hex(row)) } else { format!("'\\x{}'", hex(row)) };
        let envelope = hex(&old.seal_bytes(*field, row, row).unwrap());
        execute(&mut sql, &format!("INSERT INTO {table} VALUES ({key}, '\\x{envelope}')")).await.unwrap();
    }
    let origin = [7; 16];
    let address = hex(&old.seal(SealedField::SecurityEventAddress, origin, "203.0.113.9").unwrap());
    let event = format!(
        "INSERT INTO security_events (id, kind, origin_id, address) \
         SELECT uuid_v7_now(), 'old', '{}', '\\x{address}' FROM generate_series(1, 2)",
        hex(&origin)
    );
    execute(&mut sql, &event).await.unwrap();
    let token = [9; 16];
    let address = hex(&old.seal(SealedField::SessionAddress, token, "203.0.113.9").unwrap());
    let session = format!(
        "INSERT INTO users (id, username, password_hash, role, created_by) \
             VALUES (uuid_v7_now(), 'ana.garcia', '$argon2id$', 'user', 'test'); \
         INSERT INTO refresh_tokens (id, token_hash, family, user_id, issued_at, expires_at, session_started_at, address) \
             SELECT '{}', sha256(''), id, id, now(), now() + interval '1 day', now(), '\\x{address}' FROM users",
        hex(&token)
    );
    sql.batch_execute(&session).await.unwrap();
    let (secret, response) = ([11; 16], [12; 16]);
    let envelope = |field, row: [u8; 16], plain: &str| hex(&old.seal(field, row, plain).unwrap());
    let webhooks = format!(
        "INSERT INTO webhook_endpoints (id, url, event_types, created_by) \
             VALUES ('{0}', 'https://example.com', '{{*}}', 'test'); \
         INSERT INTO webhook_secrets (id, endpoint_id, algorithm, secret) VALUES ('{0}', '{0}', 'v1', '\\x{1}'); \
         INSERT INTO webhook_attempts (id, delivery_id, endpoint_id, result, duration_ms, response, attempted_at) \
             VALUES ('{2}', '{0}', '{0}', 'refused', 1, '\\x{3}', now()); \
         INSERT INTO disbursement_destinations (disbursement_id, destination) VALUES ('{0}', '\\x{4}')",
        hex(&secret),
        envelope(SealedField::WebhookSecret, secret, "a secret"),
        hex(&response),
        envelope(SealedField::WebhookResponse, response, "a response"),
        envelope(SealedField::Destination, secret, r#"{"kind":"iban","value":"ES91","holder_name":"Ada"}"#),
    );
    sql.batch_execute(&webhooks).await.unwrap();
    let user = text(&mut sql, "SELECT user_id FROM refresh_tokens").await.unwrap().parse().unwrap();
    let contact = Contact { name: FullName::parse("Ada Lovelace"), email: Email::parse("ada@example.com") };
    assert!(account_contacts::replace(&mut sql, &old, user, &contact).await.unwrap());
    assert_eq!(run(&database, &[NEW_AND_OLD], |_| {}).await.unwrap(), 48);
    let endpoint = uuid::Uuid::from_bytes(secret);
    let secrets = endpoints::secrets(&mut sql, &new, endpoint, Clock::system().now()).await.unwrap();
    assert_eq!(&**secrets[0].secret, b"a secret");
    let destination = get_destination(&mut sql, &new, endpoint).await.unwrap();
    assert_eq!((destination.reveal(), destination.reveal_holder()), ("ES91", "Ada"));
    let attempts = attempts_page(&mut sql, &new, endpoint, &Default::default(), None, 10).await.unwrap();
    assert_eq!(attempts[0].response.as_deref(), Some(b"a response".as_slice()));
    assert_eq!(account_contacts::of(&mut sql, &new, &[user]).await.unwrap()[&user], contact);
    let sessions = refresh_tokens::open_sessions(&mut sql, user, Clock::system().now(), 10).await.unwrap();
    assert_eq!(sessions[0].open_address(&new).as_deref(), Some("203.0.113.9"));
    let opened = security_events::list_page(&mut sql, &Default::default(), None, 10).await.unwrap();
    let addresses: Vec<_> = opened.iter().filter_map(|event| event.open_address(&new)).collect();
    assert_eq!(addresses, ["203.0.113.9"; 2]);
    for (field, row) in &rows {
        let query = match field {
            SealedField::WebhookPayload => {
                format!("SELECT encode(payload, 'hex') FROM webhook_events WHERE id = '{}'", hex(row))
            }
            _ => format!(
                "SELECT encode(reply, 'hex') FROM idempotency_keys WHERE key_digest = '\\x{}'",
                hex(row)
            ),
        };
        let envelope = text(&mut sql, &query).await.unwrap();
        let bytes: Vec<u8> = (0..envelope.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&envelope[at..at + 2], 16).unwrap())
            .collect();
        assert_eq!(&new.open_bytes(*field, row, &bytes).unwrap(), row);
    }
}

#[actix_rt::test]
async fn only_re_encryption_creates_no_version() {
    let database = TestDatabase::create().await;
    sealed_with_the_old_key(&database, 1).await;
    let mut sql = database.connect().await;
    let sealed = "'\\x01'::bytea || gen_random_uuid()::text::bytea";
    execute(&mut sql, &format!("UPDATE applications SET birth_date = {sealed}")).await.unwrap();
    for (set, keeps_version) in [
        (format!("full_name = {sealed}"), true),
        (format!("identity_document = {sealed}, birth_date = {sealed}"), true),
        ("document_index = '\\x00'".to_owned(), true),
        ("full_name = full_name".to_owned(), false),
        ("full_name = substring(full_name FOR 5) || '\\x00'".to_owned(), false),
        ("identity_document = substring(identity_document FOR 5) || '\\x00'".to_owned(), false),
        ("birth_date = substring(birth_date FOR 5) || '\\x00'".to_owned(), false),
        ("full_name = '\\x00416e61'".to_owned(), false),
        ("full_name = ''".to_owned(), false),
        (format!("full_name = {sealed}, identity_document = '\\x00'"), false),
        (format!("full_name = {sealed}, requested_amount = 1"), false),
        (format!("full_name = {sealed}, country_specific_data = '{{\"a\": 1}}'"), false),
        (format!("full_name = {sealed}, updated_at = now()"), false),
        (format!("full_name = {sealed}, change_id = gen_random_uuid()"), false),
        (format!("full_name = {sealed}, deleted_at = now()"), false),
        ("birth_date = NULL".to_owned(), false),
        (format!("birth_date = {sealed}"), false),
        ("birth_date = NULL, country_specific_data = '{\"birth_date\": \"1980-01-01\"}'".to_owned(), false),
        (
            format!("birth_date = {sealed}, country_specific_data = country_specific_data - 'birth_date'"),
            false,
        ),
    ] {
        let state = "SELECT concat_ws(' ', version, updated_at, (SELECT count(*) FROM audit_logs), \
            (SELECT count(*) FROM outbox)) FROM applications";
        let before = text(&mut sql, state).await.unwrap();
        execute(&mut sql, &format!("UPDATE applications SET {set}")).await.unwrap();
        let after = text(&mut sql, state).await.unwrap();
        assert_eq!(before == after, keeps_version, "{set}: {before} became {after}");
    }
}

#[actix_rt::test]
async fn the_command_reports_the_number_of_resealed_rows() {
    let database = TestDatabase::create().await;
    sealed_with_the_old_key(&database, 5).await;
    let run_command = |variable: (&str, &str)| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_aval"));
        command.arg("reencrypt").envs(database.variables());
        command.envs(crate::support::engine::SECRETS).env(variable.0, variable.1).output().unwrap()
    };
    let done = run_command(NEW_AND_OLD);
    let line = String::from_utf8(done.stdout).unwrap();
    assert_eq!(line, "5 rows encrypted again, 0 left with another key\n");
    assert!(done.status.success());
    let refused = run_command(OLD);
    assert!(!refused.status.success());
    let message_text = String::from_utf8(refused.stderr).unwrap();
    assert!(
        message_text.contains("5 rows are not sealed by the active key: 5 could not be opened"),
        "{message_text}"
    );
}
