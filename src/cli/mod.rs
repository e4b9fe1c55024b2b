//! The subcommands of the `aval` binary, one file each.

pub mod api_key;
pub mod archive;
pub mod backup;
pub mod check_config;
pub mod completions;
mod credential;
pub mod decide;
pub mod demo;
pub mod disbursements;
pub mod document;
pub mod errors;
pub mod events;
pub mod exit;
pub mod ingest;
mod lines;
pub mod man;
pub mod migrate;
pub mod openapi;
mod progress;
pub mod provider_sim;
pub mod reencrypt;
pub mod restore;
pub mod serve;
mod signals;
pub mod status;
pub mod token;
pub mod user;

use std::future::Future;
use std::io::{self, Write as _};

use clap::{Parser, Subcommand};

use crate::clock::Clock;
use crate::config::{Need, Settings};
use crate::countries::Countries;
use crate::error::{Error, Result};
use crate::telemetry::log;

/// Multi-country credit application platform.
#[derive(Debug, Parser)]
#[command(name = "aval", version, propagate_version = true, after_help = exit::help())]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `aval`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API and process applications until SIGTERM or Ctrl-C
    Serve(serve::ServeArgs),
    /// Migrate the database schema, list the migrations, or revert the last ones
    Migrate(migrate::MigrateArgs),
    /// Show the state of this installation on one screen
    Status(status::StatusArgs),
    /// Validate the configuration and print every value with its origin
    CheckConfig(check_config::CheckConfigArgs),
    /// Print the OpenAPI 3.1 document
    Openapi,
    /// Print the error reference in Markdown
    Errors,
    /// Check identity documents
    Document(document::DocumentArgs),
    /// Decide cases: reads one JSON case per line and prints one JSON decision per line
    Decide(decide::DecideArgs),
    /// Send applications of every country and outcome to a running server and report the decisions
    Demo(demo::DemoArgs),
    /// Re-encrypt personal data after a key change; other instances may keep running
    Reencrypt(reencrypt::ReencryptArgs),
    /// Print published events, replay consumers, and handle their dead letters
    Events(events::EventsArgs),
    /// Send generated events to a running server and check that each is stored once
    Ingest(ingest::IngestArgs),
    /// Rebuild disbursements from their events, and check funding pools and ledger
    Disbursements(disbursements::DisbursementsArgs),
    /// Move closed months to the archive and back, and export them
    Archive(archive::ArchiveArgs),
    /// Back up the private PostgreSQL with its secrets
    Backup(backup::BackupArgs),
    /// Restore a backup into an empty data directory
    Restore(restore::RestoreArgs),
    /// Create, list and change accounts
    User(user::UserArgs),
    /// Print an access token for an account
    Token(token::TokenArgs),
    /// Create API keys for machine clients
    ApiKey(api_key::ApiKeyArgs),
    /// Run the provider simulator as a standalone server
    ProviderSim(provider_sim::ProviderSimArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Write the manual pages
    Man(man::ManArgs),
}

/// Runs a subcommand.
pub fn run(command: Command) -> Result<()> {
    let clock = Clock::system();
    match command {
        Command::Serve(args) => {
            let settings = args.applied_to(Settings::load(Need::Everything)?);
            let (logger, _flushed_at_the_end) = log::unfiltered_root(&settings.log, &clock);
            block_on(serve::run(settings, clock, logger))
        }
        Command::Migrate(args) => {
            let settings = Settings::load(Need::Database)?;
            let (logger, _flushed_at_the_end) = log::root(&settings.log, &clock);
            block_on(migrate::run(args, settings, clock, logger, io::stdout()))
        }
        Command::Status(args) => {
            let settings = Settings::load(Need::Database)?;
            block_on(status::run(args, settings, clock, io::stdin().lock(), io::stdout()))
        }
        Command::Events(args) => {
            let settings = Settings::load(Need::Database)?;
            block_on(events::run(args, settings, clock, io::stdout()))
        }
        Command::Disbursements(args) => {
            let settings = Settings::load(Need::Everything)?;
            let (logger, _flushed_at_the_end) = log::root(&settings.log, &clock);
            block_on(disbursements::run(args, settings, clock, logger, io::stdout()))
        }
        Command::Backup(args) => {
            let settings = Settings::load(Need::Database)?;
            let (logger, _flushed_at_the_end) = log::root(&settings.log, &clock);
            block_on(backup::run(args, settings, clock, logger, io::stdout()))
        }
        Command::Restore(args) => {
            let settings = Settings::load(Need::Database)?;
            let (logger, _flushed_at_the_end) = log::root(&settings.log, &clock);
            block_on(restore::run(args, settings, logger, io::stdout()))
        }
        Command::CheckConfig(args) => check_config::run(args, io::stdout()),
        Command::Openapi => openapi::run(io::stdout()),
        Command::Errors => errors::run(io::stdout()),
        Command::Document(args) => document::run(args, &clock, io::stdin().lock(), io::stdout().lock()),
        Command::Decide(args) => {
            let countries = Countries::load(Settings::load(Need::Settings)?.countries_dir.as_deref())?;
            decide::run(args, &countries, io::stdin().lock(), io::stdout().lock())
        }
        Command::Demo(mut args) => {
            args.read_credentials(io::stdin().lock())?;
            if args.url.is_none() {
                args.url = Some(Settings::load(Need::Settings)?.server.local_url());
            }
            if args.needs_local_token() {
                let settings = Settings::load(Need::Everything)?;
                let (logger, _flushed_at_the_end) = log::root(&settings.log, &clock);
                let token = block_on(token::of_some_admin(&settings, &clock, &logger))?;
                args.token = Some(token);
            }
            block_on(demo::run(args, clock, io::stdout()))
        }
        Command::Ingest(mut args) => {
            let ingest::Action::Load(load) = &mut args.action;
            load.read_credential(io::stdin().lock())?;
            if load.url.is_none() {
                load.url = Some(Settings::load(Need::Settings)?.server.local_url());
            }
            if load.needs_local_token() {
                let settings = Settings::load(Need::Everything)?;
                let (logger, _flushed_at_the_end) = log::root(&settings.log, &clock);
                load.token = Some(block_on(token::of_some_admin(&settings, &clock, &logger))?);
            }
            block_on(ingest::run(args, clock, io::stdout()))
        }
        Command::User(args) => {
            let settings = Settings::load(Need::Everything)?;
            let (logger, _flushed_at_the_end) = log::root(&settings.log, &clock);
            block_on(user::run(args, settings, clock, logger, io::stdin().lock(), io::stdout()))
        }
        Command::Token(args) => {
            let settings = Settings::load(Need::Everything)?;
            let (logger, _flushed_at_the_end) = log::root(&settings.log, &clock);
            block_on(token::run(args, settings, clock, logger, io::stdout()))
        }
        Command::ApiKey(args) => {
            let settings = Settings::load(Need::Everything)?;
            let (logger, _flushed_at_the_end) = log::root(&settings.log, &clock);
            block_on(api_key::run(args, settings, clock, logger, io::stdout()))
        }
        Command::Archive(args) => {
            let settings = Settings::load(Need::Everything)?;
            let (logger, _flushed_at_the_end) = log::root(&settings.log, &clock);
            block_on(archive::run(args, settings, clock, logger, io::stdout()))
        }
        Command::Reencrypt(args) => {
            let settings = Settings::load(Need::Everything)?;
            let (logger, _flushed_at_the_end) = log::root(&settings.log, &clock);
            block_on(reencrypt::run(args, settings, clock, logger, io::stdout()))
        }
        Command::ProviderSim(args) => {
            let settings = Settings::load(Need::Settings)?;
            let (logger, _flushed_at_the_end) = log::root(&settings.log, &clock);
            block_on(provider_sim::run(args, clock, logger))
        }
        Command::Completions(args) => completions::run(args, io::stdout()),
        Command::Man(args) => man::run(args, io::stdout()),
    }
}

/// Prints the error for the operator, with its private cause.
pub fn explain(error: &Error) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "aval: {error}");
    if let Some(cause) = error.private_cause() {
        let _ = writeln!(stderr, "  {}", cause.replace('\n', "\n  "));
    }
}

fn block_on<R>(work: impl Future<Output = Result<R>>) -> Result<R> {
    actix_rt::System::new().block_on(work)
}
