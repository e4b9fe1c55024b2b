//! `[database]` and `[embedded]`: connections to the database, and the private PostgreSQL.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{DatabaseUrl, Environment, require};
use crate::error::Result;

/// Connections to the database.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// The URL of the database. If empty, Aval starts a private PostgreSQL.
    pub url: String,
    /// The URL for migrations, with the user that owns the schema. If empty, `url` is used.
    pub migration_url: String,
    /// A URL that bypasses a connection pooler, for features that need a session (LISTEN, advisory locks). If empty, `url`
    /// is used.
    pub direct_url: String,
    /// The URL of a read replica for lists and statistics. If empty, `url` is used.
    pub read_url: String,
    /// The size of the connection pool.
    pub pool_size: u32,
    /// The maximum share of the pool, in percent, that one account's requests may hold.
    pub account_share_percent: u32,
    /// The maximum share of the pool, in percent, that all searches and exports may hold together.
    pub search_share_percent: u32,
    /// The maximum wait for a connection.
    pub acquire_timeout_ms: u64,
    /// PostgreSQL's `statement_timeout`.
    pub statement_timeout_ms: u64,
    /// The number of future months for which partitions are created.
    pub partitions_ahead_months: u32,
}

impl DatabaseSettings {
    /// In production, rejects a private PostgreSQL that was not explicitly enabled or is not durable, and unencrypted
    /// connections to another machine.
    pub(super) fn validate_for(
        &self,
        environment: Environment,
        embedded: &EmbeddedDatabaseSettings,
    ) -> Result<()> {
        if !environment.is_production() {
            return Ok(());
        }
        require(
            !self.url.is_empty() || embedded.use_in_production,
            "database.url",
            "must be set in production: set DATABASE_URL or DATABASE_URL_FILE, or set AVAL__EMBEDDED__USE_IN_PRODUCTION=true to \
             run a private PostgreSQL in the data directory",
        )?;
        require(
            embedded.durable,
            "embedded.durable",
            "must be true in production: otherwise a power failure loses committed applications",
        )?;
        for (key, url) in self.urls() {
            require(
                url.is_empty() || !DatabaseUrl::parse(url)?.may_be_unencrypted_to_remote(),
                key,
                "would send personal data unencrypted to another machine: add sslmode=verify-full (or at least require)",
            )?;
        }
        Ok(())
    }

    fn urls(&self) -> [(&'static str, &str); 4] {
        [
            ("database.url", &self.url),
            ("database.migration_url", &self.migration_url),
            ("database.direct_url", &self.direct_url),
            ("database.read_url", &self.read_url),
        ]
    }

    pub(super) fn validate(&self) -> Result<()> {
        require(
            self.migration_url.is_empty() || !self.url.is_empty(),
            "database.migration_url",
            "needs database.url: the private database creates its own users",
        )?;
        for (key, url) in [("database.direct_url", &self.direct_url), ("database.read_url", &self.read_url)] {
            require(
                url.is_empty() || !self.url.is_empty(),
                key,
                "needs database.url: the private database has neither a pooler nor a replica",
            )?;
        }
        for (_, url) in self.urls().into_iter().filter(|(_, url)| !url.is_empty()) {
            DatabaseUrl::parse(url)?;
        }
        require(
            (1..=120).contains(&self.partitions_ahead_months),
            "database.partitions_ahead_months",
            "must be from 1 to 120",
        )?;
        require((2..=10_000).contains(&self.pool_size), "database.pool_size", "must be from 2 to 10000")?;
        for (key, percent) in [
            ("database.account_share_percent", self.account_share_percent),
            ("database.search_share_percent", self.search_share_percent),
        ] {
            require((1..=100).contains(&percent), key, "must be from 1 to 100")?;
        }
        require(self.acquire_timeout_ms > 0, "database.acquire_timeout_ms", "must be above 0")
    }

    pub(crate) fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms)
    }

    pub(crate) fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms)
    }
}

impl std::fmt::Debug for DatabaseSettings {
    /// Omits the URLs because they can contain passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseSettings").field("pool_size", &self.pool_size).finish_non_exhaustive()
    }
}

/// The private PostgreSQL that Aval runs when `database.url` is empty.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedDatabaseSettings {
    /// Aval's data directory.
    pub data_dir: PathBuf,
    /// The directory of the PostgreSQL binaries. If empty, Aval searches for it.
    pub bin_dir: PathBuf,
    /// Whether commits survive a power failure (`fsync`).
    pub durable: bool,
    /// The maximum time that PostgreSQL may take to start.
    pub start_timeout_ms: u64,
    /// Whether the private PostgreSQL is allowed in production.
    pub use_in_production: bool,
}
