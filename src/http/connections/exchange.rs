//! State shared by the stream of a connection and the HTTP service.
//!
//! The stream passes on one request at a time; the HTTP service signals when it starts and finishes each one. Both run
//! on the same thread.

use std::cell::{Cell, RefCell};
use std::task::Waker;

/// The shared state of one connection.
#[derive(Debug, Default)]
pub(in crate::http) struct Exchange {
    /// Number of requests that the HTTP service has started.
    begun: Cell<u64>,
    /// Woken when the HTTP service finishes a request.
    reader: RefCell<Option<Waker>>,
    /// The client of the last request waits for `100 Continue` before it sends the body.
    expects_continue: Cell<bool>,
    /// The HTTP service is reading that body, so `100 Continue` must be sent.
    continue_is_due: Cell<bool>,
    /// Reading has ended.
    has_ended: Cell<bool>,
    /// Number of consecutive refused requests.
    refused_in_a_row: Cell<u32>,
}

impl Exchange {
    /// Number of requests that the HTTP service has started.
    pub(in crate::http) fn begun(&self) -> u64 {
        self.begun.get()
    }

    /// Marks the start of a request. Returns whether its client waits for `100 Continue`.
    pub(super) fn begin(&self) -> bool {
        self.begun.set(self.begun.get().saturating_add(1));
        self.expects_continue.take()
    }

    /// Registers `waker` to be woken when the HTTP service finishes a request.
    pub(in crate::http) fn wait(&self, waker: &Waker) {
        self.reader.replace(Some(waker.clone()));
    }

    /// Marks the end of a request.
    pub(super) fn finish(&self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// Records that the client of the next request waits for `100 Continue`.
    pub(in crate::http) fn expect_continue(&self) {
        self.expects_continue.set(true);
    }

    /// Whether `100 Continue` must be sent now.
    pub(in crate::http) fn continue_is_due(&self) -> bool {
        self.continue_is_due.get()
    }

    /// Sets whether `100 Continue` must be sent.
    pub(in crate::http) fn set_continue_due(&self, is_due: bool) {
        self.continue_is_due.set(is_due);
    }

    /// Ends reading; the connection closes once pending output has been sent.
    pub(in crate::http) fn end(&self) {
        self.has_ended.set(true);
    }

    /// Whether reading has ended.
    pub(in crate::http) fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    /// Counts a response; returns the number of consecutive refusals.
    pub(super) fn count_response(&self, is_refusal: bool) -> u32 {
        let in_a_row = if is_refusal { self.refused_in_a_row.get().saturating_add(1) } else { 0 };
        self.refused_in_a_row.set(in_a_row);
        in_a_row
    }
}
