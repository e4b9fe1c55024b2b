//! WebSocket sessions. This is the only module that uses actix-web-actors. It opens connections; `session` is the actor
//! of a connection.
//!
//! The actor of a session runs inside its response stream: while the client does not read, the HTTP layer does not poll
//! the stream and the actor is suspended, including its timers. Everything that must not be suspended is outside the
//! actor. The broadcaster fills the session's queue, which is bounded
//! ([`SessionQueue`](crate::actors::broadcaster::SessionQueue)). Dropping the
//! [`Membership`](crate::actors::broadcaster::Membership) releases the session's resources however the session ends.
//! `TCP_USER_TIMEOUT`, set by the HTTP server, ends a connection whose peer acknowledges nothing. The memory of a
//! connection is bounded: its queue by `websocket.close_above_bytes`, its unsent frames by the budget of one turn and
//! 32 KiB, and its input by two client messages (`pacing`).
//!
//! A client authenticates with the headers of the handshake, like any request, with a ticket in the URL, or with its
//! first message; until then, no other message is processed. `auth` with another credential of the same account extends
//! the connection. The credential is checked again every few seconds, and before sending after the actor was suspended.
//! Disabled accounts and revoked tokens therefore receive nothing more. Close codes of the server:
//!
//! | code | reason |
//! |---|---|
//! | 1001 | the server is shutting down; reconnect |
//! | 1012 | the event sequence was restarted; reconnect and reload all data |
//! | 1013 | the credential cannot be checked at the moment; reconnect later |
//! | 4008 | the client reads too slowly |
//! | 4401 | no credential was sent in time, or it is invalid, expired or revoked |
//! | 4408 | the client did not answer a ping in time |
//! | 4429 | the account has too many connections, or the client sends too many messages or invalid credentials |
//!
//! Every close frame also has a reason (`ending`). For 1013, 4401 and 4429, an `error` message is sent first.
//!
//! The protocol is JSON text. The response to an invalid message is an `error` frame, and the connection stays open; a
//! violation of RFC 6455 closes it. `subscribed` carries a position, after which all events of the topic are delivered.
//! Clients keep the position of the last frame that had one and resume all topics from there.

mod client_message;
mod ending;
mod pacing;
mod session;
pub mod ticket;
mod viewer_offset;

use std::rc::Rc;
use std::sync::Arc;

use actix_http::ws::{Codec, HandshakeError, verify_handshake};
use actix_web::http::header;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponseBuilder, web};
use actix_web_actors::ws::{self, WebsocketContext};
use slog::Logger;

use self::pacing::{PacedInput, PacedOutput};
use self::session::{Attempts, WsSession};
use crate::accounts::{Accounts, Principal};
use crate::actors::broadcaster::{Broadcaster, Sessions};
use crate::clock::Clock;
use crate::config::WebSocketSettings;
use crate::domain::account::Role;
use crate::error::{Error, PublicMessage};
use crate::http::auth::{self, Access, Scope};
use crate::http::client_address::ClientAddress;
use crate::http::connections::OpenConnection;
use crate::http::cross_origin::may_open_websocket;
use crate::http::problem::{HandlerResult, Rejection};
use crate::http::query::Query;
use crate::http::{HttpServerState, HttpState};
use crate::storage::Database;
use crate::storage::seal::KeyRing;
use crate::supervision::handle::Handle;
use crate::telemetry::metrics::Metrics;

pub use self::client_message::{ClientMessage, Credential, ParseError, parse_client_message};

/// The path of the WebSocket endpoint.
pub(super) const PATH: &str = "/api/v1/ws";

/// The dependencies of sessions. Cheap to clone.
#[derive(Clone)]
pub struct Realtime {
    /// All sessions of this instance.
    pub sessions: Sessions,
    /// Authentication and accounts.
    pub accounts: Accounts,
    /// For checks of access to applications.
    pub database: Database,
    /// The keys that encrypt users' offsets.
    pub keys: Arc<KeyRing>,
    /// The clock.
    pub clock: Clock,
    /// Handles subscriptions that need a replay.
    pub broadcaster: Handle<Broadcaster>,
    /// Limits and intervals.
    pub settings: WebSocketSettings,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The logger.
    pub logger: Logger,
}

/// Opens a WebSocket for live updates of applications, reviews and operations.
///
/// A client authenticates with `Authorization` or `X-API-Key` on the handshake, with a ticket from `POST
/// /api/v1/ws/tickets` in the URL, or with the message `{"action":"auth","token":…}` or
/// `{"action":"auth","api_key":…}`. The server replies with `authenticated`, which contains `valid_until`. A connection
/// that is not authenticated within ten seconds, or whose credential expires or is revoked, is closed with code 4401.
/// `auth` with a new token of the same account before `valid_until` extends the connection.
///
/// Clients send JSON text: `{"action":"subscribe","application_id":…}`, `{"action":"subscribe","country":"ES"}` or
/// `{"action":"subscribe","channel":"applications"}`, `unsubscribe` in the same forms, and `{"action":"ping"}`. The
/// server sends `application_update`, `subscribed`, `unsubscribed`, `error` and `pong`. A client that reconnects adds
/// the last received `epoch` and `offset` to its subscriptions, and gets the missed events or `"recovered": false`.
/// Offsets serve only this purpose. The offsets that users get reveal neither the order nor the number of events.
///
/// Analysts and admins can subscribe to `{"action":"subscribe","channel":"reviews"}`. The server sends
/// `review_update` when an application under review is assigned or released, with the members of `operations_update`.
///
/// Admins can also subscribe to `{"action":"subscribe","channel":"operations"}`; API keys need the scope
/// `operations:read`. The server sends `operations_update` with `epoch`, `offset`, `event_type`, `time` and `data` when
/// an account, an API key or a circuit breaker changes. Other accounts get the `error` `forbidden`.
///
/// Close codes: 4008 if the client reads too slowly; 4401 if it is not or no longer authenticated; 4408 if it did not
/// answer a ping; 4429 for too many connections of one account, too many messages, or too many credentials tried. The
/// close frame has a reason; for 4401 and 4429, an `error` message with a `code` is sent first. A subscription to an
/// application that does not exist or that the account may not see is answered with the `error` `unknown_application`.
#[utoipa::path(
    get,
    path = "/api/v1/ws",
    tag = "realtime",
    params(("ticket" = Option<String>, Query, description = "A ticket that authenticates the connection")),
    responses(
        (status = 101, description = "Switching to the WebSocket protocol"),
        (status = "default", description = "Any other response is a problem"),
        (status = 400, description = "Not a WebSocket handshake"),
        (status = 401, description = "The credential or the ticket is invalid, or the ticket has been used"),
        (status = 403, description = "The origin of the page is not allowed, or the API key lacks the scope"),
        (status = 422, description = "Invalid parameter"),
        (status = 426, description = "The version of the WebSocket protocol is not 13",
            headers(("Sec-WebSocket-Version" = String, description = "`13`"))),
    ),
)]
pub(super) async fn open(
    request: HttpRequest,
    payload: web::Payload,
    state: HttpState,
    mut query: Query,
) -> HandlerResult {
    let ticket = query.take("ticket", |text| Ok(text.to_owned()));
    query.finish()?;
    // A request that fails the handshake must not use up a ticket.
    handshake(&request)?;
    let accounts = &state.accounts;
    let principal = match (ticket, auth::is_sent(request.headers())) {
        (None, false) => None,
        (Some(ticket), false) => Some(accounts.redeem_ticket(&ticket).await?),
        (None, true) => {
            let principal = auth::identify(request.headers(), accounts).await?;
            ACCESS.admit(&principal)?;
            Some(principal)
        }
        (Some(_), true) => {
            let text = "Send one credential: a ticket, Authorization or X-API-Key.";
            return Err(Error::Unauthenticated(PublicMessage::new(text)).into());
        }
    };
    connect(request, payload, &state.realtime, principal)
}

/// The access rule for WebSockets.
const ACCESS: Access = Access::AtLeast(Role::User, Scope::ApplicationsRead);

/// Validates the WebSocket handshake and starts the response.
fn handshake(request: &HttpRequest) -> std::result::Result<HttpResponseBuilder, Rejection> {
    let malformed = |what: &dyn std::fmt::Display| {
        Error::Malformed(PublicMessage::new(format!("not a valid WebSocket handshake: {what}")))
    };
    for name in [header::SEC_WEBSOCKET_VERSION, header::SEC_WEBSOCKET_KEY] {
        if request.headers().get_all(&name).count() > 1 {
            return Err(malformed(&format_args!("{name} is repeated")).into());
        }
    }
    match verify_handshake(request.head()) {
        Ok(()) => {}
        Err(HandshakeError::UnsupportedVersion) => return Err(Rejection::WebSocketVersion),
        Err(refused) => return Err(malformed(&refused).into()),
    }
    let origins = request.app_data::<HttpServerState>().map(|server_state| &server_state.settings().cors);
    if !may_open_websocket(request.headers(), origins) {
        return Err(
            Error::Forbidden(PublicMessage::new("The origin of the page may not open WebSockets")).into()
        );
    }
    ws::handshake(request).map_err(|refused| malformed(&refused).into())
}

/// Upgrades a request to a WebSocket, for an authenticated client or one that must still authenticate. Fails if the
/// request is not a WebSocket handshake or its origin is not allowed.
pub fn connect(
    request: HttpRequest,
    payload: web::Payload,
    realtime: &Realtime,
    principal: Option<Principal>,
) -> HandlerResult {
    let mut response = handshake(&request)?;
    let max_message_bytes = realtime.settings.max_message_bytes;
    let session = WsSession::new(realtime.clone(), principal, attempts(&request));
    let (budget, queue, is_over) = (session.budget(), Arc::clone(session.queue()), session.is_over());
    let bytes = Box::pin(payload);
    let input = PacedInput { bytes, undecoded: session.undecoded(), max_message_bytes };
    let codec = Codec::new().max_size(max_message_bytes);
    let frames = Box::pin(WebsocketContext::with_codec(session, input, codec));
    let connection = request.conn_data::<Rc<OpenConnection>>().cloned();
    Ok(response.streaming(PacedOutput { frames, budget, queue, is_over, connection }))
}

/// Counts credentials tried from the request's address, if rate limits are available.
fn attempts(request: &HttpRequest) -> Option<Attempts> {
    let address = *request.extensions().get::<ClientAddress>()?;
    let limiter = request.app_data::<HttpServerState>()?.inner.limiter.clone();
    Some(Attempts { limiter, address })
}
