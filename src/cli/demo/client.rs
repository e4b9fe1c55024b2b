//! The demonstration's connections to the server: HTTP requests and one WebSocket. A separate task reads the WebSocket,
//! so arrival times do not depend on what the demonstration is doing.

use std::cell::Cell;
use std::io::Write as _;
use std::rc::Rc;
use std::time::Duration;

use awc::error::WsProtocolError;
use awc::http::header::RETRY_AFTER;
use awc::http::{StatusCode, Uri};
use awc::ws::{CloseCode, Frame, Message};
use bytes::Bytes;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::cases::DemoCase;
use super::history::{Received, Update};
use crate::clock::Clock;
use crate::domain::ids::ApplicationId;
use crate::error::{Error, PublicMessage, Result};

/// A WebSocket opened by awc.
trait Socket:
    Stream<Item = Result<Frame, WsProtocolError>> + Sink<Message, Error = WsProtocolError> + Unpin
{
}

impl<S> Socket for S where
    S: Stream<Item = Result<Frame, WsProtocolError>> + Sink<Message, Error = WsProtocolError> + Unpin
{
}

/// Time limit for a request and for opening the WebSocket.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest `Retry-After` that is honoured. A longer one counts as a refusal.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// A client for one server.
#[derive(Clone)]
pub(super) struct Client {
    http: awc::Client,
    base_url: Rc<str>,
    token: Option<Rc<str>>,
    clock: Clock,
    /// Whether the rate limit has been reported.
    is_limit_reported: Rc<Cell<bool>>,
}

/// The server's response to `POST /applications`.
#[derive(Debug)]
pub(super) enum Answer {
    /// Status 201.
    Accepted {
        /// The new application.
        id: ApplicationId,
        /// When the response arrived.
        at: Duration,
    },
    /// Any other status, in short form.
    Refused(String),
}

#[derive(Deserialize)]
struct Created {
    id: ApplicationId,
}

#[derive(Deserialize)]
struct LoggedIn {
    access_token: String,
}

/// The displayed part of a decision.
#[derive(Deserialize)]
struct Explained {
    reasons: Vec<String>,
}

/// The displayed part of an RFC 9457 problem.
#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    errors: Vec<ProblemField>,
}

#[derive(Deserialize)]
struct ProblemField {
    pointer: String,
    code: String,
}

/// A message from the server.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ServerMessage {
    ApplicationUpdate(Update),
    Subscribed,
    Error {
        code: String,
    },
    #[serde(other)]
    Other,
}

impl Client {
    /// A client for the server at `base_url`, such as `http://127.0.0.1:8000`, that authenticates with an access token.
    /// Does not connect yet.
    ///
    /// # Errors
    /// [`Error::Malformed`] if `base_url` is not an absolute HTTP URL.
    pub(super) fn new(base_url: &str, token: Option<&str>, clock: Clock) -> Result<Self> {
        let base_url = base_url.trim_end_matches('/');
        let usable = base_url.parse::<Uri>().is_ok_and(|uri| {
            uri.host().is_some()
                && uri.query().is_none()
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && matches!(uri.scheme_str(), Some("http" | "https"))
        });
        if !usable {
            return Err(Error::Malformed(PublicMessage::new(
                "--url must be an http(s) URL without a query, a user or a password",
            )));
        }
        // awc panics without a default crypto provider. An error means that one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = awc::Client::builder().timeout(REQUEST_TIMEOUT).disable_redirects();
        let builder = match token {
            Some(token) => builder.bearer_auth(token),
            None => builder,
        };
        let (base_url, token) = (base_url.into(), token.map(Rc::from));
        Ok(Self { http: builder.finish(), base_url, token, clock, is_limit_reported: Rc::default() })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.base_url)
    }

    /// Signs in and returns the access token.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the name or password is wrong; [`Error::Unavailable`] without a valid response.
    pub(super) async fn login(&self, username: &str, password: &str) -> Result<String> {
        let body = json!({"username": username, "password": password});
        let request = self.http.post(self.url("/auth/login")).send_json(&body);
        let mut response = request.await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let body = response.body().await.map_err(|error| self.unreachable(error))?;
        match status {
            StatusCode::OK => Ok(read::<LoggedIn>(&body)?.access_token),
            StatusCode::UNAUTHORIZED => {
                Err(Error::Unauthenticated(PublicMessage::new("the server rejected the name or password")))
            }
            other => Err(unexpected(format!("unexpected status {other} for the sign-in"))),
        }
    }

    /// Creates an application, retrying while the server rate-limits it. Also returns when the last attempt was sent.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without a valid response.
    pub(super) async fn create(&self, case: &DemoCase, document: &str) -> Result<(Duration, Answer)> {
        loop {
            let sent_at = self.clock.monotonic();
            let request = self.http.post(self.url("/applications")).send_json(&case.request(document));
            let mut response = request.await.map_err(|error| self.unreachable(error))?;
            let at = self.clock.monotonic();
            let status = response.status();
            let pause = pause(status, response.headers().get(RETRY_AFTER).map(|value| value.as_bytes()));
            let body = response.body().await.map_err(|error| self.unreachable(error))?;
            if status == StatusCode::CREATED {
                return Ok((sent_at, Answer::Accepted { id: read::<Created>(&body)?.id, at }));
            }
            let Some(pause) = pause else {
                let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
                return Ok((sent_at, Answer::Refused(describe(status, &problem))));
            };
            self.report_limit(pause);
            tokio::time::sleep(pause).await;
        }
    }

    /// Reports the rate limit, once per run.
    fn report_limit(&self, pause: Duration) {
        if !self.is_limit_reported.replace(true) {
            let _ = writeln!(
                std::io::stderr().lock(),
                "aval: the server limits how many applications an account may create (429). The run continues at that rate, \
                 next in {} s. A smaller --count takes less time",
                pause.as_secs()
            );
        }
    }

    /// The reason codes of a decision.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without a valid response.
    pub(super) async fn reasons(&self, id: ApplicationId) -> Result<Vec<String>> {
        let request = self.http.get(self.url(&format!("/applications/{id}/decision"))).send();
        let mut response = request.await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(unexpected(format!("unexpected status {status} for the decision of {id}")));
        }
        let body = response.body().await.map_err(|error| self.unreachable(error))?;
        Ok(read::<Explained>(&body)?.reasons)
    }

    /// Opens the WebSocket, subscribes to all applications and waits for the confirmation.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Timeout`] if the subscription fails.
    pub(super) async fn subscribe(&self) -> Result<Updates> {
        let connecting = self.http.ws(self.url("/ws")).connect();
        let (_, mut socket) = connecting.await.map_err(|error| self.unreachable(error))?;
        let authentication = json!({"action": "auth", "token": self.token.as_deref()}).to_string();
        socket.send(Message::Text(authentication.into())).await.map_err(lost)?;
        let subscription = json!({"action": "subscribe", "channel": "applications"}).to_string();
        socket.send(Message::Text(subscription.into())).await.map_err(lost)?;
        let confirmed = async {
            while !matches!(next_message(&mut socket).await?, ServerMessage::Subscribed) {}
            Ok::<(), Error>(())
        };
        let late = || Error::Timeout { what: "the WebSocket's subscription", after: REQUEST_TIMEOUT };
        tokio::time::timeout(REQUEST_TIMEOUT, confirmed).await.map_err(|_elapsed| late())??;
        let (sender, receiver) = mpsc::unbounded_channel();
        let reader = tokio::task::spawn_local(read_updates(socket, sender, self.clock.clone()));
        Ok(Updates { receiver, reader })
    }

    fn unreachable(&self, cause: impl std::fmt::Display) -> Error {
        let base_url = &self.base_url;
        Error::unavailable("the server", format_args!("{base_url}: {cause}\nStart it with: make run"))
    }
}

/// The updates from a WebSocket in order of arrival.
pub(super) struct Updates {
    receiver: mpsc::UnboundedReceiver<Result<Received>>,
    reader: JoinHandle<()>,
}

impl Updates {
    /// Waits for the next update. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the connection has ended or a message is not valid.
    pub(super) async fn next(&mut self) -> Result<Received> {
        let ended = || Err(Error::unavailable("the WebSocket", "the connection has ended"));
        self.receiver.recv().await.unwrap_or_else(ended)
    }

    /// Closes the connection.
    pub(super) async fn close(mut self) {
        self.receiver.close();
        // An error means that the task panicked, which the panic hook has reported.
        let _ = self.reader.await;
    }
}

/// Forwards updates until the connection ends or the receiver is closed.
async fn read_updates(
    mut socket: impl Socket,
    sender: mpsc::UnboundedSender<Result<Received>>,
    clock: Clock,
) {
    loop {
        let message = tokio::select! {
            message = next_message(&mut socket) => message,
            () = sender.closed() => {
                let _ = socket.send(Message::Close(Some(CloseCode::Normal.into()))).await;
                return;
            }
        };
        let at = clock.monotonic();
        let item = match message {
            Ok(ServerMessage::ApplicationUpdate(update)) => Ok(Received { update, at }),
            Ok(ServerMessage::Subscribed | ServerMessage::Other) => continue,
            Ok(ServerMessage::Error { code }) => {
                Err(unexpected(format!("error message {code} on the WebSocket")))
            }
            Err(error) => Err(error),
        };
        let ended = item.is_err();
        if sender.send(item).is_err() || ended {
            return;
        }
    }
}

/// The next message. Responds to pings.
async fn next_message(socket: &mut impl Socket) -> Result<ServerMessage> {
    loop {
        let frame = socket.next().await.ok_or_else(|| lost("the server closed the connection"))?;
        match frame.map_err(|error: WsProtocolError| lost(error))? {
            Frame::Text(text) => return read(&text),
            Frame::Ping(payload) => socket.send(Message::Pong(payload)).await.map_err(lost)?,
            Frame::Close(reason) => return Err(lost(format_args!("closed by the server: {reason:?}"))),
            Frame::Pong(_) | Frame::Binary(_) | Frame::Continuation(_) => {}
        }
    }
}

fn lost(cause: impl std::fmt::Display) -> Error {
    Error::unavailable("the WebSocket", cause)
}

/// The response is not from a compatible version of Aval.
fn unexpected(cause: impl std::fmt::Display) -> Error {
    Error::unavailable("a compatible Aval server", cause)
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T> {
    serde_json::from_slice(body).map_err(unexpected)
}

/// The delay requested with a 429, unless it is too long.
fn pause(status: StatusCode, retry_after: Option<&[u8]>) -> Option<Duration> {
    let seconds = std::str::from_utf8(retry_after?).ok()?.trim().parse().ok()?;
    let pause = Duration::from_secs(seconds);
    (status == StatusCode::TOO_MANY_REQUESTS && pause <= LONGEST_PAUSE).then_some(pause)
}

/// Short form of a problem, such as `422 validation_failed /identity_document bad_check_digit`.
fn describe(status: StatusCode, problem: &Problem) -> String {
    let mut text = format!("{} {}", status.as_u16(), problem.code);
    for field in &problem.errors {
        text.push_str(&format!(" {} {}", field.pointer, field.code));
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &'static str) -> Result<ServerMessage> {
        read(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn server_messages_are_parsed_and_unknown_types_are_ignored() {
        let update = r#"{"type":"application_update","epoch":"0193b3a1-7a4e-7c7e-8f4e-0d6f2f9a1b2c","offset":7,
            "data":{"id":"0193b3a1-7a4e-7c7e-8f4e-0d6f2f9a1b2d","country":"MX","status":"REJECTED",
                    "previous_status":"VALIDATING","risk_score":"77.08","updated_at":"2026-01-02T03:04:05.678901Z"}}"#;
        let Ok(ServerMessage::ApplicationUpdate(update)) = message(update) else { panic!("no update") };
        assert_eq!((update.offset, update.data.status.as_str()), (7, "REJECTED"));
        let created = r#"{"type":"application_update","epoch":"0193b3a1-7a4e-7c7e-8f4e-0d6f2f9a1b2c","offset":5,
            "data":{"id":"0193b3a1-7a4e-7c7e-8f4e-0d6f2f9a1b2d","country":"MX","status":"PENDING",
                    "previous_status":null,"risk_score":null,"updated_at":"2026-01-02T03:04:05.678901Z"}}"#;
        let Ok(ServerMessage::ApplicationUpdate(created)) = message(created) else { panic!("no update") };
        assert_eq!((created.data.previous_status, created.data.risk_score), (None, None));
        assert!(matches!(
            message(r#"{"type":"subscribed","channel":"applications","epoch":"x"}"#),
            Ok(ServerMessage::Subscribed)
        ));
        assert!(matches!(
            message(r#"{"type":"error","code":"bad_topic","detail":"…"}"#),
            Ok(ServerMessage::Error { code }) if code == "bad_topic"
        ));
        assert!(matches!(message(r#"{"type":"pong"}"#), Ok(ServerMessage::Other)));
        assert!(matches!(message(r#"{"type":"news","data":{}}"#), Ok(ServerMessage::Other)));
        assert!(message(r#"{"type":"application_update","offset":7}"#).is_err());
        assert!(message("<html>").is_err());
    }

    #[test]
    fn a_problem_is_described_with_its_fields() {
        let body = r#"{"type":"about:blank","code":"validation_failed",
            "errors":[{"pointer":"/identity_document","code":"bad_check_digit","detail":"…"}]}"#;
        let problem: Problem = serde_json::from_str(body).unwrap();
        assert_eq!(
            describe(StatusCode::UNPROCESSABLE_ENTITY, &problem),
            "422 validation_failed /identity_document bad_check_digit"
        );
        assert_eq!(describe(StatusCode::BAD_GATEWAY, &Problem::default()), "502");
    }

    #[test]
    fn only_a_429_with_a_short_retry_after_is_retried() {
        let too_many = StatusCode::TOO_MANY_REQUESTS;
        for (status, header, seconds) in [
            (too_many, Some("6"), Some(6)),
            (too_many, Some("601"), None),
            (too_many, Some("99999999999999999999"), None),
            (too_many, Some("soon"), None),
            (too_many, None, None),
            (StatusCode::SERVICE_UNAVAILABLE, Some("6"), None),
        ] {
            let waited = pause(status, header.map(str::as_bytes)).map(|pause| pause.as_secs());
            assert_eq!(waited, seconds, "{status} {header:?}");
        }
    }

    #[test]
    fn only_an_absolute_http_url_is_accepted() {
        for url in ["http://127.0.0.1:8000", "http://localhost:8000/", "https://aval.example/base"] {
            let client = Client::new(url, None, Clock::system()).unwrap();
            assert_eq!(client.url("/ws"), format!("{}/api/v1/ws", url.trim_end_matches('/')));
        }
        for url in [
            "",
            "localhost",
            "ftp://localhost",
            "/api",
            "http://",
            "http://localhost/?a=b",
            "http://ana:x@localhost",
        ] {
            assert!(matches!(Client::new(url, None, Clock::system()), Err(Error::Malformed(_))), "{url:?}");
        }
    }

    #[actix_rt::test]
    async fn an_unreachable_server_is_reported_with_how_to_start_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = Client::new(&url, None, Clock::system()).unwrap().subscribe().await.err().unwrap();
        assert_eq!(error.to_string(), "unavailable: the server");
        let cause = error.private_cause().unwrap();
        assert!(cause.contains(&url) && cause.contains("make run"), "{cause}");
    }
}
