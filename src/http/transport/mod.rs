//! From a TCP connection to what the HTTP server reads and writes.
//!
//! [`accept`] counts a connection before anything is read from it, and agrees on TLS within a time; [`ClientStream`] is
//! then the connection. On HTTP/1 it hands over one request at a time ([`requests`]): the next one when the last is done
//! with. A client that sends thousands of requests at once takes turns with all others on its thread, and the memory
//! of its requests is bounded. `100 Continue` is sent here, because only here it is known that no answer is being written.

mod accept;
mod requests;

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

pub(super) use self::accept::Acceptor;
use self::requests::{Requests, Step};
use super::connections::OpenConnection;

/// A connection, with TLS or without.
trait ByteStream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> ByteStream for T {}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection as the HTTP server sees it.
pub(super) struct ClientStream {
    bytes: Box<dyn ByteStream>,
    /// The requests on it; `None` on HTTP/2, which has turns of its own.
    requests: Option<Requests>,
    connection: Rc<OpenConnection>,
    /// How much of [`CONTINUE`] is written.
    continue_written: usize,
}

impl ClientStream {
    fn new(bytes: impl ByteStream + 'static, connection: Rc<OpenConnection>, is_http_2: bool) -> Self {
        let requests = (!is_http_2).then(Requests::default);
        Self { bytes: Box::new(bytes), requests, connection, continue_written: 0 }
    }

    /// The connection, for the requests on it.
    pub(super) fn connection(&self) -> Rc<OpenConnection> {
        Rc::clone(&self.connection)
    }

    /// Writes what is left of [`CONTINUE`].
    fn poll_continue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = CONTINUE.get(self.continue_written..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.bytes).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.continue_written += written;
        }
        self.continue_written = 0;
        self.connection.exchange().set_continue_due(false);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.connection.exchange().has_ended() {
            return Poll::Ready(Ok(()));
        }
        let Self { bytes, requests, connection, .. } = &mut *self;
        let Some(requests) = requests.as_mut().filter(|requests| !requests.are_passed_through()) else {
            return Pin::new(bytes).poll_read(cx, buffer);
        };
        loop {
            match requests.step(connection) {
                Step::Released => {
                    requests.hand_over(buffer);
                    return Poll::Ready(Ok(()));
                }
                Step::HeldBack => {
                    connection.exchange().wait(cx.waker());
                    return Poll::Pending;
                }
                Step::NeedsMore => {
                    let read = poll_read_buf(Pin::new(&mut *bytes), cx, requests.received());
                    connection.set_partial_head(requests.has_partial_head());
                    if ready!(read)? == 0 {
                        // What is left is no request; the parser sees it, and then the end.
                        requests.pass_through();
                        requests.hand_over(buffer);
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.continue_written > 0 {
            ready!(self.poll_continue(cx))?;
        }
        Pin::new(&mut self.bytes).poll_write(cx, bytes)
    }

    /// The server flushes when it has written all that it has: nothing of an answer is left, and none has begun.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.continue_written > 0 || self.connection.exchange().continue_is_due() {
            ready!(self.poll_continue(cx))?;
        }
        Pin::new(&mut self.bytes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(cx)
    }
}
