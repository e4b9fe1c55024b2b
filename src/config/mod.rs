//! Configuration, which is read and validated once at startup.
//!
//! It has four layers, and each layer overrides the ones before it: `default.toml`, `<environment>.toml`, variables named
//! `AVAL__SECTION__KEY`, and variables with short names, which platforms set (`DATABASE_URL`, `PORT`, `LOG_LEVEL`, …). A
//! secret can also be in a file that `<variable>_FILE` names. The two TOML files are compiled into the binary; files in the
//! directory `AVAL_CONFIG_DIR` (default `./config`) replace them. An unknown key or an invalid combination stops the startup
//! with an error that names the key, and the file and line or the variable that sets it.

mod accounts;
mod actors;
mod applications;
mod cache;
mod cors;
mod database;
mod database_url;
mod disbursements;
mod effective;
mod environment;
mod events;
mod foreign;
mod housekeeping;
mod ingest;
mod instance;
mod jobs;
mod limits;
mod lists;
mod load;
mod log;
mod need;
mod origins;
mod providers;
mod redis;
mod remote;
mod reviews;
mod secret_file;
mod secrets;
mod server;
mod staff_views;
mod telemetry;
mod webhook_delivery;
mod webhooks;
mod websocket;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

pub use self::redis::RedisSettings;
pub use accounts::{AccountSettings, GuessingSettings, PasswordSettings};
pub use actors::{ActorSettings, JobPoolSettings, RestartSettings};
pub use applications::NewApplicationSettings;
pub use cache::CacheSettings;
pub use cors::CorsSettings;
pub use database::{DatabaseSettings, EmbeddedDatabaseSettings};
pub use database_url::{DatabaseUrl, ServerVerification};
pub use disbursements::{ApprovalLimits, DisbursementSettings, RailAddresses};
pub use effective::EffectiveValue;
pub use environment::Environment;
pub use events::EventSettings;
pub use foreign::FOREIGN_VARIABLES;
pub use housekeeping::{ArchiveSettings, CronExpression, HousekeepingSettings, MissedPolicy, TaskSchedule};
pub use ingest::IngestSettings;
pub use instance::{InstanceRole, InstanceSettings};
pub use jobs::{JobSettings, OutboxSettings, RedecisionSettings};
pub use limits::{ClassRates, LimitSettings, Rate};
pub use lists::{ListSettings, StatisticsSettings};
pub use log::{LogFormat, LogLevel, LogSettings};
pub use need::Need;
pub use origins::ValueOrigin;
pub use providers::{
    BreakerSettings, CallSettings, ProviderMode, ProviderSettings, ProvidersSection, SimulatorSection,
    WhenOpen,
};
pub use reviews::ReviewSettings;
pub use secrets::{IndexKey, SealingKey, Secrets, SecretsSection, WebhookSecret};
pub use server::{FaultSettings, ServerSettings, TlsSettings, TlsVersion};
pub use staff_views::StaffViewSettings;
pub use telemetry::{TelemetrySettings, TraceExporter, TraceSampler};
pub use webhook_delivery::WebhookDeliverySettings;
pub use webhooks::WebhookSettings;
pub use websocket::WebSocketSettings;

use self::secret_file::Warnings;
use crate::clock::Clock;
use crate::error::{Error, Result};

/// Declares the sections of the configuration. `validate` marks the sections with rules that apply in every environment.
macro_rules! sections {
    ($($(#[$doc:meta])* $section:ident: $settings:ty $(, $validate:ident)?;)+) => {
        /// The whole configuration.
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Settings {
            /// The environment that Aval runs in.
            #[serde(skip)]
            pub environment: Environment,
            /// The directory of the countries' thresholds, if there is one.
            #[serde(skip)]
            pub countries_dir: Option<PathBuf>,
            $(
                #[doc = concat!("`[", stringify!($section), "]`")]
                $(#[$doc])*
                pub $section: $settings,
            )+
            /// Problems that are logged in development and rejected in production.
            #[serde(skip)]
            pub warnings: Vec<String>,
        }

        impl Settings {
            fn validate_sections(&self) -> Result<()> {
                $($(self.$section.$validate()?;)?)+
                Ok(())
            }
        }
    };
}

sections! {
    instance: InstanceSettings, validate;
    server: ServerSettings, validate;
    ///
    /// Incomplete in development: see [`Secrets::complete`].
    secrets: SecretsSection;
    limits: LimitSettings, validate;
    cors: CorsSettings, validate;
    accounts: AccountSettings, validate;
    database: DatabaseSettings, validate;
    embedded: EmbeddedDatabaseSettings;
    redis: RedisSettings;
    cache: CacheSettings, validate;
    log: LogSettings;
    telemetry: TelemetrySettings, validate;
    actors: ActorSettings, validate;
    applications: NewApplicationSettings, validate;
    reviews: ReviewSettings, validate;
    staff_views: StaffViewSettings, validate;
    jobs: JobSettings, validate;
    outbox: OutboxSettings, validate;
    events: EventSettings, validate;
    statistics: StatisticsSettings, validate;
    lists: ListSettings, validate;
    redecision: RedecisionSettings, validate;
    housekeeping: HousekeepingSettings, validate;
    archive: ArchiveSettings, validate;
    websocket: WebSocketSettings, validate;
    webhooks: WebhookSettings, validate;
    webhook_delivery: WebhookDeliverySettings, validate;
    ingest: IngestSettings, validate;
    disbursements: DisbursementSettings, validate;
    providers: ProvidersSection, validate;
    simulator: SimulatorSection;
    faults: FaultSettings;
}

/// The whole configuration of this process as an operator may see it.
pub struct Effective {
    /// Every value with its origin. Secrets are masked.
    pub values: Vec<EffectiveValue>,
    /// The directory of the files; `None` if the files in the binary are used.
    pub dir: Option<PathBuf>,
    /// Notes on variables that are set but not read.
    pub notes: Vec<String>,
    /// The validated settings, or why they are invalid.
    pub settings: Result<Settings>,
}

impl Effective {
    /// Reads the configuration from files and the environment of this process.
    ///
    /// # Errors
    /// [`Error::Configuration`] if a file or a secret file cannot be read, or a file is not TOML.
    pub fn load() -> Result<Self> {
        let variables = process_variables();
        let layers = load::layers(Need::Everything, &variables)?;
        Ok(Self {
            values: layers.values()?,
            dir: layers.dir.clone(),
            notes: foreign::notes(&variables),
            settings: layers.settings(Need::Everything),
        })
    }
}

fn process_variables() -> HashMap<String, String> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

impl Settings {
    /// Reads the settings that a command needs from files and the environment of this process.
    ///
    /// # Errors
    /// [`Error::Configuration`], which names the file or key.
    pub fn load(need: Need) -> Result<Self> {
        load::settings(need, &process_variables())
    }

    /// Reads all settings, with `variables` as the environment.
    ///
    /// # Errors
    /// The errors of [`Settings::load`].
    pub fn from_variables(variables: &HashMap<String, String>) -> Result<Self> {
        load::settings(Need::Everything, variables)
    }

    /// The secrets. In development, missing ones are generated and kept in the data directory.
    ///
    /// # Errors
    /// [`Error::Configuration`], which names the secret or file but never quotes a value.
    pub fn complete_secrets(&self, clock: &Clock) -> Result<Secrets> {
        Secrets::complete(&self.secrets, self.environment, &self.embedded.data_dir, clock)
    }

    /// The number of applications that this instance processes at once.
    pub fn slots(&self) -> usize {
        match self.actors.applications.pool_size {
            0 => self.providers.bulkhead_capacity(),
            configured => configured,
        }
    }

    /// Checks the rules that apply in every environment and to every command.
    fn validate(&self) -> Result<()> {
        self.validate_sections()?;
        let needed = self.actors.write_batchers + self.ingest.writers + 1;
        if self.database.pool_size < needed {
            return Err(Error::configuration(format_args!(
                "database.pool_size must be at least actors.write_batchers + ingest.writers + 1 = {needed}"
            )));
        }
        Ok(())
    }

    /// Checks the rules of the environment for the settings that a command needs. `is_named` is whether `AVAL_ENV` is set.
    fn validate_for(&self, need: Need, is_named: bool, warnings: &mut Warnings) -> Result<()> {
        let environment = self.environment;
        if need != Need::Settings {
            self.database.validate_for(environment, &self.embedded)?;
        }
        if need != Need::Everything {
            return Ok(());
        }
        self.secrets.validate(environment)?;
        self.server.validate_for(environment, is_named)?;
        self.cors.validate_for(environment)?;
        self.redis.validate(environment)?;
        self.providers.validate_for(environment)?;
        self.webhook_delivery.validate_for(environment)?;
        self.disbursements.validate_for(environment)?;
        self.simulator.validate_for(environment)?;
        if environment.is_production() && self.faults.injection {
            return Err(Error::configuration("faults.injection must be false in production"));
        }
        for (key, path) in [
            ("server.tls.private_key_file", &self.server.tls.private_key_file),
            ("accounts.signing_key_file", &self.accounts.signing_key_file),
        ] {
            secret_file::check_mode(key, path, environment, warnings)?;
        }
        Ok(())
    }
}

/// Returns an error with the key and its rule unless the rule `holds`.
fn require(holds: bool, key: &str, rule: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::configuration(format_args!("{key} {rule}"))) }
}

/// The pause `base_ms`, doubled for each attempt after the first, at most `max_ms`.
fn doubled(base_ms: u64, max_ms: u64, attempt: i32) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(30);
    Duration::from_millis(base_ms.saturating_mul(1 << doublings).min(max_ms))
}

#[cfg(test)]
mod tests;
