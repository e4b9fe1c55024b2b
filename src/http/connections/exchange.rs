//! What the stream of a connection and the application tell each other.
//!
//! The stream hands requests over one at a time; the application says when it has begun one and when it has done with it. Both
//! run on the same thread.

use std::cell::{Cell, RefCell};
use std::task::Waker;

/// The state of one connection that both sides see.
#[derive(Debug, Default)]
pub(in crate::http) struct Exchange {
    /// Requests that the application has begun.
    begun: Cell<u64>,
    /// Woken when the application has done with a request.
    reader: RefCell<Option<Waker>>,
    /// The request that was handed over last waits for `100 Continue` before it sends its body.
    expects_continue: Cell<bool>,
    /// The application reads that body: `100 Continue` is to be sent.
    continue_is_due: Cell<bool>,
    /// Nothing more is read.
    has_ended: Cell<bool>,
    /// Requests in a row that were refused.
    refused_in_a_row: Cell<u32>,
}

impl Exchange {
    /// Requests that the application has begun.
    pub(in crate::http) fn begun(&self) -> u64 {
        self.begun.get()
    }

    /// The application begins a request. Says whether that request waits for `100 Continue`.
    pub(super) fn begin(&self) -> bool {
        self.begun.set(self.begun.get().saturating_add(1));
        self.expects_continue.take()
    }

    /// Has `waker` woken when the application has done with a request.
    pub(in crate::http) fn wait(&self, waker: &Waker) {
        self.reader.replace(Some(waker.clone()));
    }

    /// The application has done with a request.
    pub(super) fn finish(&self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// The request that is handed over next waits for `100 Continue`.
    pub(in crate::http) fn expect_continue(&self) {
        self.expects_continue.set(true);
    }

    /// Whether `100 Continue` is to be sent now.
    pub(in crate::http) fn continue_is_due(&self) -> bool {
        self.continue_is_due.get()
    }

    /// Sets whether `100 Continue` is to be sent.
    pub(in crate::http) fn set_continue_due(&self, is_due: bool) {
        self.continue_is_due.set(is_due);
    }

    /// Nothing more is read from the connection; it closes when what was written is sent.
    pub(in crate::http) fn end(&self) {
        self.has_ended.set(true);
    }

    /// Whether nothing more is read from the connection.
    pub(in crate::http) fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    /// Counts an answer; gives how many in a row were refusals.
    pub(super) fn count_answer(&self, is_refusal: bool) -> u32 {
        let in_a_row = if is_refusal { self.refused_in_a_row.get().saturating_add(1) } else { 0 };
        self.refused_in_a_row.set(in_a_row);
        in_a_row
    }
}
