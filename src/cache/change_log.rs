//! What has changed, and since when: the book in which a copy is looked up before it is used.
//!
//! Events have offsets in one sequence without gaps (see `bus`), and this instance reads them all. So for each application,
//! for each owner and for everything the offset of the last change is known. A copy carries the offset up to which its
//! instance had read *before* it began to load, and it is good as long as nothing it is about has changed after that:
//! no message has to reach the copy, so none can be lost on the way to it.
//!
//! A change that this instance commits itself counts before its event comes round ([`ChangeLog::note_own`]), so that whoever
//! got the answer to a write reads what was written.
//!
//! Only the newest changes are remembered, one by one. What was forgotten counts as changed at the horizon, the newest
//! forgotten offset: a good copy may be thrown away, an old one is never used.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use uuid::Uuid;

use super::Subject;
use crate::domain::event::ApplicationChanged;
use crate::domain::ids::ApplicationId;
use crate::domain::published::Position;
use crate::events::envelope::Envelope;
use crate::storage::applications::Visibility;

/// The state of what a copy is about. Copies that were loaded under one stamp are good under that stamp, and no stamp comes
/// back while a copy of it can still be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    /// The offset of the last change that was heard of.
    pub(super) changed: i64,
    /// This instance's last own change whose event has not come; 0 when there is none.
    pub(super) own: u64,
}

/// What a look-up has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) epoch: Uuid,
    pub(super) stamp: Stamp,
    /// What is loaded from now on holds every change up to this offset.
    pub(super) as_of: i64,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    offset: i64,
    version: i64,
}

/// An entry of the history: what is forgotten first.
#[derive(Debug)]
struct Entry {
    offset: i64,
    id: Uuid,
    owner: String,
}

#[derive(Debug)]
struct OwnChange {
    version: i64,
    owner: String,
    number: u64,
    at: Duration,
}

/// An account's own changes that wait for their event.
#[derive(Debug, Default)]
struct Waiting {
    count: usize,
    last: u64,
}

/// The statistics of everybody's applications go by a stamp that is renewed only so often.
#[derive(Debug, Clone, Copy)]
struct GracedStamp {
    stamp: Stamp,
    taken_at: Duration,
}

/// The book.
#[derive(Debug)]
pub(super) struct ChangeLog {
    capacity: usize,
    /// No copy is kept longer.
    longest_ttl: Duration,
    grace: Duration,
    position: Option<Position>,
    /// Until when what was heard counts as all there is to hear.
    following_until: Duration,
    horizon: i64,
    newest: i64,
    applications: HashMap<Uuid, Heard>,
    owners: HashMap<String, i64>,
    history: VecDeque<Entry>,
    own: HashMap<Uuid, OwnChange>,
    waiting: HashMap<String, Waiting>,
    own_changes: u64,
    /// Own changes found no room: nothing is known for sure until every copy of that time is gone.
    overflown_until: Duration,
    graced: Option<GracedStamp>,
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
            overflown_until: Duration::ZERO,
            graced: None,
        }
    }

    /// How far the sequence was heard.
    pub(super) const fn position(&self) -> Option<Position> {
        self.position
    }

    /// Begins at `position`, knowing nothing of what was before.
    pub(super) fn begin(&mut self, position: Position) {
        self.position = Some(position);
        self.horizon = position.offset;
        self.newest = position.offset;
        self.applications.clear();
        self.owners.clear();
        self.history.clear();
        self.graced = None;
    }

    /// Until `until`, what was heard counts as all there is to hear.
    pub(super) fn follow_until(&mut self, until: Duration, now: Duration) {
        self.following_until = until;
        self.settle_expired(now);
    }

    /// The next events, without a gap after the position.
    pub(super) fn hear(&mut self, events: &[Envelope]) {
        self.hear_early(events);
        if let (Some(position), Some(last)) = (&mut self.position, events.last()) {
            position.offset = position.offset.max(last.offset);
        }
    }

    /// Events of the sequence that others were quicker to read; there may be gaps before and between them.
    pub(super) fn hear_early(&mut self, events: &[Envelope]) {
        let Some(position) = self.position else { return };
        for event in events.iter().filter(|event| event.offset > position.offset) {
            self.hear_one(event);
        }
    }

    fn hear_one(&mut self, event: &Envelope) {
        if !event.is_of::<ApplicationChanged>() {
            // No copy depends on it.
            return;
        }
        let Some(data) = event.data::<ApplicationChanged>() else {
            // Any application may have changed.
            self.newest = self.newest.max(event.offset);
            self.horizon = self.horizon.max(event.offset);
            return;
        };
        let (id, owner) = (data.id.as_uuid(), &data.created_by);
        let heard = Heard { offset: event.offset, version: data.version };
        if self.applications.get(&id).is_some_and(|known| known.offset >= heard.offset) {
            return;
        }
        self.newest = self.newest.max(heard.offset);
        self.applications.insert(id, heard);
        match self.owners.get_mut(owner) {
            Some(last) => *last = heard.offset.max(*last),
            None => drop(self.owners.insert(owner.clone(), heard.offset)),
        }
        self.history.push_back(Entry { offset: heard.offset, id, owner: owner.clone() });
        if self.own.get(&id).is_some_and(|own| own.version <= heard.version) {
            self.settle(id);
        }
        if self.history.len() > self.capacity {
            self.forget_the_older_half();
        }
    }

    fn forget_the_older_half(&mut self) {
        for entry in self.history.drain(..self.capacity / 2) {
            self.horizon = self.horizon.max(entry.offset);
            if self.applications.get(&entry.id).is_some_and(|heard| heard.offset == entry.offset) {
                self.applications.remove(&entry.id);
            }
            if self.owners.get(&entry.owner) == Some(&entry.offset) {
                self.owners.remove(&entry.owner);
            }
        }
    }

    /// This instance has committed a change: `version` of an application that `owner` made.
    pub(super) fn note_own(&mut self, id: ApplicationId, version: i64, owner: &str, now: Duration) {
        let id = id.as_uuid();
        // The event may have been quicker.
        if self.applications.get(&id).is_some_and(|heard| heard.version >= version) {
            return;
        }
        self.settle(id);
        if self.own.len() >= self.capacity {
            self.overflown_until = now + self.longest_ttl;
            return;
        }
        self.own_changes += 1;
        let waiting = self.waiting.entry(owner.to_owned()).or_default();
        waiting.count += 1;
        waiting.last = self.own_changes;
        let change = OwnChange { version, owner: owner.to_owned(), number: self.own_changes, at: now };
        self.own.insert(id, change);
    }

    fn settle(&mut self, id: Uuid) {
        let Some(change) = self.own.remove(&id) else { return };
        if let Some(waiting) = self.waiting.get_mut(&change.owner) {
            waiting.count -= 1;
            if waiting.count == 0 {
                self.waiting.remove(&change.owner);
            }
        }
    }

    /// An own change whose event has not come for longer than any copy is kept can make no copy old any more.
    fn settle_expired(&mut self, now: Duration) {
        let expired = |change: &OwnChange| now.saturating_sub(change.at) > self.longest_ttl;
        let ids: Vec<Uuid> =
            self.own.iter().filter(|(_, change)| expired(change)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.settle(id));
    }

    /// Under which stamp a copy must have been loaded to be good; `None` while nothing is known for sure.
    pub(super) fn look(&mut self, subject: Subject, visibility: &Visibility, now: Duration) -> Option<Look> {
        let position = self.position.filter(|_| now < self.following_until && now >= self.overflown_until)?;
        let stamp = match (subject, visibility) {
            (Subject::Application(id), _) => self.stamp_of_application(id.as_uuid()),
            (Subject::List | Subject::Statistics, Visibility::OwnedBy(owner)) => self.stamp_of_owner(owner),
            (Subject::List, Visibility::All) => self.stamp_of_everything(),
            (Subject::Statistics, Visibility::All) => self.graced_stamp(now),
        };
        Some(Look { epoch: position.epoch, stamp, as_of: position.offset })
    }

    fn stamp_of_application(&self, id: Uuid) -> Stamp {
        let changed = self.applications.get(&id).map_or(self.horizon, |heard| heard.offset.max(self.horizon));
        Stamp { changed, own: self.own.get(&id).map_or(0, |change| change.number) }
    }

    fn stamp_of_owner(&self, owner: &str) -> Stamp {
        let changed = self.owners.get(owner).map_or(self.horizon, |last| (*last).max(self.horizon));
        Stamp { changed, own: self.waiting.get(owner).map_or(0, |waiting| waiting.last) }
    }

    fn stamp_of_everything(&self) -> Stamp {
        Stamp { changed: self.newest, own: if self.own.is_empty() { 0 } else { self.own_changes } }
    }

    fn graced_stamp(&mut self, now: Duration) -> Stamp {
        let current = self.stamp_of_everything();
        match self.graced {
            Some(graced) if now.saturating_sub(graced.taken_at) < self.grace => graced.stamp,
            _ => {
                self.graced = Some(GracedStamp { stamp: current, taken_at: now });
                current
            }
        }
    }
}

#[cfg(test)]
mod tests;
