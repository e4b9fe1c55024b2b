//! What Aval promises, while its parts are killed, frozen, cut off, slow, out of space or in another time.
//!
//! Each test starts a [`cluster`] of processes, puts clients to work ([`workload`]), breaks one thing, heals it, waits until
//! nothing is left to do, and has one [`checker`] judge the database and everything that the clients have seen. The seed
//! decides what is sent, where and when: `AVAL_FAULT_SEED` repeats a run, as far as processes and networks can be
//! repeated. `make faults` runs each fault `AVAL_FAULT_ROUNDS` times and writes the table of docs/reliability.md from the
//! lines that [`report`] appends.

mod checker;
mod clock;
mod cluster;
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
use crate::support::db::{Server, TestDatabase, execute};
use crate::support::{eventually, pace};

/// Applications that are accepted before a fault, and again after it.
const SOME: usize = 12;
/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(40);

/// What is broken.
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
    /// As the table names it.
    const fn name(self) -> &'static str {
        match self {
            Self::KillInstance => "`kill -9` of the instance that leads, and its restart",
            Self::FreezeInstance => "an instance frozen (SIGSTOP) for longer than its leases, then going on",
            Self::CutInstanceFromDatabase => "one instance cut off from PostgreSQL",
            Self::CutAllFromDatabase => "every instance cut off from PostgreSQL",
            Self::SilenceDatabase => "PostgreSQL silent for one instance; what was sent arrives late",
            Self::SlowDatabase => "every piece to and from PostgreSQL 40 ms late",
            Self::StaleStatements => "a column's type changed under prepared statements, again and again",
            Self::DemoteDatabase => "PostgreSQL demoted (read-only, its sessions killed), and promoted again",
            Self::SilenceListeners => "every `LISTEN` connection and leader's lock half-open",
            Self::CutBureaus => "bureaus cut off",
            Self::SilenceBureaus => "bureaus silent",
            Self::SlowBureaus => "bureaus 300 ms late",
            Self::KillBureaus => "`kill -9` of the bureaus, and their restart",
            Self::CutClients => "clients cut off in the middle of requests",
            Self::SilenceClients => "answers that arrive after their clients gave up",
            Self::KillRedis => "`kill -9` of Redis, and its restart with nothing in it",
            Self::FlushRedis => "Redis flushed, again and again",
            Self::FreezeRedis => "Redis frozen (SIGSTOP), then going on",
            Self::CutRedis => "one instance cut off from Redis",
            Self::SilenceRedis => "Redis silent for one instance; what was sent arrives late",
            Self::SlowRedis => "every piece to and from Redis 80 ms late, beyond what a call may take",
        }
    }

    /// Whether it needs a Redis.
    const fn is_of_redis(self) -> bool {
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

    /// Whether no request may fail meanwhile.
    const fn fails_no_request(self) -> bool {
        matches!(self, Self::StaleStatements | Self::SilenceListeners)
    }

    /// Breaks it and leaves it broken for a while.
    async fn inject(self, cluster: &mut Cluster, dice: &mut SmallRng) {
        let a_while = Duration::from_millis(dice.random_range(1000..2500));
        let victim = match self {
            Self::KillInstance => cluster.leader(),
            _ => dice.random_range(0..cluster.instances.len()),
        };
        match self {
            Self::KillInstance => cluster.instances[victim].process.kill(),
            Self::FreezeInstance => {
                cluster.instances[victim].process.signal(Signal::SIGSTOP);
                pace(LEASE + a_while).await;
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
                let late = Link::Slow(Duration::from_millis(40));
                cluster.instances.iter().for_each(|instance| instance.set_database(late));
            }
            Self::StaleStatements => {
                for digits in 14..20 {
                    let widen = format!(
                        "ALTER TABLE applications ALTER COLUMN requested_amount TYPE numeric({digits}, 2)"
                    );
                    execute(&mut cluster.sql().await, &widen).await.unwrap();
                    pace(a_while / 6).await;
                }
            }
            Self::DemoteDatabase => {
                let mut sql = cluster.sql().await;
                let alter = format!("ALTER DATABASE {}", cluster.server.database);
                execute(&mut sql, &format!("{alter} SET default_transaction_read_only = on")).await.unwrap();
                let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
                execute(&mut sql, kill).await.unwrap();
                pace(a_while).await;
                execute(&mut sql, &format!("{alter} RESET default_transaction_read_only")).await.unwrap();
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
                    pace(a_while / 8).await;
                    cluster.instances.iter().for_each(|instance| instance.clients.set(Link::Whole));
                    pace(a_while / 8).await;
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
                    pace(a_while / 5).await;
                }
            }
            Self::FreezeRedis => {
                cluster.redis.as_ref().unwrap().pause();
                pace(a_while).await;
                cluster.redis.as_ref().unwrap().resume();
            }
            Self::CutRedis => cluster.instances[victim].redis.as_ref().unwrap().set(Link::Cut),
            Self::SilenceRedis => cluster.instances[victim].redis.as_ref().unwrap().set(Link::Silent),
            Self::SlowRedis => {
                let late = Link::Slow(Duration::from_millis(80));
                cluster.instances.iter().for_each(|instance| instance.redis.as_ref().unwrap().set(late));
            }
        }
        pace(a_while).await;
    }
}

/// The seed of a round.
fn seed(round: u64) -> u64 {
    let given = std::env::var("AVAL_FAULT_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    given.unwrap_or_else(|| rand::rng().random_range(0..1_000_000)) + round
}

/// How often each fault is tried.
fn rounds() -> u64 {
    std::env::var("AVAL_FAULT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Tries a fault, and expects that no promise is broken.
async fn survive(fault: Fault) {
    for round in 0..rounds() {
        let seed = seed(round);
        let database = TestDatabase::create().await;
        // Whatever else is broken must not matter to those with a Redis nor to those without.
        let mut cluster = if fault.is_of_redis() || seed.is_multiple_of(2) {
            Cluster::start_with_redis(Server::of(&database), 2).await
        } else {
            Cluster::start(Server::of(&database), 2).await
        };
        let mut dice = SmallRng::seed_from_u64(seed);
        let workload = work(&cluster, seed).await;
        fault.inject(&mut cluster, &mut dice).await;
        judge(fault.name(), seed, &mut cluster, workload, fault.fails_no_request()).await;
    }
}

/// Sets clients to work, and waits until they are under way.
async fn work(cluster: &Cluster, seed: u64) -> Workload {
    let workload = Workload::start(&cluster.urls(), &cluster.token, seed, PAUSE);
    eventually("clients to be under way", async || {
        (workload.everybody_listens() && workload.accepted() >= SOME).then_some(())
    })
    .await;
    workload
}

/// Heals everything, sees that work goes on, lets it come to rest, and judges.
async fn judge(name: &str, seed: u64, cluster: &mut Cluster, workload: Workload, fails_no_request: bool) {
    cluster.heal().await;
    let (history, mut violations) = settle(cluster.server.url().as_str(), workload).await;
    if fails_no_request {
        violations.extend(history.failed_requests());
    }
    violations.extend(cluster.leaks().await);
    let run = Run { name, seed, history: &history, violations: &violations };
    run.append();
    assert!(violations.is_empty(), "{run}\n{}", cluster.last_words());
}

/// Waits until nothing is left to do on the database at `url`, and gives what the clients have seen, with every violation.
async fn settle(url: &str, mut workload: Workload) -> (History, Vec<String>) {
    let before = workload.accepted();
    eventually("work to go on", async || (workload.accepted() >= before + SOME).then_some(())).await;
    workload.finish_writing().await;
    let mut sql = cluster::connect(url).await;
    let mut violations = Vec::new();
    let last = cluster::come_to_rest(&mut sql).await.unwrap_or_else(|left| {
        violations.push(left);
        0
    });
    // Who has not heard everything by then is named by the checker.
    let _ = tokio::time::timeout(crate::support::PATIENCE, async {
        while workload.heard_up_to() < last {
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
async fn nothing_happens_twice_when_a_frozen_instance_goes_on() {
    survive(Fault::FreezeInstance).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_an_instance_is_cut_off_from_its_database() {
    survive(Fault::CutInstanceFromDatabase).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_every_instance_is_cut_off_from_the_database() {
    survive(Fault::CutAllFromDatabase).await;
}

#[actix_rt::test]
async fn nothing_happens_twice_when_the_database_hears_an_instance_late() {
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
async fn everybody_is_decided_when_bureaus_are_cut_off_for_a_while() {
    survive(Fault::CutBureaus).await;
}

#[actix_rt::test]
async fn everybody_is_decided_when_bureaus_are_silent_for_a_while() {
    survive(Fault::SilenceBureaus).await;
}

#[actix_rt::test]
async fn everybody_is_decided_when_bureaus_are_slow() {
    survive(Fault::SlowBureaus).await;
}

#[actix_rt::test]
async fn everybody_is_decided_when_bureaus_are_killed() {
    survive(Fault::KillBureaus).await;
}

#[actix_rt::test]
async fn nothing_is_accepted_twice_when_clients_are_cut_off() {
    survive(Fault::CutClients).await;
}

#[actix_rt::test]
async fn nothing_is_accepted_twice_when_answers_come_too_late() {
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
async fn nothing_is_lost_when_redis_stands_still() {
    survive(Fault::FreezeRedis).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_an_instance_is_cut_off_from_redis() {
    survive(Fault::CutRedis).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_redis_hears_an_instance_late() {
    survive(Fault::SilenceRedis).await;
}

#[actix_rt::test]
async fn nothing_is_lost_when_redis_is_slow() {
    survive(Fault::SlowRedis).await;
}
