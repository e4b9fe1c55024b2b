//! The actors: who owns what, and what happens when one dies.
//!
//! | actor | count | owns | when it dies |
//! |---|---|---|---|
//! | [`supervisor`] | 1 | starting and restarting application actors | the next incarnation adopts the [`running_jobs`] |
//! | [`application`] | 1 for each running job | one job's lease and progress | restarted within its budget, then the job goes back |
//! | [`provider_gateway`] | 1 | a breaker and a bulkhead for each country | breakers are rebuilt closed, calls in flight answered with an error |
//! | [`recorder`] | `actors.recorders` | the writes that wait | they are answered with an error |
//! | [`scheduler`] | 1 | claiming jobs | leases run out by themselves |
//! | [`outbox_relay`] | 1, one leads | the global offset, and counting what was published | another instance takes over |
//! | [`broadcaster`] | 1 | reading the bus for its sessions | sessions and position stand outside of it |
//! | [`housekeeper`] | 1, one leads | recurring work | another instance takes over |
//! | [`view_recorder`] | 1 | writing what staff looked at | the views that wait stand outside of it |
//!
//! How messages go:
//!
//! ```text
//!  http ──────────── NewApplication ──────────→ recorder ── after the commit ─→ scheduler, outbox_relay
//!  LISTEN (announcements) ────────────────────→ scheduler, outbox_relay, broadcaster
//!  scheduler ─────── StartJob ────────────────→ supervisor ── starts ─→ application
//!  application ───── FetchBankingData ────────→ provider_gateway ── HTTP ─→ bureau
//!  application ───── begin, store, renew, … ──→ recorder
//!  outbox_relay ──── Wake ────────────────────→ broadcaster ── queues ─→ WebSocket sessions
//!  provider_gateway ─ recovered ──────────────→ housekeeper, scheduler
//!  http ──────────── StaffView ───────────────→ view_recorder
//! ```
//!
//! Messages are hints that carry identifiers; the database is the truth, and every actor that restarts reads it again.
//! Mailboxes are bounded by `actors.mailbox_capacity` (recorders by `actors.recorder_queue`), and a full one is an answer:
//! a 503, or the job goes back. Every permanent actor is kept alive by the [`root`]; work that could panic runs as a task
//! whose `JoinError` comes back as a message.

pub mod announcements;
pub mod application;
pub mod broadcaster;
pub mod cache_follower;
pub mod circuit_breaker;
pub mod circuit_overrides;
pub mod faults;
pub mod housekeeper;
mod insistence;
pub mod intake;
pub mod lifeline;
pub mod outbox_relay;
pub mod provider_gateway;
pub mod recorder;
pub mod root;
mod rounds;
pub mod running_jobs;
pub mod scheduler;
mod sliding_counts;
mod statistics;
pub mod supervisor;
pub mod view_recorder;
pub mod webhooks;
pub mod work_health;

use std::sync::Arc;

use slog::Logger;

use crate::actors::faults::Faults;
use crate::clock::Clock;
use crate::config::{Secrets, Settings};
use crate::domain::application::Country;
use crate::storage::Database;
use crate::telemetry::metrics::Metrics;

/// What every actor is handed when it is made. Cheap to clone.
#[derive(Clone)]
pub struct Resources {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// What only this deployment may know.
    pub secrets: Arc<Secrets>,
    /// The database.
    pub database: Database,
    /// Time, identifiers and randomness.
    pub clock: Clock,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Whether jobs are claimed and events published.
    pub work: Arc<work_health::WorkHealth>,
    /// Injected faults.
    pub faults: Arc<Faults>,
    /// The logger, with the actor's name added by [`Resources::named`].
    pub logger: Logger,
    /// This instance's name, in leases and metrics.
    pub instance: Arc<str>,
}

impl Resources {
    /// The same with a logger that says who writes.
    pub fn named(&self, actor: &'static str) -> Self {
        Self { logger: self.logger.new(slog::o!("logger" => actor)), ..self.clone() }
    }
}

/// The tasks that jobs name, and with them the actors that do them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Checks and decides a credit application: [`application::ApplicationActor`].
    ProcessCreditApplication,
}

impl Task {
    /// Every task that this version knows.
    pub const ALL: [Self; 1] = [Self::ProcessCreditApplication];

    /// The lanes that its jobs wait in (`pending_jobs.lane`): a country's for what is about a country.
    pub fn lanes(self) -> Vec<&'static str> {
        match self {
            Self::ProcessCreditApplication => Country::ALL.iter().map(|country| country.code()).collect(),
        }
    }

    /// The name in `pending_jobs.task_name`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProcessCreditApplication => "process_credit_application",
        }
    }
}
