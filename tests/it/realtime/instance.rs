//! Reduced instances of Aval, which share a database, and WebSocket clients. An instance consists only of the relay, the
//! broadcaster and the WebSocket endpoint.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;

use actix::{Actor, Context};
use actix_http::ws::{Frame, Message, ProtocolError};
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use aval::accounts::Accounts;
use aval::actors::broadcaster::{self, Broadcaster, Sessions};
use aval::actors::outbox_relay::{self, OutboxRelay};
use aval::app::event_types;
use aval::clock::Clock;
use aval::config::Settings;
use aval::events::bus::postgres::PostgresBus;
use aval::http::ws::{self, Realtime};
use aval::lending::statistics::ApplicationStatistics;
use aval::resources::Resources;
use aval::storage::Database;
use aval::storage::listener::{Listener, Notification};
use aval::supervision::faults::Faults;
use aval::supervision::handle::{Handle, LivenessGuard};
use aval::telemetry::metrics::Metrics;
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

pub(super) use crate::support::PATIENCE;
use crate::support::accounts;
pub(super) use crate::support::db::TestDatabase;
use crate::support::engine::{SECRETS, key_ring};

pub(super) fn quiet() -> slog::Logger {
    slog::Logger::root(slog::Discard, slog::o!())
}

pub(super) async fn execute(connection: &mut AsyncPgConnection, statement: &str) -> usize {
    diesel::sql_query(statement).execute(connection).await.unwrap()
}

/// The text of the only column of each row, which `query` must name `value`.
pub(super) async fn texts(connection: &mut AsyncPgConnection, query: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        value: String,
    }
    let rows: Vec<Row> = diesel::sql_query(query).load(connection).await.unwrap();
    rows.into_iter().map(|row| row.value).collect()
}

pub(super) async fn count(connection: &mut AsyncPgConnection, query: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        value: i64,
    }
    let row: Row = diesel::sql_query(query).get_result(connection).await.unwrap();
    row.value
}

/// Inserts `how_many` applications and returns their ids.
pub(super) async fn insert(
    connection: &mut AsyncPgConnection,
    country: &str,
    account: &str,
    how_many: u32,
) -> Vec<String> {
    let statement = format!(
        "INSERT INTO applications (id, country, full_name, identity_document, requested_amount, monthly_income, \
         currency, created_by) \
         SELECT uuid_v7_now(), '{country}', '\\x00', '\\x00', 1000, 1000, 'EUR', '{account}' \
         FROM generate_series(1, {how_many}) RETURNING id::text AS value"
    );
    texts(connection, &statement).await
}

pub(super) async fn set_status(connection: &mut AsyncPgConnection, id: &str, status: &str) {
    let changed =
        execute(connection, &format!("UPDATE applications SET status = '{status}' WHERE id = '{id}'")).await;
    assert_eq!(changed, 1);
}

/// Creates the user `ana`, who owns the applications of some tests.
const ANA: &str = "SET session_replication_role = replica; INSERT INTO users (id, username, password_hash, role, created_by) \
    SELECT uuid_v7_now(), 'ana', password_hash, 'user', 'test' FROM users WHERE username = 'test-user' \
    ON CONFLICT DO NOTHING; RESET session_replication_role";

/// An instance with only the parts from the outbox to WebSockets.
pub(super) struct Instance {
    pub(super) resources: Resources,
    pub(super) sessions: Sessions,
    pub(super) relay: Handle<OutboxRelay>,
    pub(super) broadcaster: Handle<Broadcaster>,
    pub(super) address: SocketAddr,
    server: ServerHandle,
}

impl Instance {
    /// Starts an instance with short intervals and `overrides`.
    pub(super) async fn start(database: &TestDatabase, name: &str, overrides: &[(&str, &str)]) -> Self {
        let resources = resources(database, name, overrides).await;
        let sessions = Sessions::new(&resources.settings.websocket, Arc::clone(&resources.metrics));
        let broadcaster = Handle::vacant(broadcaster::NAME);
        let relay = Handle::vacant(outbox_relay::NAME);

        let bus = Arc::new(PostgresBus::new(resources.database.clone()));
        let (actor_resources, actor_sessions) = (resources.clone(), sessions.clone());
        let types = Arc::new(event_types());
        keep_alive(&broadcaster, move |guard| {
            Broadcaster::new(&actor_resources, bus.clone(), Arc::clone(&types), actor_sessions.clone(), guard)
        });
        let (actor_resources, notified) = (resources.clone(), broadcaster.clone());
        let on_published: outbox_relay::OnPublished = Arc::new(move || notified.hint(broadcaster::Wake));
        let statistics = Arc::new(ApplicationStatistics::new(&resources));
        keep_alive(&relay, move |guard| {
            let (on_published, projection) = (Arc::clone(&on_published), Arc::clone(&statistics));
            OutboxRelay::new(&actor_resources, None, on_published, projection, guard)
        });
        listen(resources.database.clone(), relay.clone(), broadcaster.clone());

        let mut connection = database.connect().await;
        accounts::create(&mut connection).await;
        connection.batch_execute(ANA).await.unwrap();
        let realtime = Realtime {
            sessions: sessions.clone(),
            accounts: accounts_of(&resources),
            database: resources.database.clone(),
            keys: resources.database.shared_keys(),
            clock: resources.clock.clone(),
            broadcaster: broadcaster.clone(),
            settings: resources.settings.websocket.clone(),
            metrics: Arc::clone(&resources.metrics),
            logger: quiet(),
        };
        let (address, server) = serve(realtime);
        Self { resources, sessions, relay, broadcaster, address, server }
    }

    /// A client that has sent `message`, which must be a valid subscription.
    pub(super) async fn subscriber(&self, message: &str) -> Client {
        let mut client = Client::connect(self.address, "").await;
        client.send(message).await;
        let answer = client.next().await;
        assert_eq!(answer["type"], "subscribed", "{answer}");
        client
    }

    pub(super) async fn stop(self) {
        self.server.stop(false).await;
    }
}

fn accounts_of(resources: &Resources) -> Accounts {
    let (settings, secrets) = (&resources.settings.accounts, &resources.secrets);
    let (database, clock) = (resources.database.clone(), resources.clock.clone());
    Accounts::new(database, settings, &secrets.jwt, clock, quiet()).unwrap()
}

async fn resources(database: &TestDatabase, name: &str, overrides: &[(&str, &str)]) -> Resources {
    let quick = [
        ("AVAL__FAULTS__INJECTION", "true"),
        ("AVAL__OUTBOX__POLL_INTERVAL_MS", "100"),
        ("AVAL__OUTBOX__LEADER_RETRY_MS", "100"),
        ("AVAL__DATABASE__POOL_SIZE", "4"),
        ("AVAL__INGEST__WRITERS", "1"),
    ];
    let variables: HashMap<String, String> = quick
        .iter()
        .chain(&SECRETS)
        .chain(&database.variables())
        .chain(overrides)
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let settings = Settings::from_variables(&variables).unwrap();
    Resources {
        database: Database::connect(&settings.database.url, &settings.database, key_ring(&settings), None)
            .await
            .unwrap(),
        secrets: Arc::new(settings.complete_secrets(&Clock::system()).unwrap()),
        settings: Arc::new(settings),
        clock: Clock::system(),
        tracer: aval::telemetry::trace::Tracer::off(&Clock::system()),
        metrics: Arc::new(Metrics::new(&aval::app::known_labels()).unwrap()),
        work: Arc::default(),
        faults: Arc::new(Faults::new(true)),
        logger: quiet(),
        instance: name.into(),
    }
}

/// Restarts an actor whenever it ends.
fn keep_alive<A: Actor<Context = Context<A>>>(
    handle: &Handle<A>,
    make: impl Fn(LivenessGuard) -> A + 'static,
) {
    let handle = handle.clone();
    actix_rt::spawn(async move {
        loop {
            let (guard, actor_end) = LivenessGuard::pair();
            handle.point_at(make(guard).start());
            actor_end.wait().await;
        }
    });
}

fn listen(database: Database, relay: Handle<OutboxRelay>, broadcaster: Handle<Broadcaster>) {
    actix_rt::spawn(async move {
        while let Ok(mut listener) = Listener::connect(&database).await {
            while let Ok(notification) = listener.next().await {
                match notification {
                    Notification::Outbox => relay.hint(outbox_relay::Wake),
                    Notification::Published(_) => broadcaster.hint(broadcaster::Wake),
                    Notification::Jobs | Notification::Circuits | Notification::Accounts => {}
                }
            }
        }
    });
}

/// Serves the WebSocket endpoint. The query `account=NAME` selects the account of the connection. The listener's
/// buffers are small, so a client that does not read is detected early.
fn serve(realtime: Realtime) -> (SocketAddr, ServerHandle) {
    async fn connect(
        request: HttpRequest,
        payload: web::Payload,
        realtime: web::Data<Realtime>,
    ) -> HttpResponse {
        let account = request.query_string().strip_prefix("account=").unwrap_or(accounts::ADMIN);
        let token = realtime.accounts.operator_token(account, PATIENCE * 10).await.unwrap();
        let principal = realtime.accounts.authenticate_token(token.expose_secret()).await.unwrap();
        let connected = ws::connect(request, payload, &realtime, Some(principal));
        connected.unwrap_or_else(|error| HttpResponse::BadRequest().body(error.kind().code))
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket2::SockRef::from(&listener).set_send_buffer_size(8 * 1024).unwrap();
    let address = listener.local_addr().unwrap();
    let server = HttpServer::new(move || {
        App::new().app_data(web::Data::new(realtime.clone())).route("/ws", web::get().to(connect))
    })
    .workers(1)
    .disable_signals()
    .listen(listener)
    .unwrap()
    .run();
    let handle = server.handle();
    actix_rt::spawn(server);
    (address, handle)
}

/// A WebSocket client.
pub(super) struct Client {
    pub(super) sink: Pin<Box<dyn Sink<Message, Error = ProtocolError>>>,
    pub(super) frames: Pin<Box<dyn Stream<Item = Result<Frame, ProtocolError>>>>,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr, query: &str) -> Self {
        let url = format!("http://{address}/ws?{query}");
        let (_, connection) = awc::Client::new().ws(url).connect().await.unwrap();
        let (sink, frames) = connection.split();
        let mut client = Self { sink: Box::pin(sink), frames: Box::pin(frames) };
        assert_eq!(client.next().await["type"], "authenticated");
        client
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.send_raw(Message::Text(text.to_owned().into())).await;
    }

    pub(super) async fn send_raw(&mut self, message: Message) {
        self.sink.send(message).await.unwrap();
    }

    /// Waits for a ping and responds with a pong.
    pub(super) async fn answer_a_ping(&mut self) {
        let ping = tokio::time::timeout(PATIENCE, self.frames.next()).await.unwrap();
        assert!(matches!(ping, Some(Ok(Frame::Ping(_)))), "{ping:?}");
        self.send_raw(Message::Pong(Default::default())).await;
    }

    /// The next frame other than a ping. Does not respond to pings.
    pub(super) async fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.frames.next());
            match next.await.expect("a frame in time") {
                Some(Ok(Frame::Ping(_))) => {}
                Some(Ok(frame)) => return Some(frame),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The next message, which must be JSON.
    pub(super) async fn next(&mut self) -> Value {
        match self.next_frame().await {
            Some(Frame::Text(text)) => serde_json::from_slice(&text).unwrap(),
            other => panic!("expected a message, received {other:?}"),
        }
    }

    /// The server's close code.
    pub(super) async fn close_code(&mut self) -> u16 {
        match self.next_frame().await {
            Some(Frame::Close(Some(reason))) => reason.code.into(),
            other => panic!("expected a close frame, received {other:?}"),
        }
    }

    /// The offsets of the next updates, up to and including `last`.
    pub(super) async fn offsets_up_to(&mut self, last: i64) -> Vec<i64> {
        let mut offsets = Vec::new();
        while offsets.last().is_none_or(|offset| *offset < last) {
            let update = self.next().await;
            assert_eq!(update["type"], "application_update", "{update}");
            offsets.push(update["offset"].as_i64().unwrap());
        }
        offsets
    }

    /// Checks that no other message arrives before the response to a `ping` message.
    pub(super) async fn assert_silent(&mut self) {
        self.send(r#"{"action":"ping"}"#).await;
        assert_eq!(self.next().await["type"], "pong");
    }
}

/// Waits until `condition` holds. The message of a timeout contains `what`, such as `all events to be published`.
pub(super) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    crate::support::eventually(what, async || condition().await.then_some(())).await;
}

/// Opens a raw WebSocket connection with a small receive buffer.
pub(super) async fn raw_client(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let handshake = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(handshake.as_bytes()).await.unwrap();
    stream
}

/// Sends a text frame of at most 125 bytes. Its mask is zero, so the text is sent unchanged.
pub(super) async fn send_raw_text(stream: &mut TcpStream, text: &[u8]) {
    let length = u8::try_from(text.len()).unwrap();
    stream.write_all(&[0x81, 0x80 | length, 0, 0, 0, 0]).await.unwrap();
    stream.write_all(text).await.unwrap();
}

/// Reads all bytes until the server ends the connection.
pub(super) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut sent = Vec::new();
    let all = stream.read_to_end(&mut sent);
    tokio::time::timeout(PATIENCE, all).await.expect("the end of the connection").unwrap();
    sent
}
