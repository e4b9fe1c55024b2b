//! `aval api-key`: lets an operator create API keys on the machine.

use std::io::Write;
use std::num::NonZeroU32;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use slog::Logger;

use super::lines::write_text;
use crate::accounts::{ChangeOrigin, NewKey};
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::account::{AccountName, KeyLimits, Role, Scope};
use crate::error::{Error, PublicMessage, Result};
use crate::startup::OpenedAccounts;

/// Creates API keys for machine clients.
#[derive(Debug, Args)]
pub struct ApiKeyArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a key and print it once
    Add {
        /// Name of the key: 3 to 60 characters from a-z, 0-9, dot, underscore and hyphen. The key acts as the account
        /// key:NAME
        name: String,
        /// Role of the key: user, analyst or admin
        #[arg(long, default_value = "user", value_parser = role)]
        role: Role,
        /// Scope of the key, such as applications:read; repeat for several scopes
        #[arg(long = "scope", required = true, value_parser = scope)]
        scopes: Vec<Scope>,
        /// Lifetime in days; unlimited by default
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        days: Option<u16>,
        /// Requests per minute, not counting created applications; by default the configured limit for keys
        #[arg(long, value_parser = per_minute)]
        requests_per_minute: Option<NonZeroU32>,
        /// Created applications per minute; by default the configured limit for keys
        #[arg(long, value_parser = per_minute)]
        applications_per_minute: Option<NonZeroU32>,
    },
}

fn role(text: &str) -> Result<Role, &'static str> {
    text.parse().map_err(|_unknown| "must be user, analyst or admin")
}

fn per_minute(text: &str) -> Result<NonZeroU32, String> {
    let max_rate = KeyLimits::MAX_PER_MINUTE;
    let rate = text.parse().ok().filter(|rate: &NonZeroU32| rate.get() <= max_rate);
    rate.ok_or_else(|| format!("must be a whole number from 1 to {max_rate}"))
}

fn scope(text: &str) -> Result<Scope, String> {
    text.parse().map_err(|_unknown| format!("must be one of {}", Scope::ALL.map(Scope::as_str).join(", ")))
}

/// Prints the new key and nothing else.
pub async fn run(
    args: ApiKeyArgs,
    settings: Settings,
    clock: Clock,
    logger: Logger,
    mut output: impl Write,
) -> Result<()> {
    let Action::Add { name, role, scopes, days, requests_per_minute, applications_per_minute } = args.action;
    let limits = KeyLimits { requests_per_minute, applications_per_minute };
    let name = AccountName::parse(&name).filter(|name| name.as_str().len() <= AccountName::KEY_MAX_CHARS);
    let name = name.ok_or_else(|| {
        let text = "a key's name must be 3 to 60 characters from a-z, 0-9, dot, underscore and hyphen";
        Error::Malformed(PublicMessage::new(text))
    })?;
    let expires_at = days.map(|days| clock.now() + chrono::TimeDelta::days(i64::from(days)));
    let new = NewKey { name, role, scopes, expires_at, limits };
    if let Some(scope) = new.scopes_above_role().next() {
        let text = format!("the scope {scope} requires the role {} or a higher one", scope.minimum_role());
        return Err(Error::Malformed(PublicMessage::new(text)));
    }
    let opened = OpenedAccounts::open(&settings, &clock, &logger).await?;
    let made = opened.accounts.add_key(&new, &ChangeOrigin::system("system:operator")).await;
    opened.close().await?;
    let (_, text) = made?;
    write_text(&mut output, text.expose_secret()).map(drop)
}
