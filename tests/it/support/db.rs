//! A database for each test, cloned from a migrated template on a shared server.
//!
//! Every test runs in its own process, so no process owns the server. The first test that needs it starts it under a lock
//! and leaves it running. Every process that uses the server holds a shared lock on `users.lock`. A watchdog stops the
//! server when it gets the lock exclusively, which is possible only after all these processes have ended.
//!
//! Two environment variables select another server for the whole run. Each combination has its own directory:
//! - `AVAL_PG_BIN`: the directory of PostgreSQL's programs, to test another version.
//! - `AVAL_TEST_POOLER=1`: the application connects through a PgBouncer in transaction mode, which runs as long as the
//!   server. The tests' own statements bypass it.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use aval::embedded::{EmbeddedPostgres, EmbeddedSettings};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use sha2::{Digest, Sha256};

use super::pgbouncer;

/// How long the server keeps running without users, in seconds. This lets consecutive short processes share it.
const LINGER_SECONDS: u32 = 10;

/// A test's own database, which is dropped with this value.
pub(crate) struct TestDatabase {
    name: String,
    url: String,
    /// The URL that bypasses the pooler; empty without one.
    direct_url: String,
    /// The URL for the application.
    serving_url: String,
    server: SharedServer,
}

impl TestDatabase {
    /// Creates a database with the migrated schema.
    pub(crate) async fn create() -> Self {
        let server = SharedServer::join().await;
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut admin = connect(&server.url_of("postgres")).await;
        let statement = format!("CREATE DATABASE {name} TEMPLATE {}", template_name());
        admin.batch_execute(&statement).await.unwrap();
        Self::of(server, name)
    }

    /// Creates an empty database.
    pub(crate) async fn create_empty() -> Self {
        let server = SharedServer::join().await;
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut admin = connect(&server.url_of("postgres")).await;
        admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.unwrap();
        Self::of(server, name)
    }

    fn of(server: SharedServer, name: String) -> Self {
        let url = server.url_of(&name);
        let (serving_url, direct_url) = match has_pooler() {
            true => (pgbouncer::shared_url(&home(), &name), url.clone()),
            false => (url.clone(), String::new()),
        };
        Self { name, url, direct_url, serving_url, server }
    }

    /// The URL that bypasses the pooler.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The environment variables that give the application the URLs of this database.
    pub(crate) fn variables(&self) -> [(&'static str, &str); 2] {
        [
            ("AVAL__DATABASE__URL", self.serving_url.as_str()),
            ("AVAL__DATABASE__DIRECT_URL", self.direct_url.as_str()),
        ]
    }

    /// A connection for plain SQL.
    pub(crate) async fn connect(&self) -> AsyncPgConnection {
        connect(&self.url).await
    }
}

impl Drop for TestDatabase {
    /// Drops the database despite open connections. If that fails, the next start of the server drops it.
    fn drop(&mut self) {
        let (url, drop) =
            (self.server.url_of("postgres"), format!("DROP DATABASE {} WITH (FORCE)", self.name));
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                if let Ok(mut admin) = AsyncPgConnection::establish(&url).await {
                    let _ = admin.batch_execute(&drop).await;
                }
            });
        });
        let _ = dropping.join();
    }
}

/// The address of one database on a server.
pub(crate) struct Server {
    /// The directory of the server's socket.
    pub(crate) socket: PathBuf,
    /// The name of the database.
    pub(crate) database: String,
}

impl Server {
    /// The address of `database` on the shared server.
    pub(crate) fn of(database: &TestDatabase) -> Self {
        Self { socket: socket_of(database.url()), database: database.name.clone() }
    }

    /// The URL that bypasses all proxies.
    pub(crate) fn url(&self) -> String {
        format!("postgresql:///{}?user=aval&host={}", self.database, self.socket.display())
    }

    /// The socket itself.
    pub(crate) fn socket_file(&self) -> PathBuf {
        self.socket.join(".s.PGSQL.5432")
    }

    /// The socket for the application: the pooler's, if this is the shared server and has one.
    pub(crate) fn serving_socket_file(&self) -> PathBuf {
        let shared_url = fs::read_to_string(home().join("url")).unwrap_or_default();
        let is_shared = !shared_url.is_empty() && socket_of(&shared_url) == self.socket;
        if has_pooler() && is_shared { pgbouncer::shared_socket_file(&home()) } else { self.socket_file() }
    }
}

/// Changes the schema as a migration does. PgBouncer then needs a RECONNECT, because it keeps prepared statements of the old
/// types (docs/database.md).
///
/// # Errors
/// If the statement fails.
pub(crate) async fn change_schema(server: &Server, sql: &str) -> diesel::QueryResult<()> {
    execute(&mut connect(&server.url()).await, sql).await?;
    if has_pooler() {
        pgbouncer::reconnect(&home(), &server.database).await;
    }
    Ok(())
}

/// Runs plain SQL.
pub(crate) async fn execute(connection: &mut AsyncPgConnection, sql: &str) -> diesel::QueryResult<usize> {
    diesel::sql_query(sql).execute(connection).await
}

/// The single value of a query, as text; `None` if it is null or if there is no row.
pub(crate) async fn text(connection: &mut AsyncPgConnection, sql: &str) -> Option<String> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Text>)]
        value: Option<String>,
    }
    let sql = format!("SELECT ({sql})::text AS value");
    let rows: Vec<Row> = diesel::sql_query(sql).load(connection).await.unwrap();
    rows.into_iter().next().and_then(|row| row.value)
}

/// Connects to the database of the URL.
pub(crate) async fn connect(url: &str) -> AsyncPgConnection {
    AsyncPgConnection::establish(url).await.unwrap()
}

/// The shared server. The lock keeps it running while this process uses it.
struct SharedServer {
    url: String,
    _lock: File,
}

impl SharedServer {
    async fn join() -> Self {
        let home = home();
        let starting = open_lock(&home.join("starting.lock"));
        starting.lock().unwrap();
        let using = open_lock(&home.join("users.lock"));
        using.lock_shared().unwrap();
        let url_file = home.join("url");
        let known = fs::read_to_string(&url_file).unwrap_or_default();
        let alive = !known.is_empty() && AsyncPgConnection::establish(&known).await.is_ok();
        let url = if alive { known } else { start(&home, &url_file).await };
        Self { url, _lock: using }
    }

    fn url_of(&self, database: &str) -> String {
        self.url.replacen("/aval?", &format!("/{database}?"), 1)
    }
}

async fn start(home: &Path, url_file: &Path) -> String {
    let settings = EmbeddedSettings {
        durable: false,
        bin_dir: program_folder(),
        superuser_connects: true,
        start_timeout: Duration::from_secs(60),
        fallback_dir: home.join("fallback"),
        ..EmbeddedSettings::new(home.join("data"))
    };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let server = EmbeddedPostgres::start(settings, logger).await.unwrap();
    let url = server.superuser_url();
    prepare_template(&url).await;
    let pooler = match has_pooler() {
        true => Some(pgbouncer::start_shared(&socket_of(&url), home).await),
        false => None,
    };
    watch(home, server.pid().unwrap(), pooler);
    server.detach();
    fs::write(url_file, &url).unwrap();
    url
}

/// Drops databases that killed tests left behind, and recreates the template if the migrations have changed.
async fn prepare_template(url: &str) {
    #[derive(diesel::QueryableByName)]
    struct Name {
        #[diesel(sql_type = diesel::sql_types::Text)]
        datname: String,
    }
    let mut admin = connect(url).await;
    // Autovacuum is off. A test database exists only for seconds. On a busy machine, an automatic ANALYZE of one of its tables
    // could hold a lock for longer than the lock timeout of archiving, and hundreds of databases would keep the autovacuum
    // workers busy.
    execute(&mut admin, "ALTER SYSTEM SET autovacuum = off").await.unwrap();
    execute(&mut admin, "SELECT pg_reload_conf()").await.unwrap();
    let query =
        "SELECT datname::text FROM pg_database WHERE datname LIKE 'test\\_%' OR datname LIKE 'template\\_%'";
    let known: Vec<Name> = diesel::sql_query(query).load(&mut admin).await.unwrap();
    let template = template_name();
    for stale in known.iter().filter(|name| name.datname != template) {
        let _ = admin.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", stale.datname)).await;
    }
    if known.iter().any(|name| name.datname == template) {
        return;
    }
    let unfinished = format!("{template}_unfinished");
    admin.batch_execute(&format!("CREATE DATABASE {unfinished}")).await.unwrap();
    let unfinished_url = url.replacen("/aval?", &format!("/{unfinished}?"), 1);
    aval::storage::migrations::run_pending(&unfinished_url).await.unwrap();
    let mut connection = connect(&unfinished_url).await;
    // The name of the template depends on the files in `migrations/`, but its schema comes from the compiled migrations. If
    // they differed, a template with the wrong schema would be reused.
    let applied = text(&mut connection, "SELECT count(*) FROM __diesel_schema_migrations").await;
    let folders = fs::read_dir("migrations").unwrap().count().to_string();
    assert_eq!(applied.as_deref(), Some(&*folders), "migrations/ has changed since the tests were built");
    let now = aval::clock::Clock::system().now();
    aval::storage::partitions::ensure(&mut connection, now, 1).await.unwrap();
    aval::storage::ingest::days::ensure_around(&mut connection, now, 0, 0).await.unwrap();
    drop(connection);
    let rename = format!("ALTER DATABASE {unfinished} RENAME TO {template}");
    while admin.batch_execute(&rename).await.is_err() {
        // The server may not have noticed yet that the connections above are closed.
        tokio::task::yield_now().await;
    }
}

fn template_name() -> String {
    let mut hash = Sha256::new();
    let mut folders: Vec<PathBuf> =
        fs::read_dir("migrations").unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    for folder in folders {
        hash.update(fs::read(folder.join("up.sql")).unwrap());
    }
    let digest: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("template_{digest}")
}

/// Starts a process that stops the server and its pooler when they have no users.
#[expect(clippy::zombie_processes, reason = "the process must outlive this one")]
fn watch(home: &Path, server: i32, pooler: Option<i32>) {
    let pooler = pooler.map(|pid| pid.to_string()).unwrap_or_default();
    let script = format!(
        "while sleep {LINGER_SECONDS}; do flock --exclusive --nonblock users.lock kill -INT {server} {pooler} && exit; done"
    );
    Command::new("sh")
        .args(["-c", &script])
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
}

/// The directory of the Unix socket in a URL.
fn socket_of(url: &str) -> PathBuf {
    let (_, query) = url.split_once('?').unwrap();
    query.split('&').find_map(|pair| pair.strip_prefix("host=")).unwrap().into()
}

/// The directory of PostgreSQL's programs, if it is set.
pub(crate) fn program_folder() -> Option<PathBuf> {
    std::env::var_os("AVAL_PG_BIN").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// Whether the application connects through a pooler.
pub(crate) fn has_pooler() -> bool {
    std::env::var("AVAL_TEST_POOLER").is_ok_and(|value| value == "1")
}

fn home() -> PathBuf {
    let mut name = "postgres".to_owned();
    if let Some(folder) = program_folder() {
        let digest = Sha256::digest(folder.as_os_str().as_encoded_bytes());
        name.extend(digest.iter().take(4).map(|byte| format!("{byte:02x}")));
    }
    if has_pooler() {
        name.push_str("-pooler");
    }
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&home).unwrap();
    let _ = fs::set_permissions(&home, fs::Permissions::from_mode(0o755));
    home
}

fn open_lock(path: &Path) -> File {
    File::options().create(true).truncate(false).write(true).open(path).unwrap()
}
