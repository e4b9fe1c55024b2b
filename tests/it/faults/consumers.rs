//! Faults of consumers and of the relay.
//!
//! The effect of an event is the delivery that the consumer `webhook_deliveries` of the binary creates for it. A trigger
//! records every delivery in a table without constraints, so a repeated effect is visible. It also makes events of
//! certain types slow, fail, or wait until their instance has been killed.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use super::cluster::{Cluster, connect};
use super::report::ConsumerRun;
use super::{consumer_checker, rounds, seed};
use crate::support::db::{Server, TestDatabase, execute, text};
use crate::support::{eventually, pace};

/// The number of effects before a fault, and again after it.
const PROGRESS: usize = 40;
const SUBJECTS: u128 = 24;
/// The pause between two events.
const PAUSE: Duration = Duration::from_millis(10);

const MADE: &str = "toy.made.v1";
/// Takes 100 ms.
const SLOW: &str = "toy.slow.v1";
/// Always fails.
pub(super) const POISON: &str = "toy.poison.v1";
/// Waits until its instance is killed.
pub(super) const FATAL: &str = "toy.fatal.v1";
/// Waits while the switch of the same name is on.
const HELD: &str = "toy.held.v1";
/// The switch that makes the relay wait while it assigns offsets.
const PUBLISHING: &str = "publishing";

const PREPARE: &str = "
    CREATE TABLE effects (seq bigserial, event_id uuid NOT NULL, subject uuid NOT NULL);
    CREATE TABLE switches (name text PRIMARY KEY);
    INSERT INTO switches VALUES ('toy.fatal.v1');
    CREATE FUNCTION wait_while_on(switch text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        WHILE EXISTS (SELECT FROM switches WHERE name = switch) LOOP
            PERFORM pg_sleep(0.02);
        END LOOP;
    END
    $$;
    CREATE FUNCTION take_effect() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO effects (event_id, subject) VALUES (NEW.message_id, NEW.subject);
        PERFORM wait_while_on(NEW.event_type);
        IF NEW.event_type = 'toy.slow.v1' THEN
            PERFORM pg_sleep(0.1);
        ELSIF NEW.event_type = 'toy.poison.v1' THEN
            RAISE EXCEPTION 'it always fails';
        END IF;
        RETURN NEW;
    END
    $$;
    CREATE TRIGGER take_effect BEFORE INSERT ON webhook_deliveries FOR EACH ROW EXECUTE FUNCTION take_effect();
    CREATE FUNCTION publish_slowly() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM wait_while_on('publishing');
        RETURN NEW;
    END
    $$;
    CREATE TRIGGER publish_slowly BEFORE UPDATE ON outbox FOR EACH ROW
        WHEN (OLD.relay_offset IS NULL AND NEW.relay_offset IS NOT NULL) EXECUTE FUNCTION publish_slowly();
    INSERT INTO webhook_endpoints (id, url, event_types, created_by)
        VALUES (gen_random_uuid(), 'https://example.com/', '{toy.*}', 'test')";

/// A fault of consumers or of what they depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KillConsumer,
    KillRelay,
    FlushRedis,
    StopRedis,
    SlowConsumer,
    PoisonEvent,
    FatalEvent,
}

impl Fault {
    /// The name in the table of docs/reliability.md.
    const fn name(self) -> &'static str {
        match self {
            Self::KillConsumer => "`kill -9` of an instance whose consumer is in the middle of an effect",
            Self::KillRelay => "`kill -9` of the leading relay while it publishes",
            Self::FlushRedis => "Redis flushed, repeatedly",
            Self::StopRedis => "`kill -9` of Redis, and its restart without data after a while",
            Self::SlowConsumer => "a consumer that is slower than its leases are long",
            Self::PoisonEvent => "events that always fail",
            Self::FatalEvent => "an event that ends the process of every instance that attempts it",
        }
    }

    const fn requires_redis(self) -> bool {
        matches!(self, Self::FlushRedis | Self::StopRedis)
    }

    async fn inject(self, stage: &mut Stage) {
        match self {
            Self::KillConsumer => {
                for _ in 0..if is_long() { 4 } else { 1 } {
                    stage.kill_in_effect().await;
                }
            }
            Self::KillRelay => stage.kill_while_publishing().await,
            Self::FlushRedis => {
                for _ in 0..if is_long() { 50 } else { 5 } {
                    stage.cluster.redis.as_ref().unwrap().flush();
                    pace(Duration::from_millis(100)).await;
                }
            }
            Self::StopRedis => {
                stage.cluster.redis.as_mut().unwrap().kill();
                pace(Duration::from_secs(if is_long() { 60 } else { 2 })).await;
            }
            Self::SlowConsumer => {
                // They belong to one partition, so one transaction takes three seconds. A lease lasts one second.
                for _ in 0..if is_long() { 6 } else { 1 } {
                    let subject = stage.any_subject();
                    let many = format!(
                        "SELECT record_event(uuid_v7_now(), '{SLOW}', '{subject}', NULL, '{{}}') FROM generate_series(1, 30)"
                    );
                    stage.execute(&many).await;
                    stage.progress(30).await;
                }
            }
            Self::PoisonEvent => {
                for _ in 0..5 {
                    let subject = stage.any_subject();
                    stage.write(POISON, subject).await;
                    stage.write(MADE, subject).await;
                    pace(Duration::from_millis(100)).await;
                }
            }
            Self::FatalEvent => stage.die_of_an_event().await,
        }
    }
}

/// Whether this is a run of `make faults`.
fn is_long() -> bool {
    std::env::var_os("AVAL_FAULT_LONG").is_some()
}

/// Instances that publish and consume events, and a writer of events.
struct Stage {
    cluster: Cluster,
    sql: AsyncPgConnection,
    rng: SmallRng,
}

impl Stage {
    async fn open(server: Server, fault: Fault, seed: u64) -> Self {
        let has_redis = fault.requires_redis() || seed.is_multiple_of(2);
        let redis = has_redis.then(crate::support::redis::RedisServer::start);
        let cluster = Cluster::start_with_roles(server, redis, &["relay,consumer"; 3]).await;
        let mut sql = cluster.sql().await;
        sql.batch_execute(PREPARE).await.unwrap();
        Self { cluster, sql, rng: SmallRng::seed_from_u64(seed) }
    }

    fn any_subject(&mut self) -> Uuid {
        subject(&mut self.rng)
    }

    async fn write(&mut self, event_type: &str, subject: Uuid) {
        write(&mut self.sql, event_type, subject).await;
    }

    async fn execute(&mut self, statement: &str) {
        execute(&mut self.sql, statement).await.unwrap();
    }

    async fn count(&mut self, what: &str) -> usize {
        text(&mut self.sql, &format!("SELECT count(*) FROM {what}")).await.unwrap().parse().unwrap()
    }

    async fn switch_on(&mut self, name: &str) {
        self.execute(&format!("INSERT INTO switches VALUES ('{name}')")).await;
    }

    async fn switch_off(&mut self, name: &str) {
        self.execute(&format!("DELETE FROM switches WHERE name = '{name}'")).await;
    }

    /// Waits until `count` further events had their effect.
    async fn progress(&mut self, count: usize) {
        let before = self.count("effects").await;
        eventually("effects", async || (self.count("effects").await >= before + count).then_some(())).await;
    }

    /// Whether a trigger waits on one of the instances.
    async fn is_waiting(&mut self) -> bool {
        self.count("pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'").await > 0
    }

    /// The index of the instance that owns the partition of a subject.
    async fn owner_of(&mut self, subject: Uuid) -> usize {
        let partition = subject.as_bytes()[15] & 0x0f;
        let query = format!(
            "SELECT split_part(owner, '-', 1) FROM consumer_partitions \
             WHERE consumer = 'webhook_deliveries' AND partition = {partition}"
        );
        let pid: u32 = text(&mut self.sql, &query).await.unwrap().parse().unwrap();
        let instances = self.cluster.instances.iter();
        instances
            .map(|instance| instance.process.pid())
            .position(|other| other == pid)
            .expect("an owner that runs")
    }

    /// Kills the instance that owns the partition of a subject, as the kernel does: it also closes its connections.
    async fn kill_owner(&mut self, subject: Uuid) {
        let owner = self.owner_of(subject).await;
        let process = &mut self.cluster.instances[owner].process;
        process.kill();
        process.spawn();
        let sleeping = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE datname = current_database() AND (wait_event = 'PgSleep' OR query LIKE '%webhook_deliveries%') \
                AND state = 'active' AND pid <> pg_backend_pid()";
        eventually("the connection to end", async || {
            self.execute(sleeping).await;
            (!self.is_waiting().await).then_some(())
        })
        .await;
    }

    async fn kill_in_effect(&mut self) {
        let subject = self.any_subject();
        self.switch_on(HELD).await;
        self.write(HELD, subject).await;
        self.write(MADE, subject).await;
        eventually("the effect to begin", async || self.is_waiting().await.then_some(())).await;
        let owner = self.owner_of(subject).await;
        self.cluster.instances[owner].process.kill();
        // The statement of the killed instance ends now, and its transaction is rolled back.
        self.switch_off(HELD).await;
        self.cluster.instances[owner].process.spawn();
        self.progress(PROGRESS).await;
    }

    async fn kill_while_publishing(&mut self) {
        let leader = self.cluster.leader();
        self.switch_on(PUBLISHING).await;
        eventually("the relay to publish", async || self.is_waiting().await.then_some(())).await;
        self.cluster.instances[leader].process.kill();
        self.switch_off(PUBLISHING).await;
    }

    async fn die_of_an_event(&mut self) {
        let subject = self.any_subject();
        self.write(MADE, subject).await;
        self.write(FATAL, subject).await;
        self.write(MADE, subject).await;
        let mut killed = 0;
        loop {
            let is_dead = eventually("an attempt or a dead letter", async || {
                let is_dead = self.count("deferred_events WHERE dead_since IS NOT NULL").await > 0;
                (is_dead || self.is_waiting().await).then_some(is_dead)
            })
            .await;
            if is_dead {
                break;
            }
            self.kill_owner(subject).await;
            killed += 1;
            assert!(killed < 10, "the event ends one instance after another\n{}", self.cluster.log_tails());
        }
        // One in the first batch, and one for each attempt.
        assert_eq!(killed, 4);
    }
}

fn subject(rng: &mut SmallRng) -> Uuid {
    Uuid::from_u128(0x7000_8000_0000_0000_0000 + rng.random_range(0..SUBJECTS))
}

async fn write(sql: &mut AsyncPgConnection, event_type: &str, subject: Uuid) {
    let write = format!("SELECT record_event(uuid_v7_now(), '{event_type}', '{subject}', NULL, '{{}}')");
    execute(sql, &write).await.unwrap();
}

/// Writes events until it is finished.
struct Writer {
    is_finished: Rc<Cell<bool>>,
    task: actix_rt::task::JoinHandle<()>,
}

impl Writer {
    async fn start(url: &str, seed: u64) -> Self {
        let is_finished = Rc::new(Cell::new(false));
        let mut sql = connect(url).await;
        let mut rng = SmallRng::seed_from_u64(seed + 1);
        let stop = Rc::clone(&is_finished);
        let task = actix_rt::spawn(async move {
            while !stop.get() {
                write(&mut sql, MADE, subject(&mut rng)).await;
                pace(PAUSE).await;
            }
        });
        Self { is_finished, task }
    }

    async fn finish(self) {
        self.is_finished.set(true);
        self.task.await.unwrap();
    }
}

/// Runs a fault and checks that every event had its effect exactly once and in order.
async fn survive(fault: Fault) {
    for round in 0..rounds() {
        let seed = seed(round);
        let database = TestDatabase::create().await;
        let mut stage = Stage::open(Server::of(&database), fault, seed).await;
        let writer = Writer::start(&stage.cluster.server.url(), seed).await;
        stage.progress(PROGRESS).await;
        fault.inject(&mut stage).await;
        stage.cluster.heal().await;
        stage.progress(PROGRESS).await;
        writer.finish().await;
        let mut violations = consumer_checker::violations(&mut stage.sql).await;
        violations.extend(stage.cluster.leaks().await);
        let run = ConsumerRun {
            name: fault.name(),
            seed,
            events: stage.count("outbox WHERE type LIKE 'toy.%'").await,
            effects: stage.count("effects").await,
            dead_letters: stage.count("deferred_events WHERE dead_since IS NOT NULL").await,
            violations: &violations,
        };
        run.append();
        assert!(violations.is_empty(), "{run}\n{}", stage.cluster.log_tails());
    }
}

#[actix_rt::test]
async fn effects_happen_once_when_a_consumer_is_killed_in_the_middle_of_one() {
    survive(Fault::KillConsumer).await;
}

#[actix_rt::test]
async fn effects_happen_once_when_the_relay_is_killed_while_it_publishes() {
    survive(Fault::KillRelay).await;
}

#[actix_rt::test]
async fn effects_happen_once_when_redis_is_flushed() {
    survive(Fault::FlushRedis).await;
}

#[actix_rt::test]
async fn effects_happen_once_when_redis_is_down_for_a_while() {
    survive(Fault::StopRedis).await;
}

#[actix_rt::test]
async fn effects_happen_once_when_a_consumer_is_slow() {
    survive(Fault::SlowConsumer).await;
}

#[actix_rt::test]
async fn poison_events_become_dead_letters_and_delay_no_others() {
    survive(Fault::PoisonEvent).await;
}

#[actix_rt::test]
async fn an_event_that_ends_every_process_becomes_a_dead_letter() {
    survive(Fault::FatalEvent).await;
}
