//! Events that end the process of their instance. An instance is killed while the handler of such an event runs.

use aval::actors::event_consumer::StopConsuming;

use super::{DeadLetterAction, Fault, LONG_HANDLER, OWNERS, Stage, Transport, new_subject};
use crate::support::eventually;

const PUBLISHED: &str = "SELECT count(*) FROM outbox WHERE relay_offset IS NULL";
const DEAD_LETTERS: &str = "SELECT count(*) FROM deferred_events WHERE dead_since IS NOT NULL";

impl Stage {
    /// Runs one instance after another. Each is killed when it attempts the event with this number. Returns how many were
    /// killed before the event became a dead letter.
    async fn die_of(&self, number: i32) -> u32 {
        let mut killed = 0;
        loop {
            self.script.set(number, Fault::Hang, 1);
            let instance = self.start("one");
            let is_dead = eventually("an attempt or a dead letter", async || {
                let is_dead = self.text(DEAD_LETTERS).await == "1";
                (is_dead || self.script.is_used_up(number)).then_some(is_dead)
            })
            .await;
            instance.kill();
            if is_dead {
                self.script.clear();
                return killed;
            }
            killed += 1;
            assert!(killed < 10, "the event ends one instance after another");
        }
    }
}

pub(super) async fn an_event_that_ends_its_process_becomes_a_dead_letter(transport: Transport) {
    let stage = Stage::open_with(transport, &LONG_HANDLER).await;
    let (fatal, other) = (new_subject(), new_subject());
    stage.write_toys(fatal, [1, 2, 3]).await;
    stage.write_toys(other, 11..=15).await;
    stage.holds(PUBLISHED, "0").await;
    // One in the first batch, and one for each of three attempts.
    assert_eq!(stage.die_of(2).await, 4);
    let letter = "SELECT attempts || ' ' || error_type || ' ' || (data ->> 'number') FROM deferred_events \
        WHERE dead_since IS NOT NULL";
    assert_eq!(stage.text(letter).await, "3 timeout 2");
    let _instance = stage.start("two");
    stage.expect(other, 11..=15).await;
    stage.expect(fatal, [1]).await;
    stage.act(DeadLetterAction::Skip).await;
    stage.write_toys(fatal, [4]).await;
    stage.expect(fatal, [1, 3, 4]).await;
    stage.holds("SELECT count(*) FROM deferred_events", "0").await;
}

pub(super) async fn a_waiting_event_that_ends_its_process_becomes_a_dead_letter(transport: Transport) {
    let stage = Stage::open_with(transport, &LONG_HANDLER).await;
    let subject = new_subject();
    stage.script.set(1, Fault::Fail, u32::MAX);
    let instance = stage.start("one");
    stage.write_toys(subject, 1..=4).await;
    stage.dead_letters(1).await;
    stage.holds("SELECT count(*) FROM deferred_events", "4").await;
    stage.script.clear();
    stage.script.set(3, Fault::Hang, 1);
    stage.act(DeadLetterAction::Replay).await;
    // All four are attempted in one transaction.
    eventually("the handler to hang", async || stage.script.is_used_up(3).then_some(())).await;
    instance.kill();
    assert_eq!(stage.die_of(3).await, 3);
    let _instance = stage.start("two");
    stage.expect(subject, [1, 2]).await;
    stage.act(DeadLetterAction::Replay).await;
    stage.expect(subject, 1..=4).await;
}

/// The death of an instance does not use up the only attempt of the events that it was handling.
pub(super) async fn events_in_flight_keep_their_attempts_when_an_instance_dies(transport: Transport) {
    let stage =
        Stage::open_with(transport, &[&LONG_HANDLER[..], &[("EVENTS_MAX_ATTEMPTS", "1")]].concat()).await;
    let subjects: Vec<_> = (0..8).map(|_| new_subject()).collect();
    for subject in &subjects {
        stage.write_toys(*subject, [1, 2]).await;
    }
    stage.holds(PUBLISHED, "0").await;
    stage.script.set(2, Fault::Hang, 1);
    let one = stage.start("one");
    eventually("the handler to hang", async || stage.script.is_used_up(2).then_some(())).await;
    one.kill();
    let _two = stage.start("two");
    for subject in subjects {
        stage.expect(subject, [1, 2]).await;
    }
    stage.holds("SELECT count(*) FROM deferred_events", "0").await;
}

/// Without groups, all partitions would wait until the one that is far behind has caught up.
pub(super) async fn a_partition_far_behind_does_not_delay_the_others(transport: Transport) {
    let stage = Stage::open(transport).await;
    let [behind, other] = ["00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"];
    let one = stage.start("one");
    stage.holds(OWNERS, "one 16").await;
    // It releases its partitions, so their events are not isolated.
    one.root.stop_keeping();
    one.handle.ask(StopConsuming).await.unwrap();
    eventually("the actor to end", async || (!one.handle.is_alive()).then_some(())).await;
    let many = format!(
        "SELECT record_event(uuid_v7_now(), 'toy.made.v1', '{behind}', NULL, jsonb_build_object('number', n)) \
         FROM generate_series(1, 400) AS n"
    );
    stage.execute(&many).await;
    stage.holds(PUBLISHED, "0").await;
    stage
        .execute(
            "UPDATE consumer_partitions SET position = (SELECT last_offset FROM outbox_position) \
             WHERE consumer = 'parking' AND partition <> 1",
        )
        .await;
    let other = other.parse().unwrap();
    stage.write_toys(other, [1]).await;
    stage.holds(PUBLISHED, "0").await;
    let _two = stage.start("two");
    stage.expect(other, [1]).await;
    let earlier = format!(
        "SELECT count(*) < 100 FROM effects WHERE seq < (SELECT min(seq) FROM effects WHERE subject = '{other}')"
    );
    assert_eq!(stage.text(&earlier).await, "true");
    stage.expect(behind.parse().unwrap(), 1..=400).await;
}
