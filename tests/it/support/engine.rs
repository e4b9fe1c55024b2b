//! An engine with its own database, without HTTP.

use std::collections::HashMap;
use std::sync::Arc;

use aval::app::Engine;
use aval::clock::Clock;
use aval::config::Settings;
use aval::domain::application::{Attribution, Country, NewApplication, TermMonths};
use aval::domain::ids::{ApplicationId, ChangeId, RequestId};
use aval::domain::money::Money;
use aval::domain::personal_data::{FullName, IdentityDocument, PersonalMembers};
use aval::storage::seal::KeyRing;
use aval::telemetry::Telemetry;

use tokio_util::sync::CancellationToken;

use super::db::{TestDatabase, text};
use super::eventually;

/// Settings for all tests, as environment variables. Most shorten waits that take up to a minute in production.
///
/// The duplicate rule is off except in its own tests, because most tests reuse the documents of the specification.
pub(crate) const QUICK: [(&str, &str); 17] = [
    ("AVAL__CACHE__STATISTICS_GRACE_MS", "0"),
    ("AVAL__APPLICATIONS__DUPLICATE_WINDOW_HOURS", "0"),
    ("AVAL__APPLICATIONS__SHARED_TEST_DOCUMENTS", "false"),
    ("AVAL__DATABASE__PARTITIONS_AHEAD_MONTHS", "1"),
    ("AVAL__DATABASE__POOL_SIZE", "6"),
    ("AVAL__INGEST__WRITERS", "2"),
    ("AVAL__INGEST__PARTITIONS_BACK_DAYS", "0"),
    ("AVAL__INGEST__PARTITIONS_AHEAD_DAYS", "0"),
    ("AVAL__JOBS__RETRY_BASE_MS", "20"),
    ("AVAL__JOBS__RETRY_MAX_MS", "100"),
    ("AVAL__JOBS__OVERFLOW_SNOOZE_MS", "20"),
    ("AVAL__ACTORS__RESTART__BACKOFF_BASE_MS", "5"),
    ("AVAL__REDECISION__TICK_MS", "50"),
    ("AVAL__REDECISION__MIN_INTERVAL_MS", "100"),
    ("AVAL__OUTBOX__LEADER_RETRY_MS", "50"),
    ("AVAL__PROVIDERS__DEFAULTS__CALL__RETRY_BACKOFF_MS", "10"),
    ("AVAL__PROVIDERS__DEFAULTS__BREAKER__OPEN_MS", "300"),
];

/// The scheduled tasks. On a new database they are due at the first start. They are off unless a test enables them, so
/// they do not delete expired rows that a test needs.
pub(crate) const SCHEDULED_TASKS: [&str; 15] = [
    "make_partitions",
    "expire_credentials",
    "expire_outbox",
    "expire_consumed_events",
    "expire_idempotency_keys",
    "expire_document_claims",
    "expire_staff_views",
    "expire_security_events",
    "expire_webhooks",
    "expire_webhook_deliveries",
    "expire_ingested_events",
    "expire_job_history",
    "expire_circuit_changes",
    "expire_scheduled_runs",
    "archive",
];

/// The variable with the cron expression of a scheduled task.
pub(crate) fn cron_key(task: &str) -> String {
    format!("AVAL__HOUSEKEEPING__{}__CRON", task.to_uppercase())
}

/// The secrets of all tests, so none are generated in the working directory.
pub(crate) const SECRETS: [(&str, &str); 4] = [
    ("JWT_SECRET", "vZ3k9Qw7Lx2Rt8Yb5Nc1Md6Pf4Gh0Js_"),
    ("ENCRYPTION_KEY", "6rxMyVLkMlGuz2yI3CoZ2G4rJ8Kxyq2gk8cW3M1tQJc="),
    ("INDEX_KEY", "q0c7d8i2w5zB1nXl3eVt9yUoHkGfSaPm4rT6jLqZbNs="),
    ("WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
];

/// As the value of an override, restores the default of `config/default.toml`.
pub(crate) const DEFAULT: &str = "(default)";

/// The configuration of a test: [`QUICK`] and [`SECRETS`] without scheduled tasks, then `overrides`.
pub(crate) fn settings(overrides: &[(&str, &str)]) -> Settings {
    let off = SCHEDULED_TASKS.map(|task| (cron_key(task), "off".to_owned()));
    let given = QUICK.iter().chain(&SECRETS).chain(overrides);
    let mut variables: HashMap<String, String> =
        off.into_iter().chain(given.map(|(key, value)| (key.to_string(), value.to_string()))).collect();
    variables.retain(|_, value| value != DEFAULT);
    Settings::from_variables(&variables).unwrap()
}

/// Like [`settings`], with the URLs of `database` unless `overrides` has one.
pub(crate) fn settings_on(database: &TestDatabase, overrides: &[(&str, &str)]) -> Settings {
    let has_url = overrides.iter().any(|(key, _)| ["DATABASE_URL", "AVAL__DATABASE__URL"].contains(key));
    let urls = database.variables();
    let urls = if has_url { &[] } else { &urls[..] };
    settings(&[urls, overrides].concat())
}

/// A running engine.
pub(crate) struct TestEngine {
    pub(crate) engine: Engine,
    pub(crate) database: TestDatabase,
}

impl TestEngine {
    /// Starts an engine on a new database.
    pub(crate) async fn start(overrides: &[(&str, &str)]) -> Self {
        let database = TestDatabase::create().await;
        let engine = start_engine(&database, overrides).await;
        Self { engine, database }
    }

    /// Passes an application to the write batchers, as the API does.
    pub(crate) async fn submit(&self, country: Country, document: &str) -> ApplicationId {
        let application = application(&self.engine.resources.clock, country, document);
        let id = application.id;
        aval::lending::submit::insert(&self.engine.write_batchers, application).await.unwrap();
        id
    }

    /// Waits until an application has the status.
    pub(crate) async fn reaches(&self, id: ApplicationId, status: &str) {
        let query = format!("SELECT 1 FROM applications WHERE id = '{id}' AND status = '{status}'");
        self.holds(&format!("{id} to become {status}"), &query).await;
    }

    /// Waits until the query returns a row.
    pub(crate) async fn holds(&self, what: &str, query: &str) {
        let mut sql = self.database.connect().await;
        let found = eventually(what, async || text(&mut sql, query).await).await;
        assert!(!found.is_empty());
    }

    /// The single value of a query, as text.
    pub(crate) async fn text(&self, query: &str) -> Option<String> {
        text(&mut self.database.connect().await, query).await
    }

    /// An application's statuses, oldest first, separated by spaces.
    pub(crate) async fn trail(&self, id: ApplicationId) -> String {
        let query = format!(
            "SELECT string_agg(new_status::text, ' ' ORDER BY version) FROM audit_logs WHERE application_id = '{id}'"
        );
        self.text(&query).await.unwrap_or_default()
    }
}

/// Starts an engine on a database that other engines may already use.
pub(crate) async fn start_engine(database: &TestDatabase, overrides: &[(&str, &str)]) -> Engine {
    try_start_engine(database, overrides).await.unwrap()
}

/// Like [`start_engine`], for an engine that may refuse its configuration.
pub(crate) async fn try_start_engine(
    database: &TestDatabase,
    overrides: &[(&str, &str)],
) -> aval::error::Result<Engine> {
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let settings = Arc::new(settings_on(database, overrides));
    let telemetry = Telemetry::new(&settings, &Clock::system(), logger, &aval::app::known_labels()).unwrap();
    let url = settings.database.url.clone();
    Engine::start(settings, &url, telemetry, Clock::system(), CancellationToken::new()).await
}

/// An application that its country's rules approve if the report for its document is clean.
pub(crate) fn application(clock: &Clock, country: Country, document: &str) -> NewApplication {
    let (amount, income) = super::builders::approvable(country);
    NewApplication {
        id: ApplicationId::new(clock.new_uuid()),
        country,
        full_name: FullName::parse("Ana García").unwrap(),
        identity_document: IdentityDocument::from_normalized(document.to_owned()),
        requested_amount: Money::parse_positive(&amount).unwrap(),
        monthly_income: Money::parse_positive(&income).unwrap(),
        term_months: TermMonths::DEFAULT,
        birth_date: None,
        country_specific_data: serde_json::Map::new(),
        personal_data: PersonalMembers::default(),
        created_by: "tester".to_owned(),
        attribution: Attribution {
            change_id: ChangeId::new(clock.new_uuid()),
            changed_by: "tester".to_owned(),
            reason: None,
            request_id: RequestId::parse("test-request"),
        },
        traceparent: None,
    }
}

/// The encryption keys of a configuration.
pub(crate) fn key_ring(settings: &Settings) -> Arc<KeyRing> {
    let secrets = settings.complete_secrets(&Clock::system()).unwrap();
    Arc::new(KeyRing::of(&secrets).unwrap())
}
