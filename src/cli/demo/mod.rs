//! `aval demo`: sends applications of every country and outcome to a running server, follows them over a WebSocket, and
//! reports outcomes and latencies.
//!
//! A run has two phases. The first sends three fifths of the applications, each after the decision on the previous one:
//! on an idle machine this measures the system without queueing. The second sends the rest at once. `--with-outages`
//! adds a third phase in which the bureau of one country fails in every possible way.
//!
//! If the server limits the rate, the run slows down and prints a message.
//!
//! The run fails if an application is refused or not decided within the deadline, or if an update is duplicated or out
//! of order. Unexpected decisions are counted but are not failures: an open breaker or custom thresholds can cause
//! them.

mod arguments;
mod board;
mod cases;
mod client;
mod documents;
mod history;
mod journal;
mod latency;
mod tables;

use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use secrecy::ExposeSecret as _;

pub use self::arguments::DemoArgs;
pub(super) use self::arguments::{AUTHENTICATION_HELP, is_on_this_machine};
use self::board::Board;
use self::cases::DemoCase;
use self::client::{Client, Updates};
use self::documents::Documents;
use self::history::{Histories, Received};
use self::journal::{Phase, Report, Submission};
use self::tables::Surface;
use crate::clock::Clock;
use crate::domain::ids::ApplicationId;
use crate::domain::personal_data::IdentityDocument;
use crate::error::{Error, PublicMessage, Result};
use crate::telemetry::terminal;

/// Concurrent requests in the phases that send many.
const IN_FLIGHT: usize = 32;
/// How long the run waits for unexpected further updates after the last decision.
const LATE_UPDATE_WAIT: Duration = Duration::from_millis(300);

/// Runs the demonstration, prints the report to `output` and shows progress on the terminal.
///
/// # Errors
/// If the server cannot be reached, or if the run fails (see the module documentation).
pub async fn run(args: DemoArgs, clock: Clock, output: impl Write) -> Result<()> {
    let phases = args.phases();
    let total = phases.iter().map(|(_, cases)| cases.len()).sum();
    let live = !args.json && io::stdout().is_terminal();
    let surface = surface(live);
    let client = client(&args, &clock).await?;
    let updates = client.subscribe().await?;
    let mut run = Run {
        client,
        updates,
        documents: Documents::new(clock.now())?,
        histories: Histories::default(),
        submissions: Vec::with_capacity(total),
        waiting: HashMap::new(),
        board: Board::new(total, live, surface)?,
        draw_at: Duration::ZERO,
        pause: args.rate.map(|per_second| Duration::from_secs(1) / per_second),
        deadline: args.deadline(),
        clock,
    };
    for (phase, cases) in phases {
        run.board.begin(phase);
        match phase {
            Phase::Measured => run.send_sequentially(phase, cases).await?,
            Phase::Burst | Phase::Outages => run.send_concurrently(phase, cases).await?,
        }
    }
    run.wait_for_late_updates().await?;
    run.board.clear();
    run.updates.close().await;
    let report = Report::new(&run.submissions, &run.histories);
    print(&args, surface, &run.submissions, &report, output)?;
    report.verdict(run.deadline)
}

/// A client that authenticates with the given token, or with one that it gets by signing in.
async fn client(args: &DemoArgs, clock: &Clock) -> Result<Client> {
    let url = args.url.as_deref().unwrap_or_default();
    let token = match (&args.token, &args.username, &args.password) {
        (Some(token), ..) => token.clone(),
        (None, Some(username), Some(password)) => {
            let login = Client::new(url, None, clock.clone())?;
            login.login(username, password.expose_secret()).await?.into()
        }
        (None, ..) => return Err(Error::Unauthenticated(PublicMessage::new(AUTHENTICATION_HELP))),
    };
    Client::new(url, Some(token.expose_secret()), clock.clone())
}

/// Properties of standard output. Respects `NO_COLOR` (<https://no-color.org>).
fn surface(live: bool) -> Surface {
    let coloured = live && terminal::allows_colour();
    let width = if live { comfy_table::Table::new().width() } else { None };
    Surface { coloured, width }
}

/// A run in progress.
struct Run {
    client: Client,
    updates: Updates,
    documents: Documents,
    histories: Histories,
    submissions: Vec<Submission>,
    /// Indexes in `submissions` of the undecided applications.
    waiting: HashMap<ApplicationId, usize>,
    board: Board,
    /// When the display is updated next.
    draw_at: Duration,
    /// Delay between applications.
    pause: Option<Duration>,
    deadline: Duration,
    clock: Clock,
}

impl Run {
    /// Sends each case after the decision on the previous one, or after its deadline.
    async fn send_sequentially(&mut self, phase: Phase, cases: Vec<DemoCase>) -> Result<()> {
        let mut pace = Pace::new(self.pause);
        for case in cases {
            pace.turn().await;
            let document = self.documents.fresh(&case)?;
            let sent = send(self.client.clone(), phase, case, document).await?;
            self.record(sent);
            self.follow().await?;
            self.explain().await?;
            self.refresh_display();
        }
        self.board.show(&self.submissions);
        Ok(())
    }

    /// Sends all cases without waiting for decisions, and then waits for all decisions.
    async fn send_concurrently(&mut self, phase: Phase, cases: Vec<DemoCase>) -> Result<()> {
        let client = self.client.clone();
        let mut documented = Vec::with_capacity(cases.len());
        for case in cases {
            documented.push((self.documents.fresh(&case)?, case));
        }
        let paced =
            stream::unfold((documented.into_iter(), Pace::new(self.pause)), |(mut cases, mut pace)| async {
                let case = cases.next()?;
                pace.turn().await;
                Some((case, (cases, pace)))
            });
        let sending = paced
            .map(|(document, case)| send(client.clone(), phase, case, document))
            .buffer_unordered(IN_FLIGHT);
        let mut sending = std::pin::pin!(sending);
        loop {
            tokio::select! {
                sent = sending.next() => match sent {
                    Some(sent) => self.record(sent?),
                    None => break,
                },
                update = self.updates.next() => self.process(update?),
            }
            self.refresh_display();
        }
        self.follow().await?;
        self.explain().await?;
        self.board.show(&self.submissions);
        Ok(())
    }

    /// Processes updates until all decisions have arrived or the deadline has passed.
    async fn follow(&mut self) -> Result<()> {
        let give_up_at = self.clock.monotonic() + self.deadline;
        while !self.waiting.is_empty() {
            let left = give_up_at.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                self.waiting.clear();
            }
            let wait = left.min(Board::REDRAW_INTERVAL);
            match tokio::time::timeout(wait, self.updates.next()).await {
                Ok(update) => self.process(update?),
                Err(_elapsed) => self.refresh_display(),
            }
        }
        Ok(())
    }

    /// Processes updates that arrive after the last decision.
    async fn wait_for_late_updates(&mut self) -> Result<()> {
        let end = self.clock.monotonic() + LATE_UPDATE_WAIT;
        loop {
            let left = end.saturating_sub(self.clock.monotonic());
            match tokio::time::timeout(left, self.updates.next()).await {
                Ok(update) => self.process(update?),
                Err(_elapsed) => return Ok(()),
            }
        }
    }

    /// Records a sent application. Its decision may have arrived before the response.
    fn record(&mut self, sent: Submission) {
        let index = self.submissions.len();
        let id = sent.id();
        self.submissions.push(sent);
        if let Some(id) = id {
            self.waiting.insert(id, index);
            self.record_decision(id);
        }
    }

    fn process(&mut self, received: Received) {
        let id = received.update.data.id;
        self.histories.feed(received);
        self.record_decision(id);
    }

    /// Records the decision on `id` if it has arrived and was not recorded before.
    fn record_decision(&mut self, id: ApplicationId) {
        let index = self.waiting.get(&id).copied();
        let sent = index.and_then(|index| self.submissions.get_mut(index));
        if let (Some(sent), Some(decided)) = (sent, self.histories.decided(id)) {
            sent.decided = Some(decided);
            self.waiting.remove(&id);
        }
    }

    /// Updates the display, but not too often: drawing delays the measured work.
    fn refresh_display(&mut self) {
        let now = self.clock.monotonic();
        if now >= self.draw_at {
            self.board.show(&self.submissions);
            self.draw_at = now + Board::REDRAW_INTERVAL;
        }
    }

    /// Fetches the reasons of decisions that have none yet.
    async fn explain(&mut self) -> Result<()> {
        let mut requests = FuturesUnordered::new();
        for sent in
            self.submissions.iter_mut().filter(|sent| sent.decided.is_some() && sent.reasons.is_none())
        {
            let client = self.client.clone();
            requests.extend(sent.id().map(|id| async move {
                sent.reasons = Some(client.reasons(id).await?);
                Ok::<(), Error>(())
            }));
        }
        while let Some(fetched) = requests.next().await {
            fetched?;
        }
        Ok(())
    }
}

async fn send(
    client: Client,
    phase: Phase,
    case: DemoCase,
    document: IdentityDocument,
) -> Result<Submission> {
    let (sent_at, answer) = client.create(&case, document.reveal()).await?;
    Ok(Submission { phase, case, document, sent_at, answer, decided: None, reasons: None })
}

/// Limits the rate of applications.
struct Pace(Option<tokio::time::Interval>);

impl Pace {
    fn new(pause: Option<Duration>) -> Self {
        Self(pause.map(tokio::time::interval))
    }

    async fn turn(&mut self) {
        if let Some(interval) = &mut self.0 {
            interval.tick().await;
        }
    }
}

/// Prints the report. A closed pipe is not an error.
fn print(
    args: &DemoArgs,
    surface: Surface,
    submissions: &[Submission],
    report: &Report<'_>,
    mut output: impl Write,
) -> Result<()> {
    if args.json {
        return super::lines::write_line(&mut output, report).map(|_| ());
    }
    let written = writeln!(
        output,
        "{}\n\n{}\n\n{}\n\n{}",
        tables::decisions(surface, submissions).trim_fmt(),
        tables::outcomes(surface, submissions).trim_fmt(),
        tables::latencies(surface, &report.phases).trim_fmt(),
        tables::closing_lines(report),
    );
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::unavailable("standard output", error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
