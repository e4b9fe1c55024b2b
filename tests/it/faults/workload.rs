//! Clients that continue through any fault, and their history.
//!
//! Writers send each application until it is accepted, with one `Idempotency-Key` and to any instance that responds.
//! Readers read accepted applications. Subscribers follow every event and resume from their last position.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use awc::Client;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::app::{Received, TestSocket};
use crate::support::builders::{body, samples, with};
use crate::support::pace;

const WRITERS: usize = 3;
/// The timeout after which a request is repeated.
const REQUEST_PATIENCE: Duration = Duration::from_secs(4);
/// How long a writer tries to get one application accepted.
const WRITER_PATIENCE: Duration = Duration::from_secs(60);
/// A subscriber reconnects after this many polls without a message.
const SILENT_POLLS: u32 = 4;
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// An application that a writer sent.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    /// Its `Idempotency-Key`.
    pub(crate) key: String,
    /// The amount, which is unique.
    pub(crate) amount: String,
    /// Its identifier, once accepted.
    pub(crate) accepted: Option<String>,
    /// How many times it was sent.
    pub(crate) attempts: u32,
}

/// An event that a subscriber received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) epoch: String,
    pub(crate) offset: i64,
    pub(crate) id: String,
    pub(crate) status: String,
}

/// The events that one subscriber received, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subscription {
    /// The offset after which it expects everything; `None` until it was admitted for the first time.
    pub(crate) from: Option<i64>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) connections: u32,
}

/// An application as a reader saw it.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    pub(crate) instance: usize,
    pub(crate) id: String,
    pub(crate) version: i64,
    pub(crate) status: String,
}

/// Everything that the clients have observed.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) submissions: Vec<Submission>,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) observations: Vec<Observation>,
    /// Responses that must not occur during any fault.
    pub(crate) anomalies: Vec<String>,
    /// Responses and errors that clients had to handle, by kind.
    pub(crate) failures: BTreeMap<String, u32>,
}

impl History {
    fn count_failure(&mut self, kind: impl Into<String>) {
        *self.failures.entry(kind.into()).or_default() += 1;
    }

    /// Each failure as a violation, for faults during which no request may fail.
    pub(crate) fn failed_requests(&self) -> impl Iterator<Item = String> {
        self.failures.iter().map(|(kind, count)| format!("a request failed: {kind} ({count})"))
    }

    /// The identifiers of all accepted applications.
    pub(crate) fn accepted(&self) -> Vec<String> {
        self.submissions.iter().filter_map(|submission| submission.accepted.clone()).collect()
    }
}

/// The state that the clients share.
#[derive(Clone)]
struct SharedState {
    client: Client,
    token: Rc<str>,
    /// The address of each instance.
    instances: Rc<[String]>,
    history: Rc<RefCell<History>>,
    stop: CancellationToken,
}

/// Running clients.
pub(crate) struct Workload {
    shared: SharedState,
    writers: Vec<actix_rt::task::JoinHandle<()>>,
    others: Vec<actix_rt::task::JoinHandle<()>>,
    subscribers_stop: CancellationToken,
}

impl Workload {
    /// Starts writers, a reader, and a subscriber per instance. `instances` are base URLs.
    pub(crate) fn start(instances: &[String], token: &str, seed: u64, pause: Duration) -> Self {
        let mut workload = Self::listening(instances, token);
        let shared = &workload.shared;
        let rng = |salt: usize| SmallRng::seed_from_u64(seed.wrapping_mul(1009).wrapping_add(salt as u64));
        workload.writers = (0..WRITERS)
            .map(|writer| actix_rt::spawn(shared.clone().write(writer, rng(writer), pause)))
            .collect();
        let reader = shared.clone().read_applications(rng(WRITERS), pause);
        workload.others.push(actix_rt::spawn(reader));
        workload
    }

    /// Starts only a subscriber per instance.
    pub(crate) fn listening(instances: &[String], token: &str) -> Self {
        let shared = SharedState {
            client: Client::builder().timeout(REQUEST_PATIENCE).finish(),
            token: token.into(),
            instances: instances.into(),
            history: Rc::default(),
            stop: CancellationToken::new(),
        };
        shared.history.borrow_mut().subscriptions = vec![Subscription::default(); instances.len()];
        let subscribers_stop = CancellationToken::new();
        let subscribers = (0..instances.len())
            .map(|subscriber_index| {
                actix_rt::spawn(shared.clone().follow(subscriber_index, subscribers_stop.clone()))
            })
            .collect();
        Self { shared, writers: Vec::new(), others: subscribers, subscribers_stop }
    }

    /// The number of applications accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.history.borrow().accepted().len()
    }

    /// Whether every subscriber has been admitted at least once.
    pub(crate) fn all_admitted(&self) -> bool {
        self.shared.history.borrow().subscriptions.iter().all(|subscription| subscription.from.is_some())
    }

    /// The lowest offset that every subscriber has reached.
    pub(crate) fn received_up_to(&self) -> i64 {
        let history = self.shared.history.borrow();
        let last = |subscription: &Subscription| {
            subscription.deliveries.iter().map(|delivery| delivery.offset).max().unwrap_or(0)
        };
        history.subscriptions.iter().map(last).min().unwrap_or(0)
    }

    /// Lets each writer finish its current application. Subscribers continue.
    pub(crate) async fn finish_writing(&mut self) {
        self.shared.stop.cancel();
        for writer in self.writers.drain(..) {
            writer.await.expect("a writer panicked");
        }
    }

    /// Stops the subscribers too, and returns the history.
    pub(crate) async fn finish(mut self) -> History {
        self.finish_writing().await;
        self.subscribers_stop.cancel();
        for other in self.others {
            other.await.expect("a client panicked");
        }
        self.shared.history.take()
    }
}

impl SharedState {
    async fn write(self, writer: usize, mut rng: SmallRng, pause: Duration) {
        let mut number = 0;
        while !self.stop.is_cancelled() {
            number += 1;
            let (country, document) = samples()[rng.random_range(0..samples().len())];
            let base = body(country, document);
            // Each application has a unique amount, which identifies it in the database.
            let integer_part =
                base["requested_amount"].as_str().unwrap().split('.').next().unwrap().to_owned();
            let amount = format!(
                "{}.{:02}",
                integer_part.parse::<u32>().unwrap() + number,
                writer * 30 + rng.random_range(0..30)
            );
            let application = with(base, "requested_amount", amount.as_str());
            let submission = Submission {
                key: format!("w{writer}-{number}-{amount}"),
                amount,
                accepted: None,
                attempts: 0,
            };
            self.submit(submission, &application, &mut rng).await;
            pace(pause).await;
        }
    }

    /// Sends one application until it is accepted.
    async fn submit(&self, mut submission: Submission, application: &Value, rng: &mut SmallRng) {
        let deadline = Instant::now() + WRITER_PATIENCE;
        let mut instance = rng.random_range(0..self.instances.len());
        while submission.accepted.is_none() && Instant::now() < deadline {
            submission.attempts += 1;
            let sent = self
                .client
                .post(format!("{}/api/v1/applications", self.instances[instance]))
                .bearer_auth(&self.token)
                .insert_header(("Idempotency-Key", submission.key.as_str()))
                .send_json(application)
                .await;
            let failure = match sent {
                Ok(mut answer) => match (answer.status().as_u16(), answer.json::<Value>().await) {
                    (201, Ok(created)) => {
                        submission.accepted = created["id"].as_str().map(ToOwned::to_owned);
                        break;
                    }
                    // The connection broke during the response.
                    (201, Err(_)) => "interrupted response".to_owned(),
                    // 401: an instance with a wrong clock may consider a token expired or not yet valid.
                    (status @ (401 | 409 | 429 | 500..=599), body) => {
                        let code = body.ok().and_then(|body| body["code"].as_str().map(ToOwned::to_owned));
                        format!("{status} {}", code.unwrap_or_default())
                    }
                    (status, body) => {
                        let anomaly = format!("{} got {status}: {body:?}", submission.key);
                        self.history.borrow_mut().anomalies.push(anomaly);
                        break;
                    }
                },
                Err(error) => kind_of(&error),
            };
            self.history.borrow_mut().count_failure(failure);
            instance = (instance + 1) % self.instances.len();
            pace(Duration::from_millis(rng.random_range(50..200))).await;
        }
        self.history.borrow_mut().submissions.push(submission);
    }

    async fn read_applications(self, mut rng: SmallRng, pause: Duration) {
        while !self.stop.is_cancelled() {
            pace(pause).await;
            let accepted = self.history.borrow().accepted();
            if accepted.is_empty() {
                continue;
            }
            let id = accepted[rng.random_range(0..accepted.len())].clone();
            let instance = rng.random_range(0..self.instances.len());
            let url = format!("{}/api/v1/applications/{id}", self.instances[instance]);
            let Ok(mut answer) = self.client.get(url).bearer_auth(&self.token).send().await else { continue };
            match (answer.status().as_u16(), answer.json::<Value>().await) {
                (200, Ok(application)) => self.history.borrow_mut().observations.push(Observation {
                    instance,
                    id,
                    version: application["version"].as_i64().unwrap(),
                    status: application["status"].as_str().unwrap().to_owned(),
                }),
                (404, _) => {
                    self.history.borrow_mut().anomalies.push(format!("{id} was accepted and then not found"));
                }
                _ => {}
            }
        }
    }

    async fn follow(self, subscriber_index: usize, stop: CancellationToken) {
        let mut next_instance = subscriber_index;
        while !stop.is_cancelled() {
            let url = format!("{}/api/v1/ws", self.instances[next_instance % self.instances.len()]);
            next_instance += 1;
            if let Some(socket) = TestSocket::open(&self.client, &url).await {
                self.listen(subscriber_index, socket, &stop).await;
            }
            pace(Duration::from_millis(50)).await;
        }
    }

    /// Listens on one connection until it ends or is silent for too long.
    async fn listen(&self, subscriber_index: usize, mut socket: TestSocket, stop: &CancellationToken) {
        self.history.borrow_mut().subscriptions[subscriber_index].connections += 1;
        let mut subscribe = json!({"action": "subscribe", "channel": "applications"});
        if let Some((epoch, offset)) = self.last_position(subscriber_index) {
            subscribe["epoch"] = epoch.into();
            subscribe["offset"] = offset.into();
        }
        let opening = [json!({"action": "auth", "token": &*self.token}), subscribe.clone()];
        for message in &opening {
            if !socket.try_send(message).await {
                return;
            }
        }
        let mut silent = 0;
        while !stop.is_cancelled() && silent < SILENT_POLLS {
            match socket.receive_within(POLL_INTERVAL).await {
                Some(Received::Json(message)) => {
                    silent = 0;
                    self.record(subscriber_index, &message);
                }
                Some(Received::Closed(_)) => return,
                None => {
                    silent += 1;
                    if !socket.try_send(&json!({"action": "ping"})).await {
                        return;
                    }
                }
            }
        }
    }

    /// The position that a subscriber resumes from.
    fn last_position(&self, subscriber_index: usize) -> Option<(String, i64)> {
        let history = self.history.borrow();
        let last = history.subscriptions[subscriber_index]
            .deliveries
            .iter()
            .max_by_key(|delivery| delivery.offset)?;
        Some((last.epoch.clone(), last.offset))
    }

    fn record(&self, subscriber_index: usize, message: &Value) {
        let mut history = self.history.borrow_mut();
        let offset = message["offset"].as_i64();
        match (message["type"].as_str().unwrap_or_default(), offset) {
            ("application_update", Some(offset)) => {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                history.subscriptions[subscriber_index].deliveries.push(Delivery {
                    epoch: text(&message["epoch"]),
                    offset,
                    id: text(&message["data"]["id"]),
                    status: text(&message["data"]["status"]),
                });
            }
            ("subscribed", Some(offset)) => {
                if message["recovered"] == false {
                    history.anomalies.push(format!("subscriber {subscriber_index} lost events: {message}"));
                }
                let subscription = &mut history.subscriptions[subscriber_index];
                // A subscriber without a delivery has not sent a position, so its subscription starts at the current one.
                if subscription.deliveries.is_empty() {
                    subscription.from = Some(offset);
                }
            }
            ("error", _) => history.anomalies.push(format!("subscriber {subscriber_index} got {message}")),
            _ => {}
        }
    }
}

/// The kind of an error, without details that vary.
fn kind_of(error: &awc::error::SendRequestError) -> String {
    use awc::error::SendRequestError;

    match error {
        SendRequestError::Timeout => "timeout",
        SendRequestError::Connect(_) => "no connection",
        _ => "connection lost",
    }
    .to_owned()
}
