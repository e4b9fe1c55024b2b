//! What waits to be sent to one client.
//!
//! The actor of a WebSocket session lives inside the response stream and stands still when its client stops reading.
//! So its queue stands outside it and bounds itself, by bytes: a plain queue while it is small; above
//! `coalesce_above_bytes` it keeps only the newest update of each application, and every other update; when even that exceeds
//! `close_above_bytes` it is emptied and the session is over (4008). Pushing never waits, so a slow client costs the
//! others nothing.
//!
//! Live updates are taken in the order of their offsets, and one at or below the last taken is ignored: whoever
//! delivers may repeat itself without the client noticing. Updates of one application always leave in order.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use prometheus::IntCounter;

use super::feed::Update;
use super::frame::Frame;
use crate::config::WebSocketSettings;
use crate::domain::ids::ApplicationId;

/// Why the server ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// The client reads too slowly.
    TooSlow,
    /// The server stops.
    ShuttingDown,
    /// The sequence of events started anew; the client must, too.
    SequenceRestarted,
}

/// What a session takes from its queue at once.
#[derive(Debug, Default)]
pub struct Taken {
    /// The frames, in order.
    pub frames: Vec<Frame>,
    /// Set once nothing follows.
    pub closing: Option<Closing>,
    /// Whether a replay waits for the room that was made: the broadcaster should be told.
    pub replay_waits: bool,
}

/// Whether the queue took a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Push {
    /// It will be sent, or a newer one in its stead.
    Taken,
    /// It was taken before.
    Known,
    /// The session is over.
    Closed,
}

/// Tells the session's actor that something waits; `false` when it could not be told.
type Waker = Box<dyn Fn() -> bool + Send + Sync>;

/// The queue of one session.
pub struct SessionQueue {
    coalesce_above: usize,
    close_above: usize,
    dropped: IntCounter,
    waker: OnceLock<Waker>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// By order of arrival.
    entries: BTreeMap<u64, Entry>,
    /// The newest waiting update of each application.
    newest: HashMap<ApplicationId, u64>,
    /// Whether an application may have more than one waiting update.
    repeats: bool,
    next: u64,
    bytes: usize,
    last_offset: i64,
    /// A wake-up is under way to the actor.
    woken: bool,
    replay_waits: bool,
    closing: Option<Closing>,
}

struct Entry {
    /// `None` for anything but an update of an application: it is never replaced.
    application: Option<ApplicationId>,
    frame: Frame,
}

impl SessionQueue {
    pub(super) fn new(settings: &WebSocketSettings, dropped: IntCounter) -> Self {
        Self {
            coalesce_above: settings.coalesce_above_bytes,
            close_above: settings.close_above_bytes,
            dropped,
            waker: OnceLock::new(),
            waiting: Mutex::default(),
        }
    }

    /// Sets how the session's actor is woken. Only the first call counts.
    pub fn set_waker(&self, waker: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.waker.set(Box::new(waker));
    }

    /// Wakes the actor when something waits and no wake-up is under way.
    pub fn wake_if_waiting(&self) {
        let mut waiting = self.lock();
        if !waiting.entries.is_empty() || waiting.closing.is_some() {
            self.wake(&mut waiting);
        }
    }

    /// Takes up to `max_bytes`, but at least one frame unless `max_bytes` is 0.
    pub fn take(&self, max_bytes: usize) -> Taken {
        let mut waiting = self.lock();
        waiting.woken = false;
        let mut taken = Taken::default();
        let mut bytes = 0;
        while bytes < max_bytes
            && let Some(next) = waiting.entries.first_entry()
            && (bytes == 0 || bytes + next.get().frame.text.len() <= max_bytes)
        {
            let (place, entry) = next.remove_entry();
            waiting.forget(place, &entry);
            bytes += entry.frame.text.len();
            taken.frames.push(entry.frame);
        }
        if waiting.entries.is_empty() {
            taken.closing = waiting.closing;
        }
        taken.replay_waits = waiting.replay_waits && self.has_room(&waiting);
        waiting.replay_waits &= !taken.replay_waits;
        taken
    }

    /// Takes a live update.
    pub(super) fn push_live(&self, update: &Update) -> Push {
        let mut waiting = self.lock();
        if waiting.closing.is_none() && update.offset <= waiting.last_offset {
            return Push::Known;
        }
        self.push(&mut waiting, update.application, &update.frame, Some(update.offset))
    }

    /// Takes an update that the session had missed: whoever replays makes sure that it comes once and in order.
    pub(super) fn push_missed(&self, update: &Update) -> Push {
        self.push(&mut self.lock(), update.application, &update.frame, Some(update.offset))
    }

    /// Takes an answer.
    pub(super) fn push_answer(&self, frame: &Frame) -> Push {
        self.push(&mut self.lock(), None, frame, None)
    }

    /// Whether a replay may go on; if not, [`SessionQueue::take`] says when it may.
    pub(super) fn room_for_replay(&self) -> bool {
        let mut waiting = self.lock();
        waiting.replay_waits = !self.has_room(&waiting);
        !waiting.replay_waits
    }

    /// Ends the session once everything that waits was sent.
    pub(super) fn close(&self, closing: Closing) {
        let mut waiting = self.lock();
        waiting.closing.get_or_insert(closing);
        self.wake(&mut waiting);
    }

    /// Half of what makes updates coalesce, so that a replay alone never does.
    fn has_room(&self, waiting: &Waiting) -> bool {
        waiting.bytes <= self.coalesce_above / 2
    }

    fn push(
        &self,
        waiting: &mut Waiting,
        application: Option<ApplicationId>,
        frame: &Frame,
        offset: Option<i64>,
    ) -> Push {
        if waiting.closing.is_some() {
            return Push::Closed;
        }
        waiting.last_offset = waiting.last_offset.max(offset.unwrap_or_default());
        if waiting.bytes + frame.text.len() > self.coalesce_above {
            let replaced = waiting.coalesce() + application.map_or(0, |id| waiting.drop_newest(id));
            self.dropped.inc_by(replaced);
        }
        if waiting.bytes + frame.text.len() > self.close_above {
            self.dropped.inc_by(waiting.updates() + u64::from(offset.is_some()));
            waiting.clear();
            waiting.closing = Some(Closing::TooSlow);
            self.wake(waiting);
            return Push::Closed;
        }
        waiting.add(Entry { application, frame: frame.clone() });
        self.wake(waiting);
        Push::Taken
    }

    fn wake(&self, waiting: &mut Waiting) {
        if !waiting.woken
            && let Some(waker) = self.waker.get()
        {
            waiting.woken = waker();
        }
    }

    /// A panic elsewhere leaves at worst an update unsent that is pushed again.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn add(&mut self, entry: Entry) {
        if let Some(application) = entry.application {
            self.repeats |= self.newest.insert(application, self.next).is_some();
        }
        self.bytes += entry.frame.text.len();
        self.entries.insert(self.next, entry);
        self.next += 1;
    }

    /// Accounts for an entry that was removed.
    fn forget(&mut self, place: u64, entry: &Entry) {
        self.bytes -= entry.frame.text.len();
        if let Some(application) = entry.application
            && self.newest.get(&application) == Some(&place)
        {
            self.newest.remove(&application);
        }
    }

    /// Drops all but the newest update of each application; returns how many. It looks through the queue only when an
    /// application may have several, so that a queue that stays long is not looked through at every push.
    fn coalesce(&mut self) -> u64 {
        if !std::mem::take(&mut self.repeats) {
            return 0;
        }
        let Self { entries, newest, bytes, .. } = self;
        let before = entries.len();
        entries.retain(|place, entry| {
            let keep = entry.application.is_none_or(|application| newest.get(&application) == Some(place));
            if !keep {
                *bytes -= entry.frame.text.len();
            }
            keep
        });
        u64::try_from(before - entries.len()).unwrap_or(u64::MAX)
    }

    /// Drops the newest update of an application, which a newer one is about to replace; returns how many.
    fn drop_newest(&mut self, application: ApplicationId) -> u64 {
        let Some(place) = self.newest.remove(&application) else { return 0 };
        let Some(entry) = self.entries.remove(&place) else { return 0 };
        self.bytes -= entry.frame.text.len();
        1
    }

    fn updates(&self) -> u64 {
        let updates = self.entries.values().filter(|entry| entry.frame.kind.is_update()).count();
        u64::try_from(updates).unwrap_or(u64::MAX)
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.newest.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests;
