//! WebSocket sessions: the only folder that touches actix-web-actors. Here is how one begins; `session` is its life.
//!
//! The actor of a session lives inside its response stream: while its client does not read, the HTTP layer does not
//! poll the stream and the actor stands still, timers and all. So everything that must go on without it is elsewhere:
//! its queue bounds itself and is filled by the broadcaster
//! ([`SessionQueue`](crate::actors::broadcaster::SessionQueue)), what it owns leaves with its
//! [`Membership`](crate::actors::broadcaster::Membership) however it ends, and a connection whose peer acknowledges nothing
//! is ended by `TCP_USER_TIMEOUT`, which the HTTP server sets. Memory of a connection is at most
//! `websocket.close_above_bytes` in the queue, one turn and 32 KiB of unsent frames, and two messages of the client
//! (`pacing`).
//!
//! A client says who it is by a ticket in the URL, or by its first message; nothing else is answered before. Whether that
//! still holds is looked at every few seconds, and before anything is sent after a pause, in which the actor stood still:
//! an account that was disabled, or whose tokens were ended, gets nothing any more. What the server closes with:
//!
//! | code | why |
//! |---|---|
//! | 1001 | the server stops; connect again |
//! | 1012 | the sequence of events started anew; connect again and load everything |
//! | 1013 | who the client is cannot be found out at the moment; connect again later |
//! | 4008 | the client reads too slowly |
//! | 4401 | the client did not say in time who it is, could not prove it, or what proved it has expired or was ended |
//! | 4408 | the client did not answer a ping in time |
//! | 4429 | the account has too many connections, or the client sends too many messages |
//!
//! The protocol is JSON text. A message that cannot be understood gets an `error` frame and the connection stays; what
//! breaks RFC 6455 itself closes it. `subscribed` carries a position after which everything of the topic follows. A
//! client keeps the position of the last frame that had one, and resumes every topic from there.

mod client_message;
mod pacing;
mod session;
pub mod ticket;
mod viewer_offset;

use std::sync::Arc;

use actix_http::ws::Codec;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use actix_web_actors::ws::{self, WebsocketContext};
use slog::Logger;

use self::pacing::{PacedInput, PacedOutput};
use self::session::WsSession;
use crate::accounts::{Accounts, Principal};
use crate::actors::broadcaster::{Broadcaster, Sessions};
use crate::actors::lifeline::Handle;
use crate::clock::Clock;
use crate::config::WebSocketSettings;
use crate::error::{Error, PublicMessage, Result};
use crate::http::cross_origin::may_open_websocket;
use crate::http::problem::Answer;
use crate::http::query::Query;
use crate::http::{Entrance, HttpState};
use crate::storage::seal::KeyRing;
use crate::telemetry::metrics::Metrics;

pub use self::client_message::{ClientMessage, Credential, ParseProblem, parse_client_message};

/// What every session of this instance needs. Cheap to clone.
#[derive(Clone)]
pub struct Realtime {
    /// The sessions.
    pub sessions: Sessions,
    /// Who may come in.
    pub accounts: Accounts,
    /// What users' offsets are enciphered with.
    pub keys: Arc<KeyRing>,
    /// When it is.
    pub clock: Clock,
    /// Who answers subscriptions that must wait.
    pub broadcaster: Handle<Broadcaster>,
    /// Bounds and intervals.
    pub settings: WebSocketSettings,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The logger.
    pub logger: Logger,
}

/// Live updates of applications, over a WebSocket.
///
/// A client first says who it is: `{"action":"auth","token":…}` with an access token, or `{"action":"auth","api_key":…}`; or
/// it brings a ticket of `POST /api/v1/ws/tickets` in the URL. The answer is `authenticated`. Who does not within ten
/// seconds is closed with 4401, and so is a client whose credential expires or is ended.
///
/// Clients send JSON text: `{"action":"subscribe","application_id":…}`, `{"action":"subscribe","country":"ES"}` or
/// `{"action":"subscribe","channel":"applications"}`, `unsubscribe` in the same forms, and `{"action":"ping"}`. They get
/// `application_update`, `subscribed`, `unsubscribed`, `error` and `pong`. A client that reconnects adds the last `epoch`
/// and `offset` it saw to its subscriptions, and gets what it missed, or `"recovered": false`. An `offset` is good for that
/// alone: the numbers of users tell neither an order nor a count.
///
/// Closed with 4008: too slow a reader; 4401: not authenticated, or not any more; 4408: no pong; 4429: too many connections
/// of one account, or too many messages.
#[utoipa::path(
    get,
    path = "/api/v1/ws",
    tag = "realtime",
    params(("ticket" = Option<String>, Query, description = "A ticket, instead of a first message")),
    responses(
        (status = 101, description = "The connection speaks WebSocket from here on"),
        (status = 400, description = "The request is no WebSocket handshake"),
        (status = 401, description = "The ticket is not good, or was used"),
        (status = 403, description = "The page that asks is not of this origin"),
        (status = 422, description = "A parameter is not acceptable"),
    ),
)]
pub(super) async fn open(
    request: HttpRequest,
    payload: web::Payload,
    state: HttpState,
    mut query: Query,
) -> Answer {
    let ticket = query.take("ticket", |text| Ok(text.to_owned()));
    query.finish()?;
    // A ticket is not used up by a request that opens nothing.
    handshake(&request)?;
    let principal = match ticket {
        Some(ticket) => Some(state.accounts.redeem_ticket(&ticket).await?),
        None => None,
    };
    Ok(connect(request, payload, &state.realtime, principal)?)
}

/// The answer that makes a WebSocket of a request.
fn handshake(request: &HttpRequest) -> Result<HttpResponseBuilder> {
    let response = ws::handshake(request).map_err(|refused| {
        Error::Malformed(PublicMessage::new(format!("a WebSocket handshake is expected here: {refused}")))
    })?;
    let origins = request.app_data::<Entrance>().map(|entrance| &entrance.settings().cors);
    if !may_open_websocket(request.headers(), origins) {
        return Err(Error::Forbidden(PublicMessage::new(
            "WebSockets are for pages of this origin and of those that are allowed",
        )));
    }
    Ok(response)
}

/// Makes a WebSocket of a request, for somebody who is known already or has to say who it is.
///
/// # Errors
/// [`Error::Malformed`] when the request is no WebSocket handshake; [`Error::Forbidden`] when a page of another origin
/// sent it.
pub fn connect(
    request: HttpRequest,
    payload: web::Payload,
    realtime: &Realtime,
    principal: Option<Principal>,
) -> Result<HttpResponse> {
    let mut response = handshake(&request)?;
    let max_message_bytes = realtime.settings.max_message_bytes;
    let session = WsSession::new(realtime.clone(), principal);
    let (budget, queue) = (session.budget(), Arc::clone(session.queue()));
    let bytes = Box::pin(payload);
    let input = PacedInput { bytes, undecoded: session.undecoded(), max_message_bytes };
    let codec = Codec::new().max_size(max_message_bytes);
    let frames = Box::pin(WebsocketContext::with_codec(session, input, codec));
    Ok(response.streaming(PacedOutput { frames, budget, queue }))
}
