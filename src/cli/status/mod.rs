//! `aval status`: the state of an installation on one screen.
//!
//! The queue, dead letters, leaders and the event lag come from the database: they are the same for every instance, and
//! they matter most when no instance responds. Circuit breakers, actors and connection pools belong to an instance and come
//! from its health report. Each half is shown even if the other cannot be read.

mod instance;
mod screen;

use std::io::{BufRead, IsTerminal as _, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;

use self::instance::{Credential, InstanceStatus};
use super::credential;
use super::lines::{Flow, write_line, write_text};
use crate::app::status::{self, SharedStatus};
use crate::clock::Clock;
use crate::config::Settings;
use crate::error::Result;
use crate::startup::StartedDatabase;

/// Moves the cursor to the top left corner and clears the screen.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Prints queue, circuit breakers, leaders, pools, dead letters, event lag and the last errors.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// URL of an instance; repeat for several. The default is the URL in the local configuration
    #[arg(long = "url", value_name = "URL")]
    urls: Vec<String>,
    /// Read an access token of an admin from standard input instead of AVAL_TOKEN or AVAL_API_KEY. Required only
    /// in production
    #[arg(long)]
    token_stdin: bool,
    /// Repeat every SECONDS until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u16).range(1..))]
    watch: Option<u16>,
    /// Print one JSON object, or with --watch one per line
    #[arg(long)]
    json: bool,
}

/// All data that the command prints.
#[derive(Serialize)]
struct Overview {
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    at: DateTime<Utc>,
    instances: Vec<InstanceStatus>,
    database: Option<SharedStatus>,
    database_error: Option<String>,
}

/// Prints the state once, or repeatedly.
///
/// # Errors
/// [`Unavailable`](crate::error::Error::Unavailable) if the database cannot be read, after the rest has been printed.
pub async fn run(
    args: StatusArgs,
    settings: Settings,
    clock: Clock,
    input: impl BufRead,
    mut output: impl Write,
) -> Result<()> {
    let credential = read_credential(&args, input)?;
    let urls = if args.urls.is_empty() { vec![settings.server.local_url()] } else { args.urls.clone() };
    urls.iter().try_for_each(|url| instance::check_url(url))?;
    loop {
        let shared = read_database(&settings, &clock).await;
        let instances = join_all(urls.iter().map(|url| instance::read(url, credential.as_ref()))).await;
        let overview = Overview {
            at: clock.now(),
            instances,
            database_error: shared.as_ref().err().map(describe),
            database: shared.as_ref().ok().cloned(),
        };
        let flow = if args.json {
            write_line(&mut output, &overview)?
        } else {
            let clear = if args.watch.is_some() && std::io::stdout().is_terminal() { CLEAR } else { "" };
            write_text(&mut output, &format!("{clear}{}", screen::text(&overview)))?
        };
        match args.watch {
            Some(seconds) if flow == Flow::Continue => {
                tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
            }
            _ => return shared.map(drop),
        }
    }
}

fn read_credential(args: &StatusArgs, input: impl BufRead) -> Result<Option<Credential>> {
    if args.token_stdin {
        return Ok(Some(Credential::Token(credential::from_input(input)?)));
    }
    let token = credential::from_variable("AVAL_TOKEN").map(Credential::Token);
    Ok(token.or_else(|| credential::from_variable("AVAL_API_KEY").map(Credential::Key)))
}

async fn read_database(settings: &Settings, clock: &Clock) -> Result<SharedStatus> {
    status::read(StartedDatabase::running(settings)?.url(), clock.now()).await
}

/// The error with its cause. An operator on the machine may read both.
fn describe(error: &crate::error::Error) -> String {
    match error.private_cause() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
