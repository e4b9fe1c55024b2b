use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::actors::broadcaster::feed::Viewers;
use crate::actors::broadcaster::frame::FrameKind;
use crate::domain::application::Country;
use crate::domain::ids::ApplicationId;
use crate::storage::applications::Visibility;
use crate::telemetry::labels::KnownLabels;

const EPOCH: Uuid = Uuid::from_u128(7);
const MAX_REPLAY: u32 = 25;

fn at(offset: i64) -> Position {
    Position { epoch: EPOCH, offset }
}

fn extent(end: i64) -> Extent {
    Extent { end: at(end), oldest_offset: (end > 0).then_some(1) }
}

fn sessions() -> Sessions {
    let settings = WebSocketSettings {
        ping_interval_ms: 1000,
        pong_timeout_ms: 1000,
        max_message_bytes: 1024,
        max_messages_per_second: 50,
        max_sockets_per_account: 20,
        auth_timeout_ms: 10_000,
        recheck_interval_ms: 2_000,
        max_subscriptions: 6,
        coalesce_above_bytes: 30_000,
        close_above_bytes: 60_000,
        max_replay: MAX_REPLAY,
    };
    Sessions::new(&settings, Arc::new(Metrics::new(&KnownLabels::default()).unwrap()))
}

fn viewer(account: &str, applications: Visibility) -> Viewer {
    Viewer { account: account.into(), applications, operations: false }
}

fn join(sessions: &Sessions, visibility: Visibility) -> Membership {
    let member = sessions.join();
    assert!(member.admit(viewer("tester", visibility)));
    member
}

fn application(n: u128) -> ApplicationId {
    ApplicationId::new(Uuid::from_u128(n))
}

/// Even applications are Spanish and Ana's; odd ones are Portuguese and Rui's.
fn update(offset: i64, n: u128) -> Update {
    let text =
        format!("{:>900}", serde_json::json!({ "type": "application_update", "offset": offset }).to_string());
    let (country, created_by) = if n.is_multiple_of(2) { (Country::Es, "ana") } else { (Country::Pt, "rui") };
    Update {
        offset,
        topics: vec![Topic::All, Topic::Country(country), Topic::Application(application(n))],
        viewers: Viewers::OwnerAndStaff(created_by.to_owned()),
        application: Some(application(n)),
        frame: Frame::of_text(FrameKind::ApplicationUpdate, &text),
    }
}

fn take(member: &Membership, bytes: usize) -> Vec<Value> {
    let frames = member.queue().take(bytes).frames;
    frames.iter().map(|frame| serde_json::from_str(&frame.text).unwrap()).collect()
}

fn offsets(frames: &[Value]) -> Vec<i64> {
    let updates = frames.iter().filter(|frame| frame["type"] == "application_update");
    updates.map(|frame| frame["offset"].as_i64().unwrap()).collect()
}

/// Performs a whole recovery. `log` contains all events of the bus.
fn recover(sessions: &Sessions, log: &[Update]) {
    sessions.answer_waiting(&extent(i64::try_from(log.len()).unwrap()));
    while let Some(after) = sessions.next_cursor() {
        let from = usize::try_from(after).unwrap();
        let page = &log[from..log.len().min(from + 4)];
        sessions.replay(after, page, page.last().map(|last| last.offset));
    }
}

fn log(applications: &[u128]) -> Vec<Update> {
    (1..).zip(applications).map(|(offset, n)| update(offset, *n)).collect()
}

#[test]
fn an_event_of_several_topics_is_delivered_once() {
    let sessions = sessions();
    sessions.skip_to(at(0));
    let member = join(&sessions, Visibility::All);
    for topic in [Topic::All, Topic::Country(Country::Es), Topic::Application(application(2))] {
        assert_eq!(member.subscribe(topic, None), Subscription::Active);
    }
    let log = log(&[2, 3, 2]);
    sessions.deliver(&log, None);
    sessions.deliver(&log, None);
    assert_eq!(offsets(&take(&member, usize::MAX)), [1, 2, 3]);
    assert_eq!(sessions.position(), Some(at(3)));
}

#[test]
fn a_session_gets_only_what_its_account_may_see() {
    let sessions = sessions();
    sessions.skip_to(at(0));
    let ana = join(&sessions, Visibility::OwnedBy("ana".to_owned()));
    ana.subscribe(Topic::All, None);
    ana.subscribe(Topic::Application(application(1)), None);
    let log = log(&[1, 2, 1, 2]);
    sessions.deliver(&log, None);
    assert_eq!(offsets(&take(&ana, usize::MAX)), [2, 4]);
    let again = join(&sessions, Visibility::OwnedBy("ana".to_owned()));
    again.subscribe(Topic::All, Some(at(0)));
    recover(&sessions, &log);
    assert_eq!(offsets(&take(&again, usize::MAX)), [2, 4]);
}

#[test]
fn a_subscription_is_answered_once_the_position_is_known() {
    let sessions = sessions();
    let member = join(&sessions, Visibility::All);
    assert_eq!(member.subscribe(Topic::All, None), Subscription::AwaitsBroadcaster);
    assert_eq!(take(&member, usize::MAX), Vec::<Value>::new());
    sessions.skip_to(at(5));
    assert!(sessions.needs_recovery());
    sessions.answer_waiting(&extent(5));
    let answers = take(&member, usize::MAX);
    assert_eq!((answers.len(), &answers[0]["offset"]), (1, &Value::from(5)));
    sessions.deliver(&[update(6, 1)], None);
    assert_eq!(offsets(&take(&member, usize::MAX)), [6]);
}

#[test]
fn a_subscription_that_cannot_be_resumed_reports_it_and_starts_at_the_current_position() {
    let log = log(&[0; 40]);
    let elsewhere = Position { epoch: Uuid::from_u128(8), offset: 39 };
    for (resume, recovered) in [
        (at(30), true),
        (at(40), true),
        (at(15), true),
        (at(14), false),
        (at(41), false),
        (at(-1), false),
        (elsewhere, false),
    ] {
        let sessions = sessions();
        sessions.skip_to(at(40));
        let member = join(&sessions, Visibility::All);
        assert_eq!(member.subscribe(Topic::All, Some(resume)), Subscription::AwaitsBroadcaster);
        recover(&sessions, &log);
        let frames = take(&member, usize::MAX);
        assert_eq!(frames[0]["recovered"], recovered, "{resume:?}");
        let from = if recovered { resume.offset } else { 40 };
        assert_eq!(frames[0]["offset"], from);
    }
}

#[test]
fn an_instance_that_lags_behind_the_client_sends_no_duplicates() {
    let sessions = sessions();
    sessions.skip_to(at(2));
    let member = join(&sessions, Visibility::All);
    member.subscribe(Topic::All, Some(at(4)));
    let log = log(&[0; 6]);
    recover(&sessions, &log);
    sessions.deliver(&log, None);
    let frames = take(&member, usize::MAX);
    assert_eq!((&frames[0]["recovered"], offsets(&frames)), (&Value::from(true), vec![5, 6]));
}

#[test]
fn a_topic_that_would_deliver_out_of_order_is_not_recovered() {
    let sessions = sessions();
    sessions.skip_to(at(4));
    let member = join(&sessions, Visibility::All);
    member.subscribe(Topic::Country(Country::Es), None);
    let log = log(&[2, 2, 2, 2, 2, 3]);
    sessions.deliver(&log, None);
    member.subscribe(Topic::Application(application(2)), Some(at(1)));
    member.subscribe(Topic::Country(Country::Pt), Some(at(0)));
    recover(&sessions, &log);
    let frames = take(&member, usize::MAX);
    let recovered: Vec<_> = frames.iter().filter_map(|frame| frame["recovered"].as_bool()).collect();
    assert_eq!((recovered, offsets(&frames)), (vec![false, true], vec![5, 6]));
}

#[test]
fn a_long_replay_waits_for_its_reader_and_live_events_wait_for_the_replay() {
    let sessions = sessions();
    sessions.skip_to(at(25));
    let member = join(&sessions, Visibility::All);
    let log = log(&[0; 30]);
    member.subscribe(Topic::All, Some(at(0)));
    recover(&sessions, &log[..25]);
    sessions.deliver(&log, None);
    let mut got = offsets(&take(&member, 4_000));
    assert_eq!(got, [1, 2, 3, 4]);
    let queued = take(&member, usize::MAX);
    assert_eq!(
        offsets(&queued),
        (5..=17).collect::<Vec<_>>(),
        "half of the limit for coalescing is 15,000 bytes"
    );
    got.extend(offsets(&queued));
    recover(&sessions, &log);
    while got.len() < 30 {
        let taken = member.queue().take(8_000);
        assert!(!taken.frames.is_empty(), "stuck after {got:?}");
        let frames: Vec<Value> =
            taken.frames.iter().map(|frame| serde_json::from_str(&frame.text).unwrap()).collect();
        got.extend(offsets(&frames));
        if taken.replay_waits {
            recover(&sessions, &log);
        }
    }
    assert_eq!(got, (1..=30).collect::<Vec<_>>());
}

#[test]
fn too_many_subscriptions_are_rejected_and_repeated_ones_count_once() {
    let sessions = sessions();
    sessions.skip_to(at(0));
    let member = join(&sessions, Visibility::All);
    let topic = |n| Topic::Application(application(n));
    for n in 0..6 {
        assert_eq!(member.subscribe(topic(n), None), Subscription::Active);
    }
    assert_eq!(member.subscribe(topic(0), None), Subscription::Active);
    assert_eq!(member.subscribe(topic(6), None), Subscription::TooMany);
    member.unsubscribe(topic(3));
    assert_eq!(member.subscribe(topic(6), None), Subscription::Active);
    sessions.deliver(&log(&[3, 6]), None);
    assert_eq!(offsets(&take(&member, usize::MAX)), [2]);
}

#[test]
fn a_session_that_overflows_or_leaves_is_removed_with_its_subscriptions() {
    let sessions = sessions();
    sessions.skip_to(at(0));
    let stalled = join(&sessions, Visibility::All);
    let reader = join(&sessions, Visibility::All);
    stalled.subscribe(Topic::All, None);
    reader.subscribe(Topic::All, None);
    for offset in 1..=100 {
        sessions.deliver(&[update(offset, u128::try_from(offset).unwrap())], None);
        assert_eq!(offsets(&take(&reader, usize::MAX)), [offset]);
    }
    assert_eq!(sessions.count(), 1);
    assert_eq!(stalled.queue().take(usize::MAX).closing, Some(crate::actors::broadcaster::Closing::TooSlow));
    assert_eq!(sessions.metrics.websocket_connections_active.get(), 2);
    drop((stalled, reader));
    assert_eq!(sessions.metrics.websocket_connections_active.get(), 0);
    assert!(!sessions.has_listeners() && sessions.count() == 0);
}

#[test]
fn a_new_epoch_closes_every_session() {
    let sessions = sessions();
    sessions.skip_to(at(9));
    let member = join(&sessions, Visibility::All);
    member.subscribe(Topic::All, None);
    sessions.skip_to(at(12));
    assert_eq!(sessions.position(), Some(at(9)), "there is a listener");
    let restarted = Position { epoch: Uuid::from_u128(8), offset: 3 };
    sessions.skip_to(restarted);
    let taken = member.queue().take(usize::MAX);
    assert_eq!(taken.closing, Some(crate::actors::broadcaster::Closing::SequenceRestarted));
    assert_eq!(sessions.position(), Some(restarted));
}

#[test]
fn a_stopping_server_closes_existing_and_new_sessions() {
    let sessions = sessions();
    let member = join(&sessions, Visibility::All);
    sessions.close_all();
    for member in [member, join(&sessions, Visibility::All)] {
        let closing = member.queue().take(usize::MAX).closing;
        assert_eq!(closing, Some(crate::actors::broadcaster::Closing::ShuttingDown));
    }
}

/// An operation on a session, or an event that is published.
#[derive(Debug, Clone)]
enum Step {
    Publish { application: u128 },
    Deliver,
    Subscribe { topic: Topic, resume: Option<i64> },
    BeginRecovery,
    ReplayPage,
    Take { bytes: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let topic = prop_oneof![
        Just(Topic::All),
        Just(Topic::Country(Country::Es)),
        Just(Topic::Country(Country::Pt)),
        (0..4_u128).prop_map(|n| Topic::Application(application(n))),
    ];
    let subscribe = (topic, proptest::option::weighted(0.7, -1..40_i64))
        .prop_map(|(topic, resume)| Step::Subscribe { topic, resume });
    let step = prop_oneof![
        6 => (0..4_u128).prop_map(|application| Step::Publish { application }),
        3 => Just(Step::Deliver),
        2 => subscribe,
        2 => Just(Step::BeginRecovery),
        3 => Just(Step::ReplayPage),
        2 => (1..5_000_usize).prop_map(|bytes| Step::Take { bytes }),
    ];
    proptest::collection::vec(step, 0..80)
}

/// A client that checks its updates against the subscriptions that the server confirmed.
#[derive(Default)]
struct Client {
    /// The topics, each with the offset after which the server confirmed every event.
    confirmed: BTreeMap<String, (Topic, i64)>,
    got: Vec<i64>,
}

impl Client {
    fn read(&mut self, frames: Vec<Value>, log: &[Update]) {
        for frame in frames {
            let offset = frame["offset"].as_i64().unwrap();
            if frame["type"] == "subscribed" {
                let topic = if let Some(country) = frame["country"].as_str() {
                    Topic::Country(country.parse().unwrap())
                } else if let Some(id) = frame["application_id"].as_str() {
                    Topic::Application(id.parse().unwrap())
                } else {
                    Topic::All
                };
                self.confirmed.entry(format!("{topic:?}")).or_insert((topic, offset));
            } else {
                assert!(
                    self.was_confirmed(&log[usize::try_from(offset - 1).unwrap()]),
                    "{offset} was not subscribed to"
                );
                self.got.push(offset);
            }
        }
    }

    fn was_confirmed(&self, update: &Update) -> bool {
        self.confirmed.values().any(|(topic, after)| update.topics.contains(topic) && update.offset > *after)
    }
}

proptest! {
    #[test]
    fn a_session_gets_its_events_once_and_in_order_in_every_history(steps in steps()) {
        let sessions = sessions();
        sessions.skip_to(at(0));
        let member = join(&sessions, Visibility::All);
        let (mut log, mut client) = (Vec::<Update>::new(), Client::default());
        for step in steps {
            match step {
                Step::Publish { application } => log.push(update(i64::try_from(log.len()).unwrap() + 1, application)),
                Step::Deliver => {
                    // The client reads everything first, so nothing is coalesced.
                    client.read(take(&member, usize::MAX), &log);
                    sessions.deliver(&log, None);
                }
                Step::Subscribe { topic, resume } => {
                    member.subscribe(topic, resume.map(at));
                }
                Step::BeginRecovery => sessions.answer_waiting(&extent(i64::try_from(log.len()).unwrap())),
                Step::ReplayPage => {
                    if let Some(after) = sessions.next_cursor() {
                        let from = usize::try_from(after).unwrap();
                        let page = &log[from..log.len().min(from + 4)];
                        sessions.replay(after, page, page.last().map(|last| last.offset));
                    }
                }
                Step::Take { bytes } => client.read(take(&member, bytes), &log),
            }
        }
        client.read(take(&member, usize::MAX), &log);
        sessions.deliver(&log, None);
        while sessions.needs_recovery() {
            recover(&sessions, &log);
            client.read(take(&member, usize::MAX), &log);
        }
        client.read(take(&member, usize::MAX), &log);

        let expected: BTreeSet<i64> =
            log.iter().filter(|update| client.was_confirmed(update)).map(|update| update.offset).collect();
        let got: BTreeSet<i64> = client.got.iter().copied().collect();
        prop_assert_eq!(got.len(), client.got.len(), "duplicate events: {:?}", client.got);
        prop_assert_eq!(&got, &expected);
        let mut newest: BTreeMap<ApplicationId, i64> = BTreeMap::new();
        for offset in client.got {
            let id = log[usize::try_from(offset - 1).unwrap()].application.unwrap();
            prop_assert!(newest.insert(id, offset).is_none_or(|before| before < offset), "out of order at {}", offset);
        }
    }
}

#[test]
fn a_session_gets_nothing_before_it_is_admitted() {
    let sessions = sessions();
    sessions.skip_to(at(0));
    let member = sessions.join();
    member.subscribe(Topic::All, None);
    sessions.deliver(&[update(1, 2)], None);
    assert!(member.admit(viewer("ana", Visibility::All)));
    sessions.deliver(&[update(2, 2)], None);
    let offsets: Vec<_> = take(&member, 100_000)
        .into_iter()
        .filter(|frame| frame["type"] == "application_update")
        .map(|frame| frame["offset"].as_i64().unwrap())
        .collect();
    assert_eq!(offsets, [2]);
}

#[test]
fn the_number_of_sessions_per_account_is_limited() {
    let sessions = sessions();
    let mut members: Vec<_> = (0..20).map(|_| join(&sessions, Visibility::All)).collect();
    let one_more = sessions.join();
    assert!(!one_more.admit(viewer("tester", Visibility::All)));
    assert!(sessions.join().admit(viewer("ana", Visibility::All)), "other accounts are not affected");
    members.pop();
    assert!(one_more.admit(viewer("tester", Visibility::All)), "one session has ended");
}

#[test]
fn an_operations_event_reaches_operators_but_not_analysts_or_demoted_admins() {
    let sessions = sessions();
    sessions.skip_to(at(0));
    let operator = |operations| Viewer { operations, ..viewer("root", Visibility::All) };
    let (admin, analyst) = (sessions.join(), sessions.join());
    assert!(admin.admit(operator(true)) && analyst.admit(operator(false)));
    for member in [&admin, &analyst] {
        member.subscribe(Topic::Operations, None);
        member.subscribe(Topic::All, None);
    }
    let event = |offset| Update {
        topics: vec![Topic::Operations],
        viewers: Viewers::Operators,
        application: None,
        ..update(offset, 2)
    };
    sessions.deliver(&[event(1), update(2, 2)], None);
    assert_eq!(offsets(&take(&admin, usize::MAX)), [1, 2]);
    assert_eq!(offsets(&take(&analyst, usize::MAX)), [2]);
    admin.set_viewer(operator(false));
    sessions.deliver(&[event(3)], None);
    assert_eq!(offsets(&take(&admin, usize::MAX)), [] as [i64; 0]);
}
