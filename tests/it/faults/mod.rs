//! Tests of Aval's guarantees while its components are killed, frozen, disconnected, slow, out of disk space or have
//! wrong clocks.
//!
//! Each test starts a [`cluster`] of processes, runs clients ([`workload`]), breaks one component, heals it, waits
//! until no work is left, and has the [`checker`] compare the database and the clients' history with the guarantees.
//! The seed determines what is sent, where and when. `AVAL_FAULT_SEED` repeats a run, as far as processes and
//! networks can be repeated. `make faults` runs each fault `AVAL_FAULT_ROUNDS` times and writes the table of
//! docs/reliability.md from the lines of [`report`].

mod checker;
mod clock;
mod cluster;
mod consumer_checker;
mod consumers;
mod disk;
mod report;
mod roles;
mod rolling;
mod workload;

use std::time::Duration;

use nix::sys::signal::Signal;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use self::cluster::{Cluster, LEASE};
use self::report::Run;
use self::workload::{History, Workload};
use crate::support::chaos_proxy::Link;
use crate::support::db::{Server, TestDatabase, change_schema, execute, has_pooler};
use crate::support::{eventually, pace};

/// The number of applications accepted before a fault, and again after it.
const PROGRESS: usize = 12;
/// The pause between two requests of a client.
const PAUSE: Duration = Duration::from_millis(40);

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KillInstance,
    FreezeInstance,
    CutInstanceFromDatabase,
    CutAllFromDatabase,
    SilenceDatabase,
    SlowDatabase,
    StaleStatements,
    DemoteDatabase,
    SilenceListeners,
    CutBureaus,
    SilenceBureaus,
    SlowBureaus,
    KillBureaus,
    CutClients,
    SilenceClients,
    KillRedis,
    FlushRedis,
    FreezeRedis,
    CutRedis,
    SilenceRedis,
    SlowRedis,
}

impl Fault {
    /// The name in the table of docs/reliability.md.
    const fn name(self) -> &'static str {
        match self {
            Self::KillInstance => "`kill -9` of the leading instance, and its restart",
            Self::FreezeInstance => "an instance frozen (SIGSTOP) for longer than its leases, then resumed",
            Self::CutInstanceFromDatabase => "one instance cut off from PostgreSQL",
            Self::CutAllFromDatabase => "every instance cut off from PostgreSQL",
            Self::SilenceDatabase => "PostgreSQL silent for one instance; data arrives late",
            Self::SlowDatabase => "PostgreSQL delayed by 40 ms in each direction",
            Self::StaleStatements => "a column's type changed under prepared statements, repeatedly",
            Self::DemoteDatabase => "PostgreSQL demoted (read-only, its sessions killed), and promoted again",
            Self::SilenceListeners => "every `LISTEN` connection and leader's lock half-open",
            Self::CutBureaus => "bureaus cut off",
            Self::SilenceBureaus => "bureaus silent",
            Self::SlowBureaus => "bureaus 300 ms late",
            Self::KillBureaus => "`kill -9` of the bureaus, and their restart",
            Self::CutClients => "clients cut off in the middle of requests",
            Self::SilenceClients => "responses that arrive after their clients timed out",
            Self::KillRedis => "`kill -9` of Redis, and its restart without data",
            Self::FlushRedis => "Redis flushed, repeatedly",
            Self::FreezeRedis => "Redis frozen (SIGSTOP), then resumed",
            Self::CutRedis => "one instance cut off from Redis",
            Self::SilenceRedis => "Redis silent for one instance; data arrives late",
            Self::SlowRedis => "Redis delayed by 80 ms in each direction, more than a call may take",
        }
    }

    /// Whether it requires Redis.
    const fn requires_redis(self) -> bool {
        matches!(
            self,
            Self::KillRedis
                | Self::FlushRedis
                | Self::FreezeRedis
                | Self::CutRedis
                | Self::SilenceRedis
                | Self::SlowRedis
        )
    }

    /// Whether no request may fail during the fault.
    const fn fails_no_request(self) -> bool {
        matches!(self, Self::StaleStatements | Self::SilenceListeners)
    }

    /// Breaks a component and leaves it broken for a while.
    async fn inject(self, cluster: &mut Cluster, rng: &mut SmallRng) {
        let duration = Duration::from_millis(rng.random_range(1000..2500));
        let victim = match self {
            Self::KillInstance => cluster.leader(),
            _ => rng.random_range(0..cluster.instances.len()),
        };
        match self {
            Self::KillInstance => cluster.instances[victim].process.kill(),
            Self::FreezeInstance => {
                cluster.instances[victim].process.signal(Signal::SIGSTOP);
                pace(LEASE + duration).await;
                cluster.instances[victim].process.signal(Signal::SIGCONT);
            }
            Self::CutInstanceFromDatabase => cluster.instances[victim].set_database(Link::Cut),
            Self::CutAllFromDatabase => {
                cluster.instances.iter().for_each(|instance| instance.set_database(Link::Cut));
            }
            Self::SilenceDatabase => {
                cluster.instances[victim].set_database(Link::Silent);
                pace(LEASE).await;
            }
            Self::SlowDatabase => {
                let delay = Link::Slow(Duration::from_millis(40));
                cluster.instances.iter().for_each(|instance| instance.set_database(delay));
            }
            Self::StaleStatements => {
                for digits in 14..20 {
                    let widen = format!(
                        "ALTER TABLE applications ALTER COLUMN requested_amount TYPE numeric({digits}, 2)"
                    );
                    change_schema(&cluster.server, &widen).await.unwrap();
                    pace(duration / 6).await;
                }
            }
            Self::DemoteDatabase => {
                let mut sql = cluster.sql().await;
                let alter = format!("ALTER DATABASE {}", cluster.server.database);
                execute(&mut sql, &format!("{alter} SET default_transaction_read_only = on")).await.unwrap();
                let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
                execute(&mut sql, kill).await.unwrap();
                pace(duration).await;
                execute(&mut sql, &format!("{alter} RESET default_transaction_read_only")).await.unwrap();
                // Unlike a promotion, the setting applies only to new sessions. Aval replaces its own sessions, but it cannot
                // close the sessions of the pooler.
                if has_pooler() {
                    execute(&mut sql, kill).await.unwrap();
                }
            }
            Self::SilenceListeners => {
                cluster.instances.iter().for_each(|instance| instance.direct.set(Link::Silent));
                pace(LEASE).await;
            }
            Self::CutBureaus => cluster.bureau_link.set(Link::Cut),
            Self::SilenceBureaus => cluster.bureau_link.set(Link::Silent),
            Self::SlowBureaus => cluster.bureau_link.set(Link::Slow(Duration::from_millis(300))),
            Self::KillBureaus => cluster.bureau.kill(),
            Self::CutClients => {
                for _ in 0..4 {
                    cluster.instances.iter().for_each(|instance| instance.clients.set(Link::Cut));
                    pace(duration / 8).await;
                    cluster.instances.iter().for_each(|instance| instance.clients.set(Link::Up));
                    pace(duration / 8).await;
                }
            }
            Self::SilenceClients => {
                cluster.instances[victim].clients.set(Link::Silent);
                pace(Duration::from_secs(4)).await;
            }
            Self::KillRedis => cluster.redis.as_mut().unwrap().kill(),
            Self::FlushRedis => {
                for _ in 0..5 {
                    cluster.redis.as_ref().unwrap().flush();
                    pace(duration / 5).await;
                }
            }
            Self::FreezeRedis => {
                cluster.redis.as_ref().unwrap().pause();
                pace(duration).await;
                cluster.redis.as_ref().unwrap().resume();
            }
            Self::CutRedis => cluster.instances[victim].redis.as_ref().unwrap().set(Link::Cut),
            Self::SilenceRedis => cluster.instances[victim].redis.as_ref().unwrap().set(Link::Silent),
            Self::SlowRedis => {
                let delay = Link::Slow(Duration::from_millis(80));
                cluster.instances.iter().for_each(|instance| instance.redis.as_ref().unwrap().set(delay));
            }
        }
        pace(duration).await;
    }
}

/// The seed of a run.
fn seed(round: u64) -> u64 {
    let given = std::env::var("AVAL_FAULT_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    given.unwrap_or_else(|| rand::rng().random_range(0..1_000_000)) + round
}

/// The number of runs per fault.
fn rounds() -> u64 {
    std::env::var("AVAL_FAULT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Runs a fault and checks that no guarantee is violated.
async fn survive(fault: Fault) {
    for round in 0..rounds() {
        let seed = seed(round);
        let database = TestDatabase::create().await;
        // If the fault does not require Redis, the seed decides whether Redis is used. The guarantees are the same.
        let mut cluster = if fault.requires_redis() || seed.is_multiple_of(2) {
            Cluster::start_with_redis(Server::of(&database), 2).await
        } else {
            Cluster::start(Server::of(&database), 2).await
        };
        let mut rng = SmallRng::seed_from_u64(seed);
        let workload = start_workload(&cluster, seed).await;
        fault.inject(&mut cluster, &mut rng).await;
        heal_and_check(fault.name(), seed, &mut cluster, workload, fault.fails_no_request()).await;
    }
}

/// Starts clients, and waits until they are running.
async fn start_workload(cluster: &Cluster, seed: u64) -> Workload {
    let workload = Workload::start(&cluster.urls(), &cluster.token, seed, PAUSE);
    eventually("clients to be running", async || {
        (workload.all_admitted() && workload.accepted() >= PROGRESS).then_some(())
    })
    .await;
    workload
}

/// Heals everything, checks that work continues, waits until it is idle, and checks the guarantees.
async fn heal_and_check(
    name: &str,
    seed: u64,
    cluster: &mut Cluster,
    workload: Workload,
    fails_no_request: bool,
) {
    cluster.heal().await;
    let (history, mut violations) = settle(cluster.server.url().as_str(), workload).await;
    if fails_no_request {
        violations.extend(history.failed_requests());
    }
    violations.extend(cluster.leaks().await);
    let run = Run { name, seed, history: &history, violations: &violations };
    run.append();
    assert!(violations.is_empty(), "{run}\n{}", cluster.log_tails());
}

/// Waits until no work is left on the database at `url`. Returns the clients' history and all violations.
async fn settle(url: &str, mut workload: Workload) -> (History, Vec<String>) {
    let before = workload.accepted();
    eventually("work to continue", async || (workload.accepted() >= before + PROGRESS).then_some(())).await;
    workload.finish_writing().await;
    let mut sql = cluster::connect(url).await;
    let mut violations = Vec::new();
    let last = cluster::wait_until_idle(&mut sql).await.unwrap_or_else(|left| {
        violations.push(left);
        0
    });
    // The checker reports subscribers that have not received everything by then.
    let _ = tokio::time::timeout(crate::support::PATIENCE, async {
        while workload.received_up_to() < last {
            pace(Duration::from_millis(20)).await;
        }
    })
    .await;
    let history = workload.finish().await;
    violations.extend(checker::violations(&mut sql, &history).await);
    (history, violations)
}

#[actix_rt::test]
async fn nothing_is_lost_when_the_leading_instance_is_killed() {
    survive(Fault::KillInstance).await;
}

#[actix_rt::test]
async fn nothing_happens_twice_when_a_frozen_instance_resumes() {
    survive(Fault::FreezeInstance).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_an_instance_is_disconnected_from_the_database() {
    survive(Fault::CutInstanceFromDatabase).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_every_instance_is_disconnected_from_the_database() {
    survive(Fault::CutAllFromDatabase).await;
}

#[actix_rt::test]
async fn nothing_happens_twice_when_data_reaches_the_database_late() {
    survive(Fault::SilenceDatabase).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_the_database_is_slow() {
    survive(Fault::SlowDatabase).await;
}

#[actix_rt::test]
async fn no_request_fails_when_the_schema_changes_under_prepared_statements() {
    survive(Fault::StaleStatements).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_the_database_is_demoted_and_promoted_again() {
    survive(Fault::DemoteDatabase).await;
}

#[actix_rt::test]
async fn no_request_fails_when_listeners_and_leaders_are_half_open() {
    survive(Fault::SilenceListeners).await;
}

#[actix_rt::test]
async fn everything_is_decided_when_bureaus_are_disconnected_for_a_while() {
    survive(Fault::CutBureaus).await;
}

#[actix_rt::test]
async fn everything_is_decided_when_bureaus_are_silent_for_a_while() {
    survive(Fault::SilenceBureaus).await;
}

#[actix_rt::test]
async fn everything_is_decided_when_bureaus_are_slow() {
    survive(Fault::SlowBureaus).await;
}

#[actix_rt::test]
async fn everything_is_decided_when_bureaus_are_killed() {
    survive(Fault::KillBureaus).await;
}

#[actix_rt::test]
async fn nothing_is_accepted_twice_when_clients_are_disconnected() {
    survive(Fault::CutClients).await;
}

#[actix_rt::test]
async fn nothing_is_accepted_twice_when_responses_arrive_too_late() {
    survive(Fault::SilenceClients).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_redis_is_killed() {
    survive(Fault::KillRedis).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_redis_is_flushed() {
    survive(Fault::FlushRedis).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_redis_is_frozen() {
    survive(Fault::FreezeRedis).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_an_instance_is_disconnected_from_redis() {
    survive(Fault::CutRedis).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_data_reaches_redis_late() {
    survive(Fault::SilenceRedis).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_redis_is_slow() {
    survive(Fault::SlowRedis).await;
}
