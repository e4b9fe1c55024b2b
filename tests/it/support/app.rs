//! An instance of Aval with its own database, used over HTTP and WebSocket on a loopback port.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_web::http::{Method, StatusCode, header::HeaderMap};
use aval::actors::scheduler::StopClaiming;
use aval::app::{App, Engine};
use aval::clock::Clock;
use aval::config::LogLevel;
use aval::providers::simulator::Simulator;
use awc::error::WsProtocolError;
use awc::ws::{CloseCode, Frame, Message};
use bytes::Bytes;
use futures_util::stream::LocalBoxStream;
use futures_util::{Sink, SinkExt as _, StreamExt as _};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::accounts::{self, ADMIN, Caller};
use super::captured_log::CapturedLog;
use super::contract::Contract;
use super::db::{TestDatabase, text};
use super::engine::settings_on;
use super::{PATIENCE, eventually};

/// The largest response that a test reads, in bytes.
const ANSWER_LIMIT: usize = 8 << 20;

/// A running instance with a client.
pub(crate) struct TestApp {
    app: App,
    pub(crate) database: Rc<TestDatabase>,
    pub(crate) log: CapturedLog,
    pub(crate) client: awc::Client,
    /// An access token of [`ADMIN`].
    pub(crate) token: String,
    contract: Contract,
}

/// A response of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The body if it is JSON, otherwise `null`.
    pub(crate) json: Value,
}

impl Answer {
    /// The value of a header; empty if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks the status and returns the body.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.json);
        self.json
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    /// The field errors of a problem, each as `<pointer> <code>`.
    pub(crate) fn field_errors(&self) -> Vec<String> {
        let errors = self.json["errors"].as_array().into_iter().flatten();
        let line = |error: &Value| {
            format!("{} {}", error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap())
        };
        errors.map(line).collect()
    }
}

impl TestApp {
    /// Starts an instance on a new database.
    pub(crate) async fn start(overrides: &[(&str, &str)]) -> Self {
        Self::start_on(Rc::new(TestDatabase::create().await), overrides).await
    }

    /// Tries to start an instance with an unusable configuration and returns the error.
    pub(crate) async fn refusal(overrides: &[(&str, &str)]) -> String {
        let database = TestDatabase::create().await;
        let settings = settings_on(&database, &[&[("AVAL__SERVER__PORT", "0")], overrides].concat());
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let started = App::start(settings, Clock::system(), logger).await;
        started.err().expect("a refusal").to_string()
    }

    /// Starts an instance that accepts applications and never processes them.
    pub(crate) async fn start_idle() -> Self {
        Self::start_idle_with(&[]).await
    }

    /// Like [`Self::start_idle`], with some settings.
    pub(crate) async fn start_idle_with(overrides: &[(&str, &str)]) -> Self {
        let app = Self::start(overrides).await;
        app.engine().handles.scheduler.ask(StopClaiming).await.unwrap();
        // A claim in progress may still start jobs.
        eventually("the last claim to end", async || app.engine().running.is_idle().then_some(())).await;
        app
    }

    /// Starts an instance on a database that other instances may already use.
    pub(crate) async fn start_on(database: Rc<TestDatabase>, overrides: &[(&str, &str)]) -> Self {
        Self::start_at(database, Clock::system(), overrides).await
    }

    /// Like [`Self::start_on`], with a clock that the test may advance.
    pub(crate) async fn start_at(
        database: Rc<TestDatabase>,
        clock: Clock,
        overrides: &[(&str, &str)],
    ) -> Self {
        let own = [
            ("AVAL__SERVER__PORT", "0"),
            ("AVAL__SERVER__WORKERS", "1"),
            ("AVAL__FAULTS__INJECTION", "true"),
            ("AVAL__LOG__LEVEL", "trace"),
        ];
        let settings = settings_on(&database, &[&own, overrides].concat());
        let log = CapturedLog::new(LogLevel::Trace, &clock);
        let app = App::start(settings, clock, log.logger.clone()).await.unwrap();
        accounts::create(&mut database.connect().await).await;
        let token = access_token(&app, ADMIN).await;
        let client = awc::Client::builder().timeout(PATIENCE).disable_redirects().finish();
        Self { app, database, log, client, token, contract: Contract::new() }
    }

    /// Makes the check of responses accept `labels`, which only a newer version of Aval has.
    pub(crate) fn with_newer_labels(mut self, labels: &'static [&'static str]) -> Self {
        self.contract = self.contract.with_newer_labels(labels);
        self
    }

    /// Stops the instance gracefully, as SIGTERM does.
    pub(crate) async fn stop(self) {
        self.app.shutdown().await;
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.app.engine()
    }

    /// The address that the instance listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.app.address()
    }

    /// The address of the instance's metrics port.
    pub(crate) fn metrics_address(&self) -> Option<SocketAddr> {
        self.app.metrics_address()
    }

    /// The URL of `path` on the instance.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app.address())
    }

    /// The simulated bureaus.
    pub(crate) fn simulator(&self) -> &Simulator {
        self.engine().simulator.as_ref().unwrap()
    }

    /// A caller with [`TestApp::token`]. Requests of the app itself are sent by this caller.
    pub(crate) fn admin(&self) -> Caller<'_> {
        self.with_token(&self.token)
    }

    /// A caller with a new access token of the account `username`.
    pub(crate) async fn acting_as(&self, username: &str) -> Caller<'_> {
        self.with_token(&access_token(&self.app, username).await)
    }

    /// A caller with this access token.
    pub(crate) fn with_token(&self, token: &str) -> Caller<'_> {
        Caller { app: self, credential: Some(("Authorization", format!("Bearer {token}"))) }
    }

    /// A caller with this API key.
    pub(crate) fn with_key(&self, key: &str) -> Caller<'_> {
        Caller { app: self, credential: Some(("X-API-Key", key.to_owned())) }
    }

    /// A caller without credentials.
    pub(crate) fn anonymous(&self) -> Caller<'_> {
        Caller { app: self, credential: None }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.admin().get(path).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.admin().post(path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.admin().put(path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.admin().patch(path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.admin().delete(path).await
    }

    /// Sends any request as [`ADMIN`] and checks the response against the OpenAPI document.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.admin().send(method, path, headers, body).await
    }

    /// Sends exactly these headers and checks the response against the OpenAPI document.
    pub(super) async fn send_as_is(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Answer {
        let url = self.url(path);
        let mut request = self.client.request(method.clone(), url);
        for header in headers {
            request = request.append_header(*header);
        }
        let sent = if body.is_empty() { request.send() } else { request.send_body(body) };
        let mut response = sent.await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let body = response.body().limit(ANSWER_LIMIT).await.unwrap();
        let answer = Answer {
            status: response.status(),
            headers: response.headers().clone(),
            json: serde_json::from_slice(&body).unwrap_or_default(),
            body,
        };
        self.contract.check(&method, path, &answer);
        answer
    }

    /// Sends `bytes` on a new connection. Returns the whole response, or the part received when the server closes it.
    pub(crate) async fn send_raw(&self, bytes: &[u8]) -> String {
        let exchange = async {
            let mut stream = tokio::net::TcpStream::connect(self.app.address()).await.unwrap();
            // A server that has rejected the head may close the connection before it has read the rest.
            let _ = stream.write_all(bytes).await;
            let mut answer = Vec::new();
            while !is_complete(&answer) && stream.read_buf(&mut answer).await.is_ok_and(|length| length > 0) {
            }
            String::from_utf8_lossy(&answer).into_owned()
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("a response in time")
    }

    /// Creates an application, which must be accepted, and returns its identifier.
    pub(crate) async fn submit(&self, application: &Value) -> String {
        self.admin().submit(application).await
    }

    /// Waits until an application is decided and returns its status.
    pub(crate) async fn decided(&self, id: &str) -> String {
        let path = format!("/api/v1/applications/{id}/status");
        eventually(&format!("{id} to be decided"), async || {
            let status = self.get(&path).await.expect(200)["status"].as_str().unwrap().to_owned();
            (!matches!(status.as_str(), "PENDING" | "VALIDATING")).then_some(status)
        })
        .await
    }

    /// Waits until an application has the status.
    pub(crate) async fn reaches(&self, id: &str, status: &str) {
        let path = format!("/api/v1/applications/{id}/status");
        eventually(&format!("{id} to become {status}"), async || {
            (self.get(&path).await.expect(200)["status"] == status).then_some(())
        })
        .await;
    }

    /// The reasons of an application's latest decision.
    pub(crate) async fn reasons(&self, id: &str) -> Vec<String> {
        let decision = self.get(&format!("/api/v1/applications/{id}/decision")).await.expect(200);
        serde_json::from_value(decision["reasons"].clone()).unwrap()
    }

    /// An application's statuses, oldest first, separated by spaces.
    pub(crate) async fn trail(&self, id: &str) -> String {
        let audit = self.get(&format!("/api/v1/applications/{id}/audit")).await.expect(200);
        let entries = audit["entries"].as_array().unwrap().iter();
        entries.map(|entry| entry["new_status"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    /// The single value of a query, as text; empty if it is null or if there is no row.
    pub(crate) async fn sql(&self, query: &str) -> String {
        text(&mut self.database.connect().await, query).await.unwrap_or_default()
    }

    /// Runs plain SQL.
    pub(crate) async fn execute(&self, sql: &str) {
        super::db::execute(&mut self.database.connect().await, sql).await.unwrap();
    }

    /// The value of a metric, written with its labels as in `/metrics`; 0 if it is missing.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let page = self.get("/metrics").await.text();
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Whether a WebSocket can be opened with these header fields.
    pub(crate) async fn opens_websocket(&self, headers: &[(&'static str, &'static str)]) -> bool {
        let request = self.client.ws(self.url("/api/v1/ws"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.connect().await.is_ok()
    }

    /// Opens a WebSocket and authenticates with [`TestApp::token`].
    pub(crate) async fn websocket(&self) -> TestSocket {
        let mut socket = self.unauthenticated_websocket("").await;
        assert_eq!(socket.authenticate(&self.token).await["type"], "authenticated");
        socket
    }

    /// Opens an unauthenticated WebSocket; `query` is appended to the path.
    pub(crate) async fn unauthenticated_websocket(&self, query: &str) -> TestSocket {
        let opened = TestSocket::open(&self.client, &self.url(&format!("/api/v1/ws{query}"))).await;
        opened.expect("a WebSocket")
    }
}

/// An access token of an account.
async fn access_token(app: &App, username: &str) -> String {
    let token = app.engine().accounts.operator_token(username, Duration::from_secs(3600)).await.unwrap();
    token.expose_secret().to_owned()
}

/// Whether an HTTP/1.1 response is complete according to its headers.
fn is_complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}

/// A WebSocket client.
pub(crate) struct TestSocket {
    outgoing: Pin<Box<dyn Sink<Message, Error = WsProtocolError>>>,
    incoming: LocalBoxStream<'static, Result<Frame, WsProtocolError>>,
}

/// A received WebSocket message or the end of the connection.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    Json(Value),
    Closed(Option<CloseCode>),
}

impl TestSocket {
    /// Opens a WebSocket; `None` if the server is unreachable.
    pub(crate) async fn open(client: &awc::Client, url: &str) -> Option<Self> {
        Self::of(client.ws(url)).await
    }

    /// Opens a WebSocket with this handshake; `None` if it is rejected.
    pub(crate) async fn of(request: awc::ws::WebsocketsRequest) -> Option<Self> {
        let (response, connection) = request.connect().await.ok()?;
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        let (outgoing, incoming) = connection.split();
        Some(Self { outgoing: Box::pin(outgoing), incoming: incoming.boxed_local() })
    }

    /// Authenticates the connection and returns the response.
    pub(crate) async fn authenticate(&mut self, token: &str) -> Value {
        self.send(&serde_json::json!({"action": "auth", "token": token})).await;
        self.json().await
    }

    /// Subscribes and returns the response.
    pub(crate) async fn subscribe(&mut self, topic: &Value) -> Value {
        let mut message = topic.clone();
        message["action"] = "subscribe".into();
        self.send(&message).await;
        let answer = self.json().await;
        assert_eq!(answer["type"], "subscribed", "{answer}");
        answer
    }

    /// Sends JSON.
    pub(crate) async fn send(&mut self, message: &Value) {
        assert!(self.try_send(message).await, "the connection is closed");
    }

    /// Sends JSON, if the connection is open.
    pub(crate) async fn try_send(&mut self, message: &Value) -> bool {
        self.outgoing.send(Message::Text(message.to_string().into())).await.is_ok()
    }

    /// The next message, which must be JSON.
    pub(crate) async fn json(&mut self) -> Value {
        match self.receive().await {
            Received::Json(message) => message,
            Received::Closed(code) => panic!("closed: {code:?}"),
        }
    }

    /// The next message or the end of the connection. Responds to pings.
    pub(crate) async fn receive(&mut self) -> Received {
        self.receive_within(PATIENCE).await.expect("a frame in time")
    }

    /// Like [`Self::receive`]; `None` after a timeout.
    pub(crate) async fn receive_within(&mut self, time: Duration) -> Option<Received> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let frame = tokio::time::timeout(left, self.incoming.next()).await.ok()?;
            match frame {
                Some(Ok(Frame::Text(text))) => {
                    return Some(Received::Json(serde_json::from_slice(&text).unwrap()));
                }
                Some(Ok(Frame::Ping(bytes))) => {
                    if self.outgoing.send(Message::Pong(bytes)).await.is_err() {
                        return Some(Received::Closed(None));
                    }
                }
                Some(Ok(Frame::Close(reason))) => {
                    return Some(Received::Closed(reason.map(|reason| reason.code)));
                }
                Some(Ok(Frame::Pong(_))) => {}
                Some(Ok(other)) => panic!("unexpected: {other:?}"),
                Some(Err(_)) | None => return Some(Received::Closed(None)),
            }
        }
    }

    /// The statuses of an application's updates, in order, up to and including `last`.
    pub(crate) async fn updates_until(&mut self, id: &str, last: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let message = self.json().await;
            if message["type"] == "application_update" && message["data"]["id"] == id {
                seen.push(message["data"]["status"].as_str().unwrap().to_owned());
                if message["data"]["status"] == last {
                    return seen;
                }
            }
        }
    }
}
