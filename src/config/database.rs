//! `[database]` and `[embedded]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{DatabaseUrl, Environment, require};
use crate::error::Result;

/// The database that everything is stored in.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// Where it is; empty for the private one.
    pub url: String,
    /// As whom the schema is changed; empty: as `url` says.
    pub migration_url: String,
    /// Past a pooler, for what needs a connection of its own; empty: `url`.
    pub direct_url: String,
    /// A replica that lists and statistics are read from; empty: `url`.
    pub read_url: String,
    /// Connections of the pool.
    pub pool_size: u32,
    /// The share of the pool that may be lent for one account at once, in percent.
    pub account_share_percent: u32,
    /// The share of the pool that may be lent for searches and exports at once, in percent.
    pub search_share_percent: u32,
    /// Longest wait for a connection.
    pub acquire_timeout_ms: u64,
    /// Longest run time of a statement.
    pub statement_timeout_ms: u64,
    /// Months that partitions are made ahead for.
    pub partitions_ahead_months: u32,
}

impl DatabaseSettings {
    /// Refuses in production what is only convenient: a private database that was not asked for, and clear text to another
    /// machine.
    pub(super) fn validate_for(
        &self,
        environment: Environment,
        embedded: &EmbeddedDatabaseSettings,
    ) -> Result<()> {
        if environment == Environment::Development {
            return Ok(());
        }
        require(
            !self.url.is_empty() || embedded.use_in_production,
            "database.url",
            "must be set in production: DATABASE_URL, or DATABASE_URL_FILE (or say that Aval is to run a private \
             PostgreSQL in its data directory: AVAL__EMBEDDED__USE_IN_PRODUCTION=true)",
        )?;
        require(
            embedded.durable,
            "embedded.durable",
            "must be true in production: without it a power cut loses what was answered with a 201",
        )?;
        for (key, url) in self.urls() {
            require(
                url.is_empty() || !DatabaseUrl::parse(url)?.may_be_plaintext_to_elsewhere(),
                key,
                "would send personal data to another machine in the clear: add sslmode=verify-full (or at least require)",
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
            "needs database.url: the private database has users of its own",
        )?;
        for (key, url) in [("database.direct_url", &self.direct_url), ("database.read_url", &self.read_url)] {
            require(
                url.is_empty() || !self.url.is_empty(),
                key,
                "needs database.url: the private database has neither pooler nor replica",
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

    /// Longest run time of a statement.
    pub fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms)
    }

    /// Longest wait for a connection.
    pub fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms)
    }
}

impl std::fmt::Debug for DatabaseSettings {
    /// Without the URL: it holds a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseSettings").field("pool_size", &self.pool_size).finish_non_exhaustive()
    }
}

/// The private PostgreSQL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedDatabaseSettings {
    /// Aval's data folder.
    pub data_dir: PathBuf,
    /// Where the server binaries are; empty to search.
    pub bin_dir: PathBuf,
    /// Whether commits survive a power cut.
    pub durable: bool,
    /// How long a start may take.
    pub start_timeout_ms: u64,
    /// Says in production that the private database is meant.
    pub use_in_production: bool,
}
