//! The CSV export of the list of applications.

use std::time::Duration;

use aval::clock::Clock;
use aval::domain::application::NewApplication;
use aval::domain::personal_data::FullName;
use aval::storage::seal::SealedField;
use diesel::sql_types::{self, Array, Binary};
use diesel_async::SimpleAsyncConnection as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use uuid::Uuid;

use crate::support::accounts::{ANALYST, OTHER, USER};
use crate::support::app::TestApp;
use crate::support::builders::{body, samples, spanish, with};
use crate::support::engine::{application, key_ring, settings};
use crate::support::{PATIENCE, eventually};

const EXPORT: &str = "/api/v1/applications/export.csv";

/// The records of a complete file. The first one contains the column names.
fn records(text: &str) -> Vec<Vec<String>> {
    let text = text.strip_prefix('\u{feff}').expect("a byte order mark");
    assert!(text.ends_with("\r\n"));
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let records = reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect());
    records.collect()
}

async fn fill(app: &TestApp, count: usize) {
    for n in 0..count {
        let (country, document) = samples()[n % samples().len()];
        let row = application(&app.engine().resources.clock, country, document);
        aval::lending::submit::insert(&app.engine().write_batchers, row).await.unwrap();
    }
}

#[actix_rt::test]
async fn a_file_contains_the_list_in_order_with_masked_documents() {
    let app = TestApp::start_idle_with(&[("AVAL__LISTS__EXPORT_PAGE_ROWS", "4")]).await;
    for (country, document) in samples() {
        app.submit(&body(country, document)).await;
    }
    fill(&app, 9).await;
    let name = "Núñez, \"Ñ\" O'Neill";
    app.submit(&with(spanish(), "full_name", name)).await;
    for query in ["", "?sort=created_at", "?country=ES", "?country=mx&min_amount=1", "?status=APPROVED"] {
        let answer = app.get(&format!("{EXPORT}{query}")).await;
        assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
        assert!(answer.header("content-disposition").starts_with("attachment; filename=\"applications-20"));
        let text = answer.text();
        for (_, document) in samples() {
            assert!(!text.contains(document), "documents must be masked");
        }
        let exported = records(&text);
        let separator = if query.is_empty() { "?" } else { "&" };
        let list = app.get(&format!("/api/v1/applications{query}{separator}page_size=100")).await.expect(200);
        let listed = list["applications"].as_array().unwrap();
        assert_eq!(exported.len() - 1, listed.len(), "{query}");
        for (record, application) in exported.iter().skip(1).zip(listed) {
            for (column, cell) in exported[0].iter().zip(record) {
                let expected = match &application[column] {
                    Value::String(text) => text.clone(),
                    Value::Null => String::new(),
                    other => other.to_string(),
                };
                let is_time = column.ends_with("_at");
                let same = *cell == expected || is_time && moment(cell) == moment(&expected);
                assert!(same, "{column}: {cell:?} is not {expected:?}");
            }
        }
    }
    assert!(app.get(EXPORT).await.text().contains("\"Núñez, \"\"Ñ\"\" O'Neill\""));
}

fn moment(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

#[actix_rt::test]
async fn cells_are_never_formulas() {
    let app = TestApp::start_idle().await;
    for name in
        ["=HYPERLINK(\"http://example.com\",\"x\")", "+1", "-2+3", "@SUM(A1)", "Ana;=cmd|'/C calc'!A0;x"]
    {
        let row = NewApplication {
            full_name: FullName::from_storage(name.to_owned()),
            ..application(&app.engine().resources.clock, samples()[0].0, samples()[0].1)
        };
        aval::lending::submit::insert(&app.engine().write_batchers, row).await.unwrap();
    }
    let exported = records(&app.get(EXPORT).await.text());
    assert_eq!(exported.len(), 6);
    for cell in exported.iter().flatten().flat_map(|cell| cell.split(';')) {
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
    }
    assert!(app.get(EXPORT).await.text().starts_with('\u{feff}'));
    for (separator, header) in
        [("semicolon", "id;country;"), ("tab", "id\tcountry\t"), ("comma", "id,country,")]
    {
        let query = format!("{EXPORT}?separator={separator}&byte_order_mark=false");
        assert!(app.get(&query).await.text().starts_with(header), "{separator}");
    }
    for query in ["separator=pipe", "separator=;", "byte_order_mark=yes"] {
        app.get(&format!("{EXPORT}?{query}")).await.expect(422);
    }
}

#[actix_rt::test]
async fn an_export_contains_what_the_caller_may_list_and_exports_by_staff_are_recorded() {
    let app = TestApp::start_idle_with(&[("AVAL__STAFF_VIEWS__BATCH_SIZE", "1")]).await;
    let (user, other) = (app.acting_as(USER).await, app.acting_as(OTHER).await);
    let own = user.submit(&spanish()).await;
    other.submit(&spanish()).await;
    let ids = |text: &str| -> Vec<String> {
        records(text).into_iter().skip(1).map(|record| record[0].clone()).collect()
    };
    assert_eq!(ids(&user.get(EXPORT).await.text()), [own]);
    assert_eq!(ids(&app.acting_as(ANALYST).await.get(&format!("{EXPORT}?country=ES")).await.text()).len(), 2);
    app.anonymous().get(EXPORT).await.expect(401);
    let views = eventually("the audit view", async || {
        let path = "/api/v1/admin/staff-views?action=application_export";
        let page = app.get(path).await.expect(200);
        page["views"].as_array().filter(|views| !views.is_empty()).cloned()
    })
    .await;
    assert_eq!((views.len(), &views[0]["account"]), (1, &ANALYST.into()));
    assert_eq!(views[0]["filter"]["country"], "ES");
}

#[actix_rt::test]
async fn a_list_that_is_too_long_is_rejected_or_ends_with_a_truncation_line() {
    let app = TestApp::start_idle_with(&[
        ("AVAL__LISTS__EXPORT_MAX_ROWS", "10"),
        ("AVAL__LISTS__EXPORT_PAGE_ROWS", "4"),
        ("AVAL__LISTS__EXACT_UP_TO", "5"),
    ])
    .await;
    fill(&app, 10).await;
    assert_eq!(records(&app.get(EXPORT).await.text()).len(), 11, "up to the maximum");
    fill(&app, 2).await;
    assert_eq!(app.get(EXPORT).await.field_errors(), ["? too_many_rows"]);
    assert_eq!(records(&app.get(&format!("{EXPORT}?country=ES")).await.text()).len(), 4);
    let cut = records(&app.get(&format!("{EXPORT}?min_amount=1")).await.text());
    assert_eq!(cut.len(), 12);
    assert_eq!(cut[11][0], "# TRUNCATED after 10 applications: use narrower filters");
    let bad = app.get(&format!("{EXPORT}?page=1&country=FR&cursor=x")).await;
    assert_eq!(
        bad.field_errors(),
        ["?country unknown_country", "?page unknown_parameter", "?cursor unknown_parameter"]
    );
}

/// Inserts enough applications to exceed the buffers of a connection.
async fn fill_beyond_every_buffer(app: &TestApp) {
    let keys = key_ring(&settings(&[]));
    let clock = Clock::system();
    let name = "Ana ".repeat(60);
    let ids: Vec<Uuid> = (0..40_000).map(|_| clock.new_uuid()).collect();
    let sealed = |field, text: &str| -> Vec<Vec<u8>> {
        ids.iter().map(|id| keys.seal(field, id, text).unwrap()).collect()
    };
    let mut sql = app.database.connect().await;
    sql.batch_execute("SET session_replication_role = replica").await.unwrap();
    let insert = diesel::sql_query(
        "INSERT INTO applications (id, country, full_name, identity_document, requested_amount, monthly_income, currency) \
         SELECT id, 'ES', name, document, 1, 1, 'EUR' FROM unnest($1, $2, $3) AS r (id, name, document)",
    )
    .bind::<Array<sql_types::Uuid>, _>(&ids)
    .bind::<Array<Binary>, _>(sealed(SealedField::FullName, &name))
    .bind::<Array<Binary>, _>(sealed(SealedField::IdentityDocument, "12345678Z"));
    diesel_async::RunQueryDsl::execute(insert, &mut sql).await.unwrap();
}

/// Starts a download and reads only the beginning of the response.
async fn begin_download(app: &TestApp) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let mut stream = socket.connect(app.address()).await.unwrap();
    let request =
        format!("GET {EXPORT} HTTP/1.1\r\nHost: aval\r\nAuthorization: Bearer {}\r\n\r\n", app.token);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 512];
    stream.read_exact(&mut head).await.unwrap();
    assert!(String::from_utf8_lossy(&head).starts_with("HTTP/1.1 200 OK"));
    stream
}

async fn rest_of(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset connection has also ended.
    let _ =
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the end of the response");
    rest
}

#[actix_rt::test]
async fn a_download_interrupted_by_the_database_does_not_look_complete() {
    let app = TestApp::start_idle().await;
    fill_beyond_every_buffer(&app).await;
    let mut stream = begin_download(&app).await;
    app.execute("ALTER TABLE applications RENAME TO gone").await;
    let cut = rest_of(&mut stream).await;
    let end = String::from_utf8_lossy(&cut[cut.len().saturating_sub(80)..]);
    assert!(cut.len() > 1000 && !cut.ends_with(b"\r\n0\r\n\r\n"), "{} bytes end with {end:?}", cut.len());
    assert!(app.log.text().await.contains("export aborted"));
    app.execute("ALTER TABLE gone RENAME TO applications").await;
    let second_download = begin_download(&app).await;
    let mut reading = second_download;
    let mut rest = Vec::new();
    while !rest.ends_with(b"\r\n0\r\n\r\n") {
        let read =
            tokio::time::timeout(PATIENCE, reading.read_buf(&mut rest)).await.expect("more of the response");
        assert!(read.unwrap() > 0, "a complete file must end with its last chunk");
    }
    assert!(rest.len() > cut.len());
}

#[actix_rt::test]
async fn a_client_that_stops_reading_holds_no_database_connection_and_is_disconnected() {
    let app = TestApp::start_idle_with(&[
        ("AVAL__SERVER__TCP_USER_TIMEOUT_MS", "1000"),
        ("AVAL__SERVER__REQUEST_TIMEOUT_MS", "1000"),
    ])
    .await;
    fill_beyond_every_buffer(&app).await;
    app.get("/health").await.expect(200);
    let open = async || app.metric("http_connections_active").await;
    let before = open().await;
    let mut stream = begin_download(&app).await;
    assert!(open().await > before);
    eventually("an idle pool", async || (app.metric("db_connections_active").await == 0.0).then_some(()))
        .await;
    eventually("the end of the connection", async || (open().await <= before).then_some(())).await;
    let rest = tokio::time::timeout(Duration::from_secs(10), rest_of(&mut stream)).await.unwrap();
    assert!(!rest.ends_with(b"\r\n0\r\n\r\n"));
}
