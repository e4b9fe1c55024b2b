//! `aval user`: accounts, for an operator on the machine. It works beside a running Aval, and without one.
//!
//! A password comes from standard input with `--password-stdin`; otherwise one is made and printed once. None is ever an
//! argument: those stand in the list of processes and in the shell's history.

use std::io::{BufRead, Write};

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use slog::Logger;

use super::lines::write_text;
use crate::accounts::{Accounts, NewAccount, Origin, UserPatch};
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::account::{AccountName, Role};
use crate::error::{Error, PublicMessage, Result};
use crate::startup::OpenedAccounts;

/// Who makes changes here, as it stands in rows and in the log.
const OPERATOR: &str = "system:operator";
/// Accounts that are asked for at once.
const PAGE: i64 = 100;

/// Makes, lists and changes accounts.
#[derive(Debug, Args)]
pub struct UserArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make an account
    Add {
        /// 3 to 64 of a-z, 0-9, dot, underscore and hyphen
        name: String,
        /// user, analyst or admin
        #[arg(long, value_parser = role)]
        role: Role,
        /// Read the password from standard input instead of making one
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the accounts
    List,
    /// Give an account another role
    Role {
        /// Whose
        name: String,
        /// user, analyst or admin
        #[arg(value_parser = role)]
        role: Role,
    },
    /// End an account's sessions and tokens, and let it log in no more
    Disable {
        /// Whose
        name: String,
    },
    /// Let an account log in again
    Enable {
        /// Whose
        name: String,
    },
    /// Give an account another password, and end its sessions
    Password {
        /// Whose
        name: String,
        /// Read the password from standard input instead of making one
        #[arg(long)]
        password_stdin: bool,
    },
}

fn role(text: &str) -> Result<Role, &'static str> {
    text.parse().map_err(|_unknown| "must be user, analyst or admin")
}

/// Does what was asked for, and prints what came of it.
///
/// # Errors
/// When it cannot be done, or the database cannot be reached.
pub async fn run(
    args: UserArgs,
    settings: Settings,
    clock: Clock,
    logger: Logger,
    input: impl BufRead,
    mut output: impl Write,
) -> Result<()> {
    let opened = OpenedAccounts::open(&settings, &clock, &logger).await?;
    let done = act(args.what, &opened.accounts, input).await;
    opened.close().await?;
    write_text(&mut output, &done?).map(drop)
}

async fn act(what: What, accounts: &Accounts, input: impl BufRead) -> Result<String> {
    match what {
        What::Add { name, role, password_stdin } => {
            let name = AccountName::parse(&name)
                .ok_or_else(|| malformed("a name is 3 to 64 of a-z, 0-9, dot, underscore and hyphen"))?;
            let (password, line) = password(password_stdin, accounts, input)?;
            let user = accounts
                .add_user(NewAccount { name, password, role }, &Origin::system(OPERATOR))
                .await
                .map_err(explain)?;
            Ok(format!("{} {} made{line}", user.role, user.username))
        }
        What::List => list(accounts).await,
        What::Role { name, role } => {
            let patch = UserPatch { role: Some(role), ..UserPatch::default() };
            change(accounts, &name, patch, &format!("is {role} now")).await
        }
        What::Disable { name } => {
            let patch = UserPatch { disabled: Some(true), ..UserPatch::default() };
            change(accounts, &name, patch, "may log in no more").await
        }
        What::Enable { name } => {
            let patch = UserPatch { disabled: Some(false), ..UserPatch::default() };
            change(accounts, &name, patch, "may log in again").await
        }
        What::Password { name, password_stdin } => {
            let (password, line) = password(password_stdin, accounts, input)?;
            let patch = UserPatch { password: Some(password), ..UserPatch::default() };
            change(accounts, &name, patch, &format!("has another password{line}")).await
        }
    }
}

async fn change(accounts: &Accounts, name: &str, patch: UserPatch, outcome: &str) -> Result<String> {
    let user = accounts.user_named(name).await?;
    accounts.change_user(user.id, patch, &Origin::system(OPERATOR)).await.map_err(explain)?;
    Ok(format!("{name} {outcome}"))
}

async fn list(accounts: &Accounts) -> Result<String> {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .force_no_tty()
        .set_header(["NAME", "ROLE", "STATE", "SINCE"]);
    let mut before = None;
    loop {
        let page = accounts.users(before, PAGE).await?;
        let Some(last) = page.last() else { return Ok(table.trim_fmt()) };
        before = Some(last.id);
        for user in &page {
            let state = if user.disabled_at.is_none() { "enabled" } else { "disabled" };
            let since = user.created_at.format("%Y-%m-%d").to_string();
            table.add_row([user.username.as_str(), user.role.0.text(Role::as_str), state, &since]);
        }
    }
}

/// The password, and how it is told to the operator when it was made here.
fn password(
    from_input: bool,
    accounts: &Accounts,
    mut input: impl BufRead,
) -> Result<(SecretString, String)> {
    if !from_input {
        let made = accounts.generate_password();
        let line = format!("\npassword: {}", made.expose_secret());
        return Ok((made, line));
    }
    let mut line = String::new();
    input.read_line(&mut line).map_err(|error| Error::unavailable("standard input", error))?;
    Ok((SecretString::from(line.trim_end_matches(['\r', '\n'])), String::new()))
}

/// What the API would tell field by field, in one sentence.
fn explain(error: Error) -> Error {
    match error {
        Error::Validation(fields) => {
            let details: Vec<_> = fields
                .iter()
                .map(|field| format!("{} {}", field.pointer.trim_start_matches('/'), field.detail))
                .collect();
            malformed(&details.join("; "))
        }
        other => other,
    }
}

fn malformed(text: &str) -> Error {
    Error::Malformed(PublicMessage::new(text))
}
