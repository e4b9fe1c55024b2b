//! The actors: who owns what, and what happens when one dies.
//!
//! | actor | count | owns | when it dies |
//! |---|---|---|---|
//! | [`supervisor`] | 1 | starting and restarting the actors of jobs | its replacement adopts the [running jobs](crate::queue::running_jobs) |
//! | [`job`] | 1 for each running job | one job's lease and progress | restarted within its budget, then the job goes back |
//! | [`provider_gateway`] | 1 | a breaker and a bulkhead for each country | breakers are rebuilt closed, calls in flight answered with an error |
//! | [`write_batcher`] | `actors.write_batchers` | the writes that wait | they are answered with an error |
//! | [`scheduler`] | 1 | claiming jobs | leases run out by themselves |
//! | [`outbox_relay`] | 1, one leads | the global offset, and counting what was published | another instance takes over |
//! | [`broadcaster`] | 1 | reading the bus for its sessions | sessions and position stand outside of it |
//! | [`housekeeper`] | 1, one leads | recurring work | another instance takes over |
//! | [`view_recorder`] | 1 | writing what staff looked at | the views that wait stand outside of it |
//!
//! How messages go:
//!
//! ```text
//!  http ──────────── NewApplication ──────────→ write batcher ── after the commit ─→ scheduler, outbox_relay
//!  LISTEN (notifications) ────────────────────→ scheduler, outbox_relay, broadcaster
//!  scheduler ─────── StartJob ────────────────→ supervisor ── starts ─→ application
//!  application ───── FetchBankingData ────────→ provider_gateway ── HTTP ─→ bureau
//!  application ───── begin, store, renew, … ──→ write batcher
//!  outbox_relay ──── Wake ────────────────────→ broadcaster ── queues ─→ WebSocket sessions
//!  provider_gateway ─ recovered ──────────────→ housekeeper, scheduler
//!  http ──────────── StaffView ───────────────→ view_recorder
//! ```
//!
//! Messages are hints that carry identifiers; the database is the truth, and every actor that restarts reads it again.
//! Mailboxes are bounded by `actors.mailbox_capacity` (write batchers by `actors.write_queue_capacity`), and a full one is an answer:
//! a 503, or the job goes back. Every permanent actor is kept alive by the [root](crate::supervision::root); work that could panic runs as a task
//! whose `JoinError` comes back as a message.

pub mod broadcaster;
pub mod housekeeper;
pub mod job;
pub mod outbox_relay;
pub mod provider_gateway;
pub mod scheduler;
pub mod supervisor;
pub mod view_recorder;
pub mod write_batcher;
