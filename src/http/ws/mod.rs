//! WebSocket sessions: the only file that touches actix-web-actors.
//!
//! The actor of a session lives inside its response stream: while its client does not read, the HTTP layer does not
//! poll the stream and the actor stands still, timers and all. So everything that must go on without it is elsewhere:
//! its queue bounds itself and is filled by the broadcaster ([`SessionQueue`](crate::actors::broadcaster::SessionQueue)), what it owns leaves with its
//! [`Membership`] however it ends, and a connection whose peer acknowledges nothing is ended by `TCP_USER_TIMEOUT`, which
//! the HTTP server sets. Memory of a connection is at most `websocket.close_above_bytes` in the queue, one turn and
//! 32 KiB of unsent frames, and two messages of the client (`pacing`).
//!
//! The protocol is JSON text. A message that cannot be understood gets an `error` frame and the connection stays; what
//! breaks RFC 6455 itself closes it. `subscribed` carries a position after which everything of the topic follows. A
//! client keeps the position of the last frame that had one, and resumes every topic from there.

mod client_message;
mod pacing;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_http::ws::{Codec, Item};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{self, CloseCode, CloseReason, ProtocolError, WebsocketContext};
use slog::{Logger, debug};

use self::pacing::{Meter, PacedInput, PacedOutput, wire_size};
use crate::actors::broadcaster::{Broadcaster, Closing, Frame, Membership, Sessions, Subscription, Wake};
use crate::actors::lifeline::Handle;
use crate::config::WebSocketSettings;
use crate::error::{Error, PublicMessage, Result};
use crate::http::auth::Principal;
use crate::http::cross_origin::may_open_websocket;
use crate::http::problem::{Answer, Problem};
use crate::http::{Entrance, HttpState};
use crate::storage::applications::Visibility;
use crate::telemetry::metrics::Metrics;

pub use self::client_message::{ClientMessage, ParseProblem, parse_client_message};

/// The close code of a client that reads too slowly: one of those that RFC 6455, section 7.4.2, leaves to applications.
const TOO_SLOW: u16 = 4008;

/// What every session of this instance needs. Cheap to clone.
#[derive(Clone)]
pub struct Realtime {
    /// The sessions.
    pub sessions: Sessions,
    /// Who answers subscriptions that must wait.
    pub broadcaster: Handle<Broadcaster>,
    /// Bounds and intervals.
    pub settings: WebSocketSettings,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The logger.
    pub logger: Logger,
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct SessionPrincipal {
    /// What it may see.
    pub visibility: Visibility,
}

/// Live updates of applications, over a WebSocket.
///
/// Clients send JSON text: `{"action":"subscribe","application_id":…}`, `{"action":"subscribe","country":"ES"}` or
/// `{"action":"subscribe","channel":"applications"}`, `unsubscribe` in the same forms, and `{"action":"ping"}`. They get
/// `application_update`, `subscribed`, `unsubscribed`, `error` and `pong`. A client that reconnects adds the last `epoch`
/// and `offset` it saw to its subscriptions, and gets what it missed, or `"recovered": false`.
#[utoipa::path(get, path = "/api/v1/ws", tag = "realtime", responses(
    (status = 101, description = "The connection speaks WebSocket from here on"),
    (status = 400, description = "The request is no WebSocket handshake", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn open(
    request: HttpRequest,
    payload: web::Payload,
    state: HttpState,
    principal: Principal,
) -> Answer {
    let principal = SessionPrincipal { visibility: principal.visibility() };
    Ok(connect(request, payload, &state.realtime, principal).await?)
}

/// Makes a WebSocket of a request.
///
/// # Errors
/// [`Error::Malformed`] when the request is no WebSocket handshake; [`Error::Forbidden`] when a page of another origin
/// sent it.
pub async fn connect(
    request: HttpRequest,
    payload: web::Payload,
    realtime: &Realtime,
    principal: SessionPrincipal,
) -> Result<HttpResponse> {
    let mut response = ws::handshake(&request).map_err(|refused| {
        Error::Malformed(PublicMessage::new(format!("a WebSocket handshake is expected here: {refused}")))
    })?;
    let origins = request.app_data::<Entrance>().map(|entrance| &entrance.settings().cors);
    if !may_open_websocket(request.headers(), origins) {
        return Err(Error::Forbidden(PublicMessage::new(
            "WebSockets are for pages of this origin and of those that are allowed",
        )));
    }
    let max_message_bytes = realtime.settings.max_message_bytes;
    let session = WsSession::new(realtime.clone(), principal);
    let (budget, queue) = (session.budget.clone(), Arc::clone(session.membership.queue()));
    let bytes = Box::pin(payload);
    let input = PacedInput { bytes, undecoded: session.undecoded.clone(), max_message_bytes };
    let codec = Codec::new().max_size(max_message_bytes);
    let frames = Box::pin(WebsocketContext::with_codec(session, input, codec));
    Ok(response.streaming(PacedOutput { frames, budget, queue }))
}

/// Tells a session that its queue has something.
#[derive(Message)]
#[rtype(result = "()")]
struct Forward;

/// One connection.
struct WsSession {
    realtime: Realtime,
    membership: Membership,
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
    fn new(realtime: Realtime, principal: SessionPrincipal) -> Self {
        let membership = realtime.sessions.join(principal.visibility);
        Self {
            realtime,
            membership,
            budget: Meter::default(),
            undecoded: Meter::default(),
            fragments: None,
            pings: 0,
            answered: 0,
            closing: false,
        }
    }

    /// Sends what the turn's budget allows; the output stream comes back for the rest.
    fn forward(&mut self, ctx: &mut WebsocketContext<Self>) {
        if self.closing {
            return;
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
        ctx.text(&*frame.text);
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

    fn obey(&mut self, text: &str, ctx: &mut WebsocketContext<Self>) {
        match parse_client_message(text) {
            Ok(ClientMessage::Ping) => self.send(&Frame::pong(), ctx),
            Ok(ClientMessage::Unsubscribe { topic }) => self.membership.unsubscribe(topic),
            Ok(ClientMessage::Subscribe { topic, resume }) => {
                match self.membership.subscribe(topic, resume) {
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
                session.abort(CloseCode::Error, ctx);
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
