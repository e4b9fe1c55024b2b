//! The actors: what each owns, and what happens when it fails.
//!
//! | actor | count | owns | when it fails |
//! |---|---|---|---|
//! | [`supervisor`] | 1 | starting and restarting the actors of jobs | its replacement takes over the running jobs |
//! | [`job`] | 1 for each running job | one job's lease and progress | restarted within its budget, then the job returns to the queue |
//! | [`provider_gateway`] | 1 | a breaker and a bulkhead for each country | its replacement starts with closed breakers; calls in flight get an error |
//! | [`write_batcher`] | `actors.write_batchers` | the writes in its queue | queued writes get an error |
//! | [`scheduler`] | 1 | claiming jobs | leases expire |
//! | [`outbox_relay`] | 1, one of them the leader | assigning offsets, and counting published events | another instance takes over |
//! | [`event_consumer`] | 1 for each consumer | reading events for a consumer | restarted; other instances take over its partitions |
//! | [`broadcaster`] | 1 | reading the bus for its sessions | sessions and position are outside the actor |
//! | [`housekeeper`] | 1, one of them the leader | recurring work | another instance takes over |
//! | [`ingest_writer`] | `ingest.writers` | the group of events that it stores | the requests of the group get an error; waiting requests are outside the actor |
//! | [`view_recorder`] | 1 | writing audit views | queued views are outside the actor |
//!
//! Messages:
//!
//! ```text
//!  http ──────────── grouped writes ──────────→ write batcher ── after the commit ─→ scheduler, outbox_relay
//!  LISTEN (notifications) ────────────────────→ scheduler, outbox_relay, broadcaster, event_consumer
//!  scheduler ─────── StartJob ────────────────→ supervisor ── starts ─→ job
//!  job ───────────── FetchBankingData ────────→ provider_gateway ── HTTP ─→ bureau
//!  job ───────────── grouped writes ──────────→ write batcher
//!  outbox_relay ──── Wake ────────────────────→ broadcaster ── queues ─→ WebSocket sessions
//!  outbox_relay ──── Wake ────────────────────→ event_consumer
//!  provider_gateway ─ recovered ──────────────→ housekeeper, scheduler
//!  http ──────────── events (queue) ──────────→ ingest_writer
//!  http ──────────── StaffView ───────────────→ view_recorder
//! ```
//!
//! Messages are hints that carry identifiers. The database is the source of truth, and actors read it again after a
//! restart. Mailboxes are bounded by `actors.mailbox_capacity`, and mailboxes of write batchers by
//! `actors.write_queue_capacity`. If a mailbox is full, the sender gets an error: the request gets a 503, or the job
//! returns to the queue. The [root](crate::supervision::root) restarts permanent actors. Work that could panic runs as
//! an asynchronous task, so its actor receives an error and does not end.

pub mod broadcaster;
pub mod event_consumer;
pub mod housekeeper;
pub mod ingest_writer;
pub mod job;
pub mod outbox_relay;
pub mod provider_gateway;
pub mod scheduler;
pub mod supervisor;
pub mod view_recorder;
pub mod write_batcher;
