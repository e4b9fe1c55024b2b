//! Environment variables that are common in other systems and that Aval does not read.
//!
//! A deployment that moves to Aval often still sets such variables. If they were ignored silently, Aval could start with an
//! empty private PostgreSQL although `DB_HOST` names a database. Therefore `aval check-config` lists the variables that are
//! set, with the variable or key to use instead. docs/configuration.md lists all of them.

use std::collections::HashMap;

/// Variables that Aval does not read, each with the variable or key to use instead, or the reason why there is none.
pub const FOREIGN_VARIABLES: [(&str, &str); 22] = [
    ("NODE_ENV", "use AVAL_ENV"),
    ("ENVIRONMENT", "use AVAL_ENV"),
    ("DB_HOST", "use DATABASE_URL"),
    ("DB_PORT", "use DATABASE_URL"),
    ("DB_USERNAME", "use DATABASE_URL"),
    ("DB_PASSWORD", "use DATABASE_URL"),
    ("DB_NAME", "use DATABASE_URL"),
    ("REDIS_HOST", "use REDIS_URL"),
    ("REDIS_PORT", "use REDIS_URL"),
    ("REDIS_PASSWORD", "use REDIS_URL"),
    ("JWT_EXPIRES_IN", "use accounts.access_token_minutes"),
    ("JWT_REFRESH_SECRET", "refresh tokens are random and stored as hashes"),
    ("JWT_REFRESH_EXPIRES_IN", "use accounts.refresh_token_days"),
    ("QUEUE_PREFIX", "the queue is a table of the database"),
    ("QUEUE_DEFAULT_JOB_OPTIONS", "use jobs.max_attempts and jobs.history_retention_days"),
    ("PAYMENT_GATEWAY_URL", "use providers.<country>.base_url"),
    ("EMAIL_PROVIDER_API_KEY", "this version sends no e-mail"),
    ("MAX_PAYLOAD_SIZE_MB", "use server.body_limit_bytes"),
    ("MAX_PAYLOAD_SIZE_BYTES", "use webhooks.body_limit_bytes"),
    ("TRACING_ENABLED", "use OTEL_TRACES_EXPORTER"),
    ("TRACING_EXPORTER", "use OTEL_TRACES_EXPORTER"),
    ("TRACING_OTLP_ENDPOINT", "use OTEL_EXPORTER_OTLP_ENDPOINT"),
];

/// A note for each of these variables that is set.
pub(super) fn notes(variables: &HashMap<String, String>) -> Vec<String> {
    let set = |name: &str| variables.get(name).is_some_and(|value| !value.is_empty());
    FOREIGN_VARIABLES
        .iter()
        .filter(|(name, _)| set(name))
        .map(|(name, instead)| format!("{name} is set, but Aval does not read it: {instead}"))
        .collect()
}
