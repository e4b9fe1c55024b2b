//! The change log, which decides whether a cache entry is still valid.
//!
//! Events have offsets in one sequence without gaps (see `bus`), and this instance reads all of them. Therefore the
//! change log knows the offset of the last change to each application, to each owner's applications, and to any
//! application. Each entry records the state of the change log from *before* its data was loaded. It is valid as long
//! as nothing that it depends on has changed since. There are no invalidation messages, so none can be lost.
//!
//! A change that this instance commits itself takes effect before its event arrives ([`ChangeLog::record_own`]). A
//! client that has received the response to its write can therefore read the change.
//!
//! Only the newest changes are kept individually. Older ones are dropped, and the *horizon* is the highest offset among
//! them. An application without a recorded change counts as changed at the horizon. A valid entry may therefore be
//! discarded, but an outdated one is never used.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use uuid::Uuid;

use super::Subject;
use crate::domain::event::ApplicationChanged;
use crate::domain::ids::ApplicationId;
use crate::domain::published::Position;
use crate::events::envelope::Envelope;
use crate::storage::applications::Visibility;

/// Identifies the state of the data that an entry depends on. An entry is valid as long as the current stamp equals the one
/// from before it was loaded. A stamp does not recur while an entry with it may exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    /// The offset of the last known change.
    pub(super) changed: i64,
    /// The sequence number of the last change that this instance committed and whose event has not arrived; 0 if there is
    /// none.
    pub(super) own: u64,
}

/// The result of a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lookup {
    pub(super) epoch: Uuid,
    pub(super) stamp: Stamp,
    /// Data loaded from now on includes every change up to this offset.
    pub(super) as_of: i64,
}

#[derive(Debug, Clone, Copy)]
struct LastChange {
    offset: i64,
    version: i64,
}

/// A change in the history. The oldest changes are dropped first.
#[derive(Debug)]
struct HistoryEntry {
    offset: i64,
    id: Uuid,
    owner: String,
}

/// A change that this instance committed and whose event has not arrived.
#[derive(Debug)]
struct OwnChange {
    version: i64,
    owner: String,
    number: u64,
    at: Duration,
}

/// This instance's changes to one owner's applications whose events have not arrived.
#[derive(Debug, Default)]
struct Waiting {
    count: usize,
    last: u64,
}

/// The stamp of the statistics of all applications, which is renewed at a limited rate.
#[derive(Debug, Clone, Copy)]
struct StatisticsStamp {
    stamp: Stamp,
    taken_at: Duration,
}

/// The change log.
#[derive(Debug)]
pub(super) struct ChangeLog {
    capacity: usize,
    /// The longest lifetime of a cache entry.
    longest_ttl: Duration,
    /// The minimum time between two stamps of the statistics of all applications.
    grace: Duration,
    position: Option<Position>,
    /// The time until which the known events count as complete.
    following_until: Duration,
    /// The highest offset among the dropped changes.
    horizon: i64,
    /// The offset of the last change to any application.
    newest: i64,
    applications: HashMap<Uuid, LastChange>,
    owners: HashMap<String, i64>,
    history: VecDeque<HistoryEntry>,
    own: HashMap<Uuid, OwnChange>,
    /// For each owner, the number of changes in `own` and the sequence number of the last one.
    waiting: HashMap<String, Waiting>,
    /// The sequence number of the last own change.
    own_changes: u64,
    /// If the capacity for own changes was exceeded: until this time, lookups return nothing. By then, every entry that was
    /// loaded before has expired.
    overflow_until: Duration,
    statistics_stamp: Option<StatisticsStamp>,
}

impl ChangeLog {
    pub(super) fn new(capacity: usize, longest_ttl: Duration, grace: Duration) -> Self {
        Self {
            capacity,
            longest_ttl,
            grace,
            position: None,
            following_until: Duration::ZERO,
            horizon: 0,
            newest: 0,
            applications: HashMap::new(),
            owners: HashMap::new(),
            history: VecDeque::new(),
            own: HashMap::new(),
            waiting: HashMap::new(),
            own_changes: 0,
            overflow_until: Duration::ZERO,
            statistics_stamp: None,
        }
    }

    /// The position up to which events were applied.
    pub(super) const fn position(&self) -> Option<Position> {
        self.position
    }

    /// Begins at `position`, without a record of earlier changes.
    pub(super) fn begin(&mut self, position: Position) {
        self.position = Some(position);
        self.horizon = position.offset;
        self.newest = position.offset;
        self.applications.clear();
        self.owners.clear();
        self.history.clear();
        self.statistics_stamp = None;
    }

    /// Declares that the known events count as complete until `until`.
    pub(super) fn follow_until(&mut self, until: Duration, now: Duration) {
        self.following_until = until;
        self.settle_expired(now);
    }

    /// Applies the next events, which follow the position without a gap.
    pub(super) fn apply(&mut self, events: &[Envelope]) {
        self.apply_early(events);
        if let (Some(position), Some(last)) = (&mut self.position, events.last()) {
            position.offset = position.offset.max(last.offset);
        }
    }

    /// Applies events that another reader of this instance read first. There may be gaps before and between them.
    pub(super) fn apply_early(&mut self, events: &[Envelope]) {
        let Some(position) = self.position else { return };
        for event in events.iter().filter(|event| event.offset > position.offset) {
            self.apply_one(event);
        }
    }

    fn apply_one(&mut self, event: &Envelope) {
        if !event.is_of::<ApplicationChanged>() {
            // No cache entry depends on it.
            return;
        }
        let Some(data) = event.data::<ApplicationChanged>() else {
            // Any application may have changed.
            self.newest = self.newest.max(event.offset);
            self.horizon = self.horizon.max(event.offset);
            return;
        };
        let (id, owner) = (data.id.as_uuid(), &data.created_by);
        let change = LastChange { offset: event.offset, version: data.version };
        if self.applications.get(&id).is_some_and(|known| known.offset >= change.offset) {
            return;
        }
        self.newest = self.newest.max(change.offset);
        self.applications.insert(id, change);
        match self.owners.get_mut(owner) {
            Some(last) => *last = change.offset.max(*last),
            None => drop(self.owners.insert(owner.clone(), change.offset)),
        }
        self.history.push_back(HistoryEntry { offset: change.offset, id, owner: owner.clone() });
        if self.own.get(&id).is_some_and(|own| own.version <= change.version) {
            self.settle(id);
        }
        if self.history.len() > self.capacity {
            self.drop_older_half();
        }
    }

    fn drop_older_half(&mut self) {
        for entry in self.history.drain(..self.capacity / 2) {
            self.horizon = self.horizon.max(entry.offset);
            if self.applications.get(&entry.id).is_some_and(|last| last.offset == entry.offset) {
                self.applications.remove(&entry.id);
            }
            if self.owners.get(&entry.owner) == Some(&entry.offset) {
                self.owners.remove(&entry.owner);
            }
        }
    }

    /// Records that this instance committed `version` of an application of `owner`.
    pub(super) fn record_own(&mut self, id: ApplicationId, version: i64, owner: &str, now: Duration) {
        let id = id.as_uuid();
        // The event may have arrived first.
        if self.applications.get(&id).is_some_and(|last| last.version >= version) {
            return;
        }
        self.settle(id);
        if self.own.len() >= self.capacity {
            self.overflow_until = now + self.longest_ttl;
            return;
        }
        self.own_changes += 1;
        let waiting = self.waiting.entry(owner.to_owned()).or_default();
        waiting.count += 1;
        waiting.last = self.own_changes;
        let change = OwnChange { version, owner: owner.to_owned(), number: self.own_changes, at: now };
        self.own.insert(id, change);
    }

    /// Removes an own change.
    fn settle(&mut self, id: Uuid) {
        let Some(change) = self.own.remove(&id) else { return };
        if let Some(waiting) = self.waiting.get_mut(&change.owner) {
            waiting.count -= 1;
            if waiting.count == 0 {
                self.waiting.remove(&change.owner);
            }
        }
    }

    /// Drops own changes whose event has not arrived for longer than the lifetime of any entry. Every entry
    /// that was loaded before them has expired.
    fn settle_expired(&mut self, now: Duration) {
        let expired = |change: &OwnChange| now.saturating_sub(change.at) > self.longest_ttl;
        let ids: Vec<Uuid> =
            self.own.iter().filter(|(_, change)| expired(change)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.settle(id));
    }

    /// The stamp that a valid entry must have; `None` if the known events may be incomplete.
    pub(super) fn look_up(
        &mut self,
        subject: Subject,
        visibility: &Visibility,
        now: Duration,
    ) -> Option<Lookup> {
        let position = self.position.filter(|_| now < self.following_until && now >= self.overflow_until)?;
        let stamp = match (subject, visibility) {
            (Subject::Application(id), _) => self.stamp_of_application(id.as_uuid()),
            (Subject::List | Subject::Statistics, Visibility::OwnedBy(owner)) => self.stamp_of_owner(owner),
            (Subject::List, Visibility::All) => self.stamp_of_everything(),
            (Subject::Statistics, Visibility::All) => self.stamp_of_statistics(now),
        };
        Some(Lookup { epoch: position.epoch, stamp, as_of: position.offset })
    }

    fn stamp_of_application(&self, id: Uuid) -> Stamp {
        let changed = self.applications.get(&id).map_or(self.horizon, |last| last.offset.max(self.horizon));
        Stamp { changed, own: self.own.get(&id).map_or(0, |change| change.number) }
    }

    fn stamp_of_owner(&self, owner: &str) -> Stamp {
        let changed = self.owners.get(owner).map_or(self.horizon, |last| (*last).max(self.horizon));
        Stamp { changed, own: self.waiting.get(owner).map_or(0, |waiting| waiting.last) }
    }

    fn stamp_of_everything(&self) -> Stamp {
        Stamp { changed: self.newest, own: if self.own.is_empty() { 0 } else { self.own_changes } }
    }

    fn stamp_of_statistics(&mut self, now: Duration) -> Stamp {
        let current = self.stamp_of_everything();
        match self.statistics_stamp {
            Some(last) if now.saturating_sub(last.taken_at) < self.grace => last.stamp,
            _ => {
                self.statistics_stamp = Some(StatisticsStamp { stamp: current, taken_at: now });
                current
            }
        }
    }
}

#[cfg(test)]
mod tests;
