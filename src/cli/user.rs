//! `aval user`: lets an operator manage accounts on the machine, with or without a running Aval.
//!
//! `--password-stdin` reads a password from standard input; otherwise a random one is generated and printed once.
//! Passwords are never arguments, which would be visible in the process list and the shell's history.

use std::io::{BufRead, Write};

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use slog::Logger;

use super::lines::write_text;
use crate::accounts::{Account, Accounts, ChangeOrigin, Contact, NewAccount, UserPatch};
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::account::{AccountName, Role};
use crate::domain::timestamp;
use crate::error::{Error, PublicMessage, Result};
use crate::startup::OpenedAccounts;

/// Initiator of these changes in the database and the log.
const OPERATOR: &str = "system:operator";
/// Accounts per query.
const PAGE: i64 = 100;

/// Creates, lists and changes accounts.
#[derive(Debug, Args)]
pub struct UserArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create an account
    Add {
        /// Name: 3 to 64 characters from a-z, 0-9, dot, underscore and hyphen
        name: String,
        /// Role: user, analyst or admin
        #[arg(long, value_parser = role)]
        role: Role,
        /// Read the password from standard input instead of generating one
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the accounts
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Change the role of an account
    Role {
        /// Name of the account
        name: String,
        /// New role: user, analyst or admin
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Disable an account: prevent sign-ins and end its sessions and tokens
    Disable {
        /// Name of the account
        name: String,
    },
    /// Enable a disabled account again
    Enable {
        /// Name of the account
        name: String,
    },
    /// Change the password of an account and end its sessions
    Password {
        /// Name of the account
        name: String,
        /// Read the password from standard input instead of generating one
        #[arg(long)]
        password_stdin: bool,
    },
}

fn role(text: &str) -> Result<Role, &'static str> {
    text.parse().map_err(|_unknown| "must be user, analyst or admin")
}

/// Runs the subcommand and prints the result.
pub async fn run(
    args: UserArgs,
    settings: Settings,
    clock: Clock,
    logger: Logger,
    input: impl BufRead,
    mut output: impl Write,
) -> Result<()> {
    let opened = OpenedAccounts::open(&settings, &clock, &logger).await?;
    let done = act(args.action, &opened.accounts, input).await;
    opened.close().await?;
    write_text(&mut output, &done?).map(drop)
}

async fn act(action: Action, accounts: &Accounts, input: impl BufRead) -> Result<String> {
    match action {
        Action::Add { name, role, password_stdin } => {
            let name = AccountName::parse(&name).ok_or_else(|| {
                malformed("a name must be 3 to 64 characters from a-z, 0-9, dot, underscore and hyphen")
            })?;
            let (password, line) = password(password_stdin, accounts, input)?;
            let account = accounts
                .add_user(
                    NewAccount { name, password, role, contact: Contact::default() },
                    &ChangeOrigin::system(OPERATOR),
                )
                .await
                .map_err(explain)?;
            Ok(format!("created {role} {}{line}", account.user.username))
        }
        Action::List { json: true } => list_json(accounts).await,
        Action::List { json: false } => list(accounts).await,
        Action::Role { name, role } => {
            let patch = UserPatch { role: Some(role), ..UserPatch::default() };
            change(accounts, &name, patch, &format!("now has the role {role}")).await
        }
        Action::Disable { name } => {
            let patch = UserPatch { disabled: Some(true), ..UserPatch::default() };
            change(accounts, &name, patch, "has been disabled").await
        }
        Action::Enable { name } => {
            let patch = UserPatch { disabled: Some(false), ..UserPatch::default() };
            change(accounts, &name, patch, "has been enabled").await
        }
        Action::Password { name, password_stdin } => {
            let (password, line) = password(password_stdin, accounts, input)?;
            let patch = UserPatch { password: Some(password), ..UserPatch::default() };
            change(accounts, &name, patch, &format!("has a new password{line}")).await
        }
    }
}

async fn change(accounts: &Accounts, name: &str, patch: UserPatch, outcome: &str) -> Result<String> {
    let user = accounts.user_named(name).await?;
    accounts.change_user(user.id, patch, &ChangeOrigin::system(OPERATOR)).await.map_err(explain)?;
    Ok(format!("{name} {outcome}"))
}

async fn list_json(accounts: &Accounts) -> Result<String> {
    let (mut before, mut users) = (None, Vec::new());
    loop {
        let page = accounts.users(before, PAGE).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.user.id);
        users.extend(page.iter().map(|Account { user, .. }| {
            serde_json::json!({
                "username": user.username.as_str(),
                "role": user.role.0.text(Role::as_str),
                "enabled": user.disabled_at.is_none(),
                "created_at": timestamp::text(user.created_at),
            })
        }));
    }
    Ok(serde_json::json!({"users": users}).to_string())
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
        before = Some(last.user.id);
        for Account { user, .. } in &page {
            let state = if user.disabled_at.is_none() { "enabled" } else { "disabled" };
            let since = user.created_at.format("%Y-%m-%d").to_string();
            table.add_row([user.username.as_str(), user.role.0.text(Role::as_str), state, &since]);
        }
    }
}

/// The password, and a line that shows it if it was generated.
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

/// Combines field errors into one sentence.
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
