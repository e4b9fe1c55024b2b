//! The bulkhead (docs/specification.md, section 4): limits the number of a country's calls in flight and the length of
//! its queue, and refuses further calls.
//!
//! Permits are passed on in the order of arrival: a released permit goes to the longest waiting caller before a new one
//! can take it. A [`BulkheadPermit`] is released when it is dropped, so a call that panics or is cancelled cannot keep
//! it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::oneshot;

/// The bulkhead of one country.
pub struct Bulkhead(Rc<RefCell<BulkheadState>>);

struct BulkheadState {
    max_in_flight: u32,
    in_flight: u32,
    max_queued: usize,
    queue: VecDeque<oneshot::Sender<BulkheadPermit>>,
}

/// The result of entering the bulkhead.
pub enum Entry {
    /// A permit.
    Free(BulkheadPermit),
    /// A place in the queue.
    Queued(Waiting),
    /// The queue is full.
    Full,
}

/// Permission for one call in flight, until it is dropped.
pub struct BulkheadPermit(Rc<RefCell<BulkheadState>>);

/// A place in the queue, until it is dropped.
pub struct Waiting(oneshot::Receiver<BulkheadPermit>);

impl Bulkhead {
    /// A bulkhead with `max_in_flight` permits and a queue for `max_queued` callers.
    pub fn new(max_in_flight: u32, max_queued: u32) -> Self {
        Self(Rc::new(RefCell::new(BulkheadState {
            max_in_flight,
            in_flight: 0,
            max_queued: usize::try_from(max_queued).unwrap_or(usize::MAX),
            queue: VecDeque::new(),
        })))
    }

    /// Takes a permit or a place in the queue.
    pub fn enter(&self) -> Entry {
        let mut state = self.0.borrow_mut();
        if state.in_flight < state.max_in_flight {
            state.in_flight += 1;
            return Entry::Free(BulkheadPermit(Rc::clone(&self.0)));
        }
        if state.queue.len() >= state.max_queued {
            state.queue.retain(|waiter| !waiter.is_closed());
        }
        if state.queue.len() >= state.max_queued {
            return Entry::Full;
        }
        let (tx, rx) = oneshot::channel();
        state.queue.push_back(tx);
        Entry::Queued(Waiting(rx))
    }

    pub fn in_flight(&self) -> u32 {
        self.0.borrow().in_flight
    }

    pub fn queued(&self) -> usize {
        self.0.borrow().queue.iter().filter(|waiter| !waiter.is_closed()).count()
    }
}

impl Waiting {
    /// Waits for a permit; `None` if the bulkhead was dropped.
    pub async fn turn(self) -> Option<BulkheadPermit> {
        self.0.await.ok()
    }
}

impl Drop for BulkheadPermit {
    fn drop(&mut self) {
        loop {
            let next = self.0.borrow_mut().queue.pop_front();
            match next {
                None => break,
                Some(waiter) if waiter.is_closed() => {}
                Some(waiter) => {
                    let _ = waiter.send(Self(Rc::clone(&self.0)));
                    return;
                }
            }
        }
        self.0.borrow_mut().in_flight -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn permit(bulkhead: &Bulkhead) -> BulkheadPermit {
        match bulkhead.enter() {
            Entry::Free(permit) => permit,
            Entry::Queued(_) | Entry::Full => panic!("no permit"),
        }
    }

    fn waiting(bulkhead: &Bulkhead) -> Waiting {
        match bulkhead.enter() {
            Entry::Queued(waiting) => waiting,
            Entry::Free(_) | Entry::Full => panic!("not queued"),
        }
    }

    #[test]
    fn a_released_permit_goes_to_the_longest_waiting_caller() {
        let bulkhead = Bulkhead::new(1, 2);
        let held = permit(&bulkhead);
        let (first, second) = (waiting(&bulkhead), waiting(&bulkhead));
        assert!(matches!(bulkhead.enter(), Entry::Full));
        drop(held);
        let third = waiting(&bulkhead);
        let mut second = Box::pin(second.turn());
        assert!(second.as_mut().now_or_never().is_none());
        let held = first.turn().now_or_never().flatten().expect("the first one's turn");
        drop(held);
        drop(second.now_or_never().flatten().expect("the second one's turn"));
        drop(third.turn().now_or_never().flatten().expect("the third one's turn"));
        assert_eq!((bulkhead.in_flight(), bulkhead.queued()), (0, 0));
    }

    #[test]
    fn a_dropped_caller_gives_up_its_permit_or_place_in_the_queue() {
        let bulkhead = Bulkhead::new(1, 1);
        let held = permit(&bulkhead);
        drop(waiting(&bulkhead));
        assert_eq!(bulkhead.queued(), 0);
        let dropped_with_its_permit = waiting(&bulkhead);
        drop(held);
        assert_eq!(bulkhead.in_flight(), 1);
        drop(dropped_with_its_permit);
        assert_eq!(bulkhead.in_flight(), 0);
    }
}
