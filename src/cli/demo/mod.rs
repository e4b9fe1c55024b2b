//! `aval demo`: sends applications of every country and every outcome to a running server, follows them over one
//! WebSocket, and tells what became of them and how fast.
//!
//! A run has two phases. In the first, three fifths of the applications go one after the other, each when the one
//! before it is decided: on an otherwise idle machine that measures the system and not a queue. In the second the rest
//! goes at once. `--with-outages` adds a third, in which the bureau of one country fails in every way it can.
//!
//! A server that limits how many applications an account may create gets them as fast as it allows, which the run says.
//!
//! The run fails when an application is refused or not decided within the deadline, and when an update came twice or
//! out of order. A decision other than the expected one is counted and printed but is no failure: a breaker that is
//! open, or thresholds of one's own, lead to it rightly.

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
pub(super) use self::arguments::WHO;
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

/// Requests under way at once in the phases that send many.
const IN_FLIGHT: usize = 32;
/// How long the run listens on after the last decision, for updates that should not come.
const AFTERMATH: Duration = Duration::from_millis(300);
/// Runs the demonstration and prints what came of it on `output`; what moves is drawn on the terminal itself.
///
/// # Errors
/// When the server cannot be reached, and when the run did not go as it must (see the module's documentation).
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
            Phase::Measured => run.one_by_one(phase, cases).await?,
            Phase::Burst | Phase::Outages => run.at_once(phase, cases).await?,
        }
    }
    run.listen_on().await?;
    run.board.clear();
    run.updates.close().await;
    let report = Report::new(&run.submissions, &run.histories);
    print(&args, surface, &run.submissions, &report, output)?;
    report.verdict(run.deadline)
}

/// A client that says who it is: by a token, or by one that a login gives.
async fn client(args: &DemoArgs, clock: &Clock) -> Result<Client> {
    let token = match (&args.token, &args.username, &args.password) {
        (Some(token), ..) => token.clone(),
        (None, Some(username), Some(password)) => {
            let login = Client::new(&args.url, None, clock.clone())?;
            login.login(username, password.expose_secret()).await?.into()
        }
        (None, ..) => return Err(Error::Unauthenticated(PublicMessage::new(WHO))),
    };
    Client::new(&args.url, Some(token.expose_secret()), clock.clone())
}

/// Standard output. Colours are for terminals, and for people who did not refuse them (<https://no-color.org>).
fn surface(live: bool) -> Surface {
    let coloured = live && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let width = if live { comfy_table::Table::new().width() } else { None };
    Surface { coloured, width }
}

/// A run under way.
struct Run {
    client: Client,
    updates: Updates,
    documents: Documents,
    histories: Histories,
    submissions: Vec<Submission>,
    /// The places in `submissions` of those that are not decided yet.
    waiting: HashMap<ApplicationId, usize>,
    board: Board,
    /// When the board is to be drawn again.
    draw_at: Duration,
    /// Between two applications.
    pause: Option<Duration>,
    deadline: Duration,
    clock: Clock,
}

impl Run {
    /// Sends each case when the one before it is decided, or given up on.
    async fn one_by_one(&mut self, phase: Phase, cases: Vec<DemoCase>) -> Result<()> {
        let mut pace = Pace::new(self.pause);
        for case in cases {
            pace.turn().await;
            let document = self.documents.fresh(&case)?;
            let sent = send(self.client.clone(), phase, case, document).await?;
            self.note(sent);
            self.follow().await?;
            self.explain().await?;
            self.show_now_and_then();
        }
        self.board.show(&self.submissions);
        Ok(())
    }

    /// Sends all cases without waiting for decisions, then waits for all of them.
    async fn at_once(&mut self, phase: Phase, cases: Vec<DemoCase>) -> Result<()> {
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
                    Some(sent) => self.note(sent?),
                    None => break,
                },
                update = self.updates.next() => self.take(update?),
            }
            self.show_now_and_then();
        }
        self.follow().await?;
        self.explain().await?;
        self.board.show(&self.submissions);
        Ok(())
    }

    /// Takes updates until nothing is waited for any more, or for as long as a decision may take.
    async fn follow(&mut self) -> Result<()> {
        let give_up_at = self.clock.monotonic() + self.deadline;
        while !self.waiting.is_empty() {
            let left = give_up_at.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                self.waiting.clear();
            }
            let wait = left.min(Board::REDRAW_INTERVAL);
            match tokio::time::timeout(wait, self.updates.next()).await {
                Ok(update) => self.take(update?),
                Err(_elapsed) => self.show_now_and_then(),
            }
        }
        Ok(())
    }

    /// Takes what still comes when nothing more is due.
    async fn listen_on(&mut self) -> Result<()> {
        let end = self.clock.monotonic() + AFTERMATH;
        loop {
            let left = end.saturating_sub(self.clock.monotonic());
            match tokio::time::timeout(left, self.updates.next()).await {
                Ok(update) => self.take(update?),
                Err(_elapsed) => return Ok(()),
            }
        }
    }

    /// Keeps an application that was sent. Its decision may be here before the answer that tells whose it is.
    fn note(&mut self, sent: Submission) {
        let place = self.submissions.len();
        let id = sent.id();
        self.submissions.push(sent);
        if let Some(id) = id {
            self.waiting.insert(id, place);
            self.look_up(id);
        }
    }

    fn take(&mut self, received: Received) {
        let id = received.update.data.id;
        self.histories.feed(received);
        self.look_up(id);
    }

    /// Notes the decision of `id`, if it is waited for and has come.
    fn look_up(&mut self, id: ApplicationId) {
        let place = self.waiting.get(&id).copied();
        let sent = place.and_then(|place| self.submissions.get_mut(place));
        if let (Some(sent), Some(decided)) = (sent, self.histories.decided(id)) {
            sent.decided = Some(decided);
            self.waiting.remove(&id);
        }
    }

    /// Draws the newest, unless that was done a moment ago: drawing delays what is measured.
    fn show_now_and_then(&mut self) {
        let now = self.clock.monotonic();
        if now >= self.draw_at {
            self.board.show(&self.submissions);
            self.draw_at = now + Board::REDRAW_INTERVAL;
        }
    }

    /// Asks for the reasons of every decision that has none yet.
    async fn explain(&mut self) -> Result<()> {
        let mut asking = FuturesUnordered::new();
        for sent in
            self.submissions.iter_mut().filter(|sent| sent.decided.is_some() && sent.reasons.is_none())
        {
            let client = self.client.clone();
            asking.extend(sent.id().map(|id| async move {
                sent.reasons = Some(client.reasons(id).await?);
                Ok::<(), Error>(())
            }));
        }
        while let Some(asked) = asking.next().await {
            asked?;
        }
        Ok(())
    }
}

/// Sends one case.
async fn send(
    client: Client,
    phase: Phase,
    case: DemoCase,
    document: IdentityDocument,
) -> Result<Submission> {
    let (sent_at, answer) = client.create(&case, document.reveal()).await?;
    Ok(Submission { phase, case, document, sent_at, answer, decided: None, reasons: None })
}

/// Lets applications go at most so often.
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

/// Prints a finished run.
///
/// # Errors
/// When the output fails for another reason than that its reader has gone.
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
