//! Outbound webhooks: events that are sent to the endpoints of other systems.

mod endpoints;
mod failing;
mod hanging;
mod ordered;
mod repeating;
mod sending;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use diesel_async::SimpleAsyncConnection as _;
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::eventually;
use crate::webhooks::key;

const ENDPOINTS: &str = "/api/v1/webhook-endpoints";
const DELIVERIES: &str = "/api/v1/webhook-deliveries";

/// Settings that allow endpoints on this machine and repeat failed attempts quickly.
const LOOPBACK: [(&str, &str); 2] = [
    ("AVAL__WEBHOOK_DELIVERY__ALLOWED_NETWORKS", "127.0.0.0/8"),
    ("AVAL__WEBHOOK_DELIVERY__PAUSES_MS", "20,20,20"),
];

/// A request that a receiver got.
#[derive(Debug, Clone)]
struct Received {
    path: String,
    id: String,
    timestamp: i64,
    signature: String,
    body: Bytes,
}

impl Received {
    fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The signature that `secret` makes for this request.
    fn signed_with(&self, secret: &str) -> String {
        key(secret).sign(&self.id, self.timestamp, &self.body)
    }
}

#[derive(Default)]
struct Inbox {
    received: Vec<Received>,
    /// The statuses of the next responses; 200 if there is none.
    statuses: VecDeque<u16>,
}

/// An HTTP server that records requests.
struct Receiver {
    inbox: Arc<Mutex<Inbox>>,
    port: u16,
    server: ServerHandle,
}

async fn receive(inbox: web::Data<Arc<Mutex<Inbox>>>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap().to_owned();
    let received = Received {
        path: request.path().to_owned(),
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp").parse().unwrap(),
        signature: header("webhook-signature"),
        body,
    };
    let mut inbox = inbox.lock().unwrap();
    inbox.received.push(received);
    let status = inbox.statuses.pop_front().unwrap_or(200);
    HttpResponse::build(status.try_into().unwrap()).body(format!("status {status}"))
}

impl Receiver {
    fn start() -> Self {
        let inbox: Arc<Mutex<Inbox>> = Arc::default();
        let data = web::Data::new(Arc::clone(&inbox));
        let server =
            HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(receive)))
                .workers(1)
                .disable_signals()
                .bind(("127.0.0.1", 0))
                .unwrap();
        let port = server.addrs()[0].port();
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Self { inbox, port, server: handle }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Makes the next responses have these statuses.
    fn answer_with(&self, statuses: impl IntoIterator<Item = u16>) {
        self.inbox.lock().unwrap().statuses.extend(statuses);
    }

    fn received(&self) -> Vec<Received> {
        self.inbox.lock().unwrap().received.clone()
    }

    /// Waits until there are `count` requests and returns them.
    async fn requests(&self, count: usize) -> Vec<Received> {
        eventually(&format!("{count} webhooks"), async || {
            let received = self.received();
            (received.len() >= count).then_some(received)
        })
        .await
    }

    async fn stop(self) {
        self.server.stop(false).await;
    }
}

/// Creates an endpoint and returns its identifier and secret.
async fn create(app: &TestApp, url: &str, members: Value) -> (String, String) {
    let mut body = json!({"url": url, "event_types": ["*"]});
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    let created = app.post(ENDPOINTS, &body).await.expect(201);
    let text = |member: &Value| member.as_str().unwrap_or_default().to_owned();
    (text(&created["id"]), text(&created["secret"]))
}

/// Writes an event about `subject` to the outbox, as a trigger does.
async fn publish(app: &TestApp, event_type: &str, subject: u128, data: Value) {
    let subject = uuid::Uuid::from_u128(subject);
    app.execute(&format!("SELECT record_event(uuid_v7_now(), '{event_type}', '{subject}', 'r-1', '{data}')"))
        .await;
}

/// The deliveries of an endpoint, newest first.
async fn deliveries(app: &TestApp, endpoint: &str) -> Vec<Value> {
    let page = app.get(&format!("{ENDPOINTS}/{endpoint}/deliveries?page_size=100")).await.expect(200);
    page["deliveries"].as_array().unwrap().clone()
}

/// Waits until the endpoint's deliveries have these statuses, newest first.
async fn statuses(app: &TestApp, endpoint: &str, expected: &str) -> Vec<Value> {
    eventually(&format!("deliveries {expected}"), async || {
        let found = deliveries(app, endpoint).await;
        let names: Vec<&str> = found.iter().map(|one| one["status"].as_str().unwrap()).collect();
        (names.join(" ") == expected).then_some(found)
    })
    .await
}

/// Runs several SQL statements.
async fn batch(app: &TestApp, sql: &str) {
    app.database.connect().await.batch_execute(sql).await.unwrap();
}
