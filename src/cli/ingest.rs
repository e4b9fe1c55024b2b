//! `aval ingest load`: sends generated events to a running server, reads them back, and compares.
//!
//! Several connections send batches at once; a share of the batches is sent twice. A request that is refused because the
//! server is overloaded or the rate is limited is repeated after its `Retry-After`, and so is one whose answer was lost. At
//! the end, the events of every user are listed. The run fails unless every event is stored exactly once, and every
//! event that was sent was counted as accepted or as a duplicate.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io::{BufRead, Write};
use std::time::Duration;

use awc::http::header::RETRY_AFTER;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::{Args, Subcommand};
use futures_util::future::join_all;
use indicatif::ProgressBar;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::demo::is_on_this_machine;
use super::lines::{write_line, write_text};
use super::{credential, progress};
use crate::clock::Clock;
use crate::error::{Error, PublicMessage, Result};

/// Time limit for a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause before a request whose answer was lost is repeated.
const LOST_ANSWER_PAUSE: Duration = Duration::from_millis(200);
/// How often a request is repeated before the run fails.
const MAX_ATTEMPTS: u32 = 100;
/// The events of a page when they are read back.
const PAGE_SIZE: usize = 1000;

/// Event ingestion.
#[derive(Debug, Args)]
pub struct IngestArgs {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Send generated events to a running server, and check that each is stored exactly once
    Load(LoadArgs),
}

#[derive(Debug, Args)]
pub struct LoadArgs {
    /// URL of the server; the default is the server that the configuration of this machine starts
    #[arg(long)]
    pub url: Option<String>,
    /// Read an access token or an API key from standard input instead of the variable AVAL_TOKEN
    #[arg(long)]
    pub token_stdin: bool,
    /// Number of events
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub events: u32,
    /// Events per request
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub batch: u32,
    /// Connections that send at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub connections: u16,
    /// Users that the events belong to
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub users: u32,
    /// Requests that are sent twice, in percent
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub repeat_percent: u32,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// The access token or API key.
    #[arg(skip)]
    pub token: Option<SecretString>,
}

impl LoadArgs {
    /// Reads the credential from standard input or the environment.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is missing on standard input.
    pub fn read_credential(&mut self, input: impl BufRead) -> Result<()> {
        self.token = match self.token_stdin {
            true => Some(credential::from_input(input)?),
            false => credential::from_variable("AVAL_TOKEN"),
        };
        Ok(())
    }

    /// Whether to use a local admin's token: no credential is given, and the server is on this machine.
    pub fn needs_local_token(&self) -> bool {
        self.token.is_none() && is_on_this_machine(self.url.as_deref().unwrap_or_default())
    }
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Receipt {
    accepted: usize,
    duplicates: usize,
    conflicts: usize,
    #[serde(deserialize_with = "length", rename = "rejected")]
    rejected: usize,
}

fn length<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<usize, D::Error> {
    Ok(Vec::<serde::de::IgnoredAny>::deserialize(deserializer)?.len())
}

#[derive(Deserialize)]
struct EventPage {
    events: Vec<ListedEvent>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct ListedEvent {
    id: String,
}

/// What was sent and answered.
#[derive(Default)]
struct Totals {
    sent: usize,
    accepted: usize,
    duplicates: usize,
    conflicts: usize,
    rejected: usize,
    /// Requests that were repeated because of an error.
    repeated: usize,
    latencies: Vec<Duration>,
}

/// A run in progress.
struct Load<'a> {
    args: &'a LoadArgs,
    http: awc::Client,
    base_url: String,
    /// Distinguishes the users of this run from those of others.
    run: String,
    started_at: DateTime<Utc>,
    clock: Clock,
    next_batch: Cell<u32>,
    totals: RefCell<Totals>,
    bar: ProgressBar,
}

/// Runs the subcommand.
///
/// # Errors
/// If the server cannot be reached or refuses the events, or if not every event is stored exactly once.
pub async fn run(args: IngestArgs, clock: Clock, mut output: impl Write) -> Result<()> {
    let Action::Load(args) = args.action;
    let load = Load::new(&args, &clock)?;
    let started = clock.monotonic();
    let connections = (0..args.connections).map(|_| load.send_batches());
    join_all(connections).await.into_iter().collect::<Result<()>>()?;
    let took = clock.monotonic().saturating_sub(started);
    load.bar.finish_and_clear();
    let stored = load.count_stored().await?;
    let totals = load.totals.borrow();
    report(&args, &totals, took, stored, &mut output)?;
    verdict(&args, &totals, stored)
}

impl<'a> Load<'a> {
    fn new(args: &'a LoadArgs, clock: &Clock) -> Result<Self> {
        let Some(token) = &args.token else {
            return Err(Error::Unauthenticated(PublicMessage::new("set AVAL_TOKEN, or use --token-stdin")));
        };
        // awc panics without a default crypto provider. An error means that one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = awc::Client::builder().timeout(REQUEST_TIMEOUT).disable_redirects();
        let bar = progress::events()?;
        bar.set_length(args.events.into());
        Ok(Self {
            args,
            http: http.bearer_auth(token.expose_secret()).finish(),
            base_url: args.url.as_deref().unwrap_or_default().trim_end_matches('/').to_owned(),
            run: clock.new_uuid().simple().to_string(),
            // The time of each event is a number of microseconds later.
            started_at: clock.now() - TimeDelta::seconds(30),
            clock: clock.clone(),
            next_batch: Cell::new(0),
            totals: RefCell::default(),
            bar,
        })
    }

    /// Sends batches, one after another, until none is left.
    async fn send_batches(&self) -> Result<()> {
        loop {
            let number = self.next_batch.get();
            let first = number.saturating_mul(self.args.batch);
            if first >= self.args.events {
                return Ok(());
            }
            self.next_batch.set(number + 1);
            let last = first.saturating_add(self.args.batch).min(self.args.events);
            let body =
                json!({ "events": (first..last).map(|n| self.event(n)).collect::<Vec<_>>() }).to_string();
            let is_repeated = number % 100 < self.args.repeat_percent;
            for _ in 0..if is_repeated { 2 } else { 1 } {
                self.send(&body, usize::try_from(last - first).unwrap_or(usize::MAX)).await?;
            }
            self.bar.inc((last - first).into());
        }
    }

    fn user(&self, number: u32) -> String {
        format!("load-{}-{number}", self.run)
    }

    fn event(&self, number: u32) -> Value {
        let at = self.started_at + TimeDelta::microseconds(number.into());
        json!({
            "id": number.to_string(),
            "user_id": self.user(number % self.args.users),
            "type": "load.sent",
            "occurred_at": at.to_rfc3339_opts(SecondsFormat::Micros, true),
            "properties": {"number": number, "page": "/apply/step-2", "device": "ios", "session": self.run},
        })
    }

    /// Sends a batch until it is answered with 200.
    async fn send(&self, body: &str, events: usize) -> Result<()> {
        for _ in 0..MAX_ATTEMPTS {
            let started = self.clock.monotonic();
            let request = self.http.post(format!("{}/api/v1/ingest/events", self.base_url));
            let sent = request.content_type("application/json").send_body(body.to_owned()).await;
            let Ok(mut answer) = sent else {
                self.repeat_after(LOST_ANSWER_PAUSE).await;
                continue;
            };
            match answer.status().as_u16() {
                200 => {
                    let receipt: Receipt = answer.json().await.map_err(Error::internal)?;
                    self.record(receipt, events, self.clock.monotonic().saturating_sub(started));
                    return Ok(());
                }
                429 | 503 => {
                    let seconds =
                        answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                    self.repeat_after(Duration::from_secs(seconds.unwrap_or(1))).await;
                }
                status => {
                    let problem: Value = answer.json().await.unwrap_or_default();
                    let detail = problem.get("detail").and_then(Value::as_str).unwrap_or_default();
                    return Err(refused(format!("the server answered {status}: {detail}")));
                }
            }
        }
        Err(refused(format!("a request was not accepted in {MAX_ATTEMPTS} attempts")))
    }

    async fn repeat_after(&self, pause: Duration) {
        self.totals.borrow_mut().repeated += 1;
        tokio::time::sleep(pause).await;
    }

    fn record(&self, receipt: Receipt, events: usize, latency: Duration) {
        let mut totals = self.totals.borrow_mut();
        totals.sent += events;
        totals.accepted += receipt.accepted;
        totals.duplicates += receipt.duplicates;
        totals.conflicts += receipt.conflicts;
        totals.rejected += receipt.rejected;
        totals.latencies.push(latency);
    }

    /// Reads the events of all users back. Returns their number and how many occurred more than once; `None` if the
    /// credential may not read events.
    async fn count_stored(&self) -> Result<Option<(usize, usize)>> {
        let (mut stored, mut distinct) = (0, HashSet::new());
        for user in 0..self.args.users.min(self.args.events) {
            let mut cursor = String::new();
            loop {
                let Some(page) = self.page(user, &cursor).await? else { return Ok(None) };
                stored += page.events.len();
                distinct.extend(page.events.into_iter().map(|event| event.id));
                let Some(next) = page.next_cursor else { break };
                cursor = format!("&cursor={next}");
            }
        }
        Ok(Some((stored, stored - distinct.len())))
    }

    async fn page(&self, user: u32, cursor: &str) -> Result<Option<EventPage>> {
        let user = self.user(user);
        let url = format!("{}/api/v1/ingest/events?user_id={user}&limit={PAGE_SIZE}{cursor}", self.base_url);
        for _ in 0..MAX_ATTEMPTS {
            let Ok(mut answer) = self.http.get(&url).send().await else {
                tokio::time::sleep(LOST_ANSWER_PAUSE).await;
                continue;
            };
            match answer.status().as_u16() {
                200 => return Ok(Some(answer.json().limit(64 << 20).await.map_err(Error::internal)?)),
                403 => return Ok(None),
                429 | 503 => tokio::time::sleep(Duration::from_secs(1)).await,
                status => {
                    return Err(refused(format!("the server answered {status} when the events were read")));
                }
            }
        }
        Err(refused("the events could not be read".to_owned()))
    }
}

fn refused(text: String) -> Error {
    Error::Conflict(PublicMessage::new(text))
}

/// The latency that `percent` percent of the requests did not exceed, in milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
}

fn report(
    args: &LoadArgs,
    totals: &Totals,
    took: Duration,
    stored: Option<(usize, usize)>,
    output: &mut impl Write,
) -> Result<()> {
    let mut latencies = totals.latencies.clone();
    latencies.sort_unstable();
    let per_second = totals.sent as f64 / took.as_secs_f64().max(0.001);
    let [p50, p90, p99] = [50, 90, 99].map(|percent| percentile(&latencies, percent));
    if args.json {
        let report = json!({
            "sent": totals.sent, "accepted": totals.accepted, "duplicates": totals.duplicates,
            "conflicts": totals.conflicts, "rejected": totals.rejected, "repeated_requests": totals.repeated,
            "stored": stored.map(|(stored, _)| stored), "stored_twice": stored.map(|(_, twice)| twice),
            "seconds": took.as_secs_f64(), "events_per_second": per_second, "p50_ms": p50, "p90_ms": p90, "p99_ms": p99,
        });
        return write_line(output, &report).map(drop);
    }
    let stored = stored
        .map_or("unknown (the credential may not read events)".to_owned(), |(stored, twice)| {
            format!("{stored}, {twice} of them more than once")
        });
    let text = format!(
        "sent       {} events in {:.1} s: {per_second:.0}/s\naccepted   {}\nduplicates {}\nconflicts  {}\nrejected   {}\n\
         stored     {stored}\nlatency    p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms\nrepeated   {} requests",
        totals.sent,
        took.as_secs_f64(),
        totals.accepted,
        totals.duplicates,
        totals.conflicts,
        totals.rejected,
        totals.repeated,
    );
    write_text(output, &text).map(drop)
}

/// Fails unless every event is stored exactly once and was counted once.
fn verdict(args: &LoadArgs, totals: &Totals, stored: Option<(usize, usize)>) -> Result<()> {
    let events = usize::try_from(args.events).unwrap_or(usize::MAX);
    let is_counted = totals.accepted + totals.duplicates == totals.sent;
    let is_stored = stored.is_none_or(|found| found == (events, 0));
    match (is_counted, is_stored) {
        (true, true) => Ok(()),
        (false, _) => Err(refused("not every event was accepted or recognized as a duplicate".to_owned())),
        (true, false) => {
            Err(refused(format!("{events} events were sent, but not each is stored exactly once")))
        }
    }
}
