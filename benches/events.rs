//! Measures how many events per second pass through the relay and a consumer without an effect, on the outbox and on streams in
//! Redis: `cargo bench --bench events`. Needs the server programs of PostgreSQL and Redis.
//!
//! Absolute figures depend on the machine. Therefore the same run also measures transactions that insert one row each, and
//! prints the ratios.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may panic")]

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aval::actors::event_consumer;
use aval::app::App;
use aval::clock::Clock;
use aval::config::Settings;
use aval::error::Result;
use aval::events::consumers::Consumer;
use aval::events::consumers::type_filter::TypeFilter;
use aval::events::envelope::Envelope;
use aval::storage::Database;
use aval::supervision::handle::Handle;
use aval::supervision::root::{Arbiters, Root};
use clap::Parser;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
struct Options {
    /// The number of events.
    #[arg(long, default_value_t = 100_000)]
    events: i64,
    /// Cargo passes this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A consumer without an effect.
struct Idle;

impl Consumer for Idle {
    const NAME: &'static str = "idle";

    fn event_types(&self) -> TypeFilter {
        TypeFilter::all()
    }

    async fn handle(&self, _: &Envelope, _: &mut AsyncPgConnection) -> Result<()> {
        Ok(())
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// A Redis server on a socket in `home`.
fn start_redis(home: &std::path::Path) -> (Child, String) {
    let socket = home.join("redis.sock");
    let server = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server must be installed");
    (server, format!("unix://{}", socket.display()))
}

async fn execute(database: &Database, sql: &str) {
    sql_query(sql).execute(&mut *database.get().await.unwrap()).await.unwrap();
}

async fn count(database: &Database, sql: &str) -> i64 {
    let found: Count = sql_query(sql).get_result(&mut *database.get().await.unwrap()).await.unwrap();
    found.n
}

/// Starts the relay and a consumer, writes the events, and returns how many per second were handled.
async fn events_per_second(app: &App, events: i64) -> f64 {
    let engine = app.engine();
    let database = &engine.resources.database;
    let arbiters = Arc::new(Arbiters::start(1));
    let root = Root::new(&engine.resources, Arc::clone(&arbiters), CancellationToken::new());
    let handle = Handle::vacant(event_consumer::NAME);
    let sources = engine.shared.consumer_sources(&engine.resources);
    event_consumer::keep(&root, &handle, &engine.resources, Arc::new(Idle), sources);
    let is_ready =
        "SELECT count(*) AS n FROM consumer_partitions WHERE consumer = 'idle' AND owner IS NOT NULL";
    while count(database, is_ready).await < 16 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let write = format!(
        "SELECT count(record_event(uuid_v7_now(), 'toy.made.v1', uuid_v7_now(), NULL, jsonb_build_object('number', n))) \
         FROM generate_series(1, {events}) n"
    );
    execute(database, &write).await;
    let started = Instant::now();
    let handled = "SELECT count(*) AS n FROM inbox WHERE consumer = 'idle'";
    while count(database, handled).await < events {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = started.elapsed();
    root.stop_keeping();
    arbiters.stop();
    events as f64 / took.as_secs_f64()
}

/// How many transactions per second insert one row each, on four connections.
async fn inserts_per_second(database: &Database) -> f64 {
    execute(database, "CREATE TABLE inserts (id bigserial PRIMARY KEY, filler text)").await;
    let started = Instant::now();
    let insert = async || {
        let mut connection = database.get().await.unwrap();
        while started.elapsed() < Duration::from_secs(3) {
            let insert = sql_query("INSERT INTO inserts (filler) VALUES (repeat('x', 80))");
            insert.execute(&mut *connection).await.unwrap();
        }
    };
    join_all((0..4).map(|_| insert())).await;
    count(database, "SELECT count(*) AS n FROM inserts").await as f64 / started.elapsed().as_secs_f64()
}

async fn start(home: &std::path::Path, redis_url: &str) -> App {
    let data = home.join("data");
    let variables = HashMap::from([
        ("PORT", "0"),
        ("AVAL_DATA_DIR", data.to_str().unwrap()),
        ("REDIS_URL", redis_url),
        ("AVAL__INSTANCE__ROLES", "relay"),
        ("AVAL__DATABASE__PARTITIONS_AHEAD_MONTHS", "1"),
    ]);
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let settings = Settings::from_variables(&variables).unwrap();
    App::start(settings, Clock::system(), slog::Logger::root(slog::Discard, slog::o!())).await.unwrap()
}

#[actix_rt::main]
async fn main() {
    let options = Options::parse();
    let mut inserts = None;
    for transport in ["outbox", "streams"] {
        let home = tempfile::tempdir().unwrap();
        // The private PostgreSQL may run as another user.
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let (mut redis, url) = start_redis(home.path());
        let app = start(home.path(), if transport == "streams" { &url } else { "" }).await;
        if inserts.is_none() {
            inserts = Some(inserts_per_second(&app.engine().resources.database).await);
        }
        let inserts = inserts.unwrap_or(f64::NAN);
        let rate = events_per_second(&app, options.events).await;
        println!(
            "{transport:<8} {rate:>8.0} events/s, {inserts:>8.0} one-row inserts/s, ratio {:.1}",
            rate / inserts
        );
        let read = &app.engine().resources.metrics.event_consumer_events_read_total;
        let of = |source| read.with_label_values(&["idle", source]).get();
        println!("         read from streams: {}, from the outbox: {}", of("stream"), of("outbox"));
        app.shutdown().await;
        redis.kill().unwrap();
        redis.wait().unwrap();
    }
}
