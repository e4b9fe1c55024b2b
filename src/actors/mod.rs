//! The actors: what each owns, and what happens when it dies.
//!
//! | actor | count | owns | when it dies |
//! |---|---|---|---|
//! | [`supervisor`] | 1 | starting and restarting the actors of jobs | its replacement adopts the running jobs |
//! | [`job`] | 1 for each running job | one job's lease and progress | restarted within its budget, then the job goes back |
//! | [`provider_gateway`] | 1 | a breaker and a bulkhead for each country | breakers are rebuilt closed, calls in flight answered with an error |
//! | [`write_batcher`] | `actors.write_batchers` | the writes in its queue | they are answered with an error |
//! | [`scheduler`] | 1 | claiming jobs | leases expire |
//! | [`outbox_relay`] | 1, one leads | the global offset, and counting what was published | another instance takes over |
//! | [`broadcaster`] | 1 | reading the bus for its sessions | sessions and position are kept outside of it |
//! | [`housekeeper`] | 1, one leads | recurring work | another instance takes over |
//! | [`view_recorder`] | 1 | writing audit views | the views in its queue are kept outside of it |
//!
//! Messages:
//!
//! ```text
//!  http ──────────── grouped writes ──────────→ write batcher ── after the commit ─→ scheduler, outbox_relay
//!  LISTEN (notifications) ────────────────────→ scheduler, outbox_relay, broadcaster
//!  scheduler ─────── StartJob ────────────────→ supervisor ── starts ─→ job
//!  job ───────────── FetchBankingData ────────→ provider_gateway ── HTTP ─→ bureau
//!  job ───────────── grouped writes ──────────→ write batcher
//!  outbox_relay ──── Wake ────────────────────→ broadcaster ── queues ─→ WebSocket sessions
//!  provider_gateway ─ recovered ──────────────→ housekeeper, scheduler
//!  http ──────────── StaffView ───────────────→ view_recorder
//! ```
//!
//! Messages are hints that carry identifiers. The database is the source of truth, and actors read it again after a
//! restart. Mailboxes are bounded by `actors.mailbox_capacity` (those of write batchers by
//! `actors.write_queue_capacity`). If a mailbox is full, the sender gets an error: the request gets a 503, or the job
//! returns to the queue. The [root](crate::supervision::root) restarts permanent actors. Work that could panic runs as
//! a task whose `JoinError` is returned as a message.

pub mod broadcaster;
pub mod housekeeper;
pub mod job;
pub mod outbox_relay;
pub mod provider_gateway;
pub mod scheduler;
pub mod supervisor;
pub mod view_recorder;
pub mod write_batcher;
