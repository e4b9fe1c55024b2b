//! Aval: a multi-country credit application platform in one binary.
//!
//! An application comes in over REST, a trigger queues its job, the scheduler claims it, a supervised actor asks the
//! country's bureau and the country's rules, one transaction stores the decision, and the event reaches every subscribed
//! WebSocket session. The map of the house, from the street to the cellar:
//!
//! | room | what is there |
//! |---|---|
//! | [`cli`] | the subcommands of the binary |
//! | [`app`], [`startup`], [`shutdown`] | the composition root: builds everything once, and takes it down in order |
//! | [`http`] | REST, WebSocket, health, metrics, documentation; errors as RFC 9457 problems |
//! | [`accounts`] | who may come in: passwords, tokens, sessions, API keys |
//! | [`actors`] | supervision, application actors, gateway and breakers, scheduler, recorder, relay, broadcaster |
//! | [`bus`] | how published events reach every instance |
//! | [`cache`] | answers that are kept for a while |
//! | [`countries`] | documents and rules, all of one country in one file |
//! | [`providers`] | one adapter for each bureau, and the simulator that plays all of them |
//! | [`storage`] | PostgreSQL: the truth |
//! | [`redis`](mod@redis) | what instances share besides it, and can do without |
//! | [`embedded`] | the private PostgreSQL of a machine that has no other |
//! | [`domain`] | the nouns of credit: pure types and the rules between them |
//! | [`config`], [`clock`], [`error`], [`telemetry`] | what everybody but the domain may use |
//!
//! Imports go downwards only: `cli → app, accounts`; `http → accounts, actors, bus, cache, redis`; `accounts → storage, domain`; `http, actors → countries, providers, storage, domain`;
//! `actors → bus, cache`; `bus, cache → redis, storage`; `storage, countries, providers → domain`; `domain → nothing of ours` but [`error`]. A
//! test reads the `use` lines and fails on a wrong arrow.

pub mod accounts;
pub mod actors;
pub mod app;
pub mod bus;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod countries;
pub mod domain;
pub mod embedded;
pub mod error;
pub mod http;
pub mod providers;
pub mod redis;
pub mod shutdown;
pub mod startup;
pub mod storage;
pub mod telemetry;
