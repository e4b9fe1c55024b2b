use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::domain::application::Country;
use crate::domain::status::Status;
use crate::events::envelope::tests::envelope;

const EPOCH: Uuid = Uuid::from_u128(1);
const TTL: Duration = Duration::from_secs(600);
const GRACE: Duration = Duration::from_secs(1);
const NOW: Duration = Duration::ZERO;
const ANA: &str = "ana";
const BEN: &str = "ben";

fn id(number: u128) -> ApplicationId {
    ApplicationId::new(Uuid::from_u128(number))
}

fn event(offset: i64, number: u128, version: i64, owner: &str) -> Envelope {
    let changed = ApplicationChanged {
        id: id(number),
        country: Country::Es,
        status: Status::Pending,
        previous_status: None,
        risk_score: None,
        version,
        created_by: owner.to_owned(),
        updated_at: DateTime::UNIX_EPOCH,
    };
    envelope("application.status_changed.v1", offset, &serde_json::to_value(changed).unwrap())
}

fn data(event: &Envelope) -> &ApplicationChanged {
    event.data().unwrap()
}

fn change_log(capacity: usize, offset: i64) -> ChangeLog {
    let mut change_log = ChangeLog::new(capacity, TTL, GRACE);
    change_log.begin(Position { epoch: EPOCH, offset });
    change_log.follow_until(TTL, NOW);
    change_log
}

fn owned_by(account: &str) -> Visibility {
    Visibility::OwnedBy(account.to_owned())
}

fn stamp(change_log: &mut ChangeLog, subject: Subject, visibility: &Visibility) -> Stamp {
    change_log.look_up(subject, visibility, NOW).unwrap().stamp
}

#[test]
fn other_events_change_nothing_and_unreadable_application_events_change_everything() {
    let mut change_log = change_log(100, 0);
    let subject = Subject::Application(id(1));
    let before = stamp(&mut change_log, subject, &Visibility::All);
    change_log.apply(&[envelope("account.disabled.v1", 1, &serde_json::json!({}))]);
    assert_eq!(stamp(&mut change_log, subject, &Visibility::All), before);
    assert_eq!(change_log.position().unwrap().offset, 1);
    change_log.apply(&[envelope("application.escalated.v9", 2, &serde_json::json!({}))]);
    assert_eq!(stamp(&mut change_log, subject, &Visibility::All).changed, 2);
}

#[test]
fn look_ups_fail_before_the_beginning_and_when_events_may_be_missing() {
    let mut change_log = ChangeLog::new(10, TTL, GRACE);
    assert_eq!(change_log.look_up(Subject::List, &Visibility::All, NOW), None);
    change_log.begin(Position { epoch: EPOCH, offset: 5 });
    assert_eq!(change_log.look_up(Subject::List, &Visibility::All, NOW), None);
    change_log.follow_until(Duration::from_secs(3), NOW);
    let lookup = change_log.look_up(Subject::List, &Visibility::All, Duration::from_secs(2)).unwrap();
    assert_eq!((lookup.as_of, lookup.stamp), (5, Stamp { changed: 5, own: 0 }));
    assert_eq!(change_log.look_up(Subject::List, &Visibility::All, Duration::from_secs(3)), None);
}

#[test]
fn an_event_changes_the_stamps_of_its_application_its_owner_and_all_applications_only() {
    let mut change_log = change_log(10, 0);
    change_log.apply(&[event(1, 7, 1, ANA), event(2, 8, 1, BEN)]);
    let mut changed = |subject, visibility: &Visibility| stamp(&mut change_log, subject, visibility).changed;
    assert_eq!(changed(Subject::Application(id(7)), &Visibility::All), 1);
    assert_eq!(changed(Subject::Application(id(8)), &owned_by(BEN)), 2);
    assert_eq!(changed(Subject::Application(id(9)), &Visibility::All), 0);
    assert_eq!(changed(Subject::List, &owned_by(ANA)), 1);
    assert_eq!(changed(Subject::Statistics, &owned_by(BEN)), 2);
    assert_eq!(changed(Subject::List, &owned_by("carl")), 0);
    assert_eq!(changed(Subject::List, &Visibility::All), 2);
}

#[test]
fn an_own_change_counts_until_its_event_arrives_in_either_order() {
    let mut change_log = change_log(10, 0);
    let before = stamp(&mut change_log, Subject::List, &owned_by(ANA));
    change_log.record_own(id(7), 2, ANA, NOW);
    for (subject, visibility) in [
        (Subject::Application(id(7)), &Visibility::All),
        (Subject::List, &owned_by(ANA)),
        (Subject::List, &Visibility::All),
    ] {
        assert_ne!(stamp(&mut change_log, subject, visibility).own, 0, "{subject:?}");
    }
    assert_eq!(stamp(&mut change_log, Subject::List, &owned_by(BEN)), before);
    change_log.apply(&[event(1, 7, 1, ANA)]);
    assert_ne!(
        stamp(&mut change_log, Subject::Application(id(7)), &Visibility::All).own,
        0,
        "an older event"
    );
    change_log.apply(&[event(2, 7, 2, ANA)]);
    change_log.record_own(id(7), 2, ANA, NOW);
    for subject in [Subject::Application(id(7)), Subject::List] {
        assert_eq!(stamp(&mut change_log, subject, &owned_by(ANA)), Stamp { changed: 2, own: 0 });
    }
}

#[test]
fn an_own_change_without_an_event_expires_with_the_oldest_entries() {
    let mut change_log = change_log(10, 0);
    change_log.record_own(id(7), 2, ANA, NOW);
    change_log.follow_until(TTL * 3, TTL);
    assert_ne!(stamp(&mut change_log, Subject::List, &owned_by(ANA)).own, 0);
    change_log.follow_until(TTL * 3, TTL + GRACE);
    assert_eq!(stamp(&mut change_log, Subject::List, &owned_by(ANA)).own, 0);
}

#[test]
fn too_many_own_changes_suspend_look_ups_for_a_while() {
    let mut change_log = change_log(4, 0);
    (0..5).for_each(|number| change_log.record_own(id(number), 1, ANA, NOW));
    change_log.follow_until(TTL * 3, NOW);
    assert_eq!(change_log.look_up(Subject::List, &owned_by(BEN), TTL - GRACE), None);
    assert!(change_log.look_up(Subject::List, &owned_by(BEN), TTL).is_some());
}

#[test]
fn statistics_of_all_are_renewed_at_a_limited_rate_and_those_of_an_account_immediately() {
    let mut change_log = change_log(10, 0);
    let mut changed = |events: &[Envelope], visibility: &Visibility, ms| {
        change_log.apply(events);
        let now = Duration::from_millis(ms);
        change_log.look_up(Subject::Statistics, visibility, now).unwrap().stamp.changed
    };
    assert_eq!(changed(&[], &Visibility::All, 0), 0);
    assert_eq!(
        changed(&[event(1, 7, 1, ANA)], &Visibility::All, 5000),
        1,
        "the first change after a pause must count"
    );
    assert_eq!(changed(&[event(2, 7, 2, ANA)], &Visibility::All, 5999), 1);
    assert_eq!(changed(&[], &owned_by(ANA), 5999), 2);
    assert_eq!(changed(&[], &Visibility::All, 6000), 2);
}

/// A step of the model, which has two instances, a sequence of events and a shared store.
#[derive(Debug, Clone)]
enum Step {
    Commit { on: usize, number: usize },
    Publish,
    Apply { on: usize, max: usize },
    ApplyEarly { on: usize },
    Load { on: usize, number: usize },
    FinishLoad,
    Read { on: usize, number: usize },
    Restart { on: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (on, number) = (0..2_usize, 0..4_usize);
    prop_oneof![
        (on.clone(), number.clone()).prop_map(|(on, number)| Step::Commit { on, number }),
        Just(Step::Publish),
        (on.clone(), 1..4_usize).prop_map(|(on, max)| Step::Apply { on, max }),
        on.clone().prop_map(|on| Step::ApplyEarly { on }),
        (on.clone(), number.clone()).prop_map(|(on, number)| Step::Load { on, number }),
        Just(Step::FinishLoad),
        (on.clone(), number).prop_map(|(on, number)| Step::Read { on, number }),
        on.prop_map(|on| Step::Restart { on }),
    ]
}

struct Instance {
    change_log: ChangeLog,
    memory: HashMap<(usize, Stamp), i64>,
    /// For each application, the lowest version that this instance may return: the newest that it has applied or committed.
    floor: [i64; 4],
}

#[derive(Default)]
struct World {
    versions: [i64; 4],
    unpublished: VecDeque<(usize, i64)>,
    published: Vec<Envelope>,
    /// The shared store: for each application, the stored version and the offset up to which it is current.
    shared: HashMap<usize, (i64, i64)>,
    loads: VecDeque<(usize, usize, Lookup, i64)>,
}

impl World {
    fn perform(&mut self, step: &Step, instances: &mut [Instance; 2]) {
        match *step {
            Step::Commit { on, number } => {
                self.versions[number] += 1;
                let version = self.versions[number];
                self.unpublished.push_back((number, version));
                let instance = &mut instances[on];
                instance.change_log.record_own(id(number as u128), version, ANA, NOW);
                instance.floor[number] = version;
            }
            Step::Publish => {
                let Some((number, version)) = self.unpublished.pop_front() else { return };
                let offset = self.published.len() as i64 + 1;
                self.published.push(event(offset, number as u128, version, ANA));
            }
            Step::Apply { on, max } => {
                let from = instances[on].change_log.position().unwrap().offset as usize;
                let until = self.published.len().min(from + max);
                apply(&mut instances[on], &self.published[from..until], ChangeLog::apply);
            }
            Step::ApplyEarly { on } => {
                let newest = self.published.len().saturating_sub(1);
                apply(&mut instances[on], &self.published[newest..], ChangeLog::apply_early);
            }
            Step::Load { on, number } => {
                let subject = Subject::Application(id(number as u128));
                let lookup = instances[on].change_log.look_up(subject, &Visibility::All, NOW).unwrap();
                self.loads.push_back((on, number, lookup, self.versions[number]));
            }
            Step::FinishLoad => {
                let Some((on, number, lookup, version)) = self.loads.pop_front() else { return };
                instances[on].memory.insert((number, lookup.stamp), version);
                self.shared.insert(number, (version, lookup.as_of));
            }
            Step::Read { on, number } => {
                let instance = &mut instances[on];
                let subject = Subject::Application(id(number as u128));
                let lookup = instance.change_log.look_up(subject, &Visibility::All, NOW).unwrap();
                let shared = || {
                    let (version, as_of) = self.shared.get(&number)?;
                    (lookup.stamp.own == 0 && *as_of >= lookup.stamp.changed).then_some(*version)
                };
                let read = instance.memory.get(&(number, lookup.stamp)).copied().or_else(shared);
                let read = read.unwrap_or(self.versions[number]);
                assert!(read >= instance.floor[number], "{read} of {number} after {:?}", instance.floor);
            }
            Step::Restart { on } => {
                let end = Position { epoch: EPOCH, offset: self.published.len() as i64 };
                instances[on] = instance(end.offset);
                for event in &self.published {
                    let number = data(event).id.as_uuid().as_u128() as usize;
                    instances[on].floor[number] = data(event).version;
                }
                self.loads.retain(|load| load.0 != on);
            }
        }
    }
}

fn apply(instance: &mut Instance, events: &[Envelope], apply_events: fn(&mut ChangeLog, &[Envelope])) {
    apply_events(&mut instance.change_log, events);
    for event in events {
        let floor = &mut instance.floor[data(event).id.as_uuid().as_u128() as usize];
        *floor = data(event).version.max(*floor);
    }
}

fn instance(offset: i64) -> Instance {
    Instance { change_log: change_log(4, offset), memory: HashMap::new(), floor: [0; 4] }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_read_is_older_than_the_events_and_commits_of_its_instance(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (mut world, mut instances) = (World::default(), [instance(0), instance(0)]);
        for step in &steps {
            world.perform(step, &mut instances);
        }
    }
}
