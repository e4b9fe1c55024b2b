//! The conformance suite of consumers, which runs for every transport.

mod isolation;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aval::actors::event_consumer::{self, EventConsumer, StopConsuming};
use aval::app::Engine;
use aval::clock::Clock;
use aval::error::{Error, PublicMessage, Result};
use aval::events::consumers::operators::{
    self, ActOnDeadLetters, DeadLetterAction, EventDeadLetterFilter, Operator, Rewind,
};
use aval::events::consumers::type_filter::TypeFilter;
use aval::events::consumers::{AnyConsumer, Consumer, OnDeadLetter, Sources};
use aval::events::envelope::Envelope;
use aval::resources::Resources;
use aval::supervision::faults::FaultPoint;
use aval::supervision::handle::Handle;
use aval::supervision::root::{Arbiters, Root};
use diesel::sql_types::{Integer, Text};
use diesel_async::AsyncPgConnection;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::isolation::*;
use crate::support::db::{execute, text};
use crate::support::engine::TestEngine;
use crate::support::eventually;
use crate::support::redis::RedisServer;

/// Where the consumers of a test read events.
#[derive(Clone, Copy)]
pub(super) enum Transport {
    Postgres,
    /// Streams in Redis.
    Redis,
    /// Streams in Valkey.
    Valkey,
}

/// Runs every test of the suite on a transport.
macro_rules! conformance {
    ($($test:ident)+) => {
        mod postgres {
            use super::Transport;

            $(#[actix_rt::test]
            async fn $test() {
                super::$test(Transport::Postgres).await;
            })+
        }

        mod redis {
            use super::Transport;

            $(#[actix_rt::test]
            async fn $test() {
                super::$test(Transport::Redis).await;
            })+
        }

        mod valkey {
            use super::Transport;

            $(#[actix_rt::test]
            async fn $test() {
                super::$test(Transport::Valkey).await;
            })+
        }
    };
}

conformance! {
    the_events_of_a_subject_are_handled_in_order_and_once
    a_consumer_only_gets_its_types_and_starts_with_the_oldest_event
    a_failing_event_is_repeated_and_delays_only_its_subject
    a_handler_that_panics_or_hangs_fails_and_its_changes_are_rolled_back
    events_wait_behind_a_parked_dead_letter_until_it_is_replayed
    events_behind_a_skipped_dead_letter_are_handled
    events_continue_after_a_dead_letter_if_the_consumer_says_so
    a_poison_event_in_a_batch_does_not_repeat_the_effects_of_the_others
    a_replay_from_an_offset_repeats_the_effects
    instances_share_the_partitions_and_take_over_from_a_dead_one
    effects_happen_once_while_leases_are_stolen
    an_instance_that_dies_in_a_transaction_leaves_no_effect
    a_consumer_that_panics_outside_of_a_handler_is_restarted
    a_stopped_instance_releases_its_partitions_at_once
    an_event_that_ends_its_process_becomes_a_dead_letter
    a_waiting_event_that_ends_its_process_becomes_a_dead_letter
    events_in_flight_keep_their_attempts_when_an_instance_dies
    a_partition_far_behind_does_not_delay_the_others
}

/// What a handler does with an event before it succeeds.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Fault {
    Fail,
    Panic,
    /// Never end.
    Hang,
    /// Break the transaction and report success.
    Break,
}

/// The faults of the next attempts at the events with a number. Shared by all instances of a test.
#[derive(Clone, Default)]
pub(super) struct Script(Arc<Mutex<HashMap<i32, (Fault, u32)>>>);

impl Script {
    /// Makes the next `times` attempts at the events with this number fail.
    pub(super) fn set(&self, number: i32, fault: Fault, times: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number, (fault, times));
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether all attempts with the fault of this number have begun.
    fn is_used_up(&self, number: i32) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&number).is_some_and(|(_, left)| *left == 0)
    }

    fn next(&self, number: i32) -> Option<Fault> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (fault, left) = faults.get_mut(&number)?;
        *left = left.checked_sub(1)?;
        Some(*fault)
    }
}

#[derive(Debug, Deserialize)]
struct Toy {
    number: i32,
}

impl aval::domain::published::EventData for Toy {
    const FAMILY: &'static str = "toy.";
}

/// Records the effect of an event in a table without constraints, so a repeated effect is visible.
async fn take_effect(
    script: &Script,
    consumer: &str,
    event: &Envelope,
    connection: &mut AsyncPgConnection,
) -> Result<()> {
    use diesel_async::RunQueryDsl as _;

    let number = event.data::<Toy>().map_or(-1, |toy| toy.number);
    diesel::sql_query("INSERT INTO effects (consumer, event_id, subject, number) VALUES ($1, $2, $3, $4)")
        .bind::<Text, _>(consumer)
        .bind::<diesel::sql_types::Uuid, _>(event.id.as_uuid())
        .bind::<diesel::sql_types::Uuid, _>(event.subject)
        .bind::<Integer, _>(number)
        .execute(connection)
        .await?;
    match script.next(number) {
        None => Ok(()),
        Some(Fault::Fail) => Err(Error::Conflict(PublicMessage::new("the script says so"))),
        Some(Fault::Panic) => panic!("the script says so"),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Break) => {
            let _ = diesel::sql_query("SELECT 1 / 0").execute(connection).await;
            Ok(())
        }
    }
}

struct Parking(Script);

impl Consumer for Parking {
    const NAME: &'static str = "parking";

    fn event_types(&self) -> TypeFilter {
        TypeFilter::of(["toy.*"])
    }

    async fn handle(&self, event: &Envelope, connection: &mut AsyncPgConnection) -> Result<()> {
        take_effect(&self.0, Self::NAME, event, connection).await
    }
}

struct Continuing(Script);

impl Consumer for Continuing {
    const NAME: &'static str = "continuing";

    fn event_types(&self) -> TypeFilter {
        TypeFilter::of(["toy.*"])
    }

    fn on_dead_letter(&self) -> OnDeadLetter {
        OnDeadLetter::Continue
    }

    async fn handle(&self, event: &Envelope, connection: &mut AsyncPgConnection) -> Result<()> {
        take_effect(&self.0, Self::NAME, event, connection).await
    }
}

/// Short times, and batches of several events.
const QUICK_EVENTS: [(&str, &str); 9] = [
    ("EVENTS_CLAIM_INTERVAL_MS", "100"),
    ("EVENTS_CLAIM_IDLE_MS", "5300"),
    ("AVAL__EVENTS__BATCH", "20"),
    ("AVAL__EVENTS__LEASE_MS", "1000"),
    ("AVAL__EVENTS__HANDLER_TIMEOUT_MS", "300"),
    ("EVENTS_BACKOFF_MS", "20"),
    ("EVENTS_BACKOFF_MAX_MS", "100"),
    ("EVENTS_MAX_ATTEMPTS", "3"),
    ("AVAL__DATABASE__POOL_SIZE", "12"),
];

/// An engine that publishes events, with a table for the effects of consumers.
pub(super) struct Stage {
    pub(super) test: TestEngine,
    pub(super) script: Script,
    pub(super) redis: Option<RedisServer>,
}

/// An instance that runs one consumer.
pub(super) struct Instance {
    handle: Handle<EventConsumer>,
    root: Root,
    arbiters: Arc<Arbiters>,
}

impl Instance {
    /// Ends the instance as `kill -9` does: its work is dropped in the middle, and its leases remain.
    pub(super) fn kill(&self) {
        self.root.stop_keeping();
        self.arbiters.stop();
    }
}

/// Runs a consumer with its own threads, as the composition root does.
fn start_consumer(resources: &Resources, consumer: Arc<dyn AnyConsumer>, sources: Sources) -> Instance {
    let arbiters = Arc::new(Arbiters::start(1));
    let root = Root::new(resources, Arc::clone(&arbiters), CancellationToken::new());
    let handle = Handle::vacant(event_consumer::NAME);
    event_consumer::keep(&root, &handle, resources, consumer, sources);
    Instance { handle, root, arbiters }
}

/// Runs a consumer of created keys that always fails, on the instance of an app.
pub(crate) fn start_failing(engine: &Engine) -> impl Sized + use<> {
    start_failing_at(engine, TypeFilter::of(["account.key_created.v1"]))
}

/// Runs a consumer of events of some types that always fails, on the instance of an app.
pub(crate) fn start_failing_at(engine: &Engine, types: TypeFilter) -> impl Sized + use<> {
    start_consumer(
        &engine.resources,
        Arc::new(Failing(types)),
        engine.shared.consumer_sources(&engine.resources),
    )
}

struct Failing(TypeFilter);

impl Consumer for Failing {
    const NAME: &'static str = "failing";

    fn event_types(&self) -> TypeFilter {
        self.0.clone()
    }

    async fn handle(&self, _: &Envelope, _: &mut AsyncPgConnection) -> Result<()> {
        Err(Error::Conflict(PublicMessage::new("it always fails")))
    }
}

impl Stage {
    pub(super) async fn open(transport: Transport) -> Self {
        Self::open_with(transport, &[]).await
    }

    pub(super) async fn open_with(transport: Transport, overrides: &[(&str, &str)]) -> Self {
        let redis = match transport {
            Transport::Postgres => None,
            Transport::Redis => Some(RedisServer::start()),
            Transport::Valkey => Some(RedisServer::start_valkey()),
        };
        Self::open_on(redis, overrides).await
    }

    /// With this Redis server.
    pub(super) async fn open_on(redis: Option<RedisServer>, overrides: &[(&str, &str)]) -> Self {
        let url = redis.as_ref().map(RedisServer::url).unwrap_or_default();
        let own = [("REDIS_URL", url.as_str())];
        let test = TestEngine::start(&[&QUICK_EVENTS, &own[..], overrides].concat()).await;
        let table = "CREATE TABLE effects (seq bigserial, consumer text, event_id uuid, subject uuid, number integer)";
        execute(&mut test.database.connect().await, table).await.unwrap();
        Self { test, script: Script::default(), redis }
    }

    pub(super) fn resources(&self, instance: &str) -> Resources {
        Resources { instance: instance.into(), ..self.test.engine.resources.clone() }
    }

    /// Starts an instance with the consumer [`Parking`].
    pub(super) fn start(&self, instance: &str) -> Instance {
        self.start_consumer(instance, Arc::new(Parking(self.script.clone())))
    }

    fn start_consumer(&self, instance: &str, consumer: Arc<dyn AnyConsumer>) -> Instance {
        let resources = self.resources(instance);
        start_consumer(&resources, consumer, self.test.engine.shared.consumer_sources(&resources))
    }

    pub(super) async fn execute(&self, sql: &str) {
        execute(&mut self.test.database.connect().await, sql).await.unwrap();
    }

    pub(super) async fn text(&self, query: &str) -> String {
        text(&mut self.test.database.connect().await, query).await.unwrap_or_default()
    }

    /// Writes an event with a number about a subject.
    async fn write(&self, event_type: &str, subject: Uuid, number: i32) {
        self.execute(&format!(
            "SELECT record_event(uuid_v7_now(), '{event_type}', '{subject}', NULL, '{{\"number\": {number}}}')"
        ))
        .await;
    }

    /// Writes events with these numbers about a subject.
    pub(super) async fn write_toys(&self, subject: Uuid, numbers: impl IntoIterator<Item = i32>) {
        for number in numbers {
            self.write("toy.made.v1", subject, number).await;
        }
    }

    /// The numbers of the effects of the events of a subject, in the order in which they happened.
    pub(super) async fn effects(&self, subject: Uuid) -> Vec<i32> {
        let query = format!(
            "SELECT string_agg(number::text, ' ' ORDER BY seq) FROM effects WHERE subject = '{subject}'"
        );
        self.text(&query).await.split_whitespace().map(|number| number.parse().unwrap()).collect()
    }

    /// Waits until exactly these effects have happened, in this order.
    pub(super) async fn expect(&self, subject: Uuid, numbers: impl IntoIterator<Item = i32>) {
        let numbers: Vec<i32> = numbers.into_iter().collect();
        let mut seen = Vec::new();
        let count = numbers.len();
        eventually(&format!("{count} effects of {subject}"), async || {
            seen = self.effects(subject).await;
            (seen.len() >= count).then_some(())
        })
        .await;
        assert_eq!(seen, numbers, "{subject}");
    }

    /// Waits until a query returns a text.
    pub(super) async fn holds(&self, query: &str, expected: &str) {
        let mut seen = String::new();
        eventually(&format!("{query} to return {expected}"), async || {
            seen = self.text(query).await;
            (seen == expected).then_some(())
        })
        .await;
    }

    pub(super) async fn dead_letters(&self, count: usize) {
        self.holds("SELECT count(*) FROM deferred_events WHERE dead_since IS NOT NULL", &count.to_string())
            .await;
    }

    /// The number of events that the consumer has read from streams.
    pub(super) fn streamed(&self) -> u64 {
        let read = &self.test.engine.resources.metrics.event_consumer_events_read_total;
        read.with_label_values(&["parking", "stream"]).get()
    }

    /// Replays or skips all dead letters.
    async fn act(&self, action: DeadLetterAction) {
        let filter = EventDeadLetterFilter::default();
        let wanted = ActOnDeadLetters { action, filter, limit: 10, dry_run: false };
        operators::act_on_dead_letters(&self.resources("operator"), &wanted, &operator()).await.unwrap();
    }
}

fn operator() -> Operator {
    Operator { account: "tester".to_owned(), reason: "a test".to_owned(), request: None }
}

pub(super) fn new_subject() -> Uuid {
    Clock::system().new_uuid()
}

async fn the_events_of_a_subject_are_handled_in_order_and_once(transport: Transport) {
    let stage = Stage::open(transport).await;
    let _instance = stage.start("one");
    let subjects: Vec<Uuid> = (0..20).map(|_| new_subject()).collect();
    for number in 0..8 {
        for subject in &subjects {
            stage.write_toys(*subject, [number]).await;
        }
    }
    for subject in subjects {
        stage.expect(subject, 0..8).await;
    }
    stage.holds("SELECT count(*) FROM inbox WHERE consumer = 'parking'", "160").await;
    let has_streamed = stage.streamed() > 0;
    assert_eq!(has_streamed, stage.redis.is_some(), "events must arrive by the stream if there is one");
}

async fn a_consumer_only_gets_its_types_and_starts_with_the_oldest_event(transport: Transport) {
    let stage = Stage::open(transport).await;
    let (first, other) = (new_subject(), new_subject());
    stage.write_toys(first, [1]).await;
    stage
        .holds("SELECT count(*) FROM outbox WHERE type = 'toy.made.v1' AND relay_offset IS NOT NULL", "1")
        .await;
    let _instance = stage.start("one");
    stage.write("tool.made.v1", other, 2).await;
    stage.write_toys(first, [3]).await;
    stage.expect(first, [1, 3]).await;
    assert_eq!(stage.effects(other).await, [] as [i32; 0]);
    let unread = "SELECT count(*) FROM consumer_partitions, outbox_position \
        WHERE consumer <> 'webhook_deliveries' AND position < last_offset";
    stage.holds(unread, "0").await;
}

async fn a_failing_event_is_repeated_and_delays_only_its_subject(transport: Transport) {
    let stage = Stage::open_with(transport, &[("EVENTS_MAX_ATTEMPTS", "100")]).await;
    let (failing, other) = (new_subject(), new_subject());
    stage.script.set(2, Fault::Fail, u32::MAX);
    let _instance = stage.start("one");
    stage.write_toys(failing, [1, 2, 3, 4]).await;
    stage.write_toys(other, [11, 12, 13]).await;
    stage.expect(other, [11, 12, 13]).await;
    let attempts = "SELECT attempts >= 3 FROM deferred_events WHERE data ->> 'number' = '2'";
    stage.holds(attempts, "true").await;
    assert_eq!(stage.effects(failing).await, [1]);
    assert_eq!(stage.text("SELECT error_type FROM deferred_events WHERE attempts > 0").await, "conflict");
    stage.script.clear();
    stage.expect(failing, 1..=4).await;
    stage.holds("SELECT count(*) FROM deferred_events", "0").await;
    stage.write_toys(failing, [5]).await;
    stage.expect(failing, 1..=5).await;
}

async fn a_handler_that_panics_or_hangs_fails_and_its_changes_are_rolled_back(transport: Transport) {
    let stage = Stage::open(transport).await;
    let _instance = stage.start("one");
    let subject = new_subject();
    for (number, fault) in [(1, Fault::Panic), (2, Fault::Hang), (3, Fault::Break), (4, Fault::Fail)] {
        stage.script.set(number, fault, 1);
        stage.write_toys(subject, [number]).await;
        stage.expect(subject, 1..=number).await;
    }
    let metrics = &stage.test.engine.resources.metrics.event_consumer_events_total;
    let count = |result| metrics.with_label_values(&["parking", result]).get();
    eventually("the failures to be counted", async || (count("failed") == 4).then_some(())).await;
    assert_eq!((count("handled"), count("dead_letter")), (4, 0));
}

async fn events_wait_behind_a_parked_dead_letter_until_it_is_replayed(transport: Transport) {
    let stage = Stage::open(transport).await;
    let (parked, other) = (new_subject(), new_subject());
    stage.script.set(1, Fault::Fail, u32::MAX);
    let _instance = stage.start("one");
    stage.write_toys(parked, [1, 2]).await;
    stage.dead_letters(1).await;
    stage.write_toys(parked, [3]).await;
    stage.write_toys(other, [10]).await;
    stage.expect(other, [10]).await;
    stage.holds("SELECT count(*) FROM deferred_events", "3").await;
    assert_eq!(stage.effects(parked).await, [] as [i32; 0]);
    let attempts = "SELECT attempts FROM deferred_events WHERE dead_since IS NOT NULL";
    assert_eq!(stage.text(attempts).await, "3");

    stage.script.clear();
    stage.act(DeadLetterAction::Replay).await;
    stage.expect(parked, 1..=3).await;
    stage.holds("SELECT count(*) FROM deferred_events", "0").await;
    let recorded = "SELECT detail ->> 'reason' FROM security_events WHERE kind = 'dead_letters_replayed'";
    assert_eq!(stage.text(recorded).await, "a test");
}

async fn events_behind_a_skipped_dead_letter_are_handled(transport: Transport) {
    let stage = Stage::open(transport).await;
    let subject = new_subject();
    stage.script.set(1, Fault::Fail, u32::MAX);
    let _instance = stage.start("one");
    stage.write_toys(subject, [1, 2, 3]).await;
    stage.dead_letters(1).await;
    stage.act(DeadLetterAction::Skip).await;
    stage.expect(subject, [2, 3]).await;
    stage.dead_letters(0).await;
    assert_eq!(
        stage.text("SELECT count(*) FROM security_events WHERE kind = 'dead_letters_skipped'").await,
        "1"
    );
}

async fn events_continue_after_a_dead_letter_if_the_consumer_says_so(transport: Transport) {
    let stage = Stage::open(transport).await;
    let subject = new_subject();
    stage.script.set(1, Fault::Fail, u32::MAX);
    let _instance = stage.start_consumer("one", Arc::new(Continuing(stage.script.clone())));
    stage.write_toys(subject, [1, 2]).await;
    stage.dead_letters(1).await;
    stage.write_toys(subject, [3]).await;
    stage.expect(subject, [2, 3]).await;
    stage.script.clear();
    stage.act(DeadLetterAction::Replay).await;
    stage.expect(subject, [2, 3, 1]).await;
    stage.holds("SELECT count(*) FROM deferred_events", "0").await;
}

async fn a_poison_event_in_a_batch_does_not_repeat_the_effects_of_the_others(transport: Transport) {
    let stage = Stage::open(transport).await;
    let subjects: Vec<Uuid> = (0..40).map(|_| new_subject()).collect();
    for (number, fault) in [(3, Fault::Fail), (17, Fault::Panic), (18, Fault::Break), (31, Fault::Fail)] {
        stage.script.set(number, fault, u32::MAX);
    }
    for (subject, number) in subjects.iter().zip(0..) {
        stage.write_toys(*subject, [number]).await;
    }
    stage.holds("SELECT count(*) FROM outbox WHERE relay_offset IS NULL", "0").await;
    let _instance = stage.start("one");
    stage.dead_letters(4).await;
    for (subject, number) in subjects.iter().zip(0..) {
        let is_poison = [3, 17, 18, 31].contains(&number);
        stage.expect(*subject, (!is_poison).then_some(number)).await;
    }
}

async fn a_replay_from_an_offset_repeats_the_effects(transport: Transport) {
    let stage = Stage::open(transport).await;
    let _instance = stage.start("one");
    let subject = new_subject();
    stage.write_toys(subject, 1..=4).await;
    stage.expect(subject, 1..=4).await;
    let third = "SELECT relay_offset FROM outbox WHERE type = 'toy.made.v1' AND data ->> 'number' = '3'";
    let from_offset: i64 = stage.text(third).await.parse().unwrap();
    let resources = stage.resources("operator");
    let rewind = |from_offset, dry_run| Rewind { consumer: "parking".to_owned(), from_offset, dry_run };
    let checked =
        operators::replay_consumer(&resources, &rewind(from_offset, true), &operator()).await.unwrap();
    assert_eq!((checked.events, checked.handled), (2, None));
    let done =
        operators::replay_consumer(&resources, &rewind(from_offset, false), &operator()).await.unwrap();
    assert_eq!(done.handled, Some(2));
    stage.expect(subject, [1, 2, 3, 4, 3, 4]).await;

    let refused = async |from_offset| {
        operators::replay_consumer(&resources, &rewind(from_offset, false), &operator())
            .await
            .unwrap_err()
            .code()
    };
    assert_eq!(refused(from_offset + 100).await, "conflict");
    stage.execute(&format!("DELETE FROM outbox WHERE relay_offset <= {from_offset}")).await;
    assert_eq!(refused(from_offset).await, "events_expired");
    let unknown = Rewind { consumer: "unknown".to_owned(), from_offset, dry_run: false };
    let unknown = operators::replay_consumer(&resources, &unknown, &operator()).await;
    assert_eq!(unknown.unwrap_err().code(), "not_found");
}

const OWNERS: &str = "SELECT string_agg(owner || ' ' || n, ', ' ORDER BY owner) FROM \
    (SELECT owner, count(*) AS n FROM consumer_partitions \
        WHERE consumer <> 'webhook_deliveries' AND leased_until > clock_timestamp() GROUP BY owner) o";

async fn instances_share_the_partitions_and_take_over_from_a_dead_one(transport: Transport) {
    let stage = Stage::open(transport).await;
    let one = stage.start("one");
    stage.holds(OWNERS, "one 16").await;
    let two = stage.start("two");
    stage.holds(OWNERS, "one 8, two 8").await;
    let three = stage.start("three");
    stage.holds(OWNERS, "one 6, three 5, two 5").await;
    let subjects: Vec<Uuid> = (0..32).map(|_| new_subject()).collect();
    for subject in &subjects {
        stage.write_toys(*subject, [1]).await;
    }
    two.kill();
    one.kill();
    for subject in &subjects {
        stage.write_toys(*subject, [2]).await;
    }
    for subject in subjects {
        stage.expect(subject, [1, 2]).await;
    }
    stage.holds(OWNERS, "three 16").await;
    drop(three);
}

/// Leases are taken away in the middle of rounds, as if another instance considered them expired.
async fn effects_happen_once_while_leases_are_stolen(transport: Transport) {
    let stage = Stage::open(transport).await;
    let _instances = [stage.start("one"), stage.start("two")];
    let subjects: Vec<Uuid> = (0..16).map(|_| new_subject()).collect();
    for number in 0..12 {
        for subject in &subjects {
            stage.write_toys(*subject, [number]).await;
        }
        stage
            .execute(
                "WITH locked AS (SELECT * FROM consumer_partitions ORDER BY consumer, partition FOR UPDATE) \
                 UPDATE consumer_partitions c SET fence = c.fence + 1, owner = NULL, leased_until = NULL FROM locked l \
                 WHERE c.consumer = l.consumer AND c.partition = l.partition",
            )
            .await;
    }
    for subject in subjects {
        stage.expect(subject, 0..12).await;
    }
}

/// A handler that hangs runs until its instance is killed.
const LONG_HANDLER: [(&str, &str); 2] =
    [("AVAL__EVENTS__HANDLER_TIMEOUT_MS", "60000"), ("EVENTS_CLAIM_IDLE_MS", "65000")];

async fn an_instance_that_dies_in_a_transaction_leaves_no_effect(transport: Transport) {
    let stage = Stage::open_with(transport, &LONG_HANDLER).await;
    let subject = new_subject();
    stage.script.set(2, Fault::Hang, 1);
    let one = stage.start("one");
    stage.write_toys(subject, [1]).await;
    stage.expect(subject, [1]).await;
    stage.write_toys(subject, [2, 3]).await;
    eventually("the handler to hang", async || stage.script.is_used_up(2).then_some(())).await;
    one.kill();
    let _two = stage.start("two");
    stage.expect(subject, [1, 2, 3]).await;
}

async fn a_consumer_that_panics_outside_of_a_handler_is_restarted(transport: Transport) {
    let stage = Stage::open_with(transport, &[("AVAL__FAULTS__INJECTION", "true")]).await;
    let instance = stage.start("one");
    let subject = new_subject();
    stage.write_toys(subject, [1]).await;
    stage.expect(subject, [1]).await;
    stage.test.engine.resources.faults.arm(FaultPoint::EventConsumer, None, 1).unwrap();
    instance.handle.hint(event_consumer::Wake);
    let restarts = &stage.test.engine.resources.metrics.actor_restarts_total;
    eventually("the restart", async || {
        (restarts.with_label_values(&[event_consumer::NAME]).get() == 1).then_some(())
    })
    .await;
    stage.write_toys(subject, [2]).await;
    stage.expect(subject, [1, 2]).await;
}

async fn a_stopped_instance_releases_its_partitions_at_once(transport: Transport) {
    let stage = Stage::open_with(transport, &[("AVAL__EVENTS__LEASE_MS", "3600000")]).await;
    let one = stage.start("one");
    stage.holds(OWNERS, "one 16").await;
    one.root.stop_keeping();
    one.handle.ask(StopConsuming).await.unwrap();
    eventually("the actor to end", async || (!one.handle.is_alive()).then_some(())).await;
    assert_eq!(
        stage.text("SELECT count(*) FROM consumer_instances WHERE consumer <> 'webhook_deliveries'").await,
        "0"
    );
    let _two = stage.start("two");
    stage.holds(OWNERS, "two 16").await;
}

#[actix_rt::test]
async fn unread_events_outlive_the_retention_within_a_bound() {
    use aval::storage::outbox::{OutboxRetention, delete_expired};

    let stage = Stage::open(Transport::Postgres).await;
    let subject = new_subject();
    let one = stage.start("one");
    stage.write_toys(subject, [1]).await;
    stage.expect(subject, [1]).await;
    let read = "SELECT count(*) FROM consumer_partitions, outbox_position \
        WHERE consumer <> 'webhook_deliveries' AND position < last_offset";
    stage.holds(read, "0").await;
    one.kill();
    stage.write_toys(subject, [2, 3]).await;
    stage.holds("SELECT count(*) FROM outbox WHERE relay_offset IS NULL", "0").await;
    stage.execute("UPDATE outbox SET published_at = now() - interval '2 days'").await;
    stage
        .execute("UPDATE statistics_position SET last_offset = (SELECT last_offset FROM outbox_position)")
        .await;

    let mut sql = stage.test.database.connect().await;
    let now = Clock::system().now();
    let day = Duration::from_secs(86_400);
    let within = OutboxRetention { minimum: day, unread: day * 3 };
    delete_expired(&mut sql, now, within, 100).await.unwrap();
    let toys =
        "SELECT string_agg(data ->> 'number', ' ' ORDER BY seq) FROM outbox WHERE type = 'toy.made.v1'";
    assert_eq!(stage.text(toys).await, "2 3");
    let past = OutboxRetention { minimum: day, unread: day };
    delete_expired(&mut sql, now, past, 100).await.unwrap();
    assert_eq!(stage.text("SELECT count(*) FROM outbox").await, "0");

    let _two = stage.start("two");
    stage.write_toys(subject, [4]).await;
    stage.expect(subject, [1, 4]).await;
    let lost = &stage.test.engine.resources.metrics.event_consumer_lost_total;
    assert_eq!(lost.with_label_values(&["parking"]).get(), 2);
    // Rows of the inbox that belong to expired events are not needed any more.
    aval::storage::consumers::inbox::delete_expired(&mut sql, 100).await.unwrap();
    assert_eq!(stage.text("SELECT count(*) FROM inbox WHERE consumer <> 'webhook_deliveries'").await, "1");
}

/// The pause is random, so a few events may already be in their second attempt. Its ceiling is the same here.
#[actix_rt::test]
async fn the_pause_before_an_attempt_is_random_and_below_its_ceiling() {
    let overrides = [("EVENTS_BACKOFF_MS", "36000000"), ("EVENTS_BACKOFF_MAX_MS", "36000000")];
    let stage = Stage::open_with(Transport::Postgres, &overrides).await;
    stage.script.set(1, Fault::Fail, u32::MAX);
    let _instance = stage.start("one");
    for _ in 0..20 {
        stage.write_toys(new_subject(), [1]).await;
    }
    stage.holds("SELECT count(*) FROM deferred_events WHERE attempts >= 1", "20").await;
    let pauses = "SELECT count(*) FILTER (WHERE next_attempt_at <= clock_timestamp() + interval '10 hours') || ' ' || \
        (max(next_attempt_at) - min(next_attempt_at) > interval '10 minutes') FROM deferred_events";
    assert_eq!(stage.text(pauses).await, "20 true");
}
