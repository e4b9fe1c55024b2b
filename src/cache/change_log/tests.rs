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
    change_log.look(subject, visibility, NOW).unwrap().stamp
}

#[test]
fn an_event_of_another_family_changes_nothing_and_an_unreadable_one_of_applications_everything() {
    let mut change_log = change_log(100, 0);
    let subject = Subject::Application(id(1));
    let before = stamp(&mut change_log, subject, &Visibility::All);
    change_log.hear(&[envelope("account.disabled.v1", 1, &serde_json::json!({}))]);
    assert_eq!(stamp(&mut change_log, subject, &Visibility::All), before);
    assert_eq!(change_log.position().unwrap().offset, 1);
    change_log.hear(&[envelope("application.escalated.v9", 2, &serde_json::json!({}))]);
    assert_eq!(stamp(&mut change_log, subject, &Visibility::All).changed, 2);
}

#[test]
fn nothing_is_known_before_it_begins_and_when_it_no_longer_follows() {
    let mut change_log = ChangeLog::new(10, TTL, GRACE);
    assert_eq!(change_log.look(Subject::List, &Visibility::All, NOW), None);
    change_log.begin(Position { epoch: EPOCH, offset: 5 });
    assert_eq!(change_log.look(Subject::List, &Visibility::All, NOW), None);
    change_log.follow_until(Duration::from_secs(3), NOW);
    let look = change_log.look(Subject::List, &Visibility::All, Duration::from_secs(2)).unwrap();
    assert_eq!((look.as_of, look.stamp), (5, Stamp { changed: 5, own: 0 }));
    assert_eq!(change_log.look(Subject::List, &Visibility::All, Duration::from_secs(3)), None);
}

#[test]
fn an_event_concerns_its_application_its_owner_and_everything_and_nobody_else() {
    let mut change_log = change_log(10, 0);
    change_log.hear(&[event(1, 7, 1, ANA), event(2, 8, 1, BEN)]);
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
fn an_own_change_counts_until_its_event_comes_whichever_is_first() {
    let mut change_log = change_log(10, 0);
    let before = stamp(&mut change_log, Subject::List, &owned_by(ANA));
    change_log.note_own(id(7), 2, ANA, NOW);
    for (subject, visibility) in [
        (Subject::Application(id(7)), &Visibility::All),
        (Subject::List, &owned_by(ANA)),
        (Subject::List, &Visibility::All),
    ] {
        assert_ne!(stamp(&mut change_log, subject, visibility).own, 0, "{subject:?}");
    }
    assert_eq!(stamp(&mut change_log, Subject::List, &owned_by(BEN)), before);
    change_log.hear(&[event(1, 7, 1, ANA)]);
    assert_ne!(
        stamp(&mut change_log, Subject::Application(id(7)), &Visibility::All).own,
        0,
        "an older event"
    );
    change_log.hear(&[event(2, 7, 2, ANA)]);
    change_log.note_own(id(7), 2, ANA, NOW);
    for subject in [Subject::Application(id(7)), Subject::List] {
        assert_eq!(stamp(&mut change_log, subject, &owned_by(ANA)), Stamp { changed: 2, own: 0 });
    }
}

#[test]
fn an_own_change_whose_event_never_comes_is_given_up_when_no_older_copy_can_be_left() {
    let mut change_log = change_log(10, 0);
    change_log.note_own(id(7), 2, ANA, NOW);
    change_log.follow_until(TTL * 3, TTL);
    assert_ne!(stamp(&mut change_log, Subject::List, &owned_by(ANA)).own, 0);
    change_log.follow_until(TTL * 3, TTL + GRACE);
    assert_eq!(stamp(&mut change_log, Subject::List, &owned_by(ANA)).own, 0);
}

#[test]
fn with_more_own_changes_than_it_can_hold_it_vouches_for_nothing_for_a_while() {
    let mut change_log = change_log(4, 0);
    (0..5).for_each(|number| change_log.note_own(id(number), 1, ANA, NOW));
    change_log.follow_until(TTL * 3, NOW);
    assert_eq!(change_log.look(Subject::List, &owned_by(BEN), TTL - GRACE), None);
    assert!(change_log.look(Subject::List, &owned_by(BEN), TTL).is_some());
}

#[test]
fn statistics_of_everything_are_renewed_only_so_often_and_an_accounts_own_at_once() {
    let mut change_log = change_log(10, 0);
    let mut changed = |events: &[Envelope], visibility: &Visibility, ms| {
        change_log.hear(events);
        let now = Duration::from_millis(ms);
        change_log.look(Subject::Statistics, visibility, now).unwrap().stamp.changed
    };
    assert_eq!(changed(&[], &Visibility::All, 0), 0);
    assert_eq!(changed(&[event(1, 7, 1, ANA)], &Visibility::All, 5000), 1, "the first change after a pause");
    assert_eq!(changed(&[event(2, 7, 2, ANA)], &Visibility::All, 5999), 1);
    assert_eq!(changed(&[], &owned_by(ANA), 5999), 2);
    assert_eq!(changed(&[], &Visibility::All, 6000), 2);
}

/// What two instances and a store between them do.
#[derive(Debug, Clone)]
enum Step {
    Commit { on: usize, number: usize },
    Publish,
    Hear { on: usize, most: usize },
    HearEarly { on: usize },
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
        (on.clone(), 1..4_usize).prop_map(|(on, most)| Step::Hear { on, most }),
        on.clone().prop_map(|on| Step::HearEarly { on }),
        (on.clone(), number.clone()).prop_map(|(on, number)| Step::Load { on, number }),
        Just(Step::FinishLoad),
        (on.clone(), number).prop_map(|(on, number)| Step::Read { on, number }),
        on.prop_map(|on| Step::Restart { on }),
    ]
}

struct Instance {
    change_log: ChangeLog,
    memory: HashMap<(usize, Stamp), i64>,
    /// The versions that this instance may not fall behind: what it heard or committed itself.
    floor: [i64; 4],
}

#[derive(Default)]
struct World {
    versions: [i64; 4],
    unpublished: VecDeque<(usize, i64)>,
    published: Vec<Envelope>,
    /// The store: version by application, and the offset that it holds.
    shared: HashMap<usize, (i64, i64)>,
    loads: VecDeque<(usize, usize, Look, i64)>,
}

impl World {
    fn take(&mut self, step: &Step, instances: &mut [Instance; 2]) {
        match *step {
            Step::Commit { on, number } => {
                self.versions[number] += 1;
                let version = self.versions[number];
                self.unpublished.push_back((number, version));
                let instance = &mut instances[on];
                instance.change_log.note_own(id(number as u128), version, ANA, NOW);
                instance.floor[number] = version;
            }
            Step::Publish => {
                let Some((number, version)) = self.unpublished.pop_front() else { return };
                let offset = self.published.len() as i64 + 1;
                self.published.push(event(offset, number as u128, version, ANA));
            }
            Step::Hear { on, most } => {
                let from = instances[on].change_log.position().unwrap().offset as usize;
                let until = self.published.len().min(from + most);
                hear(&mut instances[on], &self.published[from..until], ChangeLog::hear);
            }
            Step::HearEarly { on } => {
                let newest = self.published.len().saturating_sub(1);
                hear(&mut instances[on], &self.published[newest..], ChangeLog::hear_early);
            }
            Step::Load { on, number } => {
                let subject = Subject::Application(id(number as u128));
                let look = instances[on].change_log.look(subject, &Visibility::All, NOW).unwrap();
                self.loads.push_back((on, number, look, self.versions[number]));
            }
            Step::FinishLoad => {
                let Some((on, number, look, version)) = self.loads.pop_front() else { return };
                instances[on].memory.insert((number, look.stamp), version);
                self.shared.insert(number, (version, look.as_of));
            }
            Step::Read { on, number } => {
                let instance = &mut instances[on];
                let subject = Subject::Application(id(number as u128));
                let look = instance.change_log.look(subject, &Visibility::All, NOW).unwrap();
                let shared = || {
                    let (version, as_of) = self.shared.get(&number)?;
                    (look.stamp.own == 0 && *as_of >= look.stamp.changed).then_some(*version)
                };
                let read = instance.memory.get(&(number, look.stamp)).copied().or_else(shared);
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

fn hear(instance: &mut Instance, events: &[Envelope], how: fn(&mut ChangeLog, &[Envelope])) {
    how(&mut instance.change_log, events);
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
    fn no_read_is_older_than_what_its_instance_heard_or_committed(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (mut world, mut instances) = (World::default(), [instance(0), instance(0)]);
        for step in &steps {
            world.take(step, &mut instances);
        }
    }
}
