//! The actor of a WebSocket connection. It authenticates the client, handles its messages and sends the frames in its
//! queue.

mod identity;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_http::ws::Item;
use actix_web_actors::ws::{self, ProtocolError, WebsocketContext};
use slog::{debug, warn};

pub(super) use self::identity::Attempts;
use super::Realtime;
use super::client_message::{ClientMessage, ParseError, parse_client_message};
use super::ending::Ending;
use super::pacing::{Meter, wire_size};
use super::viewer_offset::ViewerOffsets;
use crate::accounts::Principal;
use crate::actors::broadcaster::{Frame, Membership, SessionQueue, Subscription, Topic, Wake};
use crate::domain::published::Position;
use crate::lending::Visibility;
use crate::lending::read::is_visible;

/// Signals that the session's queue is not empty.
#[derive(Message)]
#[rtype(result = "()")]
struct Forward;

/// A WebSocket connection.
pub(super) struct WsSession {
    realtime: Realtime,
    membership: Membership,
    /// The authenticated principal, if any.
    principal: Option<Principal>,
    /// When the principal was last checked, on the monotonic clock.
    checked_at: Duration,
    /// The current second, and the number of client messages received in it.
    received: (u64, u32),
    /// Bytes that may still be taken from the queue until the next poll.
    budget: Meter,
    /// Client bytes that have been read but not decoded.
    undecoded: Meter,
    /// The fragments received so far of a fragmented message.
    fragments: Option<Fragments>,
    /// Number of pings sent.
    pings: u64,
    /// Number of pings sent when the last pong arrived.
    answered: u64,
    /// Whether a close frame has been sent.
    closing: bool,
    /// Whether the connection is finished: both sides have sent a close frame, or the client did not reply in time.
    is_over: Rc<Cell<bool>>,
    /// Counts credentials tried from the client's address.
    attempts: Option<Attempts>,
    /// Number of accepted credentials.
    credentials: u32,
    /// Number of consecutive refused credentials.
    bad_credentials: u32,
    /// The timer that ends the session when its credential expires.
    expiry: Option<SpawnHandle>,
}

/// A partially received fragmented message.
struct Fragments {
    is_text: bool,
    bytes: Vec<u8>,
}

impl WsSession {
    /// A session of `principal`, or of a client that must still authenticate.
    pub(super) fn new(realtime: Realtime, principal: Option<Principal>, attempts: Option<Attempts>) -> Self {
        Self {
            membership: realtime.sessions.join(),
            principal,
            checked_at: realtime.clock.monotonic(),
            received: (0, 0),
            realtime,
            budget: Meter::default(),
            undecoded: Meter::default(),
            fragments: None,
            pings: 0,
            answered: 0,
            closing: false,
            is_over: Rc::default(),
            attempts,
            credentials: 0,
            bad_credentials: 0,
            expiry: None,
        }
    }

    /// The budget, shared with the output stream.
    pub(super) fn budget(&self) -> Meter {
        self.budget.clone()
    }

    /// The count of undecoded bytes, shared with the input stream.
    pub(super) fn undecoded(&self) -> Meter {
        self.undecoded.clone()
    }

    /// Whether the connection is finished once the session has ended.
    pub(super) fn is_over(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.is_over)
    }

    /// The queue of frames to send.
    pub(super) fn queue(&self) -> &Arc<SessionQueue> {
        self.membership.queue()
    }

    /// Sends as many frames as the budget allows; the output stream triggers the rest.
    fn forward(&mut self, ctx: &mut WebsocketContext<Self>) {
        if self.closing {
            return;
        }
        if self.principal.is_some() && self.must_check_before_sending() {
            let checking = self.recheck();
            return ctx.wait(checking);
        }
        let taken = self.membership.queue().take(self.budget.get());
        for frame in &taken.frames {
            self.budget.subtract(frame.text.len());
            self.send(frame, ctx);
        }
        if taken.replay_waits {
            self.realtime.broadcaster.hint(Wake);
        }
        if let Some(closing) = taken.closing {
            self.end(closing.into(), ctx);
        }
    }

    fn send(&self, frame: &Frame, ctx: &mut WebsocketContext<Self>) {
        self.realtime.metrics.websocket_messages_sent_total.with_label_values(&[frame.kind.as_str()]).inc();
        match self.viewer_offsets() {
            Some(offsets) => ctx.text(&*offsets.hide(frame).text),
            None => ctx.text(&*frame.text),
        }
    }

    fn viewer_offsets(&self) -> Option<ViewerOffsets<'_>> {
        ViewerOffsets::of(&self.realtime.keys, self.principal.as_ref()?)
    }

    /// Closes the session. The connection ends when the client replies or the timeout expires.
    fn end(&mut self, ending: Ending, ctx: &mut WebsocketContext<Self>) {
        self.end_with_detail(ending, ending.reason(), ctx);
    }

    fn end_with_detail(&mut self, ending: Ending, detail: &str, ctx: &mut WebsocketContext<Self>) {
        if self.closing {
            return;
        }
        self.closing = true;
        if let Some(code) = ending.error_code() {
            self.send(&Frame::error(code, detail), ctx);
        }
        ctx.close(Some(ending.close_reason()));
        ctx.run_later(self.pong_timeout(), |session, ctx| {
            session.is_over.set(true);
            ctx.stop();
        });
    }

    /// Closes the session after an unreadable message, without waiting for the client's close frame. TCP is closed
    /// after the last frame, except after a message that is too long: its unread bytes would reset the connection
    /// before the client has read the close frame.
    fn abort(&mut self, ending: Ending, ctx: &mut WebsocketContext<Self>) {
        self.closing = true;
        self.is_over.set(!matches!(ending, Ending::MessageTooLong));
        ctx.close(Some(ending.close_reason()));
        ctx.stop();
    }

    /// Counts a client message; `false` if the limit is exceeded.
    fn count_received(&mut self) -> bool {
        let second = self.realtime.clock.monotonic().as_secs();
        let (counted, received) = &mut self.received;
        if *counted != second {
            (*counted, *received) = (second, 0);
        }
        *received += 1;
        *received <= self.realtime.settings.max_messages_per_second
    }

    fn handle_text(&mut self, text: &str, ctx: &mut WebsocketContext<Self>) {
        match parse_client_message(text) {
            Ok(ClientMessage::Authenticate { credential }) => self.authenticate(credential, ctx),
            Ok(_) if self.principal.is_none() => {
                let detail = "authenticate first: {\"action\":\"auth\",\"token\":…}";
                self.send(&Frame::error("unauthenticated", detail), ctx);
            }
            Ok(ClientMessage::Ping) => self.send(&Frame::pong(), ctx),
            Ok(ClientMessage::Unsubscribe { topic }) => self.membership.unsubscribe(topic),
            Ok(ClientMessage::Subscribe { topic, resume }) => self.subscribe(topic, resume, ctx),
            Err(ParseError { code, detail }) => self.send(&Frame::error(code, detail), ctx),
        }
    }

    /// Subscribes to a topic if the client may see it. Otherwise the subscription would never deliver an event.
    fn subscribe(&mut self, topic: Topic, resume: Option<Position>, ctx: &mut WebsocketContext<Self>) {
        let (id, principal) = match (topic, &self.principal) {
            (Topic::Application(id), Some(principal)) => (id, principal),
            (Topic::Operations, Some(principal)) if !identity::may_see_operations(principal) => {
                let detail =
                    "the channel \"operations\" is for admins; API keys need the scope operations:read";
                return self.send(&Frame::subscription_refused(topic, "forbidden", detail), ctx);
            }
            (Topic::Reviews, Some(principal)) if principal.visibility() != Visibility::All => {
                let detail = "the channel \"reviews\" is for analysts and admins";
                return self.send(&Frame::subscription_refused(topic, "forbidden", detail), ctx);
            }
            _ => return self.subscribe_to_known(topic, resume, ctx),
        };
        let (database, visibility) = (self.realtime.database.clone(), principal.visibility());
        let checking = async move { is_visible(&database, id, &visibility).await };
        ctx.wait(checking.into_actor(self).map(move |found, session, ctx| match found {
            Ok(true) => session.subscribe_to_known(topic, resume, ctx),
            Ok(false) => {
                let detail = "application not found, or not visible to this account";
                session.send(&Frame::subscription_refused(topic, "unknown_application", detail), ctx);
            }
            Err(error) => {
                warn!(session.realtime.logger, "a subscription could not be checked"; error);
                let detail = "the application cannot be checked at the moment; subscribe again later";
                session.send(&Frame::subscription_refused(topic, "unavailable", detail), ctx);
            }
        }));
    }

    fn subscribe_to_known(
        &mut self,
        topic: Topic,
        resume: Option<Position>,
        ctx: &mut WebsocketContext<Self>,
    ) {
        let resume = resume.map(|sent| self.viewer_offsets().map_or(sent, |offsets| offsets.read(sent)));
        match self.membership.subscribe(topic, resume) {
            Subscription::Active => {}
            Subscription::AwaitsBroadcaster => self.realtime.broadcaster.hint(Wake),
            Subscription::TooMany => {
                let detail = "this connection has reached its subscription limit";
                self.send(&Frame::subscription_refused(topic, "too_many_subscriptions", detail), ctx);
            }
        }
    }

    fn refuse_binary(&self, ctx: &mut WebsocketContext<Self>) {
        self.send(&Frame::error("binary_message", "messages must be JSON text"), ctx);
    }

    fn take_fragment(&mut self, item: Item, ctx: &mut WebsocketContext<Self>) {
        let (bytes, is_last) = match item {
            Item::FirstText(bytes) => {
                self.fragments = Some(Fragments { is_text: true, bytes: Vec::new() });
                (bytes, false)
            }
            Item::FirstBinary(bytes) => {
                self.fragments = Some(Fragments { is_text: false, bytes: Vec::new() });
                (bytes, false)
            }
            Item::Continue(bytes) => (bytes, false),
            Item::Last(bytes) => (bytes, true),
        };
        let Some(mut message) = self.fragments.take() else { return };
        if message.bytes.len() + bytes.len() > self.realtime.settings.max_message_bytes {
            return self.end(Ending::MessageTooLong, ctx);
        }
        message.bytes.extend_from_slice(&bytes);
        if !is_last {
            self.fragments = Some(message);
            return;
        }
        match String::from_utf8(message.bytes) {
            Ok(text) if message.is_text => self.handle_text(&text, ctx),
            Err(_) if message.is_text => self.end(Ending::NotUtf8, ctx),
            Ok(_) | Err(_) => self.refuse_binary(ctx),
        }
    }

    fn ping(&mut self, ctx: &mut WebsocketContext<Self>) {
        if self.closing {
            return;
        }
        self.pings += 1;
        let ping = self.pings;
        ctx.ping(b"");
        ctx.run_later(self.pong_timeout(), move |session, ctx| {
            if session.answered < ping && !session.closing {
                debug!(session.realtime.logger, "a WebSocket client did not respond to a ping");
                session.abort(Ending::NoPong, ctx);
            }
        });
    }

    fn pong_timeout(&self) -> Duration {
        Duration::from_millis(self.realtime.settings.pong_timeout_ms)
    }
}

impl Actor for WsSession {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let recipient = ctx.address().recipient();
        self.membership.queue().set_waker(move || recipient.try_send(Forward).is_ok());
        ctx.run_interval(Duration::from_millis(self.realtime.settings.ping_interval_ms), Self::ping);
        match self.principal.take() {
            Some(principal) => self.admit(principal, ctx),
            None => {
                let auth_timeout = Duration::from_millis(self.realtime.settings.auth_timeout_ms);
                ctx.run_later(auth_timeout, |session, ctx| {
                    if session.principal.is_none() {
                        session.end(Ending::NoCredential, ctx);
                    }
                });
            }
        }
        self.forward(ctx);
    }
}

impl Handler<Forward> for WsSession {
    type Result = ();

    fn handle(&mut self, _: Forward, ctx: &mut Self::Context) {
        self.forward(ctx);
    }
}

impl StreamHandler<Result<ws::Message, ProtocolError>> for WsSession {
    fn handle(&mut self, message: Result<ws::Message, ProtocolError>, ctx: &mut Self::Context) {
        let message = match message {
            Ok(message) => message,
            Err(ProtocolError::Overflow) => return self.abort(Ending::MessageTooLong, ctx),
            // actix reports reserved bits and invalid UTF-8 as I/O errors, like real I/O errors. After a real one,
            // the close frame cannot be delivered.
            Err(ProtocolError::Io(error)) if error.kind() != std::io::ErrorKind::InvalidData => {
                return self.abort(Ending::NotUtf8, ctx);
            }
            Err(_) => return self.abort(Ending::Protocol, ctx),
        };
        self.undecoded.subtract(wire_size(payload_size(&message)));
        if self.closing && !matches!(message, ws::Message::Close(_)) {
            return;
        }
        if !matches!(message, ws::Message::Close(_)) && !self.count_received() {
            return self.end(Ending::TooManyMessages, ctx);
        }
        match message {
            ws::Message::Text(text) => self.handle_text(&text, ctx),
            ws::Message::Binary(_) => self.refuse_binary(ctx),
            ws::Message::Continuation(item) => self.take_fragment(item, ctx),
            ws::Message::Ping(bytes) => ctx.pong(&bytes),
            ws::Message::Pong(_) => self.answered = self.pings,
            ws::Message::Close(reason) => {
                if !self.closing {
                    ctx.close(reason);
                }
                self.is_over.set(true);
                ctx.stop();
            }
            ws::Message::Nop => {}
        }
    }
}

fn payload_size(message: &ws::Message) -> usize {
    match message {
        ws::Message::Text(text) => text.len(),
        ws::Message::Binary(bytes) | ws::Message::Ping(bytes) | ws::Message::Pong(bytes) => bytes.len(),
        ws::Message::Continuation(
            Item::FirstText(bytes) | Item::FirstBinary(bytes) | Item::Continue(bytes) | Item::Last(bytes),
        ) => bytes.len(),
        ws::Message::Close(_) | ws::Message::Nop => 0,
    }
}
