//! `aval api-key add`: a key for a machine client, made by an operator on the machine.

use std::io::Write;
use std::num::NonZeroU32;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use slog::Logger;

use super::lines::write_text;
use crate::accounts::{NewKey, Origin};
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::account::{AccountName, KeyLimits, Role, Scope};
use crate::error::{Error, PublicMessage, Result};
use crate::startup::OpenedAccounts;

/// Makes keys of machine clients.
#[derive(Debug, Args)]
pub struct ApiKeyArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key, and print it once
    Add {
        /// 3 to 60 of a-z, 0-9, dot, underscore and hyphen; the key acts as the account key:NAME
        name: String,
        /// The most that it may do: user, analyst or admin
        #[arg(long, default_value = "user", value_parser = role)]
        role: Role,
        /// What it is for, such as applications:read; several times for several
        #[arg(long = "scope", required = true, value_parser = scope)]
        scopes: Vec<Scope>,
        /// Days that it is good; for ever when absent
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        days: Option<u16>,
        /// Requests a minute, creations not counted; as configured for keys when absent
        #[arg(long, value_parser = per_minute)]
        requests_per_minute: Option<NonZeroU32>,
        /// Applications that it may create a minute; as configured for keys when absent
        #[arg(long, value_parser = per_minute)]
        applications_per_minute: Option<NonZeroU32>,
    },
}

fn role(text: &str) -> Result<Role, &'static str> {
    text.parse().map_err(|_unknown| "must be user, analyst or admin")
}

fn per_minute(text: &str) -> Result<NonZeroU32, String> {
    let most = KeyLimits::MAX_PER_MINUTE;
    let rate = text.parse().ok().filter(|rate: &NonZeroU32| rate.get() <= most);
    rate.ok_or_else(|| format!("must be a whole number from 1 to {most}"))
}

fn scope(text: &str) -> Result<Scope, String> {
    text.parse().map_err(|_unknown| format!("must be one of {}", Scope::ALL.map(Scope::as_str).join(", ")))
}

/// Prints a new key, and nothing else.
///
/// # Errors
/// When the name cannot be, was given before, or the database cannot be reached.
pub async fn run(
    args: ApiKeyArgs,
    settings: Settings,
    clock: Clock,
    logger: Logger,
    mut output: impl Write,
) -> Result<()> {
    let What::Add { name, role, scopes, days, requests_per_minute, applications_per_minute } = args.what;
    let limits = KeyLimits { requests_per_minute, applications_per_minute };
    let name = AccountName::parse(&name).filter(|name| name.as_str().len() <= AccountName::KEY_MAX_CHARS);
    let name = name.ok_or_else(|| {
        let text = "a key's name is 3 to 60 of a-z, 0-9, dot, underscore and hyphen";
        Error::Malformed(PublicMessage::new(text))
    })?;
    let expires_at = days.map(|days| clock.now() + chrono::TimeDelta::days(i64::from(days)));
    let new = NewKey { name, role, scopes, expires_at, limits };
    if let Some(scope) = new.scopes_above_role().next() {
        let text =
            format!("the scope {scope} needs a key with the role {} or a higher one", scope.least_role());
        return Err(Error::Malformed(PublicMessage::new(text)));
    }
    let opened = OpenedAccounts::open(&settings, &clock, &logger).await?;
    let made = opened.accounts.add_key(&new, &Origin::system("system:operator")).await;
    opened.close().await?;
    let (_, text) = made?;
    write_text(&mut output, text.expose_secret()).map(drop)
}
