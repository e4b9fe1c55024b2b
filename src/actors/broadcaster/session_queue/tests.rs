use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::actors::broadcaster::feed::Viewers;
use crate::actors::broadcaster::frame::FrameKind;
use crate::actors::broadcaster::topic::Topic;

const COALESCE_ABOVE: usize = 400;
const CLOSE_ABOVE: usize = 1000;

fn queue() -> SessionQueue {
    let settings = WebSocketSettings {
        ping_interval_ms: 1000,
        pong_timeout_ms: 1000,
        max_message_bytes: 1024,
        max_messages_per_second: 50,
        max_sockets_per_account: 20,
        auth_timeout_ms: 10_000,
        recheck_interval_ms: 2_000,
        max_subscriptions: 8,
        coalesce_above_bytes: COALESCE_ABOVE,
        close_above_bytes: CLOSE_ABOVE,
        max_replay: 100,
    };
    SessionQueue::new(&settings, IntCounter::new("dropped", "dropped").unwrap())
}

fn update(offset: i64, application: u128, bytes: usize) -> Update {
    let text = format!("{offset:0>bytes$}");
    Update {
        offset,
        topics: vec![Topic::All],
        viewers: Viewers::OwnerAndStaff(String::new()),
        application: Some(ApplicationId::new(Uuid::from_u128(application))),
        frame: Frame::of_text(FrameKind::ApplicationUpdate, &text),
    }
}

fn offsets(taken: &Taken) -> Vec<i64> {
    taken.frames.iter().map(|frame| frame.text.parse().unwrap()).collect()
}

#[test]
fn a_small_queue_keeps_everything_in_order() {
    let queue = queue();
    for offset in 1..=4 {
        assert_eq!(queue.push_live(&update(offset, 1, 100)), Push::Queued);
    }
    assert_eq!(offsets(&queue.take(250)), [1, 2]);
    assert_eq!(offsets(&queue.take(usize::MAX)), [3, 4]);
    assert_eq!(queue.dropped.get(), 0);
}

#[test]
fn an_update_without_application_is_never_replaced() {
    let queue = queue();
    for offset in 1..=6 {
        let event = Update { application: None, ..update(offset, 1, 100) };
        assert_eq!(queue.push_live(&event), Push::Queued);
    }
    assert_eq!(offsets(&queue.take(usize::MAX)), [1, 2, 3, 4, 5, 6]);
    assert_eq!(queue.dropped.get(), 0);
}

#[test]
fn an_offset_that_was_pushed_before_is_ignored() {
    let queue = queue();
    assert_eq!(queue.push_live(&update(5, 1, 10)), Push::Queued);
    assert_eq!(queue.push_live(&update(5, 1, 10)), Push::Duplicate);
    assert_eq!(queue.push_live(&update(4, 2, 10)), Push::Duplicate);
    assert_eq!(offsets(&queue.take(usize::MAX)), [5]);
    assert_eq!(queue.push_live(&update(5, 1, 10)), Push::Duplicate);
}

#[test]
fn a_long_queue_keeps_the_newest_of_each_application_and_all_responses() {
    let queue = queue();
    queue.push_response(&Frame::of_text(FrameKind::Pong, &format!("{:0>50}", 0)));
    for offset in 1..=100 {
        assert_eq!(queue.push_live(&update(offset, u128::try_from(offset % 3).unwrap(), 100)), Push::Queued);
    }
    assert_eq!(offsets(&queue.take(usize::MAX)), [0, 98, 99, 100]);
    assert_eq!(queue.dropped.get(), 97);
}

#[test]
fn a_queue_that_cannot_be_coalesced_is_cleared_and_closed() {
    let queue = queue();
    for offset in 1..=10 {
        assert_eq!(queue.push_live(&update(offset, u128::try_from(offset).unwrap(), 100)), Push::Queued);
    }
    assert_eq!(queue.push_live(&update(11, 11, 100)), Push::Closed);
    assert_eq!(queue.push_live(&update(12, 12, 1)), Push::Closed);
    let taken = queue.take(usize::MAX);
    assert_eq!((taken.frames.len(), taken.closing), (0, Some(Closing::TooSlow)));
    assert_eq!(queue.dropped.get(), 11);
}

#[test]
fn closing_for_another_reason_sends_waiting_frames_first() {
    let queue = queue();
    for offset in 1..=2 {
        queue.push_live(&update(offset, 1, 100));
    }
    queue.close(Closing::ShuttingDown);
    let first = queue.take(100);
    assert_eq!((offsets(&first), first.closing), (vec![1], None));
    let second = queue.take(100);
    assert_eq!((offsets(&second), second.closing), (vec![2], Some(Closing::ShuttingDown)));
}

#[test]
fn at_most_one_wake_up_is_pending() {
    let queue = queue();
    let wake_ups = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&wake_ups);
    queue.set_waker(move || {
        count.fetch_add(1, Ordering::SeqCst);
        true
    });
    queue.wake_if_waiting();
    assert_eq!(wake_ups.load(Ordering::SeqCst), 0, "no frame is waiting yet");
    for offset in 1..=3 {
        queue.push_live(&update(offset, 1, 10));
    }
    queue.wake_if_waiting();
    assert_eq!(wake_ups.load(Ordering::SeqCst), 1);
    queue.take(10);
    queue.wake_if_waiting();
    assert_eq!(wake_ups.load(Ordering::SeqCst), 2, "two frames are still waiting");
}

#[test]
fn a_failed_wake_up_is_retried() {
    let queue = queue();
    let wake_ups = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&wake_ups);
    queue.set_waker(move || count.fetch_add(1, Ordering::SeqCst) > 0);
    for offset in 1..=3 {
        queue.push_live(&update(offset, 1, 10));
    }
    assert_eq!(wake_ups.load(Ordering::SeqCst), 2);
}

#[test]
fn a_waiting_replay_is_reported_when_there_is_space() {
    let queue = queue();
    let mut offset = 0;
    while queue.room_for_replay() {
        offset += 1;
        queue.push_missed(&update(offset, 1, 90));
    }
    assert_eq!((offset, queue.dropped.get()), (3, 0));
    assert!(queue.take(90).replay_waits, "180 bytes are left, less than half of 400");
    assert!(!queue.take(90).replay_waits, "it must be reported once");
    assert!(queue.room_for_replay());
}

/// An operation on a queue.
#[derive(Debug, Clone)]
enum Step {
    Push { application: u128, bytes: usize, advance: i64 },
    Repeat { back: i64 },
    Take { bytes: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let push = (0..9_u128, 20..140_usize, 1..4_i64).prop_map(|(application, bytes, advance)| Step::Push {
        application,
        bytes,
        advance,
    });
    let repeat = (0..5_i64).prop_map(|back| Step::Repeat { back });
    let take = (0..500_usize).prop_map(|bytes| Step::Take { bytes });
    proptest::collection::vec(prop_oneof![8 => push, 1 => repeat, 2 => take], 0..200)
}

proptest! {
    #[test]
    fn the_consumer_gets_the_newest_of_each_application_in_order_and_the_queue_stays_bounded(
        steps in steps(),
    ) {
        let queue = queue();
        let (mut offset, mut closed) = (0, false);
        let mut pushed: HashMap<i64, u128> = HashMap::new();
        let mut newest: BTreeMap<u128, i64> = BTreeMap::new();
        let mut got: Vec<i64> = Vec::new();
        for step in steps {
            match step {
                Step::Push { application, bytes, advance } => {
                    offset += advance;
                    let push = queue.push_live(&update(offset, application, bytes));
                    closed |= push == Push::Closed;
                    prop_assert_eq!(push == Push::Closed, closed);
                    pushed.insert(offset, application);
                    newest.insert(application, offset);
                }
                Step::Repeat { back } => {
                    let push = queue.push_live(&update(offset - back, 99, 20));
                    prop_assert!(push == Push::Duplicate || closed);
                }
                Step::Take { bytes } => got.extend(offsets(&queue.take(bytes))),
            }
            let waiting = queue.lock();
            let bytes: usize = waiting.entries.values().map(|entry| entry.frame.text.len()).sum();
            prop_assert_eq!(bytes, waiting.bytes);
            prop_assert!(bytes <= CLOSE_ABOVE);
            let applications: Vec<_> = waiting.entries.values().filter_map(|e| e.application).collect();
            if bytes > COALESCE_ABOVE {
                let distinct: HashSet<_> = applications.iter().collect();
                prop_assert_eq!(distinct.len(), applications.len());
            }
            prop_assert!(waiting.newest.len() <= applications.len());
        }
        let last = queue.take(usize::MAX);
        got.extend(offsets(&last));
        prop_assert!(got.is_sorted_by(|one, next| one < next), "{:?}", got);
        prop_assert_eq!(last.closing.is_some(), closed);
        if !closed {
            let delivered: BTreeMap<u128, i64> =
                got.iter().filter_map(|offset| Some((*pushed.get(offset)?, *offset))).collect();
            prop_assert_eq!(delivered, newest);
            let dropped = usize::try_from(queue.dropped.get()).unwrap();
            prop_assert_eq!(got.len() + dropped, pushed.len());
        }
    }
}
