//! Aval: a multi-country credit application platform in one binary.
//!
//! A client posts an application, and a database trigger queues its job. The scheduler claims the job. A supervised actor
//! fetches the applicant's banking data and evaluates the country's rules. One transaction stores the decision, and the
//! event reaches every subscribed WebSocket session.
//!
//! Lending is built on an engine for storage, jobs, events and actors, which does not depend on lending. From top to bottom:
//!
//! | module | contents |
//! |---|---|
//! | [`cli`] | the subcommands of the binary |
//! | [`app`], [`startup`], [`shutdown`] | the composition root: builds every part in order and stops it in order |
//! | [`http`] | REST, WebSocket, health, metrics, API documents; errors are RFC 9457 problems |
//! | [`lending`] | the lending use cases |
//! | [`deliveries`] | events sent to the webhook endpoints of other systems |
//! | [`ingest`] | events that clients send at volume |
//! | [`accounts`] | users, passwords, tokens, sessions, API keys |
//! | [`actors`] | the actors, with their messages |
//! | [`queue`] | the job queue |
//! | [`events`] | published events and how they reach every instance |
//! | [`supervision`] | restarts, handles, fault injection |
//! | [`resilience`] | circuit breaker, bulkhead, retry budget |
//! | [`cache`], [`redis`](mod@redis) | cached responses; the connection to Redis |
//! | [`providers`] | one adapter for each credit bureau, and the simulator of all of them |
//! | [`rails`] | one adapter for each payment rail, and their simulator |
//! | [`countries`] | documents and rules, one file for each country |
//! | [`storage`] | SQL behind functions; PostgreSQL is the source of truth |
//! | [`json`] | parsing JSON from its exact text, without rounding numbers |
//! | [`domain`] | pure types without I/O |
//! | [`embedded`] | the private PostgreSQL, for machines without a PostgreSQL server |
//! | [`config`], [`clock`], [`error`], [`telemetry`], [`resources`] | used by every module; `domain` uses only [`error`] |
//!
//! A module may import only modules below it. `tests/it/architecture.rs` reads the `use` lines and fails on a wrong
//! import.

pub mod accounts;
pub mod actors;
pub mod app;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod countries;
pub mod deliveries;
pub mod domain;
pub mod embedded;
pub mod error;
pub mod events;
pub mod http;
pub mod ingest;
pub mod json;
pub mod lending;
pub mod providers;
pub mod queue;
pub mod rails;
pub mod redis;
pub mod resilience;
pub mod resources;
pub mod shutdown;
pub mod startup;
pub mod storage;
pub mod supervision;
pub mod telemetry;
