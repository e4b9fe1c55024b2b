//! Arguments and credentials of `aval demo`.

use std::io::BufRead;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use super::cases::{self, DemoCase};
use super::journal::Phase;
use crate::cli::credential;
use crate::domain::application::Country;
use crate::error::Result;
use crate::providers::simulator::bureau::DEMO_APPLICATIONS;

/// Time limits for a decision, without and with outages.
const DEADLINE_S: u64 = 30;
const OUTAGE_DEADLINE_S: u64 = 240;

/// Sends applications of every country and outcome to a running server and follows their decisions.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// URL of the server; the default is the server that the configuration of this machine starts
    #[arg(long)]
    pub url: Option<String>,
    /// Read the access token of an analyst or admin from standard input instead of the variable AVAL_TOKEN
    #[arg(long, conflicts_with = "username")]
    pub token_stdin: bool,
    /// Sign in with this account instead of a token
    #[arg(long)]
    pub username: Option<String>,
    /// Read the account's password from standard input instead of the variable AVAL_PASSWORD
    #[arg(long, requires = "username")]
    pub password_stdin: bool,
    /// Rejected: credentials must not be arguments
    #[arg(long = "token", hide = true)]
    pub refused_token: Option<SecretString>,
    /// Rejected: credentials must not be arguments
    #[arg(long = "password", hide = true)]
    pub refused_password: Option<SecretString>,
    /// The access token.
    #[arg(skip)]
    pub token: Option<SecretString>,
    /// The password.
    #[arg(skip)]
    pub password: Option<SecretString>,
    /// Number of applications.
    #[arg(long, help = applications_help(), default_value_t = one_round(), value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub count: u16,
    /// Most applications per second; by default as fast as each phase allows
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: Option<u32>,
    /// Longest wait for a decision; by default 30, or 240 with outages
    #[arg(long, value_name = "SECONDS")]
    pub deadline: Option<u64>,
    /// Add applications whose bureau fails. They take up to a minute and open Brazil's circuit breaker
    #[arg(long)]
    pub with_outages: bool,
    /// Print one JSON object instead of tables
    #[arg(long)]
    pub json: bool,
}

/// The number of applications in one round: every demo application of every country.
fn one_round() -> u16 {
    u16::try_from(DEMO_APPLICATIONS * Country::ALL.len()).unwrap_or(u16::MAX)
}

fn applications_help() -> String {
    format!("Number of applications; {} cover every rule of every country", one_round())
}

/// Whether a URL names this machine.
pub(in crate::cli) fn is_on_this_machine(url: &str) -> bool {
    let uri: Option<awc::http::Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(awc::http::Uri::host).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The ways to authenticate.
pub(in crate::cli) const AUTHENTICATION_HELP: &str = "set AVAL_TOKEN, or use --token-stdin, or use --username with AVAL_PASSWORD or \
                     --password-stdin";

impl DemoArgs {
    /// Reads the credentials from standard input or the environment.
    ///
    /// # Errors
    /// [`Error::Malformed`](crate::error::Error::Malformed) if a credential is an argument or missing on standard
    /// input.
    pub fn read_credentials(&mut self, input: impl BufRead) -> Result<()> {
        credential::refuse_argument("--token", self.refused_token.as_ref(), AUTHENTICATION_HELP)?;
        credential::refuse_argument("--password", self.refused_password.as_ref(), AUTHENTICATION_HELP)?;
        match (&self.username, self.token_stdin, self.password_stdin) {
            (None, true, _) => self.token = Some(credential::from_input(input)?),
            (None, false, _) => self.token = credential::from_variable("AVAL_TOKEN"),
            (Some(_), _, true) => self.password = Some(credential::from_input(input)?),
            (Some(_), _, false) => self.password = credential::from_variable("AVAL_PASSWORD"),
        }
        Ok(())
    }

    /// Whether to use a local admin's token: no credentials are given, and the server is on this machine. The token is
    /// never sent to another machine.
    pub fn needs_local_token(&self) -> bool {
        let is_local = is_on_this_machine(self.url.as_deref().unwrap_or_default());
        is_local && self.token.is_none() && self.username.is_none()
    }

    pub(super) fn deadline(&self) -> Duration {
        let usual = if self.with_outages { OUTAGE_DEADLINE_S } else { DEADLINE_S };
        Duration::from_secs(self.deadline.unwrap_or(usual))
    }

    /// The cases of each phase.
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
