//! Watched connections, which add the SQLSTATE to error messages.
//!
//! Diesel returns an error's message, which is in the server's language, but not its SQLSTATE. A [`Watched`] stream reads
//! the server's frames (PostgreSQL documentation, "Message Formats") and prepends an [`ErrorOrigin`] with the SQLSTATE to the
//! message of each `ErrorResponse`. It also records in [`SessionFacts`] that a session must not be reused after an error.
//! All other bytes pass unchanged.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, BytesMut};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::failure::ErrorOrigin;
use super::fitness::SessionFacts;

/// The size of one read.
const READ_BYTES: usize = 8 * 1024;
/// The size above which an error passes without being read. Errors of PostgreSQL are far smaller.
const MAX_FRAME_BYTES: usize = 256 * 1024;

const ERROR_RESPONSE: u8 = b'E';
const BACKEND_KEY_DATA: u8 = b'K';

/// A connection whose incoming frames are read.
pub(super) struct Watched<S> {
    stream: S,
    frames: Frames,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, facts: &Arc<SessionFacts>) -> Self {
        Self { stream, frames: Frames { facts: Arc::clone(facts), ..Frames::default() } }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, frames } = &mut *self;
        while frames.outgoing.is_empty() {
            let mut space = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut read))?;
            match read.filled() {
                [] if frames.incoming.is_empty() => return Poll::Ready(Ok(())),
                [] => frames.give_up(),
                bytes => frames.take(bytes),
            }
        }
        let length = buffer.remaining().min(frames.outgoing.len());
        buffer.put_slice(&frames.outgoing.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The incoming frames of one connection.
#[derive(Default)]
struct Frames {
    facts: Arc<SessionFacts>,
    /// Received and not yet processed.
    incoming: BytesMut,
    /// Processed and not yet read by the client.
    outgoing: BytesMut,
    /// Remaining bytes of the current frame, which pass unread.
    passing: usize,
}

impl Frames {
    fn take(&mut self, bytes: &[u8]) {
        self.facts.record_received();
        self.incoming.extend_from_slice(bytes);
        loop {
            let passing = self.passing.min(self.incoming.len());
            self.outgoing.extend_from_slice(&self.incoming.split_to(passing));
            self.passing -= passing;
            let Some(&[kind, length @ ..]) = self.incoming.first_chunk::<5>() else { return };
            // The length includes itself but not the kind.
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            let frame_bytes = length.saturating_add(1);
            let is_read = matches!(kind, ERROR_RESPONSE | BACKEND_KEY_DATA);
            if !is_read || !(4..MAX_FRAME_BYTES).contains(&length) {
                self.passing = frame_bytes;
            } else if self.incoming.len() < frame_bytes {
                return;
            } else {
                self.read_frame(kind, frame_bytes);
            }
        }
    }

    fn read_frame(&mut self, kind: u8, frame_bytes: usize) {
        let frame = self.incoming.split_to(frame_bytes);
        let body = frame.get(5..).unwrap_or_default();
        if let (BACKEND_KEY_DATA, Some(process)) = (kind, body.first_chunk::<4>()) {
            self.facts.set_process(i32::from_be_bytes(*process));
        }
        match (kind == ERROR_RESPONSE).then(|| annotated(body, &self.facts)).flatten() {
            Some(error) => self.outgoing.extend_from_slice(&error),
            None => self.outgoing.extend_from_slice(&frame),
        }
    }

    /// Passes on the rest of a connection that ended within a frame.
    fn give_up(&mut self) {
        let rest = self.incoming.split();
        self.outgoing.extend_from_slice(&rest);
    }
}

/// An `ErrorResponse` with its origin prepended to the message; `None` if it has no SQLSTATE.
fn annotated(body: &[u8], facts: &SessionFacts) -> Option<BytesMut> {
    let fields = || {
        body.split(|byte| *byte == 0)
            .filter_map(|field| field.split_first())
            .map(|(name, text)| (*name, text))
    };
    let text = |wanted| fields().find_map(|(name, text)| (name == wanted).then_some(text));
    let code = std::str::from_utf8(text(b'C')?).ok()?;
    let routine = std::str::from_utf8(text(b'R').unwrap_or_default()).ok()?;
    let origin =
        ErrorOrigin { code, routine, session_discarded: facts.record_error(code, routine) }.to_string();
    let mut frame = BytesMut::with_capacity(body.len() + origin.len() + 6);
    frame.put_u8(ERROR_RESPONSE);
    frame.put_u32(u32::try_from(body.len() + origin.len() + 4).ok()?);
    for (name, text) in fields() {
        frame.put_u8(name);
        if name == b'M' {
            frame.put_slice(origin.as_bytes());
        }
        frame.put_slice(text);
        frame.put_u8(0);
    }
    frame.put_u8(0);
    Some(frame)
}

impl<S: TlsStream + Unpin> TlsStream for Watched<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// A clear-text stream in place of the TLS stream that tokio-postgres expects.
pub(super) struct Plain<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Plain<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Plain<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Plain<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

/// Watches clear-text connections. tokio-postgres allows a connection to be wrapped only as a TLS stream. With
/// `sslnegotiation=direct`, it sends nothing to the server before it wraps the connection, so the connection can stay in
/// clear text.
#[derive(Clone)]
pub(super) struct WatchPlain(pub(super) Arc<SessionFacts>);

impl MakeTlsConnect<Socket> for WatchPlain {
    type Stream = Watched<Plain<Socket>>;
    type TlsConnect = Self;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _: &str) -> io::Result<Self> {
        Ok(self.clone())
    }
}

impl TlsConnect<Socket> for WatchPlain {
    type Stream = Watched<Plain<Socket>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Stream>>;

    fn connect(self, socket: Socket) -> Self::Future {
        ready(Ok(Watched::new(Plain(socket), &self.0)))
    }
}

type Tls = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
type OverTls = <Tls as TlsConnect<Socket>>::Stream;

#[derive(Clone)]
pub(super) struct WatchTls<T> {
    pub(super) tls: T,
    pub(super) facts: Arc<SessionFacts>,
}

impl MakeTlsConnect<Socket> for WatchTls<MakeRustlsConnect> {
    type Stream = Watched<OverTls>;
    type TlsConnect = WatchTls<Tls>;
    type Error = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, Self::Error> {
        let tls = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.tls, host)?;
        Ok(WatchTls { tls, facts: Arc::clone(&self.facts) })
    }
}

impl TlsConnect<Socket> for WatchTls<Tls> {
    type Stream = Watched<OverTls>;
    type Error = <Tls as TlsConnect<Socket>>::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, Self::Error>>;

    fn connect(self, socket: Socket) -> Self::Future {
        let connecting = TlsConnect::<Socket>::connect(self.tls, socket);
        async move { Ok(Watched::new(connecting.await?, &self.facts)) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![kind];
        frame.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        frame.extend(body);
        frame
    }

    #[test]
    fn errors_are_annotated_and_other_frames_pass_in_chunks_of_any_size() {
        let error = frame(b'E', b"SFEHLER\0VERROR\0C40P01\0MVerklemmung\0RDeadLockReport\0\0");
        let annotated =
            frame(b'E', b"SFEHLER\0VERROR\0C40P01\0M[40P01 DeadLockReport] Verklemmung\0RDeadLockReport\0\0");
        let (row, key, ready) =
            (frame(b'D', &[7; 300]), frame(b'K', &[0, 0, 1, 2, 9, 9, 9, 9]), frame(b'Z', b"I"));
        let sent = [&key[..], &row, &error, &row, &ready].concat();
        let expected = [&key[..], &row, &annotated, &row, &ready].concat();
        for piece in [1, 3, 7, 64, sent.len()] {
            let mut frames = Frames::default();
            sent.chunks(piece).for_each(|bytes| frames.take(bytes));
            assert_eq!(frames.outgoing, expected, "in chunks of {piece}");
            assert_eq!(frames.facts.process(), 258);
            assert!(!frames.facts.is_unfit());
        }
    }

    #[test]
    fn errors_that_end_a_session_mark_it_unfit() {
        for (body, unfit) in [
            (&b"SERROR\0C0A000\0Mcached plan\0RRevalidateCachedQuery\0\0"[..], true),
            (b"SERROR\0C0A000\0Mno\0Rother\0\0", false),
            (b"SFATAL\0C08P01\0Mpooler\0\0", true),
            (b"SERROR\0C23505\0Mtwice\0R_bt_check_unique\0\0", false),
        ] {
            let mut frames = Frames::default();
            frames.take(&frame(b'E', body));
            assert_eq!(frames.facts.is_unfit(), unfit, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn invalid_frames_pass_unchanged() {
        for sent in [&b"E\0\0\0\x01"[..], b"E\xff\xff\xff\xff rest", b"HTTP/1.1 400 Bad Request\r\n"] {
            let mut frames = Frames::default();
            frames.take(sent);
            frames.give_up();
            assert_eq!(frames.outgoing, sent);
        }
    }
}
