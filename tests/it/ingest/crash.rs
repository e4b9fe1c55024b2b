//! Killing an instance while it stores events.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{EVENTS, at, event, many};
use crate::support::db::{TestDatabase, text};
use crate::support::engine::SECRETS;
use crate::support::process::{ServerProcess, free_port};
use crate::support::{accounts, eventually, pace};

/// The requests of each client.
const REQUESTS: usize = 60;
const CLIENTS: usize = 4;
const BATCH: usize = 20;

/// What a client knows about its events.
#[derive(Default)]
struct History {
    /// Requests that were answered with 200, and the number of events that they accepted.
    answered: Cell<usize>,
    accepted: Cell<u64>,
    duplicates: Cell<u64>,
}

#[actix_rt::test]
async fn every_event_of_a_200_is_stored_once_although_the_instance_is_killed_under_load() {
    let database = Rc::new(TestDatabase::create().await);
    let scratch = tempfile::tempdir().unwrap();
    let variables: Vec<(&str, &str)> = SECRETS.into_iter().chain(database.variables()).collect();
    let port = free_port();
    let log = scratch.path().join("log");
    let server = RefCell::new(ServerProcess::new(&["serve"], &variables, port, &log));
    let address = server.borrow().address();
    server.borrow_mut().spawn();
    wait_ready(address).await;
    accounts::create(&mut database.connect().await).await;
    let key = create_key(&variables).await;
    let history = History::default();
    let clients =
        futures_util::future::join_all((0..CLIENTS).map(|client| send_all(client, address, &key, &history)));
    let killer = async {
        for kill in 1..=3 {
            let progress = kill * CLIENTS * REQUESTS / 5;
            eventually("progress", async || (history.answered.get() >= progress).then_some(())).await;
            server.borrow_mut().kill();
            server.borrow_mut().spawn();
            wait_ready(address).await;
        }
    };
    let _ = futures_util::join!(clients, killer);

    let mut sql = database.connect().await;
    let total = (CLIENTS * REQUESTS * BATCH).to_string();
    let count = "SELECT count(*) FROM ingested_events";
    assert_eq!(text(&mut sql, count).await.as_deref(), Some(total.as_str()));
    let distinct = "SELECT count(DISTINCT (user_id, id)) FROM ingested_events";
    assert_eq!(text(&mut sql, distinct).await.as_deref(), Some(total.as_str()));
    assert_eq!(history.answered.get(), CLIENTS * REQUESTS);
    let counted = history.accepted.get() + history.duplicates.get();
    assert_eq!(counted.to_string(), total, "each event is accepted or, after a lost answer, a duplicate");
}

async fn wait_ready(address: std::net::SocketAddr) {
    let client = awc::Client::default();
    eventually("the instance to be ready", async || {
        let answer = client.get(format!("http://{address}/health/ready")).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
}

/// Creates an API key with the command line.
async fn create_key(variables: &[(&str, &str)]) -> String {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let made = tokio::task::spawn_blocking(move || {
        std::process::Command::new(env!("CARGO_BIN_EXE_aval"))
            .args(["api-key", "add", "loader", "--role", "user", "--scope", "events:write"])
            .envs(variables)
            .output()
            .unwrap()
    });
    let made = made.await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let printed = String::from_utf8(made.stdout).unwrap();
    printed.trim().to_owned()
}

/// Sends the requests of a client one after another, each until it is answered with 200.
async fn send_all(client: usize, address: std::net::SocketAddr, key: &str, history: &History) {
    let http = awc::Client::builder().timeout(Duration::from_secs(5)).finish();
    for request in 0..REQUESTS {
        let body = batch(client, request);
        let receipt = loop {
            let sent = http
                .post(format!("http://{address}{EVENTS}"))
                .insert_header(("X-API-Key", key))
                .send_json(&body);
            if let Ok(mut answer) = sent.await
                && answer.status().as_u16() == 200
                && let Ok(receipt) = answer.json::<Value>().await
            {
                break receipt;
            }
            pace(Duration::from_millis(20)).await;
        };
        assert_eq!((&receipt["conflicts"], &receipt["rejected"]), (&json!(0), &json!([])));
        history.accepted.set(history.accepted.get() + receipt["accepted"].as_u64().unwrap());
        history.duplicates.set(history.duplicates.get() + receipt["duplicates"].as_u64().unwrap());
        history.answered.set(history.answered.get() + 1);
    }
}

fn batch(client: usize, request: usize) -> Value {
    let time = at(-1);
    let ids =
        (0..BATCH).map(|n| event(&format!("user-{client}-{}", n % 7), &format!("{request}-{n}"), &time));
    many(&ids.collect::<Vec<_>>())
}
