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
//! A client authenticates by the fields of the handshake, as for any request, by a ticket in the URL, or by its first message;
//! nothing else is answered before. `auth` with another credential of the same account extends the connection. Whether a
//! credential still holds is looked at every few seconds, and before anything is sent after a pause, in which the actor stood still:
//! an account that was disabled, or whose tokens were ended, gets nothing any more. What the server closes with:
//!
//! | code | why |
//! |---|---|
//! | 1001 | the server stops; connect again |
//! | 1012 | the sequence of events started anew; connect again and load everything |
//! | 1013 | the credential cannot be checked at the moment; connect again later |
//! | 4008 | the client reads too slowly |
//! | 4401 | no credential was sent in time, it is not valid, or it has expired or was revoked |
//! | 4408 | the client did not answer a ping in time |
//! | 4429 | the account has too many connections, the client sends too many messages, or its address tried too many credentials |
//!
//! Every close frame has a reason as well (`ending`); for 1013, 4401 and 4429 an `error` message comes first.
//!
//! The protocol is JSON text. A message that cannot be understood gets an `error` frame and the connection stays; what
//! breaks RFC 6455 itself closes it. `subscribed` carries a position after which everything of the topic follows. A
//! client keeps the position of the last frame that had one, and resumes every topic from there.

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
use crate::http::problem::{Answer, Rejection};
use crate::http::query::Query;
use crate::http::{HttpServerState, HttpState};
use crate::storage::Database;
use crate::storage::seal::KeyRing;
use crate::supervision::handle::Handle;
use crate::telemetry::metrics::Metrics;

pub use self::client_message::{ClientMessage, Credential, ParseProblem, parse_client_message};

/// The path that WebSockets are opened on.
pub(super) const PATH: &str = "/api/v1/ws";

/// What every session of this instance needs. Cheap to clone.
#[derive(Clone)]
pub struct Realtime {
    /// The sessions.
    pub sessions: Sessions,
    /// Who may come in.
    pub accounts: Accounts,
    /// Where applications are looked up.
    pub database: Database,
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

/// Live updates of applications and of operations, over a WebSocket.
///
/// A client first authenticates: by `Authorization` or `X-API-Key` on the handshake, by a ticket of `POST /api/v1/ws/tickets` in
/// the URL, or by the message `{"action":"auth","token":…}` with an access token or `{"action":"auth","api_key":…}`. The answer is
/// `authenticated`, with `valid_until`. A client that has not authenticated within ten seconds is closed with 4401, and so is one
/// whose credential expires or is revoked. `auth` with a new token of the same account before `valid_until` extends the connection.
///
/// Clients send JSON text: `{"action":"subscribe","application_id":…}`, `{"action":"subscribe","country":"ES"}` or
/// `{"action":"subscribe","channel":"applications"}`, `unsubscribe` in the same forms, and `{"action":"ping"}`. They get
/// `application_update`, `subscribed`, `unsubscribed`, `error` and `pong`. A client that reconnects adds the last `epoch`
/// and `offset` it saw to its subscriptions, and gets what it missed, or `"recovered": false`. An `offset` is good for that
/// alone: the numbers of users tell neither an order nor a count.
///
/// Admins also subscribe to `{"action":"subscribe","channel":"operations"}`; an API key needs the scope `operations:read`. They
/// get `operations_update`, with `epoch`, `offset`, `event_type`, `time` and `data`, when an account, an API key or a circuit
/// breaker changes. Other accounts get the `error` `forbidden`.
///
/// Closed with 4008: the client reads too slowly; 4401: not authenticated, or not any more; 4408: no pong; 4429: too many
/// connections of one account, too many messages, or too many credentials tried. The close frame has a reason, and for 4401 and
/// 4429 an `error` message with a `code` comes first. A subscription to an application that does not exist, or that the
/// account may not see, is answered with the `error` `unknown_application`.
#[utoipa::path(
    get,
    path = "/api/v1/ws",
    tag = "realtime",
    params(("ticket" = Option<String>, Query, description = "A ticket, instead of a first message")),
    responses(
        (status = 101, description = "The connection speaks WebSocket from here on"),
        (status = "default", description = "Any other answer is a problem"),
        (status = 400, description = "The request is no WebSocket handshake"),
        (status = 401, description = "The credential or the ticket is not valid, or the ticket was used"),
        (status = 403, description = "The page is of another origin, or the API key lacks the scope"),
        (status = 422, description = "A parameter is not acceptable"),
        (status = 426, description = "The version of the WebSocket protocol is not 13",
            headers(("Sec-WebSocket-Version" = String, description = "`13`"))),
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
            let text = "Send one credential: a ticket, or Authorization, or X-API-Key.";
            return Err(Error::Unauthenticated(PublicMessage::new(text)).into());
        }
    };
    connect(request, payload, &state.realtime, principal)
}

/// Who may open a WebSocket.
const ACCESS: Access = Access::AtLeast(Role::User, Scope::ApplicationsRead);

/// The answer that makes a WebSocket of a request.
fn handshake(request: &HttpRequest) -> std::result::Result<HttpResponseBuilder, Rejection> {
    let malformed = |what: &dyn std::fmt::Display| {
        Error::Malformed(PublicMessage::new(format!("a WebSocket handshake is expected here: {what}")))
    };
    for name in [header::SEC_WEBSOCKET_VERSION, header::SEC_WEBSOCKET_KEY] {
        if request.headers().get_all(&name).count() > 1 {
            return Err(malformed(&format_args!("{name} stands there more than once")).into());
        }
    }
    match verify_handshake(request.head()) {
        Ok(()) => {}
        Err(HandshakeError::UnsupportedVersion) => return Err(Rejection::WebSocketVersion),
        Err(refused) => return Err(malformed(&refused).into()),
    }
    let origins = request.app_data::<HttpServerState>().map(|server_state| &server_state.settings().cors);
    if !may_open_websocket(request.headers(), origins) {
        return Err(Error::Forbidden(PublicMessage::new(
            "WebSockets are for pages of this origin and of those that are allowed",
        ))
        .into());
    }
    ws::handshake(request).map_err(|refused| malformed(&refused).into())
}

/// Makes a WebSocket of a request, for a client that is known already or has to authenticate.
///
/// # Errors
/// [`Rejection`] when the request is no WebSocket handshake, or a page of another origin sent it.
pub fn connect(
    request: HttpRequest,
    payload: web::Payload,
    realtime: &Realtime,
    principal: Option<Principal>,
) -> Answer {
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

/// Counts the credentials of a request's address, where requests are counted.
fn attempts(request: &HttpRequest) -> Option<Attempts> {
    let address = *request.extensions().get::<ClientAddress>()?;
    let limiter = request.app_data::<HttpServerState>()?.inner.limiter.clone();
    Some(Attempts { limiter, address })
}
