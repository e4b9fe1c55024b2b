//! Bounds the memory of a WebSocket connection in both directions.
//!
//! actix-web-actors immediately frames everything that its actor writes. It buffers everything that the client sends,
//! and decodes at most sixteen frames each time it is polled. Neither buffer is bounded. Therefore the response stream
//! gives its actor a limited budget of bytes whenever the connection can send more ([`PacedOutput`]). The request
//! stream stops reading while more than one message is undecoded ([`PacedInput`]). TCP flow control then slows the
//! client down.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::web::Bytes;
use futures_util::Stream;

use crate::actors::broadcaster::SessionQueue;
use crate::http::connections::OpenConnection;

/// Bytes taken from the session's queue each time the connection can send more. The HTTP layer stops polling while more
/// than 32 KiB are unsent.
const TURN_BYTES: usize = 16 * 1024;

/// Maximum header length of a client frame: two bytes, eight of extended length, four of mask (RFC 6455, section 5.2).
const MAX_HEADER_BYTES: usize = 14;

/// A counter shared by the actor and the streams around it.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter(Rc<Cell<usize>>);

impl Meter {
    /// The current value.
    pub(super) fn get(&self) -> usize {
        self.0.get()
    }

    /// Subtracts `amount`.
    pub(super) fn subtract(&self, amount: usize) {
        self.0.set(self.0.get().saturating_sub(amount));
    }

    fn add(&self, amount: usize) {
        self.0.set(self.0.get().saturating_add(amount));
    }
}

/// The response stream. It is polled only when the connection can send more. Each poll renews the actor's budget.
pub(super) struct PacedOutput<S> {
    pub(super) frames: Pin<Box<S>>,
    pub(super) budget: Meter,
    pub(super) queue: Arc<SessionQueue>,
    /// Whether the connection must be closed after the last frame.
    pub(super) is_over: Rc<Cell<bool>>,
    /// The underlying connection. The server must close it first (RFC 6455, section 7.1.1), but the HTTP layer would
    /// wait for the client to do so.
    pub(super) connection: Option<Rc<OpenConnection>>,
}

impl<S: Stream> Stream for PacedOutput<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.budget.0.set(TURN_BYTES);
        self.queue.wake_if_waiting();
        let polled = self.frames.as_mut().poll_next(cx);
        if matches!(polled, Poll::Ready(None))
            && self.is_over.get()
            && let Some(connection) = &self.connection
        {
            connection.exchange().end();
        }
        polled
    }
}

/// The request stream. It pauses only while at least one whole message is undecoded, so the decoder makes progress and
/// polls again.
pub(super) struct PacedInput<S> {
    pub(super) bytes: Pin<Box<S>>,
    pub(super) undecoded: Meter,
    pub(super) max_message_bytes: usize,
}

impl<S: Stream<Item = Result<Bytes, E>>, E> Stream for PacedInput<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.undecoded.get() >= self.max_message_bytes + MAX_HEADER_BYTES {
            return Poll::Pending;
        }
        let polled = self.bytes.as_mut().poll_next(cx);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.undecoded.add(bytes.len());
        }
        polled
    }
}

/// The size on the wire of a client frame with a payload of `payload` bytes.
pub(super) fn wire_size(payload: usize) -> usize {
    let length_bytes = match payload {
        0..=125 => 0,
        126..=65_535 => 2,
        _ => 8,
    };
    2 + length_bytes + 4 + payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::error::PayloadError;
    use futures_util::{FutureExt as _, StreamExt as _, stream};

    #[test]
    fn input_is_paused_while_a_whole_message_is_undecoded() {
        let chunks = stream::repeat_with(|| Ok::<_, PayloadError>(Bytes::from_static(&[0; 100])));
        let undecoded = Meter::default();
        let mut input =
            PacedInput { bytes: Box::pin(chunks), undecoded: undecoded.clone(), max_message_bytes: 256 };
        let mut read_all = || std::iter::from_fn(|| input.next().now_or_never().flatten()).count();
        assert_eq!(read_all(), 3, "300 bytes are more than 256 and a header");
        undecoded.subtract(wire_size(94));
        assert_eq!((undecoded.get(), read_all()), (200, 1));
    }

    #[test]
    fn the_wire_size_counts_header_mask_and_extended_length() {
        for (payload, size) in [(0, 6), (125, 131), (126, 134), (65_535, 65_543), (65_536, 65_550)] {
            assert_eq!(wire_size(payload), size);
        }
    }
}
