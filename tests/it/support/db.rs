//! A database for each test, cloned from a migrated template on a shared server.
//!
//! Some test runners run every test in its own process, so no process owns the server. The first test that needs it
//! starts it under a lock and leaves it running. Every user holds a shared lock on `users.lock`. A watchdog stops the
//! server once it gets that lock exclusively, which is when the last user has ended in any way.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use aval::embedded::{EmbeddedPostgres, EmbeddedSettings};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use sha2::{Digest, Sha256};

/// How long the server outlives its last user in seconds, so consecutive short processes share it.
const LINGER_SECONDS: u32 = 10;

/// A test's own database, which is dropped with this value.
pub(crate) struct TestDatabase {
    name: String,
    url: String,
    server: ServerUser,
}

impl TestDatabase {
    /// A new, migrated database.
    pub(crate) async fn create() -> Self {
        let server = ServerUser::join().await;
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut admin = connect(&server.url_of("postgres")).await;
        let statement = format!("CREATE DATABASE {name} TEMPLATE {}", template_name());
        admin.batch_execute(&statement).await.unwrap();
        Self { url: server.url_of(&name), name, server }
    }

    /// A new, empty database.
    pub(crate) async fn create_empty() -> Self {
        let server = ServerUser::join().await;
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut admin = connect(&server.url_of("postgres")).await;
        admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.unwrap();
        Self { url: server.url_of(&name), name, server }
    }

    /// The URL of the database.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A connection for plain SQL.
    pub(crate) async fn connect(&self) -> AsyncPgConnection {
        connect(&self.url).await
    }
}

impl Drop for TestDatabase {
    /// Drops the database despite open connections. A leftover is dropped by the next start.
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

/// The address of PostgreSQL.
pub(crate) struct Server {
    /// The directory of its socket.
    pub(crate) socket: PathBuf,
    /// The name of the database.
    pub(crate) database: String,
}

impl Server {
    /// The address of `database` on the shared server.
    pub(crate) fn of(database: &TestDatabase) -> Self {
        let (path, query) = database.url().split_once('?').unwrap();
        let socket = query.split('&').find_map(|pair| pair.strip_prefix("host=")).unwrap();
        Self { socket: socket.into(), database: path.rsplit('/').next().unwrap().to_owned() }
    }

    /// The URL that bypasses all proxies.
    pub(crate) fn url(&self) -> String {
        format!("postgresql:///{}?user=aval&host={}", self.database, self.socket.display())
    }

    /// The socket itself.
    pub(crate) fn socket_file(&self) -> PathBuf {
        self.socket.join(".s.PGSQL.5432")
    }
}

/// Runs plain SQL.
pub(crate) async fn execute(connection: &mut AsyncPgConnection, sql: &str) -> diesel::QueryResult<usize> {
    diesel::sql_query(sql).execute(connection).await
}

/// A single text from plain SQL; `None` without a row.
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

/// A connection to any database of the server, as the URL's user.
pub(crate) async fn connect(url: &str) -> AsyncPgConnection {
    AsyncPgConnection::establish(url).await.unwrap()
}

/// A user of the shared server.
struct ServerUser {
    url: String,
    _lock: File,
}

impl ServerUser {
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
        superuser_connects: true,
        start_timeout: Duration::from_secs(60),
        fallback_dir: home.join("fallback"),
        ..EmbeddedSettings::new(home.join("data"))
    };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let server = EmbeddedPostgres::start(settings, logger).await.unwrap();
    let url = server.superuser_url();
    prepare_template(&url).await;
    watch(home, server.pid().unwrap());
    server.detach();
    fs::write(url_file, &url).unwrap();
    url
}

/// Drops leftovers of killed tests and recreates the template after a migration has changed.
async fn prepare_template(url: &str) {
    #[derive(diesel::QueryableByName)]
    struct Name {
        #[diesel(sql_type = diesel::sql_types::Text)]
        datname: String,
    }
    let mut admin = connect(url).await;
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
    // The name comes from the folder and the schema from the compiled migrations. If they differed, the template would
    // stay wrong.
    let applied = text(&mut connection, "SELECT count(*) FROM __diesel_schema_migrations").await;
    let folders = fs::read_dir("migrations").unwrap().count().to_string();
    assert_eq!(applied.as_deref(), Some(&*folders), "migrations/ has changed since the tests were built");
    let now = aval::clock::Clock::system().now();
    aval::storage::partitions::ensure(&mut connection, now, 1).await.unwrap();
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

/// Starts a process that stops the server when it has no users.
#[expect(clippy::zombie_processes, reason = "it must outlive this process")]
fn watch(home: &Path, pid: i32) {
    let script = format!(
        "while sleep {LINGER_SECONDS}; do flock --exclusive --nonblock users.lock kill -INT {pid} && exit; done"
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

fn home() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
    fs::create_dir_all(&home).unwrap();
    let _ = fs::set_permissions(&home, fs::Permissions::from_mode(0o755));
    home
}

fn open_lock(path: &Path) -> File {
    File::options().create(true).truncate(false).write(true).open(path).unwrap()
}
