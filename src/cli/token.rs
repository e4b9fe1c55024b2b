//! `aval token`: prints an access token for an operator on the machine.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use slog::Logger;

use super::demo;
use super::lines::write_text;
use crate::clock::Clock;
use crate::config::Settings;
use crate::error::{Error, PublicMessage, Result};
use crate::startup::OpenedAccounts;

/// Lifetime of the demonstration's token.
const DEMO_TTL: Duration = Duration::from_secs(3600);

/// Prints an access token for an account.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Name of the account
    #[arg(long)]
    pub user: String,
    /// Lifetime in minutes
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub minutes: u32,
}

/// Prints the token and nothing else.
///
/// # Errors
/// If no enabled account has the name, or if the database cannot be reached.
pub async fn run(
    args: TokenArgs,
    settings: Settings,
    clock: Clock,
    logger: Logger,
    mut output: impl Write,
) -> Result<()> {
    let opened = OpenedAccounts::open(&settings, &clock, &logger).await?;
    let ttl = Duration::from_secs(u64::from(args.minutes) * 60);
    let token = opened.accounts.operator_token(&args.user, ttl).await;
    opened.close().await?;
    write_text(&mut output, token?.expose_secret()).map(drop)
}

/// A token of any admin of the Aval on this machine. Access to the data directory authorizes it.
///
/// # Errors
/// [`Error::Unauthenticated`] in production or without an admin; [`Error::Unavailable`] if Aval is not running.
pub(super) async fn of_some_admin(
    settings: &Settings,
    clock: &Clock,
    logger: &Logger,
) -> Result<SecretString> {
    if settings.environment.is_production() {
        return Err(Error::Unauthenticated(PublicMessage::new(demo::AUTHENTICATION_HELP)));
    }
    let opened = OpenedAccounts::open_running(settings, clock, logger).await?;
    let token = opened.accounts.admin_token(DEMO_TTL).await;
    opened.close().await?;
    token
}
