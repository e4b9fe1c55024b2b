//! What the demonstration is told on its command line, and where its credentials come from.

use std::io::BufRead;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use super::cases::{self, DemoCase};
use super::journal::Phase;
use crate::cli::credential;
use crate::error::Result;

/// How long an application may take when its bureau answers, and when it does not.
const DEADLINE_S: u64 = 30;
const OUTAGE_DEADLINE_S: u64 = 240;

/// Sends applications of every country and outcome to a running server and follows their decisions.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The server, as `make run` starts it.
    #[arg(long, default_value = "http://127.0.0.1:8000")]
    pub url: String,
    /// Reads an access token of an analyst or admin, as `aval token` prints it, from standard input; without it, from the
    /// variable AVAL_TOKEN.
    #[arg(long, conflicts_with = "username")]
    pub token_stdin: bool,
    /// Who logs in, instead of a token.
    #[arg(long)]
    pub username: Option<String>,
    /// Reads the password of that account from standard input; without it, from the variable AVAL_PASSWORD.
    #[arg(long, requires = "username")]
    pub password_stdin: bool,
    /// Refused: a credential is no argument.
    #[arg(long = "token", hide = true)]
    pub refused_token: Option<SecretString>,
    /// Refused: a credential is no argument.
    #[arg(long = "password", hide = true)]
    pub refused_password: Option<SecretString>,
    /// The access token.
    #[arg(skip)]
    pub token: Option<SecretString>,
    /// The password.
    #[arg(skip)]
    pub password: Option<SecretString>,
    /// How many applications; sixty show every rule of every country.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub count: u16,
    /// Most applications a second; without it, as fast as each phase allows.
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: Option<u32>,
    /// Seconds that a decision may take: 30, or 240 with outages.
    #[arg(long, value_name = "SECONDS")]
    pub deadline: Option<u64>,
    /// Adds applications whose bureau fails. They take up to a minute and open Brazil's circuit breaker.
    #[arg(long)]
    pub with_outages: bool,
    /// Prints the run as one JSON object instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// How to say who runs the demonstration.
pub(in crate::cli) const WHO: &str = "set AVAL_TOKEN or give --token-stdin, or give --username with AVAL_PASSWORD set or \
                              --password-stdin";

impl DemoArgs {
    /// Takes the credentials from where they are.
    ///
    /// # Errors
    /// [`Error::Malformed`](crate::error::Error::Malformed) for one that is an argument, and for a standard input without one.
    pub fn read_credentials(&mut self, input: impl BufRead) -> Result<()> {
        credential::refuse_argument("--token", self.refused_token.as_ref(), WHO)?;
        credential::refuse_argument("--password", self.refused_password.as_ref(), WHO)?;
        match (&self.username, self.token_stdin, self.password_stdin) {
            (None, true, _) => self.token = Some(credential::from_input(input)?),
            (None, false, _) => self.token = credential::from_variable("AVAL_TOKEN"),
            (Some(_), _, true) => self.password = Some(credential::from_input(input)?),
            (Some(_), _, false) => self.password = credential::from_variable("AVAL_PASSWORD"),
        }
        Ok(())
    }

    /// Whether nobody has said who runs it, and this machine may: a token of this machine is for its own server, and is
    /// never sent to another.
    pub fn needs_local_token(&self) -> bool {
        let uri: Option<awc::http::Uri> = self.url.parse().ok();
        let host = uri.as_ref().and_then(awc::http::Uri::host).unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        let is_local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        is_local && self.token.is_none() && self.username.is_none()
    }

    pub(super) fn deadline(&self) -> Duration {
        let usual = if self.with_outages { OUTAGE_DEADLINE_S } else { DEADLINE_S };
        Duration::from_secs(self.deadline.unwrap_or(usual))
    }

    /// What is sent in which phase.
    pub(super) fn phases(&self) -> Vec<(Phase, Vec<DemoCase>)> {
        let mut measured = cases::plan(usize::from(self.count));
        let burst = measured.split_off((measured.len() * 3).div_ceil(5));
        let mut phases = vec![(Phase::Measured, measured), (Phase::Burst, burst)];
        if self.with_outages {
            phases.push((Phase::Outages, cases::outages()));
        }
        phases
    }
}
