//! Measures whether claiming and completing jobs slows down with the number of finished jobs: `cargo bench --bench
//! claims`, on the server of `DATABASE_URL` or a private one.
//!
//! The benchmark creates two databases on the server: one without history, one with `--finished` jobs in `job_history`.
//! Absolute times depend on the machine, so only the ratio between the two databases is meaningful. Rounds alternate
//! between the databases, and the order changes with each round. A round queues a batch (not timed), then claims and
//! completes it (timed). Both databases are dropped afterwards. The database of `DATABASE_URL` itself is not changed.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may panic")]

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use aval::clock::Clock;
use aval::domain::application::Country;
use aval::embedded::{EmbeddedPostgres, EmbeddedSettings};
use aval::storage::jobs::{self, Claim, KnownTask, Quota};
use aval::storage::{migrations, partitions};
use clap::Parser;
use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};

/// One lane per country.
fn lanes() -> [&'static str; Country::ALL.len()] {
    Country::ALL.map(Country::code)
}

#[derive(Parser)]
struct Options {
    /// The number of finished jobs in the history of the second database.
    #[arg(long, default_value_t = 5_000_000)]
    finished: u64,
    /// The number of measured rounds per database. A tenth as many warm-up rounds run first.
    #[arg(long, default_value_t = 600)]
    rounds: u32,
    /// The number of jobs per round.
    #[arg(long, default_value_t = 64)]
    batch: u32,
    /// The time after which no further round begins, in seconds.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Cargo passes this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A database to measure, with its measured times: of each claim, and of each whole round.
struct Subject {
    name: String,
    finished: u64,
    connection: AsyncPgConnection,
    claims: Vec<Duration>,
    rounds: Vec<Duration>,
}

#[actix_rt::main]
async fn main() {
    let options = Options::parse();
    let folder = tempfile::tempdir().unwrap();
    // PostgreSQL does not run as root. If root starts it, it runs as another user, who needs access to the folder.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (url, private) = server(folder.path()).await;
    let mut admin = AsyncPgConnection::establish(&url).await.expect("a connection to the database");
    let mut subjects = Vec::new();
    for finished in [0, options.finished] {
        subjects.push(Subject::make(&mut admin, &url, finished).await);
    }
    measure(&options, &mut subjects).await;
    report(&options, &mut subjects);
    for Subject { name, connection, .. } in subjects {
        drop(connection);
        admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    }
    drop(admin);
    if let Some(server) = private {
        server.stop().await.unwrap();
    }
}

/// The server's URL, and the server itself if it is private.
async fn server(folder: &std::path::Path) -> (String, Option<EmbeddedPostgres>) {
    if let Ok(url) = std::env::var("DATABASE_URL") {
        return (url, None);
    }
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let settings = EmbeddedSettings {
        durable: false,
        superuser_connects: true,
        fallback_dir: folder.join("fallback"),
        ..EmbeddedSettings::new(folder.join("data"))
    };
    let server = EmbeddedPostgres::start(settings, logger).await.expect("a private PostgreSQL");
    (server.superuser_url(), Some(server))
}

impl Subject {
    async fn make(admin: &mut AsyncPgConnection, url: &str, finished: u64) -> Self {
        let clock = Clock::system();
        let name = format!("claims_{}", clock.new_uuid().simple());
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let own = with_database(url, &name);
        migrations::run_pending(&own).await.unwrap();
        let mut connection = AsyncPgConnection::establish(&own).await.unwrap();
        partitions::ensure(&mut connection, clock.now(), 1).await.unwrap();
        let started = Instant::now();
        // The rows belong to this month's partition, which the measured jobs also use.
        let fill = format!(
            "INSERT INTO job_history (id, task_name, application_id, result, attempt, created_at) \
             SELECT uuid_v7_now(), 'process_credit_application', gen_random_uuid(), 'completed', 1, now() \
             FROM generate_series(1, {finished})"
        );
        connection.batch_execute(&fill).await.unwrap();
        for settle in ["VACUUM ANALYZE job_history", "VACUUM ANALYZE pending_jobs", "CHECKPOINT"] {
            connection.batch_execute(settle).await.unwrap();
        }
        println!("{finished} finished jobs written in {:.1?}", started.elapsed());
        Self { name, finished, connection, claims: Vec::new(), rounds: Vec::new() }
    }

    /// Runs one round. Returns the time of the claim and of the whole round.
    async fn round(&mut self, claim: &Claim) -> (Duration, Duration) {
        let queue = format!(
            "INSERT INTO pending_jobs (task_name, lane, run_at) SELECT 'process_credit_application', \
             (ARRAY['{}'])[1 + n % {}], now() FROM generate_series(1, {}) n",
            lanes().join("', '"),
            lanes().len(),
            claim.limit
        );
        self.connection.batch_execute(&queue).await.unwrap();
        let started = Instant::now();
        let claimed = jobs::claim(&mut self.connection, claim).await.unwrap().jobs;
        let claiming = started.elapsed();
        assert_eq!(i32::try_from(claimed.len()).unwrap(), claim.limit);
        let leases: Vec<_> = claimed.iter().map(|job| job.lease).collect();
        let ended = jobs::supersede(&mut self.connection, &leases).await.unwrap();
        assert!(ended.into_iter().all(|held| held));
        (claiming, started.elapsed())
    }
}

/// The URL of another database on the same server.
fn with_database(url: &str, name: &str) -> String {
    let (head, query) = url.split_once('?').map_or((url, None), |(head, query)| (head, Some(query)));
    let (server, _) = head.rsplit_once('/').expect("a URL such as postgres://user@host/database");
    query.map_or(format!("{server}/{name}"), |query| format!("{server}/{name}?{query}"))
}

async fn measure(options: &Options, subjects: &mut [Subject]) {
    let claim = Claim {
        worker: "benchmark".to_owned(),
        limit: i32::try_from(options.batch).unwrap(),
        lease_ms: 30_000,
        tasks: vec![KnownTask { name: "process_credit_application", max_attempts: 3 }],
        lanes: lanes().map(Quota::whole).to_vec(),
    };
    let (warm_up, started) = (options.rounds / 10, Instant::now());
    for round in 0..options.rounds + warm_up {
        if started.elapsed() > Duration::from_secs(options.seconds) {
            println!("out of time after {round} rounds");
            return;
        }
        subjects.reverse();
        for subject in subjects.iter_mut() {
            let (claiming, whole) = subject.round(&claim).await;
            if round >= warm_up {
                subject.claims.push(claiming);
                subject.rounds.push(whole);
            }
        }
    }
}

fn median<T: Copy + PartialOrd>(values: &mut [T]) -> Option<T> {
    values.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied()
}

/// The median of the per-round ratios. A temporary slowdown of the machine affects both times of a round.
fn ratio(times: &[Duration], base: &[Duration]) -> f64 {
    let pairs = times.iter().zip(base);
    let mut ratios: Vec<f64> = pairs.map(|(time, base)| time.as_secs_f64() / base.as_secs_f64()).collect();
    median(&mut ratios).unwrap_or(f64::NAN)
}

fn report(options: &Options, subjects: &mut [Subject]) {
    subjects.sort_by_key(|subject| subject.finished);
    let Some(first) = subjects.first() else { return };
    println!(
        "{} jobs per round, {} alternating rounds per database; ratios compare rounds pairwise",
        options.batch,
        first.rounds.len()
    );
    for subject in subjects.iter() {
        let claim = median(&mut subject.claims.clone()).unwrap_or_default();
        let round = median(&mut subject.rounds.clone()).unwrap_or_default();
        println!(
            "{:>9} finished: claim p50 {claim:.2?} ({:.3} times the first), claim and complete p50 {round:.2?} ({:.3})",
            subject.finished,
            ratio(&subject.claims, &first.claims),
            ratio(&subject.rounds, &first.rounds),
        );
    }
}
