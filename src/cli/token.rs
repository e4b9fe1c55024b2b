//! `aval token`: an access token, for an operator on the machine.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use slog::Logger;

use super::demo;
use super::lines::write_text;
use crate::clock::Clock;
use crate::config::{Environment, Settings};
use crate::error::{Error, PublicMessage, Result};
use crate::startup::OpenedAccounts;

/// How long the token of a demonstration is good.
const DEMO_TTL: Duration = Duration::from_secs(3600);

/// Prints an access token of an account.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Whose
    #[arg(long)]
    pub user: String,
    /// How long it is good
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub minutes: u32,
}

/// Prints a token, and nothing else.
///
/// # Errors
/// When there is no such enabled account, or the database cannot be reached.
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

/// The token of some admin of the Aval that runs on this machine, as whoever may read its data directory may have it.
///
/// # Errors
/// [`Error::Unauthenticated`] in production, and when there is no admin; when no Aval runs here.
pub(super) async fn of_some_admin(
    settings: &Settings,
    clock: &Clock,
    logger: &Logger,
) -> Result<SecretString> {
    if settings.environment == Environment::Production {
        return Err(Error::Unauthenticated(PublicMessage::new(demo::WHO)));
    }
    let opened = OpenedAccounts::open_running(settings, clock, logger).await?;
    let token = opened.accounts.admin_token(DEMO_TTL).await;
    opened.close().await?;
    token
}
