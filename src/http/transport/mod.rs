//! The transport between a TCP connection and the HTTP server.
//!
//! [`accept`] counts a connection before anything is read from it and performs the TLS handshake within a time limit.
//! [`ClientStream`] then wraps the connection. On HTTP/1 it passes on one request at a time ([`requests`]), the next
//! one only after the previous one has finished. A client that pipelines thousands of requests therefore cannot starve
//! other clients on its thread, and the memory of its requests is bounded. `100 Continue` is sent here, because only
//! this layer can tell that no response is being written.

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

/// A byte stream, with or without TLS.
trait ByteStream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> ByteStream for T {}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A client connection, as the HTTP server reads and writes it.
pub(super) struct ClientStream {
    bytes: Box<dyn ByteStream>,
    /// The request queue; `None` on HTTP/2, which multiplexes requests itself.
    requests: Option<Requests>,
    connection: Rc<OpenConnection>,
    /// Number of bytes of [`CONTINUE`] already written.
    continue_written: usize,
}

impl ClientStream {
    fn new(bytes: impl ByteStream + 'static, connection: Rc<OpenConnection>, is_http_2: bool) -> Self {
        let requests = (!is_http_2).then(Requests::default);
        Self { bytes: Box::new(bytes), requests, connection, continue_written: 0 }
    }

    /// The record of this connection, which is attached to every request on it.
    pub(super) fn connection(&self) -> Rc<OpenConnection> {
        Rc::clone(&self.connection)
    }

    /// Writes the rest of [`CONTINUE`].
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
                        // The remaining bytes are not a complete request. The server's parser receives them and then
                        // the end of input.
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

    /// The server flushes only after it has written everything, so no response is partially written here.
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
