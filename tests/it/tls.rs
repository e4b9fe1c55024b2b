//! TLS of Aval's port, including WebSockets, and of connections to PostgreSQL. `redis.rs` tests TLS to Redis.

use std::collections::HashMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use actix_web::http::Version;
use aval::config::Settings;
use aval::embedded::{EmbeddedPostgres, EmbeddedSettings};
use aval::storage::connect::connect;
use aval::storage::leadership::Leadership;
use aval::storage::listener::Listener;
use aval::storage::{Database, migrations};
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::app::{TestApp, TestSocket};
use crate::support::builders::spanish;
use crate::support::certificates::Authority;
use crate::support::db::{program_folder, text};
use crate::support::engine::{key_ring, settings};
use crate::support::{PATIENCE, eventually};

const HTTP_1: &[&str] = &["http/1.1"];
const HTTP_2: &[&str] = &["h2", "http/1.1"];

/// Starts an instance with a certificate of `authority`. Its files are in `folder`.
async fn start(authority: &Authority, folder: &Path, overrides: &[(&str, &str)]) -> TestApp {
    let (certificate, key) = authority.write_pair(&["localhost"], folder);
    let own = [
        ("AVAL__SERVER__TLS__CERTIFICATE_FILE", certificate.to_str().unwrap()),
        ("AVAL__SERVER__TLS__PRIVATE_KEY_FILE", key.to_str().unwrap()),
        ("AVAL__SERVER__TLS__RELOAD_INTERVAL_MS", "20"),
    ];
    TestApp::start(&[&own, overrides].concat()).await
}

fn url(app: &TestApp) -> String {
    format!("https://localhost:{}/health/live", app.address().port())
}

async fn is_trusted(client: &awc::Client, app: &TestApp) -> bool {
    let Ok(mut answer) = client.get(url(app)).send().await else { return false };
    // The client keeps a connection open only if the response was read completely.
    answer.body().await.is_ok() && answer.status().is_success()
}

#[actix_rt::test]
async fn with_a_certificate_the_port_only_accepts_tls_with_http_1_or_2() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let app = start(&authority, folder.path(), &[]).await;
    for (protocols, version) in [(HTTP_1, Version::HTTP_11), (HTTP_2, Version::HTTP_2)] {
        let answer = authority.client(protocols).get(url(&app)).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        assert_eq!(answer.headers().get("strict-transport-security").unwrap(), "max-age=31536000");
    }
    assert!(!is_trusted(&Authority::new().client(HTTP_1), &app).await);
    let plain = app.send_raw(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!plain.starts_with("HTTP/"), "{plain}");
}

#[actix_rt::test]
async fn a_new_certificate_is_used_without_a_restart_unless_it_is_invalid() {
    let (old, new, folder) = (Authority::new(), Authority::new(), TempDir::new().unwrap());
    let app = start(&old, folder.path(), &[]).await;
    assert!(is_trusted(&old.client(HTTP_1), &app).await);

    fs::write(folder.path().join("server.crt"), "not a certificate").unwrap();
    eventually("the invalid certificate to be detected", async || {
        app.log.text().await.contains("the new certificate cannot be used").then_some(())
    })
    .await;
    assert!(is_trusted(&old.client(HTTP_1), &app).await);

    new.write_pair(&["localhost"], folder.path());
    eventually("the new certificate to be used", async || {
        is_trusted(&new.client(HTTP_1), &app).await.then_some(())
    })
    .await;
    assert!(!is_trusted(&old.client(HTTP_1), &app).await);
}

#[actix_rt::test]
async fn clients_need_tls_1_3_unless_the_configuration_permits_1_2() {
    let authority = Authority::new();
    for (min_version, accepts_1_2) in [(None, false), (Some("1.3"), false), (Some("1.2"), true)] {
        let folder = TempDir::new().unwrap();
        let set = min_version.map(|version| ("AVAL__SERVER__TLS__MIN_VERSION", version));
        let app = start(&authority, folder.path(), set.as_slice()).await;
        let accepts = async |version| is_trusted(&authority.client_with(HTTP_1, &[version]), &app).await;
        assert!(accepts(&TLS13).await, "{min_version:?}");
        assert_eq!(accepts(&TLS12).await, accepts_1_2, "{min_version:?}");
    }
    let refused = Settings::from_variables(&HashMap::from([(
        "AVAL__SERVER__TLS__MIN_VERSION".to_owned(),
        "1.1".to_owned(),
    )]));
    let error = refused.expect_err("TLS 1.1").to_string();
    assert!(error.contains("server.tls.min_version"), "{error}");
}

#[actix_rt::test]
async fn a_websocket_over_tls_gets_updates_and_stays_open_when_the_certificate_changes() {
    let (old, new, folder) = (Authority::new(), Authority::new(), TempDir::new().unwrap());
    let app = start(&old, folder.path(), &[]).await;
    let host = format!("localhost:{}", app.address().port());
    let decided = async |client: &awc::Client, socket: &mut TestSocket| {
        let request = client.post(format!("https://{host}/api/v1/applications")).bearer_auth(&app.token);
        let mut answer = request.send_json(&spanish()).await.unwrap();
        let created: Value = answer.json().await.unwrap();
        assert_eq!(answer.status().as_u16(), 201, "{created}");
        let id = created["id"].as_str().unwrap();
        let statuses = socket.updates_until(id, "APPROVED").await;
        assert_eq!(statuses.first().map(String::as_str), Some("PENDING"));
    };
    let subscriber = async |authority: &Authority| {
        let url = format!("wss://{host}/api/v1/ws");
        let mut socket = TestSocket::open(&authority.client(HTTP_1), &url).await?;
        assert_eq!(socket.authenticate(&app.token).await["type"], "authenticated");
        socket.subscribe(&json!({"channel": "applications"})).await;
        Some(socket)
    };
    let mut socket = subscriber(&old).await.expect("a WebSocket over TLS");
    decided(&old.client(HTTP_2), &mut socket).await;

    new.write_pair(&["localhost"], folder.path());
    eventually("the new certificate to be used", async || {
        is_trusted(&new.client(HTTP_1), &app).await.then_some(())
    })
    .await;
    decided(&new.client(HTTP_2), &mut socket).await;
    assert!(subscriber(&old).await.is_none(), "new connections must get the new certificate");
    let mut socket = subscriber(&new).await.expect("a WebSocket with the new certificate");
    decided(&new.client(HTTP_2), &mut socket).await;
}

#[actix_rt::test]
async fn an_unusable_pair_is_rejected_at_startup() {
    let folder = TempDir::new().unwrap();
    let (certificate, _) = Authority::new().write_pair(&["localhost"], folder.path());
    let elsewhere = TempDir::new().unwrap();
    let (_, other_key) = Authority::new().write_pair(&["localhost"], elsewhere.path());
    for (certificate, key, expected) in [
        (certificate.as_path(), other_key.as_path(), "private_key_file"),
        (certificate.as_path(), certificate.as_path(), "private_key_file"),
        (other_key.as_path(), other_key.as_path(), "certificate_file"),
        (Path::new("/nonexistent"), other_key.as_path(), "/nonexistent"),
    ] {
        let refused = TestApp::refusal(&[
            ("AVAL__SERVER__TLS__CERTIFICATE_FILE", certificate.to_str().unwrap()),
            ("AVAL__SERVER__TLS__PRIVATE_KEY_FILE", key.to_str().unwrap()),
        ])
        .await;
        assert!(refused.contains(expected), "{refused}");
    }
}

#[actix_rt::test]
async fn connection_limits_apply_below_tls() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let limits =
        [("AVAL__SERVER__MAX_CONNECTIONS_PER_ADDRESS", "1"), ("AVAL__SERVER__KEEP_ALIVE_MS", "60000")];
    let app = start(&authority, folder.path(), &limits).await;
    let first = authority.client(HTTP_1);
    assert!(is_trusted(&first, &app).await);
    assert!(!is_trusted(&authority.client(HTTP_1), &app).await, "the second connection must be refused");
    drop(first);
    eventually("the first connection to be closed", async || {
        is_trusted(&authority.client(HTTP_1), &app).await.then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn silent_connections_are_counted_and_do_not_block_handshakes() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let limits = [
        ("AVAL__SERVER__MAX_CONNECTIONS_PER_ADDRESS", "300"),
        ("AVAL__SERVER__REQUEST_HEAD_TIMEOUT_MS", "60000"),
        ("AVAL__SERVER__WORKERS", "1"),
    ];
    let app = start(&authority, folder.path(), &limits).await;
    let refused = &app.engine().resources.metrics.http_connections_refused_total;
    // The silent clients connect at the same time, so that none has reached its time limit when the client below
    // connects.
    let connecting = (0..299).map(|_| TcpStream::connect(app.address()));
    let mut silent = futures_util::future::try_join_all(connecting).await.unwrap();
    let client = authority.client(HTTP_1);
    assert!(is_trusted(&client, &app).await);
    let cut_off = refused.with_label_values(&["tls_handshake"]).get();
    assert!(cut_off < 40, "{cut_off} silent connections were closed before the handshake");
    let address_limit = refused.with_label_values(&["address_limit"]);
    for _ in 0..310 {
        silent.push(TcpStream::connect(app.address()).await.unwrap());
    }
    eventually("a connection to be rejected", async || (address_limit.get() > 0).then_some(())).await;
    let mut received = Vec::new();
    let mut first = silent.swap_remove(0);
    let reading = first.read_to_end(&mut received);
    let _closed = tokio::time::timeout(PATIENCE, reading).await.expect("the server to close the connection");
    assert!(refused.with_label_values(&["tls_handshake"]).get() > 0);
}

#[actix_rt::test]
async fn a_client_that_never_finishes_its_handshake_is_disconnected() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let app = start(&authority, folder.path(), &[("AVAL__SERVER__REQUEST_HEAD_TIMEOUT_MS", "200")]).await;
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    stream.write_all(&[0x16, 3, 1]).await.unwrap();
    let mut received = Vec::new();
    let reading = stream.read_to_end(&mut received);
    let _closed_or_reset =
        tokio::time::timeout(PATIENCE, reading).await.expect("the server to close the connection");
}

/// A PostgreSQL server that listens on a port and requires TLS.
struct TlsPostgres {
    server: Child,
    port: u16,
    folder: TempDir,
}

impl TlsPostgres {
    /// Starts a server with a certificate for `names`. It accepts all versions of TLS that it supports.
    async fn start(authority: &Authority, names: &[&str]) -> Self {
        Self::start_with(authority, names, "").await
    }

    /// Like [`Self::start`], with `newest` as the newest version of TLS; no limit if it is empty.
    async fn start_with(authority: &Authority, names: &[&str], newest: &str) -> Self {
        let open = fs::Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().prefix("aval-tls-").permissions(open).tempdir().unwrap();
        let options = EmbeddedSettings {
            durable: false,
            bin_dir: program_folder(),
            fallback_dir: folder.path().join("fallback"),
            ..EmbeddedSettings::new(folder.path().join("data"))
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let private = EmbeddedPostgres::start(options, logger).await.unwrap();
        let program = fs::read_link(format!("/proc/{}/exe", private.pid().unwrap())).unwrap();
        let data = private.directory().to_owned();
        private.stop().await.unwrap();

        let owner = fs::metadata(&data).unwrap();
        let (_, key) = authority.write_pair(names, &data);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        for file in ["server.crt", "server.key"] {
            chown(data.join(file), Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Command::new(program)
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "ssl=on"])
            .args(["-c", "unix_socket_directories=", "-c", "logging_collector=off"])
            .args(["-c", &format!("ssl_max_protocol_version={newest}")])
            .uid(owner.uid())
            .gid(owner.gid())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self { server, port, folder };
        let url = started.url("sslmode=require");
        eventually("PostgreSQL to respond", async || connect(&url).await.ok()).await;
        started
    }

    fn url(&self, tls: &str) -> String {
        format!("postgres://aval@127.0.0.1:{}/aval?{tls}", self.port)
    }
}

impl Drop for TlsPostgres {
    fn drop(&mut self) {
        let _already_gone = self.server.kill();
        let _status = self.server.wait();
    }
}

const IS_ENCRYPTED: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

#[actix_rt::test]
async fn every_database_connection_is_encrypted_and_verified() {
    let authority = Authority::new();
    let postgres = TlsPostgres::start(&authority, &["127.0.0.1"]).await;
    let root = authority.write(postgres.folder.path());
    let url = postgres.url(&format!("sslmode=verify-full&sslrootcert={}", root.display()));
    migrations::run_pending(&url).await.unwrap();
    let settings = settings(&[]);
    let database = Database::connect(&url, &settings.database, key_ring(&settings), None).await.unwrap();
    assert_eq!(text(&mut database.get().await.unwrap(), IS_ENCRYPTED).await.as_deref(), Some("true"));
    assert_eq!(text(&mut database.dedicated().await.unwrap(), IS_ENCRYPTED).await.as_deref(), Some("true"));
    assert!(Leadership::try_acquire(&database, "test").await.unwrap().is_some());
    let mut listener = Listener::connect(&database).await.unwrap();
    let notified = text(&mut database.get().await.unwrap(), "SELECT pg_notify('aval_jobs', '')").await;
    assert_eq!(notified.as_deref(), Some(""));
    tokio::time::timeout(PATIENCE, listener.next()).await.expect("a notification over TLS").unwrap();
    let unencrypted = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                 WHERE a.backend_type = 'client backend' AND NOT s.ssl";
    assert_eq!(text(&mut database.get().await.unwrap(), unencrypted).await.as_deref(), Some("0"));
}

#[actix_rt::test]
async fn connections_to_postgresql_work_with_tls_1_2_and_prefer_1_3() {
    const VERSION: &str = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let authority = Authority::new();
    for (newest, expected) in [("TLSv1.2", "TLSv1.2"), ("", "TLSv1.3")] {
        let postgres = TlsPostgres::start_with(&authority, &["127.0.0.1"], newest).await;
        let root = authority.write(postgres.folder.path());
        let url = postgres.url(&format!("sslmode=verify-full&sslrootcert={}", root.display()));
        let mut connection = connect(&url).await.unwrap();
        assert_eq!(text(&mut connection, VERSION).await.as_deref(), Some(expected));
    }
}

#[actix_rt::test]
async fn each_sslmode_verifies_as_documented() {
    let authority = Authority::new();
    let postgres = TlsPostgres::start(&authority, &["db.example"]).await;
    let root = authority.write(postgres.folder.path());
    let elsewhere = TempDir::new().unwrap();
    let other_root = Authority::new().write(elsewhere.path());
    for (mode, root, connects) in [
        ("disable", None, false),
        ("prefer", None, true),
        ("require", None, true),
        ("require", Some(&other_root), false),
        ("verify-ca", Some(&root), true),
        ("verify-ca", Some(&other_root), false),
        ("verify-ca", None, false),
        ("verify-full", Some(&root), false),
        ("verify-full", None, false),
    ] {
        let root = root.map(|root| format!("&sslrootcert={}", root.display())).unwrap_or_default();
        let url = postgres.url(&format!("sslmode={mode}{root}"));
        match connect(&url).await {
            Ok(mut connection) => {
                assert!(connects, "{url}");
                assert_eq!(text(&mut connection, IS_ENCRYPTED).await.as_deref(), Some("true"), "{url}");
            }
            Err(error) => assert!(!connects, "{url}: {:?}", error.private_cause()),
        }
    }
}
