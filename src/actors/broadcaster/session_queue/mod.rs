//! The outgoing queue of one client.
//!
//! The actor of a WebSocket session is part of the response stream and does not run while its client does not read.
//! Therefore the queue is outside the actor and limits its own size in bytes. A small queue keeps all frames. Above
//! `coalesce_above_bytes`, it drops all updates of an application except the newest one; other frames are kept. If it
//! still exceeds `close_above_bytes`, it is cleared and the session is closed (close code 4008). Pushing never waits, so
//! a slow client does not affect other clients.
//!
//! Live updates are accepted in the order of their offsets, and an offset that was already accepted is ignored, so
//! repeated delivery is harmless. Updates of one application are always sent in order.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use prometheus::IntCounter;

use super::feed::Update;
use super::frame::Frame;
use crate::config::WebSocketSettings;
use crate::domain::ids::ApplicationId;

/// Why the server closes a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// The client reads too slowly.
    TooSlow,
    /// The server is stopping.
    ShuttingDown,
    /// A new epoch of events began, so the client must reload.
    SequenceRestarted,
}

/// The result of taking frames from the queue.
#[derive(Debug, Default)]
pub struct Taken {
    /// The frames, in order.
    pub frames: Vec<Frame>,
    /// Why the session must be closed now. Only set when no frames are left.
    pub closing: Option<Closing>,
    /// Whether a replay waited for space in the queue and can now continue. If so, wake the broadcaster.
    pub replay_waits: bool,
}

/// The result of pushing a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Push {
    /// The frame will be sent, or a newer one in its place.
    Queued,
    /// An update with the same or a higher offset was pushed before.
    Duplicate,
    /// The session is closed.
    Closed,
}

/// Wakes the session's actor; returns `false` if that failed.
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
    /// The waiting frames, by order of arrival.
    entries: BTreeMap<u64, Entry>,
    /// The newest waiting update of each application.
    newest: HashMap<ApplicationId, u64>,
    /// Whether an application may have more than one waiting update.
    repeats: bool,
    /// The key of the next entry.
    next: u64,
    bytes: usize,
    /// The highest offset that was pushed.
    last_offset: i64,
    /// Whether a wake-up of the actor is pending.
    woken: bool,
    /// Whether a replay waits for space.
    replay_waits: bool,
    closing: Option<Closing>,
}

struct Entry {
    /// `None` for frames that are never replaced.
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

    /// Sets how to wake the session's actor. Only the first call has an effect.
    pub fn set_waker(&self, waker: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.waker.set(Box::new(waker));
    }

    /// Wakes the actor if frames wait and no wake-up is pending.
    pub fn wake_if_waiting(&self) {
        let mut waiting = self.lock();
        if !waiting.entries.is_empty() || waiting.closing.is_some() {
            self.wake(&mut waiting);
        }
    }

    /// Takes frames of at most `max_bytes` in total, but at least one frame unless `max_bytes` is 0.
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
            waiting.record_removed(place, &entry);
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

    /// Pushes a live update.
    pub(super) fn push_live(&self, update: &Update) -> Push {
        let mut waiting = self.lock();
        if waiting.closing.is_none() && update.offset <= waiting.last_offset {
            return Push::Duplicate;
        }
        self.push(&mut waiting, update.application, &update.frame, Some(update.offset))
    }

    /// Pushes a replayed update without a check for duplicates: a replay pushes each update once and in order.
    pub(super) fn push_missed(&self, update: &Update) -> Push {
        self.push(&mut self.lock(), update.application, &update.frame, Some(update.offset))
    }

    /// Pushes a response.
    pub(super) fn push_response(&self, frame: &Frame) -> Push {
        self.push(&mut self.lock(), None, frame, None)
    }

    /// Whether a replay may continue. If not, [`SessionQueue::take`] reports when it may.
    pub(super) fn room_for_replay(&self) -> bool {
        let mut waiting = self.lock();
        waiting.replay_waits = !self.has_room(&waiting);
        !waiting.replay_waits
    }

    /// Closes the session after all waiting frames were sent.
    pub(super) fn close(&self, closing: Closing) {
        let mut waiting = self.lock();
        waiting.closing.get_or_insert(closing);
        self.wake(&mut waiting);
    }

    /// Whether the queue uses at most half of the limit for coalescing, so a replay alone does not cause coalescing.
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
        Push::Queued
    }

    fn wake(&self, waiting: &mut Waiting) {
        if !waiting.woken
            && let Some(waker) = self.waker.get()
        {
            waiting.woken = waker();
        }
    }

    /// Ignores poisoning: if a thread panicked while it held the lock, at worst one update is missing, and that update will
    /// be pushed again.
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

    /// Updates the counters for a removed entry.
    fn record_removed(&mut self, place: u64, entry: &Entry) {
        self.bytes -= entry.frame.text.len();
        if let Some(application) = entry.application
            && self.newest.get(&application) == Some(&place)
        {
            self.newest.remove(&application);
        }
    }

    /// Drops all but the newest update of each application and returns how many it dropped. It scans the queue only if
    /// an application may have several updates, so a long queue is not scanned on every push.
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

    /// Drops the newest update of an application, which is about to be replaced, and returns how many it dropped.
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
