//! Integration tests: the real composition on a real PostgreSQL.
#![expect(clippy::string_slice, reason = "tests slice texts that they created")]

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod admin_jobs;
#[cfg(test)]
mod api_applicant;
#[cfg(test)]
mod api_applications;
#[cfg(test)]
mod api_duplicates;
#[cfg(test)]
mod api_export;
#[cfg(test)]
mod api_idempotency;
#[cfg(test)]
mod api_lists;
#[cfg(test)]
mod api_operations;
#[cfg(test)]
mod api_privacy;
#[cfg(test)]
mod api_problems;
#[cfg(test)]
mod api_search;
#[cfg(test)]
mod api_shutdown;
#[cfg(test)]
mod api_staff_views;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod async_provider;
#[cfg(test)]
mod binary;
#[cfg(test)]
mod browsers;
#[cfg(test)]
mod circuits;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod console;
#[cfg(test)]
mod database;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod disbursements;
#[cfg(test)]
mod embedded;
#[cfg(test)]
mod events;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod health;
#[cfg(test)]
mod how_to;
#[cfg(test)]
mod http_protocol;
#[cfg(test)]
mod ingest;
#[cfg(test)]
mod lanes;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod log_level;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod monitoring;
#[cfg(test)]
mod newer_version;
#[cfg(test)]
mod observed_outage;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod pipeline;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod queue;
#[cfg(test)]
mod realtime;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod reencrypt;
#[cfg(test)]
mod reviews;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod statistics;
#[cfg(test)]
mod status_machine;
#[cfg(test)]
mod supervision;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod webhooks;
#[cfg(test)]
mod write_batcher;
