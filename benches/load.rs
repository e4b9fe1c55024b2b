//! Measures the duration of `POST /api/v1/applications` on running servers: `cargo bench --bench load -- --server
//! http://127.0.0.1:8000 --server http://127.0.0.1:8001`.
//!
//! Absolute times depend on the machine, so servers are compared by ratios of interleaved measurements. Each round
//! sends the same number of requests to every server in turn, and the order of the servers changes with each round. The
//! report contains, for each server, the median of its per-round medians, and the ratio of this value to the value
//! of the first server. Each request has its own document. Rate limits must be off.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may panic")]

use std::time::{Duration, Instant};

use awc::Client;
use clap::Parser;
use futures_util::future::join_all;
use serde_json::json;

/// The check letters of the Spanish document, indexed by its number modulo 23.
const LETTERS: [char; 23] = [
    'T', 'R', 'W', 'A', 'G', 'M', 'Y', 'F', 'P', 'D', 'X', 'B', 'N', 'J', 'Z', 'S', 'Q', 'V', 'H', 'L', 'C',
    'K', 'E',
];

#[derive(Parser)]
struct Options {
    /// Base URL of a server; can be repeated. The environment variable AVAL_TOKEN contains the access token.
    #[arg(long = "server", value_parser = server)]
    servers: Vec<Server>,
    /// The number of measured rounds, after one warm-up round.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// Requests per server and round.
    #[arg(long, default_value_t = 200)]
    requests: u32,
    /// Concurrent requests.
    #[arg(long, default_value_t = 1)]
    concurrency: u32,
    /// Cargo passes this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone)]
struct Server {
    url: String,
    token: Option<String>,
}

fn server(text: &str) -> Result<Server, String> {
    let (url, token) = (text, std::env::var("AVAL_TOKEN").ok());
    if !url.starts_with("http://") {
        return Err("expected a URL such as http://127.0.0.1:8000".to_owned());
    }
    Ok(Server { url: url.trim_end_matches('/').to_owned(), token })
}

/// Generates a different document for each request. The first number depends on the time, so runs rarely share documents.
struct Documents {
    next: u64,
}

impl Documents {
    fn take(&mut self) -> String {
        self.next = (self.next + 1) % 100_000_000;
        let letter = LETTERS.get(usize::try_from(self.next % 23).unwrap()).unwrap();
        format!("{:08}{letter}", self.next)
    }
}

#[actix_rt::main]
async fn main() {
    let options = Options::parse();
    if options.servers.is_empty() {
        println!("no --server given: nothing to measure");
        return;
    }
    let client = Client::builder().timeout(Duration::from_secs(20)).finish();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut documents = Documents { next: now.as_secs() * 997 % 100_000_000 };
    let mut medians: Vec<Vec<Duration>> = vec![Vec::new(); options.servers.len()];
    for round in 0..=options.rounds {
        let mut order: Vec<usize> = (0..options.servers.len()).collect();
        order.rotate_left(usize::try_from(round).unwrap() % options.servers.len());
        for index in order {
            let mut times =
                measure(&client, options.servers.get(index).unwrap(), &options, &mut documents).await;
            if round > 0 {
                medians.get_mut(index).unwrap().push(median(&mut times));
            }
        }
    }
    report(&options, medians);
}

/// Runs one round on one server. Returns the duration of each request.
async fn measure(
    client: &Client,
    server: &Server,
    options: &Options,
    documents: &mut Documents,
) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..options.requests / options.concurrency {
        let batch = (0..options.concurrency).map(|_| post(client, server, documents.take()));
        times.extend(join_all(batch).await);
    }
    times
}

async fn post(client: &Client, server: &Server, document: String) -> Duration {
    let body = json!({
        "country": "ES",
        "full_name": "Ana García López",
        "identity_document": document,
        "requested_amount": "6000.00",
        "monthly_income": "3000.00",
    });
    let mut request = client.post(format!("{}/api/v1/applications", server.url));
    if let Some(token) = &server.token {
        request = request.bearer_auth(token);
    }
    let started = Instant::now();
    let mut response = request.send_json(&body).await.expect("a response");
    response.body().await.expect("the whole body");
    let took = started.elapsed();
    assert_eq!(response.status().as_u16(), 201, "{}", server.url);
    took
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn report(options: &Options, medians: Vec<Vec<Duration>>) {
    let mut base = None;
    println!(
        "{} rounds of {} requests, {} concurrent",
        options.rounds, options.requests, options.concurrency
    );
    for (server, mut rounds) in options.servers.iter().zip(medians) {
        let p50 = median(&mut rounds);
        let base = *base.get_or_insert(p50);
        let (shortest, longest) = (rounds.first().unwrap(), rounds.last().unwrap());
        let ratio = p50.as_secs_f64() / base.as_secs_f64();
        println!(
            "{}  p50 {p50:.2?}  (rounds {shortest:.2?} to {longest:.2?})  {ratio:.3} times the first server",
            server.url
        );
    }
}
