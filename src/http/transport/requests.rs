//! Splits the bytes of an HTTP/1 connection into requests.
//!
//! The server's own parser ([`Codec`]) finds the end of a request, so this module and the server always agree.
//! Request heads are passed on unchanged, except for headers that actix-http does not handle correctly:
//!
//! - `Upgrade` to anything but WebSocket on its route is removed: a server ignores an upgrade that it does not support
//!   and continues with HTTP/1.1 on the same connection (RFC 9110, section 7.8), whereas actix-http treats every
//!   `Connection: upgrade` as the end of HTTP on the connection.
//! - `Expect: 100-continue` is removed and recorded, because actix-http would send `100 Continue` before the request
//!   could be refused. Other expectations are kept and refused later.

use std::fmt::Write as _;

use actix_http::Request;
use actix_http::h1::{Codec, Message, MessageType};
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::http::{ConnectionType, Method, Version};
use actix_web::web::BytesMut;
use tokio::io::ReadBuf;
use tokio_util::codec::Decoder as _;

use crate::http::connections::OpenConnection;
use crate::http::ws;

/// Minimum buffer space for one read.
const READ_BYTES: usize = 8 * 1024;

/// The result of a parsing step.
pub(super) enum Step {
    /// Bytes are ready to be passed on.
    Released,
    /// The next request has arrived, but the HTTP service has not finished the previous one.
    HeldBack,
    /// More bytes must be read.
    NeedsMore,
}

/// The requests of one connection.
#[derive(Default)]
pub(super) struct Requests {
    /// Bytes read but not yet parsed.
    received: BytesMut,
    /// Bytes ready to be passed on.
    released: BytesMut,
    parser: Codec,
    is_in_body: bool,
    /// Number of request heads passed on.
    heads: u64,
    /// The remaining bytes are not HTTP/1 requests: they belong to a WebSocket, or are malformed and will be refused by
    /// the server's parser.
    is_opaque: bool,
}

impl Requests {
    /// The read buffer, which is large enough for a typical request.
    pub(super) fn received(&mut self) -> &mut BytesMut {
        self.received.reserve(READ_BYTES);
        &mut self.received
    }

    /// Whether a request head has been partially received.
    pub(super) fn has_partial_head(&self) -> bool {
        !self.is_in_body && !self.received.is_empty()
    }

    /// Whether everything has been passed on and parsing has ended.
    pub(super) fn are_passed_through(&self) -> bool {
        self.is_opaque && self.released.is_empty()
    }

    /// Passes on all further bytes without parsing.
    pub(super) fn pass_through(&mut self) {
        self.is_opaque = true;
        self.released.unsplit(self.received.split());
    }

    /// Moves bytes that are ready into `buffer`, up to its free capacity.
    pub(super) fn hand_over(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.released.len().min(buffer.remaining());
        buffer.put_slice(&self.released.split_to(length));
    }

    /// Prepares the next part of a request.
    pub(super) fn step(&mut self, connection: &OpenConnection) -> Step {
        loop {
            if !self.released.is_empty() {
                return Step::Released;
            }
            if self.is_opaque || (self.received.is_empty() && !self.is_in_body) {
                return Step::NeedsMore;
            }
            let is_done = connection.is_idle() && connection.exchange().begun() >= self.heads;
            if !self.is_in_body && !is_done {
                return Step::HeldBack;
            }
            if !self.parse(connection) {
                return Step::NeedsMore;
            }
        }
    }

    /// Parses the next part; `false` if it is incomplete.
    fn parse(&mut self, connection: &OpenConnection) -> bool {
        let mut seen = self.received.clone();
        let parsed = self.parser.decode(&mut self.received);
        let part = seen.split_to(seen.len().saturating_sub(self.received.len()));
        match parsed {
            Ok(Some(Message::Item(request))) => self.release_head(&request, part, connection),
            Ok(Some(Message::Chunk(chunk))) => {
                self.is_in_body = chunk.is_some();
                self.released.unsplit(part);
            }
            Ok(None) => {
                let has_moved = !part.is_empty();
                self.released.unsplit(part);
                return has_moved;
            }
            Err(_) => {
                self.released.unsplit(part);
                self.pass_through();
            }
        }
        true
    }

    fn release_head(&mut self, request: &Request, head: BytesMut, connection: &OpenConnection) {
        self.heads += 1;
        let mut head = head;
        if let Some(mut rewritten) = rewrite(request, connection) {
            head = rewritten.clone();
            self.parser = Codec::default();
            if self.parser.decode(&mut rewritten).is_err() {
                self.is_opaque = true;
            }
        }
        self.released.unsplit(head);
        match self.parser.message_type() {
            MessageType::None => {}
            MessageType::Payload => self.is_in_body = true,
            MessageType::Stream => self.is_opaque = true,
        }
        if self.is_opaque {
            self.pass_through();
        }
    }
}

/// The head without the headers that actix-http must not receive; `None` if it needs no change.
fn rewrite(request: &Request, connection: &OpenConnection) -> Option<BytesMut> {
    let head = request.head();
    let headers = head.headers();
    let upgrades = head.connection_type() == ConnectionType::Upgrade || headers.contains_key(header::UPGRADE);
    let expects = headers.contains_key(header::EXPECT);
    if !upgrades && !expects {
        return None;
    }
    let is_http_11 = head.version == Version::HTTP_11;
    let is_websocket = is_http_11
        && head.method == Method::GET
        && head.uri.path() == ws::PATH
        && head.connection_type() == ConnectionType::Upgrade
        && tokens(headers, header::UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"));
    let is_continue = |token: &str| token.eq_ignore_ascii_case("100-continue");
    if is_http_11 && expects && tokens(headers, header::EXPECT).all(is_continue) {
        connection.exchange().expect_continue();
    }
    let mut text = BytesMut::with_capacity(1024);
    // Writing to memory does not fail.
    let _ = write!(text, "{} {} {:?}\r\n", head.method, head.uri, head.version);
    for (name, value) in headers {
        if ![header::UPGRADE, header::EXPECT, header::CONNECTION].contains(name) {
            add(&mut text, name, value.as_bytes());
        }
    }
    if is_websocket {
        add(&mut text, &header::UPGRADE, b"websocket");
    }
    let keeps = |token: &&str| is_websocket || !token.eq_ignore_ascii_case("upgrade");
    let options: Vec<_> = tokens(headers, header::CONNECTION).filter(keeps).collect();
    add_list(&mut text, &header::CONNECTION, &options);
    let expectations: Vec<_> = tokens(headers, header::EXPECT).filter(|token| !is_continue(token)).collect();
    add_list(&mut text, &header::EXPECT, &expectations);
    text.extend_from_slice(b"\r\n");
    Some(text)
}

/// The elements of a list header.
fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).map(|value| value.to_str().unwrap_or_default());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

fn add_list(text: &mut BytesMut, name: &HeaderName, elements: &[&str]) {
    if !elements.is_empty() {
        add(text, name, elements.join(", ").as_bytes());
    }
}

fn add(text: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    text.extend_from_slice(name.as_str().as_bytes());
    text.extend_from_slice(b": ");
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\n");
}
