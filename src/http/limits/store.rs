//! The client state of one rate, in bounded memory.
//!
//! A client is identified by a hash of its address or account. Its state is the theoretical arrival time of GCRA. When
//! the store is full, known clients keep their own state and new clients share a fixed number of entries. An attacker
//! with many addresses can therefore neither exhaust memory nor use up the quota of known clients.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;

/// Number of entries shared by new clients when the store is full.
const NEWCOMER_GROUPS: u64 = 64;

/// The clients of one rate. Cheap to clone; clones share their state.
#[derive(Debug, Clone)]
pub(super) struct ClientStore {
    clients: Arc<Mutex<Clients>>,
}

#[derive(Debug)]
struct Clients {
    capacity: usize,
    known: HashMap<u64, Nanos>,
    newcomers: HashMap<u64, Nanos>,
}

impl Clients {
    /// The map and the key that hold the client's state.
    fn entry_of(&mut self, client: u64) -> (&mut HashMap<u64, Nanos>, u64) {
        if self.known.len() < self.capacity || self.known.contains_key(&client) {
            (&mut self.known, client)
        } else {
            (&mut self.newcomers, client % NEWCOMER_GROUPS)
        }
    }
}

impl ClientStore {
    /// A store for up to `capacity` clients.
    pub(super) fn new(capacity: usize) -> Self {
        let clients = Clients { capacity, known: HashMap::new(), newcomers: HashMap::new() };
        Self { clients: Arc::new(Mutex::new(clients)) }
    }

    /// Charges a client: adds `cost` to its theoretical arrival time, which then lies between `now` and `latest`. All
    /// times are in nanoseconds.
    pub(super) fn charge(&self, client: u64, cost: u64, now: u64, latest: u64) {
        let mut clients = self.lock();
        let (moments, key) = clients.entry_of(client);
        let due = moments.get(&key).map_or(now, |due| due.as_u64().max(now));
        moments.insert(key, Nanos::new(due.saturating_add(cost).min(latest.max(due))));
    }

    /// The theoretical arrival time of a client, since the start of its counter; zero for an unknown client.
    pub(super) fn due(&self, client: u64) -> Duration {
        let mut clients = self.lock();
        let (moments, key) = clients.entry_of(client);
        moments.get(&key).map_or(Duration::ZERO, |due| Duration::from_nanos(due.as_u64()))
    }

    fn lock(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for ClientStore {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, client: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut clients = self.lock();
        let (moments, key) = clients.entry_of(*client);
        let (outcome, due) = decide(moments.get(&key).copied())?;
        moments.insert(key, due);
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<u64> for ClientStore {
    fn retain_recent(&self, drop_below: Nanos) {
        let mut clients = self.lock();
        clients.known.retain(|_, due| *due > drop_below);
        clients.newcomers.retain(|_, due| *due > drop_below);
    }

    fn shrink_to_fit(&self) {
        self.lock().known.shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.lock().known.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
