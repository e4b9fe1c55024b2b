//! One session: an actor that knows who is at the other end, obeys its messages and sends what its queue has.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_http::ws::Item;
use actix_web_actors::ws::{self, CloseCode, CloseReason, ProtocolError, WebsocketContext};
use slog::{debug, warn};

use super::Realtime;
use super::client_message::{ClientMessage, Credential, ParseProblem, parse_client_message};
use super::pacing::{Meter, wire_size};
use super::viewer_offset::ViewerOffsets;
use crate::accounts::Principal;
use crate::actors::broadcaster::{Closing, Frame, Membership, SessionQueue, Subscription, Wake};
use crate::domain::account::Scope;
use crate::error::Error;

/// Close codes that RFC 6455, section 7.4.2, leaves to applications; those of HTTP's statuses stand for the same.
const TOO_SLOW: u16 = 4008;
const UNAUTHENTICATED: u16 = 4401;
const NO_PONG: u16 = 4408;
const TOO_MANY: u16 = 4429;

/// Tells a session that its queue has something.
#[derive(Message)]
#[rtype(result = "()")]
struct Forward;

/// One connection.
pub(super) struct WsSession {
    realtime: Realtime,
    membership: Membership,
    /// Who is at the other end, once that is known.
    principal: Option<Principal>,
    /// When that was last found to hold, on the clock that never goes back.
    checked_at: Duration,
    /// Messages of the client in the current second.
    received: (u64, u32),
    /// Bytes that may still leave the queue in this turn.
    budget: Meter,
    /// Bytes of the client that were read but not decoded.
    undecoded: Meter,
    /// The fragments of a message so far.
    fragments: Option<Fragments>,
    /// Pings sent.
    pings: u64,
    /// Pings sent when the last pong came.
    answered: u64,
    /// The server has said goodbye and waits for the client's.
    closing: bool,
}

/// A fragmented message so far.
struct Fragments {
    is_text: bool,
    bytes: Vec<u8>,
}

impl WsSession {
    /// A session of `principal`, or of somebody who has to say who it is.
    pub(super) fn new(realtime: Realtime, principal: Option<Principal>) -> Self {
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
        }
    }

    /// What the streams around the session share with it.
    pub(super) fn budget(&self) -> Meter {
        self.budget.clone()
    }

    /// See [`WsSession::budget`].
    pub(super) fn undecoded(&self) -> Meter {
        self.undecoded.clone()
    }

    /// What waits to be sent.
    pub(super) fn queue(&self) -> &Arc<SessionQueue> {
        self.membership.queue()
    }

    /// Sends what the turn's budget allows; the output stream comes back for the rest.
    fn forward(&mut self, ctx: &mut WebsocketContext<Self>) {
        if self.closing {
            return;
        }
        if self.principal.is_some() && self.must_check_before_sending() {
            let looking = self.look();
            return ctx.wait(looking);
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
            let code = match closing {
                Closing::TooSlow => CloseCode::Other(TOO_SLOW),
                Closing::ShuttingDown => CloseCode::Away,
                Closing::SequenceRestarted => CloseCode::Restart,
            };
            self.close(code, ctx);
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

    /// Says goodbye; the connection ends when the client has answered, or has had its time for it.
    fn close(&mut self, code: CloseCode, ctx: &mut WebsocketContext<Self>) {
        self.closing = true;
        ctx.close(Some(CloseReason { code, description: None }));
        ctx.run_later(self.pong_timeout(), |_, ctx| ctx.stop());
    }

    /// Says goodbye to a client whose bytes cannot be read any further.
    fn abort(&mut self, code: CloseCode, ctx: &mut WebsocketContext<Self>) {
        self.closing = true;
        ctx.close(Some(CloseReason { code, description: None }));
        ctx.stop();
    }

    /// Lets in who is at the other end, for as long as that holds.
    fn admit(&mut self, principal: Principal, ctx: &mut WebsocketContext<Self>) {
        if !self.membership.admit(&principal.account, principal.visibility()) {
            return self.close(CloseCode::Other(TOO_MANY), ctx);
        }
        self.checked_at = self.realtime.clock.monotonic();
        if let Some(until) = principal.valid_until {
            let left = (until - self.realtime.clock.now()).to_std().unwrap_or_default();
            ctx.run_later(left, |session, ctx| session.expire(ctx));
        }
        let Principal { account, role, valid_until, .. } = &principal;
        self.send(&Frame::authenticated(account, *role, *valid_until), ctx);
        self.principal = Some(principal);
        ctx.run_interval(self.recheck_interval(), |session, ctx| {
            let looking = session.look();
            ctx.spawn(looking);
        });
    }

    /// Finds out who a credential is of; nothing else is read or sent meanwhile.
    fn authenticate(&mut self, credential: Credential, ctx: &mut WebsocketContext<Self>) {
        if self.principal.is_some() {
            let detail = "this connection is authenticated; open another for another account";
            return self.send(&Frame::error("already_authenticated", detail), ctx);
        }
        let accounts = self.realtime.accounts.clone();
        let finding = async move {
            match credential {
                Credential::Token(token) => accounts.authenticate_token(&token).await,
                Credential::ApiKey(key) => accounts.authenticate_key(&key).await,
            }
        };
        ctx.wait(finding.into_actor(self).map(|found, session, ctx| match found {
            Ok(principal) if principal.has_scope(Scope::ApplicationsRead) => session.admit(principal, ctx),
            Ok(_) | Err(Error::Unauthenticated(_)) => session.expire(ctx),
            Err(error) => {
                warn!(session.realtime.logger, "a WebSocket client could not be authenticated"; error);
                session.close(CloseCode::Again, ctx);
            }
        }));
    }

    /// Looks whether the client is still who it was. A database that does not answer changes nothing: the credential's own
    /// end stands.
    fn look(&self) -> impl ActorFuture<Self, Output = ()> + use<> {
        let (accounts, principal) = (self.realtime.accounts.clone(), self.principal.clone());
        let looking = async move {
            match principal {
                Some(principal) => accounts.is_still_good(&principal).await,
                None => Ok(true),
            }
        };
        looking.into_actor(self).map(|good, session, ctx: &mut WebsocketContext<Self>| match good {
            Ok(false) => session.expire(ctx),
            Ok(true) | Err(_) => {
                session.checked_at = session.realtime.clock.monotonic();
                session.forward(ctx);
            }
        })
    }

    /// Whether the last look is so long ago that the actor must have stood still.
    fn must_check_before_sending(&self) -> bool {
        let now = self.realtime.clock.monotonic();
        now.saturating_sub(self.checked_at) > self.recheck_interval() * 2
    }

    fn expire(&mut self, ctx: &mut WebsocketContext<Self>) {
        if !self.closing {
            self.close(CloseCode::Other(UNAUTHENTICATED), ctx);
        }
    }

    fn recheck_interval(&self) -> Duration {
        Duration::from_millis(self.realtime.settings.recheck_interval_ms)
    }

    /// Counts a message of the client; `false` when it is one too many.
    fn count_received(&mut self) -> bool {
        let second = self.realtime.clock.monotonic().as_secs();
        let (counted, received) = &mut self.received;
        if *counted != second {
            (*counted, *received) = (second, 0);
        }
        *received += 1;
        *received <= self.realtime.settings.max_messages_per_second
    }

    fn obey(&mut self, text: &str, ctx: &mut WebsocketContext<Self>) {
        match parse_client_message(text) {
            Ok(ClientMessage::Authenticate { credential }) => self.authenticate(credential, ctx),
            Ok(_) if self.principal.is_none() => {
                let detail = "the first message must be {\"action\":\"auth\",\"token\":…}";
                self.send(&Frame::error("unauthenticated", detail), ctx);
            }
            Ok(ClientMessage::Ping) => self.send(&Frame::pong(), ctx),
            Ok(ClientMessage::Unsubscribe { topic }) => self.membership.unsubscribe(topic),
            Ok(ClientMessage::Subscribe { topic, resume }) => {
                let read = |named| self.viewer_offsets().map_or(named, |offsets| offsets.read(named));
                match self.membership.subscribe(topic, resume.map(read)) {
                    Subscription::Standing => {}
                    Subscription::AwaitsBroadcaster => self.realtime.broadcaster.hint(Wake),
                    Subscription::TooMany => {
                        let detail = "this connection has as many subscriptions as it may";
                        self.send(&Frame::error("too_many_subscriptions", detail), ctx);
                    }
                }
            }
            Err(ParseProblem { code, detail }) => self.send(&Frame::error(code, detail), ctx),
        }
    }

    fn refuse_binary(&self, ctx: &mut WebsocketContext<Self>) {
        self.send(&Frame::error("binary_message", "messages are JSON text"), ctx);
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
            return self.close(CloseCode::Size, ctx);
        }
        message.bytes.extend_from_slice(&bytes);
        if !is_last {
            self.fragments = Some(message);
            return;
        }
        match String::from_utf8(message.bytes) {
            Ok(text) if message.is_text => self.obey(&text, ctx),
            Err(_) if message.is_text => self.close(CloseCode::Invalid, ctx),
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
                debug!(session.realtime.logger, "a WebSocket client did not answer a ping");
                session.abort(CloseCode::Other(NO_PONG), ctx);
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
                let patience = Duration::from_millis(self.realtime.settings.auth_timeout_ms);
                ctx.run_later(patience, |session, ctx| {
                    if session.principal.is_none() {
                        session.expire(ctx);
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
            Err(ProtocolError::Overflow) => return self.abort(CloseCode::Size, ctx),
            // Text that is not UTF-8 comes as an I/O error; after a real one nobody reads the close frame.
            Err(ProtocolError::Io(_)) => return self.abort(CloseCode::Invalid, ctx),
            Err(_) => return self.abort(CloseCode::Protocol, ctx),
        };
        self.undecoded.subtract(wire_size(payload_size(&message)));
        if self.closing && !matches!(message, ws::Message::Close(_)) {
            return;
        }
        if !matches!(message, ws::Message::Close(_)) && !self.count_received() {
            return self.close(CloseCode::Other(TOO_MANY), ctx);
        }
        match message {
            ws::Message::Text(text) => self.obey(&text, ctx),
            ws::Message::Binary(_) => self.refuse_binary(ctx),
            ws::Message::Continuation(item) => self.take_fragment(item, ctx),
            ws::Message::Ping(bytes) => ctx.pong(&bytes),
            ws::Message::Pong(_) => self.answered = self.pings,
            ws::Message::Close(reason) => {
                if !self.closing {
                    ctx.close(reason);
                }
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
