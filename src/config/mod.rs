//! Configuration: read once at boot, checked as a whole, then never changed.
//!
//! Layers, each over the one before: `default.toml`, `<environment>.toml`, variables named
//! `AVAL__SECTION__KEY`, and the short names that platforms set (`DATABASE_URL`, `PORT`, `LOG_LEVEL`,
//! `AVAL_DATA_DIR`, `AVAL_PG_BIN`, `REDIS_URL`, and the secrets, also as `<variable>_FILE`). Both files are compiled in, so that the binary runs from anywhere; a folder
//! named by `AVAL_CONFIG_DIR` (default `./config`) replaces them. Unknown keys and impossible combinations end the
//! start with a sentence that names the key.

mod accounts;
mod actors;
mod applications;
mod cache;
mod cors;
mod database;
mod database_url;
mod elsewhere;
mod housekeeping;
mod instance;
mod jobs;
mod limits;
mod lists;
mod log;
mod need;
mod providers;
mod redis;
mod secret_file;
mod secrets;
mod server;
mod staff_views;
mod webhooks;
mod websocket;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use config::{File, FileFormat};
use serde::Deserialize;

pub use self::redis::RedisSettings;
pub use accounts::{AccountSettings, GuessingSettings, PasswordSettings};
pub use actors::{ActorSettings, ApplicationActorSettings, RestartSettings};
pub use applications::NewApplicationSettings;
pub use cache::CacheSettings;
pub use cors::CorsSettings;
pub use database::{DatabaseSettings, EmbeddedDatabaseSettings};
pub use database_url::{DatabaseUrl, ServerVerification};
pub use housekeeping::{ArchiveSettings, CronExpression, HousekeepingSettings, MissedPolicy, TaskSchedule};
pub use instance::{InstanceRole, InstanceSettings};
pub use jobs::{JobSettings, OutboxSettings, RedecisionSettings};
pub use limits::{ClassRates, LimitSettings, Rate};
pub use lists::{ListSettings, StatisticsSettings};
pub use log::{LogFormat, LogLevel, LogSettings};
pub use need::Need;
pub use providers::{
    BreakerSettings, CallSettings, ProviderMode, ProviderSettings, ProvidersSection, SimulatorSection,
    WhenOpen,
};
pub use secrets::{IndexKey, SealingKey, Secrets, SecretsSection, WebhookSecret};
pub use server::{FaultSettings, ServerSettings, TlsSettings};
pub use staff_views::StaffViewSettings;
pub use webhooks::WebhookSettings;
pub use websocket::WebSocketSettings;

use self::secret_file::Warnings;
use crate::clock::Clock;
use crate::error::{Error, Result};

const DEFAULT_TOML: &str = include_str!("../../config/default.toml");
const DEVELOPMENT_TOML: &str = include_str!("../../config/development.toml");
const PRODUCTION_TOML: &str = include_str!("../../config/production.toml");

/// Variables that hold a secret or the name of a file with one (`<variable>_FILE`), and the keys that they set.
const SECRET_VARIABLES: [(&str, &str); 9] = [
    ("DATABASE_URL", "database.url"),
    ("DATABASE_MIGRATION_URL", "database.migration_url"),
    ("DATABASE_DIRECT_URL", "database.direct_url"),
    ("DATABASE_READ_URL", "database.read_url"),
    ("REDIS_URL", "redis.url"),
    ("JWT_SECRET", "secrets.jwt"),
    ("ENCRYPTION_KEY", "secrets.encryption"),
    ("INDEX_KEY", "secrets.index"),
    ("WEBHOOK_SECRET", "secrets.webhook"),
];

/// Where Aval runs. Production refuses what is only convenient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine; also what tests use.
    Development,
    /// Real applicants.
    Production,
}

impl Environment {
    fn parse(name: &str) -> Result<Self> {
        match name {
            "" | "development" => Ok(Self::Development),
            "production" => Ok(Self::Production),
            other => Err(Error::configuration(format_args!(
                "AVAL_ENV is {other:?}; it must be \"development\" or \"production\""
            ))),
        }
    }

    const fn file_name(self) -> &'static str {
        match self {
            Self::Development => "development.toml",
            Self::Production => "production.toml",
        }
    }

    const fn built_in(self) -> &'static str {
        match self {
            Self::Development => DEVELOPMENT_TOML,
            Self::Production => PRODUCTION_TOML,
        }
    }
}

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where Aval runs.
    pub environment: Environment,
    /// The folder with the countries' thresholds, when there is one.
    pub countries_dir: Option<PathBuf>,
    /// `[instance]`
    pub instance: InstanceSettings,
    /// `[server]`
    pub server: ServerSettings,
    /// `[secrets]`, which may lack some in development: [`Secrets::complete`]
    pub secrets: SecretsSection,
    /// `[limits]`
    pub limits: LimitSettings,
    /// `[cors]`
    pub cors: CorsSettings,
    /// `[accounts]`
    pub accounts: AccountSettings,
    /// `[database]`
    pub database: DatabaseSettings,
    /// `[embedded]`
    pub embedded: EmbeddedDatabaseSettings,
    /// `[redis]`
    pub redis: RedisSettings,
    /// `[cache]`
    pub cache: CacheSettings,
    /// `[log]`
    pub log: LogSettings,
    /// `[actors]`
    pub actors: ActorSettings,
    /// `[applications]`
    pub applications: NewApplicationSettings,
    /// `[staff_views]`
    pub staff_views: StaffViewSettings,
    /// `[jobs]`
    pub jobs: JobSettings,
    /// `[outbox]`
    pub outbox: OutboxSettings,
    /// `[statistics]`
    pub statistics: StatisticsSettings,
    /// `[lists]`
    pub lists: ListSettings,
    /// `[redecision]`
    pub redecision: RedecisionSettings,
    /// `[housekeeping]`
    pub housekeeping: HousekeepingSettings,
    /// `[archive]`
    pub archive: ArchiveSettings,
    /// `[websocket]`
    pub websocket: WebSocketSettings,
    /// `[webhooks]`
    pub webhooks: WebhookSettings,
    /// `[providers]`
    pub providers: ProvidersSection,
    /// `[simulator]`
    pub simulator: SimulatorSection,
    /// `[faults]`
    pub faults: FaultSettings,
    /// What development accepts and production would refuse, for the log.
    pub warnings: Vec<String>,
}

/// The sections as they stand in the files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sections {
    instance: InstanceSettings,
    server: ServerSettings,
    secrets: SecretsSection,
    limits: LimitSettings,
    cors: CorsSettings,
    accounts: AccountSettings,
    database: DatabaseSettings,
    embedded: EmbeddedDatabaseSettings,
    redis: RedisSettings,
    cache: CacheSettings,
    log: LogSettings,
    actors: ActorSettings,
    applications: NewApplicationSettings,
    staff_views: StaffViewSettings,
    jobs: JobSettings,
    outbox: OutboxSettings,
    statistics: StatisticsSettings,
    lists: ListSettings,
    redecision: RedecisionSettings,
    housekeeping: HousekeepingSettings,
    archive: ArchiveSettings,
    websocket: WebSocketSettings,
    webhooks: WebhookSettings,
    providers: ProvidersSection,
    simulator: SimulatorSection,
    faults: FaultSettings,
}

impl Settings {
    /// Reads the configuration of this process, for a command with this need.
    ///
    /// # Errors
    /// [`Error::Configuration`] that names the file or key.
    pub fn load(need: Need) -> Result<Self> {
        let variables = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        Self::for_need(need, &variables)
    }

    /// Reads the configuration for everything as if `variables` were the environment.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn from_variables(variables: &HashMap<String, String>) -> Result<Self> {
        Self::for_need(Need::Everything, variables)
    }

    fn for_need(need: Need, variables: &HashMap<String, String>) -> Result<Self> {
        let get = |name: &str| variables.get(name).map(String::as_str).filter(|v| !v.is_empty());
        let environment = Environment::parse(get("AVAL_ENV").unwrap_or_default())?;
        let dir = config_dir(get("AVAL_CONFIG_DIR"))?;
        let mut warnings = Warnings::new();
        let mut layer = |name: &str, built_in: &str| -> Result<String> {
            let Some(path) = dir.as_deref().map(|d| d.join(name)).filter(|path| path.exists()) else {
                return Ok(built_in.to_owned());
            };
            let text = read_file(&path)?;
            if secret_file::holds_secret(&text) {
                secret_file::check_mode(name, &path, environment, &mut warnings)?;
            }
            Ok(text)
        };
        let mut builder = config::Config::builder()
            .add_source(File::from_str(&layer("default.toml", DEFAULT_TOML)?, FileFormat::Toml))
            .add_source(File::from_str(
                &layer(environment.file_name(), environment.built_in())?,
                FileFormat::Toml,
            ))
            .add_source(
                config::Environment::with_prefix("AVAL")
                    .prefix_separator("__")
                    .separator("__")
                    .try_parsing(true)
                    .list_separator(",")
                    .with_list_parse_key("instance.roles")
                    .with_list_parse_key("server.trusted_proxies")
                    .with_list_parse_key("cors.allowed_origins")
                    .source(Some(variables.clone().into_iter().collect())),
            );
        for (variable, key) in [
            ("PORT", "server.port"),
            ("LOG_LEVEL", "log.level"),
            ("AVAL_DATA_DIR", "embedded.data_dir"),
            ("AVAL_PG_BIN", "embedded.bin_dir"),
        ] {
            builder = builder.set_override_option(key, get(variable)).map_err(Error::configuration)?;
        }
        for (variable, key) in SECRET_VARIABLES.into_iter().filter(|(_, key)| need.uses(key)) {
            let value = secret_file::value_of(variable, environment, &get, &mut warnings)?;
            builder = builder.set_override_option(key, value).map_err(Error::configuration)?;
        }
        let sections: Sections =
            builder.build().and_then(config::Config::try_deserialize).map_err(Error::configuration)?;
        let countries_dir = dir.map(|d| d.join("countries")).filter(|d| d.is_dir());
        let mut settings = Self::of_sections(environment, countries_dir, sections);
        settings.validate()?;
        settings.validate_for(need, get("AVAL_ENV").is_some(), &mut warnings)?;
        settings.warnings = warnings;
        Ok(settings)
    }

    /// The secrets; in development those that are missing are made and kept in the data directory.
    ///
    /// # Errors
    /// [`Error::Configuration`] that names the secret or the file, never a value.
    pub fn complete_secrets(&self, clock: &Clock) -> Result<Secrets> {
        Secrets::complete(&self.secrets, self.environment, &self.embedded.data_dir, clock)
    }

    fn of_sections(environment: Environment, countries_dir: Option<PathBuf>, sections: Sections) -> Self {
        Self {
            environment,
            countries_dir,
            instance: sections.instance,
            server: sections.server,
            secrets: sections.secrets,
            limits: sections.limits,
            cors: sections.cors,
            accounts: sections.accounts,
            database: sections.database,
            embedded: sections.embedded,
            redis: sections.redis,
            cache: sections.cache,
            log: sections.log,
            actors: sections.actors,
            applications: sections.applications,
            staff_views: sections.staff_views,
            jobs: sections.jobs,
            outbox: sections.outbox,
            statistics: sections.statistics,
            lists: sections.lists,
            redecision: sections.redecision,
            housekeeping: sections.housekeeping,
            archive: sections.archive,
            websocket: sections.websocket,
            webhooks: sections.webhooks,
            providers: sections.providers,
            simulator: sections.simulator,
            faults: sections.faults,
            warnings: Vec::new(),
        }
    }

    /// What holds for every environment and command.
    fn validate(&self) -> Result<()> {
        self.instance.validate()?;
        self.accounts.validate()?;
        self.server.validate()?;
        self.limits.validate()?;
        self.cors.validate()?;
        self.database.validate()?;
        self.cache.validate()?;
        self.actors.validate()?;
        self.applications.validate()?;
        self.staff_views.validate()?;
        self.jobs.validate()?;
        self.outbox.validate()?;
        self.statistics.validate()?;
        self.lists.validate()?;
        self.redecision.validate()?;
        self.housekeeping.validate()?;
        self.archive.validate()?;
        self.websocket.validate()?;
        self.webhooks.validate()?;
        self.providers.validate()?;
        let write_batchers = self.actors.write_batchers;
        if self.database.pool_size < write_batchers + 2 {
            return Err(Error::configuration(format_args!(
                "database.pool_size must be at least actors.write_batchers + 2 = {}",
                write_batchers + 2
            )));
        }
        Ok(())
    }

    /// What the environment asks of what a command uses. `is_named` says whether `AVAL_ENV` is set.
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
        self.simulator.validate_for(environment)?;
        if environment == Environment::Production && self.faults.injection {
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

fn config_dir(named: Option<&str>) -> Result<Option<PathBuf>> {
    match named {
        Some(dir) if Path::new(dir).is_dir() => Ok(Some(PathBuf::from(dir))),
        Some(dir) => Err(Error::configuration(format_args!("AVAL_CONFIG_DIR {dir:?} is not a folder"))),
        None => Ok(Some(PathBuf::from("config")).filter(|d| d.join("default.toml").exists())),
    }
}

fn read_file(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::configuration(format_args!("{}: {e}", path.display())))
}

/// Fails with the key's name unless `holds`.
fn require(holds: bool, key: &str, rule: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::configuration(format_args!("{key} {rule}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::application::Country;

    fn load(pairs: &[(&str, &str)]) -> Result<Settings> {
        Settings::from_variables(&pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    fn refusal(pairs: &[(&str, &str)]) -> String {
        load(pairs).expect_err("must be refused").to_string()
    }

    /// As production, with simulators said to be meant.
    fn load_production(pairs: &[(&str, &str)]) -> Result<Settings> {
        let simulators: Vec<String> =
            Country::ALL.iter().map(|country| format!("AVAL__PROVIDERS__{country}__SIMULATOR")).collect();
        let mut all = vec![
            ("AVAL_ENV", "production"),
            ("JWT_SECRET", "vZ3k9Qw7Lx2Rt8Yb5Nc1Md6Pf4Gh0Js_"),
            ("ENCRYPTION_KEY", "6rxMyVLkMlGuz2yI3CoZ2G4rJ8Kxyq2gk8cW3M1tQJc="),
            ("INDEX_KEY", "q0c7d8i2w5zB1nXl3eVt9yUoHkGfSaPm4rT6jLqZbNs="),
            ("WEBHOOK_SECRET", "whsec_kT8w2Zr5Vx1Qm9Lc4Yb7Nf3Hj6Ds0GaP"),
            ("DATABASE_URL", "host=localhost"),
        ];
        all.extend(simulators.iter().map(|key| (key.as_str(), "true")));
        all.extend(pairs);
        load(&all)
    }

    #[test]
    fn the_defaults_are_complete_and_valid() {
        let settings = load(&[]).unwrap();
        assert_eq!(settings.server.port, 8000);
        assert!(settings.faults.injection, "development has fault injection");
        assert!(settings.database.url.is_empty());
    }

    #[test]
    fn a_pool_without_connections_is_refused_instead_of_panicking_later() {
        assert!(refusal(&[("AVAL__DATABASE__POOL_SIZE", "0")]).contains("database.pool_size"));
    }

    #[test]
    fn the_default_pool_has_room_for_the_full_bulkhead_of_every_country() {
        let settings = load(&[]).unwrap();
        let bulkheads = Country::ALL.map(|country| {
            let call = settings.providers.of(country).call;
            call.max_in_flight + call.max_queued
        });
        let places = u32::try_from(settings.actors.applications.pool_size).unwrap();
        assert!(places >= bulkheads.iter().sum::<u32>());
    }

    #[test]
    fn variables_win_over_files_and_short_names_over_long_ones() {
        let settings = load(&[
            ("AVAL__SERVER__PORT", "9000"),
            ("AVAL__ACTORS__APPLICATIONS__POOL_SIZE", "7"),
            ("LOG_LEVEL", "debug"),
            ("DATABASE_URL", "postgres://localhost/aval"),
        ])
        .unwrap();
        assert_eq!((settings.server.port, settings.actors.applications.pool_size), (9000, 7));
        assert_eq!(load(&[("AVAL__SERVER__PORT", "9000"), ("PORT", "9001")]).unwrap().server.port, 9001);
        assert_eq!(settings.database.url, "postgres://localhost/aval");
        assert_eq!(settings.log.level, LogLevel::Debug);
    }

    #[test]
    fn a_secret_may_stand_in_a_file_but_not_in_two_places() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "postgres://localhost/from_file\n").unwrap();
        let path = file.path().to_str().unwrap();
        let settings = load(&[("DATABASE_URL_FILE", path)]).unwrap();
        assert_eq!(settings.database.url, "postgres://localhost/from_file");
        assert!(refusal(&[("DATABASE_URL_FILE", path), ("DATABASE_URL", "x")]).contains("both"));
        assert!(refusal(&[("JWT_SECRET_FILE", "/nonexistent")]).contains("JWT_SECRET_FILE"));
    }

    #[test]
    fn an_unknown_key_or_a_bad_value_is_refused_by_name() {
        assert!(refusal(&[("AVAL__SERVER__PROT", "1")]).contains("prot"));
        assert!(refusal(&[("AVAL__SERVER__PORT", "many")]).contains("port"));
        assert!(refusal(&[("AVAL__PROVIDERS__ES__BASE_ULR", "http://x")]).contains("base_ulr"));
        assert!(refusal(&[("AVAL__PROVIDERS__DEFAULTS__CALL__RETRYS", "1")]).contains("retrys"));
        assert!(refusal(&[("AVAL_ENV", "staging")]).contains("staging"));
        assert!(refusal(&[("AVAL__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,here")]).contains("trusted_proxies"));
        assert!(refusal(&[("AVAL__SERVER__TLS__CERTIFICATE_FILE", "a.pem")]).contains("private_key_file"));
        assert!(refusal(&[("AVAL__CORS__ALLOWED_ORIGINS", "*")]).contains("cors.allowed_origins"));
        assert!(refusal(&[("AVAL__LIMITS__CREATE__USER__BURST", "0")]).contains("burst"));
        assert!(refusal(&[("AVAL__LIMITS__LOGIN__USER__BURST", "10000")]).contains("limits.login"));
        assert!(refusal(&[("AVAL__JOBS__HEARTBEAT_MS", "30000")]).contains("jobs.heartbeat_ms"));
        assert!(refusal(&[("AVAL__PROVIDERS__ES__BREAKER__MIN_CALLS", "0")]).contains("min_calls"));
        assert!(refusal(&[("AVAL__DATABASE__POOL_SIZE", "3")]).contains("pool_size"));
        assert!(refusal(&[("AVAL__WEBHOOKS__RETENTION_DAYS", "29")]).contains("webhooks.retention_days"));
        assert!(
            refusal(&[("AVAL__HOUSEKEEPING__ARCHIVE__CRON", "daily")]).contains("housekeeping.archive.cron")
        );
        assert!(refusal(&[("AVAL__HOUSEKEEPING__ARCHIVE__MISSED", "panic")]).contains("panic"));
        assert!(refusal(&[("AVAL__HOUSEKEEPING__TIME_ZONE", "Atlantis")]).contains("housekeeping.time_zone"));
        assert!(
            refusal(&[("AVAL__JOBS__HISTORY_RETENTION_DAYS", "6")]).contains("jobs.history_retention_days")
        );
        assert!(refusal(&[("AVAL__ARCHIVE__AFTER_MONTHS", "0")]).contains("archive.after_months"));
        assert!(refusal(&[("AVAL_CONFIG_DIR", "/nonexistent")]).contains("AVAL_CONFIG_DIR"));
    }

    #[test]
    fn production_wants_a_provider_or_an_explicit_simulator_for_every_country() {
        let without_secrets = [("AVAL_ENV", "production"), ("DATABASE_URL", "host=localhost")];
        assert!(refusal(&without_secrets).contains("JWT_SECRET"));
        let mut pairs: Vec<(String, &str)> = vec![
            ("AVAL_ENV".into(), "production"),
            ("JWT_SECRET".into(), "vZ3k9Qw7Lx2Rt8Yb5Nc1Md6Pf4Gh0Js_"),
            ("ENCRYPTION_KEY".into(), "6rxMyVLkMlGuz2yI3CoZ2G4rJ8Kxyq2gk8cW3M1tQJc="),
            ("INDEX_KEY".into(), "q0c7d8i2w5zB1nXl3eVt9yUoHkGfSaPm4rT6jLqZbNs="),
            ("WEBHOOK_SECRET".into(), "whsec_kT8w2Zr5Vx1Qm9Lc4Yb7Nf3Hj6Ds0GaP"),
            ("DATABASE_URL".into(), "host=localhost"),
        ];
        for country in ["ES", "PT", "IT", "MX", "CO"] {
            pairs.push((format!("AVAL__PROVIDERS__{country}__SIMULATOR"), "true"));
        }
        pairs.push(("AVAL__PROVIDERS__BR__BASE_URL".into(), "https://bureau.example"));
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        assert!(load(&pairs).is_ok());
        let without = |key: &str| pairs.iter().filter(|(k, _)| *k != key).copied().collect::<Vec<_>>();
        assert!(refusal(&without("AVAL__PROVIDERS__ES__SIMULATOR")).contains("providers.es"));
        let mut with_faults = pairs.clone();
        with_faults.push(("AVAL__FAULTS__INJECTION", "true"));
        assert!(refusal(&with_faults).contains("faults.injection"));
    }

    #[test]
    fn production_speaks_to_no_database_elsewhere_in_the_clear() {
        for key in ["DATABASE_URL", "DATABASE_MIGRATION_URL"] {
            let with = |url| load_production(&[("DATABASE_URL", "host=localhost"), (key, url)]);
            let refused =
                with("postgres://aval:hunter2@db.example/aval").expect_err("must be refused").to_string();
            assert!(refused.contains("sslmode") && !refused.contains("hunter2"), "{refused}");
            assert!(with("postgres://db.example/aval?sslmode=verify-full").is_ok());
        }
        assert!(load(&[("DATABASE_URL", "postgres://db.example/aval")]).is_ok());
        assert!(refusal(&[("DATABASE_MIGRATION_URL", "host=localhost")]).contains("database.migration_url"));
    }

    #[test]
    fn production_speaks_to_no_redis_elsewhere_in_the_clear() {
        let with = |url| load_production(&[("REDIS_URL", url)]);
        let refused = with("redis://aval:hunter2@cache.example/0").expect_err("must be refused").to_string();
        assert!(refused.contains("rediss://") && !refused.contains("hunter2"), "{refused}");
        for url in ["rediss://cache.example/0", "redis://localhost", "unix:///run/redis.sock"] {
            assert!(with(url).is_ok(), "{url}");
        }
        assert!(load(&[("REDIS_URL", "redis://cache.example")]).is_ok(), "development");
        assert!(!load(&[]).unwrap().redis.is_configured());
    }

    #[test]
    fn an_address_of_redis_that_cannot_be_used_is_refused_without_repeating_it() {
        for url in ["http://:hunter2@cache.example", "hunter2", "rediss://:hunter2@cache.example/#insecure"] {
            let refused = refusal(&[("REDIS_URL", url)]);
            assert!(refused.contains("REDIS_URL") && !refused.contains("hunter2"), "{refused}");
        }
        assert!(refusal(&[("AVAL__REDIS__KEY_PREFIX", "a b")]).contains("redis.key_prefix"));
        assert!(refusal(&[("AVAL__REDIS__POOL_SIZE", "0")]).contains("redis.pool_size"));
        assert!(refusal(&[("AVAL__CACHE__LIST_TTL_MS", "0")]).contains("cache.list_ttl_ms"));
    }

    #[test]
    fn lists_are_read_from_variables_with_commas() {
        let settings = load(&[
            ("AVAL__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8"),
            ("AVAL__CORS__ALLOWED_ORIGINS", "https://console.example"),
        ])
        .unwrap();
        assert_eq!(settings.server.trusted_proxies.len(), 2);
        assert_eq!(settings.cors.allowed_origins, ["https://console.example"]);
    }

    #[test]
    fn development_has_no_rate_limits_and_production_those_of_the_specification() {
        assert!(!load(&[]).unwrap().limits.enabled);
        let limits = load_production(&[]).unwrap().limits;
        assert!(limits.enabled);
        let per_minute = |rates: ClassRates| {
            [rates.address, rates.user, rates.analyst, rates.admin].map(|rate| rate.per_minute.get())
        };
        assert_eq!(per_minute(limits.create), [10; 4]);
        assert_eq!(per_minute(limits.webhook), [100; 4]);
        assert_eq!(per_minute(limits.login), [5; 4]);
    }

    #[test]
    fn production_is_not_reached_from_elsewhere_without_tls() {
        let refused = load_production(&[("AVAL__SERVER__HOST", "0.0.0.0")]).expect_err("must be refused");
        assert!(refused.to_string().contains("server.host"));
        for accepted in
            [("AVAL__SERVER__PLAINTEXT_BEHIND_PROXY", "true"), ("AVAL__SERVER__HOST", "127.0.0.1")]
        {
            assert!(load_production(&[("AVAL__SERVER__HOST", "0.0.0.0"), accepted]).is_ok(), "{accepted:?}");
        }
        let tls =
            [("AVAL__SERVER__TLS__CERTIFICATE_FILE", "a"), ("AVAL__SERVER__TLS__PRIVATE_KEY_FILE", "b")];
        assert!(load_production(&[&tls[..], &[("AVAL__SERVER__HOST", "::")]].concat()).is_ok());
    }

    #[test]
    fn an_address_that_others_reach_needs_an_environment_that_was_chosen() {
        let unnamed = refusal(&[("AVAL__SERVER__HOST", "0.0.0.0")]);
        assert!(unnamed.contains("server.host") && unnamed.contains("AVAL_ENV=production"), "{unnamed}");
        assert!(refusal(&[("AVAL__SERVER__HOST", "::"), ("AVAL_ENV", "")]).contains("AVAL_ENV"));
        let named = [("AVAL__SERVER__HOST", "0.0.0.0"), ("AVAL_ENV", "development")];
        assert!(load(&named).is_ok(), "containers of developers");
    }

    #[test]
    fn production_refuses_what_is_only_convenient_with_the_key_and_the_remedy() {
        for (variable, value, key, remedy) in [
            ("AVAL__PROVIDERS__ES__BASE_URL", "http://bureau.example", "providers.es.base_url", "https://"),
            ("AVAL__PROVIDERS__BR__BASE_URL", "HTTP://10.0.0.5/v1", "providers.br.base_url", "https://"),
            ("AVAL__SIMULATOR__CALLBACK_URL", "http://api.internal/x", "simulator.callback_url", "https://"),
            ("AVAL__SIMULATOR__HOST", "0.0.0.0", "simulator.host", "loopback"),
            ("AVAL__CORS__ALLOWED_ORIGINS", "http://console.example", "cors.allowed_origins", "https://"),
            ("AVAL__SERVER__TRUSTED_PROXIES", "0.0.0.0/0", "server.trusted_proxies", "10.0.3.0/24"),
            ("AVAL__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,::/0", "server.trusted_proxies", "10.0.3.0/24"),
            ("AVAL__EMBEDDED__DURABLE", "false", "embedded.durable", "power cut"),
        ] {
            let refused = load_production(&[(variable, value)]).expect_err(value).to_string();
            assert!(refused.contains(key) && refused.contains(remedy), "{refused}");
            assert!(load(&[(variable, value)]).is_ok(), "development: {variable}={value}");
        }
        for (variable, value) in [
            ("AVAL__PROVIDERS__ES__BASE_URL", "https://bureau.example"),
            ("AVAL__PROVIDERS__ES__BASE_URL", "http://127.0.0.1:8090/es"),
            ("AVAL__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8"),
        ] {
            assert!(load_production(&[(variable, value)]).is_ok(), "{variable}={value}");
        }
    }

    #[test]
    fn production_runs_a_private_database_only_where_that_is_asked_for() {
        let refused = load_production(&[("DATABASE_URL", "")]).expect_err("must be refused").to_string();
        assert!(refused.contains("DATABASE_URL") && refused.contains("USE_IN_PRODUCTION"), "{refused}");
        let asked = [("DATABASE_URL", ""), ("AVAL__EMBEDDED__USE_IN_PRODUCTION", "true")];
        assert!(load_production(&asked).is_ok());
    }

    #[test]
    fn a_command_needs_only_what_it_uses() {
        let load = |need, pairs: &[(&str, &str)]| {
            let production = [("AVAL_ENV", "production")];
            let all = production.iter().chain(pairs).map(|(k, v)| (k.to_string(), v.to_string()));
            Settings::for_need(need, &all.collect())
        };
        let url = ("DATABASE_URL", "host=localhost");
        assert!(load(Need::Database, &[url, ("JWT_SECRET_FILE", "/nonexistent")]).is_ok());
        assert!(load(Need::Everything, &[url]).unwrap_err().to_string().contains("JWT_SECRET"));
        assert!(load(Need::Database, &[]).unwrap_err().to_string().contains("DATABASE_URL"));
        let clear = ("DATABASE_URL", "postgres://db.example/aval");
        assert!(load(Need::Database, &[clear]).unwrap_err().to_string().contains("sslmode"));
        assert!(load(Need::Settings, &[("DATABASE_URL_FILE", "/nonexistent")]).is_ok());
        let wrong = ("AVAL__SERVER__KEEP_ALIVE_MS", "1");
        assert!(load(Need::Settings, &[wrong]).unwrap_err().to_string().contains("keep_alive_ms"));
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused_in_production_and_told_of_in_development() {
        use std::os::unix::fs::PermissionsExt as _;

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "vZ3k9Qw7Lx2Rt8Yb5Nc1Md6Pf4Gh0Js_\n").unwrap();
        let path = file.path().to_str().unwrap();
        let tls =
            [("AVAL__SERVER__TLS__CERTIFICATE_FILE", "a"), ("AVAL__SERVER__TLS__PRIVATE_KEY_FILE", path)];
        let cases = [
            ("JWT_SECRET_FILE", vec![("JWT_SECRET", ""), ("JWT_SECRET_FILE", path)]),
            ("signing_key_file", vec![("AVAL__ACCOUNTS__SIGNING_KEY_FILE", path)]),
            ("private_key_file", tls.to_vec()),
        ];
        for (mode, is_open) in [(0o600, false), (0o644, true), (0o640, true)] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            for (key, pairs) in &cases {
                let refused = load_production(pairs).err().map(|error| error.to_string());
                assert_eq!(refused.is_some(), is_open, "{key} {mode:o}: {refused:?}");
                assert!(refused.is_none_or(|text| text.contains(key) && text.contains("chmod 600")));
                let warnings = load(pairs).unwrap().warnings;
                assert_eq!(warnings.iter().any(|text| text.contains(key)), is_open, "{key} {mode:o}");
            }
        }
    }

    #[test]
    fn a_country_overrides_single_keys_of_the_provider_defaults() {
        let settings = load(&[
            ("AVAL__PROVIDERS__MX__BREAKER__CONSECUTIVE_FAILURES", "3"),
            ("AVAL__PROVIDERS__MX__BREAKER__OPEN_MS", "120000"),
            ("AVAL__PROVIDERS__MX__CALL__MAX_IN_FLIGHT", "4"),
        ])
        .unwrap();
        let mx = settings.providers.of(crate::domain::application::Country::Mx);
        let es = settings.providers.of(crate::domain::application::Country::Es);
        assert_eq!(
            (mx.breaker.consecutive_failures, mx.breaker.open_ms, mx.call.max_in_flight),
            (3, 120_000, 4)
        );
        assert_eq!(
            (es.breaker.consecutive_failures, es.breaker.open_ms, es.call.max_in_flight),
            (5, 60_000, 32)
        );
        assert_eq!(mx.breaker.window_ms, es.breaker.window_ms);
    }

    #[test]
    fn a_bureau_answers_on_the_spot_unless_it_is_told_to_be_asynchronous() {
        let settings = load(&[
            ("AVAL__PROVIDERS__MX__MODE", "async"),
            ("AVAL__PROVIDERS__MX__ASYNC_TIMEOUT_MS", "5000"),
        ])
        .unwrap();
        let (mx, es) = (settings.providers.of(Country::Mx), settings.providers.of(Country::Es));
        assert_eq!((mx.mode, mx.async_timeout_ms), (ProviderMode::Async, 5000));
        assert_eq!((es.mode, es.async_timeout_ms), (ProviderMode::Sync, 3_600_000));
        assert!(refusal(&[("AVAL__PROVIDERS__MX__MODE", "later")]).contains("later"));
    }
}
