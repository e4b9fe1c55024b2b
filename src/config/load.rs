//! Reads the layers of the configuration: files, environment variables and secret files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use config::{File, FileFormat};

use super::effective::{self, EffectiveValue};
use super::origins::Origins;
use super::secret_file::{self, Warnings};
use super::{Environment, Need, Settings};
use crate::error::{Error, Result};

pub(super) const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// Variables with short names, which platforms set, and their keys.
const SHORT_VARIABLES: [(&str, &str); 22] = [
    ("PORT", "server.port"),
    ("METRICS_PORT", "server.metrics_port"),
    ("HEALTH_CHECK_TIMEOUT", "server.health_check_timeout_seconds"),
    ("LOG_LEVEL", "log.level"),
    ("ENABLE_PROMETHEUS", "server.metrics"),
    ("EVENTS_BACKOFF_MS", "events.backoff_ms"),
    ("EVENTS_BACKOFF_MAX_MS", "events.backoff_max_ms"),
    ("EVENTS_MAX_ATTEMPTS", "events.max_attempts"),
    ("EVENTS_STREAM", "events.stream"),
    ("EVENTS_GROUP", "events.group"),
    ("EVENTS_CONSUMER", "events.consumer"),
    ("EVENTS_CLAIM_IDLE_MS", "events.claim_idle_ms"),
    ("EVENTS_CLAIM_INTERVAL_MS", "events.claim_interval_ms"),
    ("EVENTS_DLQ_STREAM", "events.dead_letter_stream"),
    ("AVAL_DATA_DIR", "embedded.data_dir"),
    ("AVAL_PG_BIN", "embedded.bin_dir"),
    ("OTEL_SERVICE_NAME", "telemetry.service_name"),
    ("OTEL_TRACES_EXPORTER", "telemetry.traces"),
    ("OTEL_TRACES_SAMPLER", "telemetry.sampler"),
    ("OTEL_TRACES_SAMPLER_ARG", "telemetry.sampler_ratio"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "telemetry.export_timeout_ms"),
];

/// Variables with secrets, and their keys. Instead of each, `<variable>_FILE` can name a file with the secret.
const SECRET_VARIABLES: [(&str, &str); 10] = [
    ("DATABASE_URL", "database.url"),
    ("DATABASE_MIGRATION_URL", "database.migration_url"),
    ("DATABASE_DIRECT_URL", "database.direct_url"),
    ("DATABASE_READ_URL", "database.read_url"),
    ("REDIS_URL", "redis.url"),
    ("JWT_SECRET", "secrets.jwt"),
    ("ENCRYPTION_KEY", "secrets.encryption"),
    ("INDEX_KEY", "secrets.index"),
    ("WEBHOOK_SECRET", "secrets.webhook"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "telemetry.otlp_headers"),
];

/// The prefix of every API path.
const API_PREFIX: &str = "api/v1";

/// The merged layers, before they are validated.
pub(super) struct Layers {
    merged: config::Config,
    origins: Origins,
    environment: Environment,
    /// Whether `AVAL_ENV` is set.
    is_named: bool,
    pub(super) dir: Option<PathBuf>,
    warnings: Warnings,
}

/// Reads, merges and validates the configuration that a command needs, with `variables` as the environment.
pub(super) fn settings(need: Need, variables: &HashMap<String, String>) -> Result<Settings> {
    layers(need, variables)?.settings(need)
}

/// Reads and merges the layers.
pub(super) fn layers(need: Need, variables: &HashMap<String, String>) -> Result<Layers> {
    let get = |name: &str| variables.get(name).map(String::as_str).filter(|v| !v.is_empty());
    check_api_prefix(get("API_PREFIX"))?;
    let environment = Environment::parse(get("AVAL_ENV").unwrap_or_default())?;
    let dir = config_dir(get("AVAL_CONFIG_DIR"))?;
    let (mut warnings, mut origins) = (Warnings::new(), Origins::default());
    let mut layer = |name: &str, built_in: &str| -> Result<String> {
        let path = dir.as_deref().map(|d| d.join(name)).filter(|path| path.exists());
        let text = path.as_deref().map_or_else(|| Ok(built_in.to_owned()), read_file)?;
        if let Some(path) = path.as_deref().filter(|_| secret_file::holds_secret(&text)) {
            secret_file::check_mode(name, path, environment, &mut warnings)?;
        }
        origins.add_file(name, path.as_deref(), &text)?;
        Ok(text)
    };
    let files =
        [layer("default.toml", DEFAULT_TOML)?, layer(environment.file_name(), environment.built_in())?];
    let mut builder = config::Config::builder();
    for text in &files {
        builder = builder.add_source(File::from_str(text, FileFormat::Toml));
    }
    builder = builder.add_source(long_variables(variables));
    for name in variables.keys() {
        if let Some(key) = name.to_lowercase().strip_prefix("aval__") {
            origins.add_variable(key.replace("__", "."), name);
        }
    }
    for (variable, key) in SHORT_VARIABLES {
        if let Some(value) = get(variable) {
            builder = builder.set_override(key, plain(value)).map_err(Error::configuration)?;
            origins.add_variable(key, variable);
        }
    }
    for (variable, key) in SECRET_VARIABLES.into_iter().filter(|(_, key)| need.uses(key)) {
        if let Some(value) = secret_file::value_of(variable, environment, &get, &mut warnings)? {
            builder = builder.set_override(key, value).map_err(Error::configuration)?;
            let is_set = get(variable).is_some();
            origins.add_variable(key, if is_set { variable.to_owned() } else { format!("{variable}_FILE") });
        }
    }
    let merged = builder.build().map_err(Error::configuration)?;
    Ok(Layers { merged, origins, environment, is_named: get("AVAL_ENV").is_some(), dir, warnings })
}

impl Layers {
    /// Validates the merged values.
    pub(super) fn settings(self, need: Need) -> Result<Settings> {
        let Self { merged, origins, environment, is_named, dir, mut warnings } = self;
        let read = merged.try_deserialize::<Settings>();
        let mut settings = read.map_err(|error| origins.explain(&error))?;
        settings.environment = environment;
        settings.countries_dir = dir.map(|d| d.join("countries")).filter(|d| d.is_dir());
        settings
            .validate()
            .and_then(|()| settings.validate_for(need, is_named, &mut warnings))
            .map_err(|error| origins.locate(error))?;
        settings.warnings = warnings;
        Ok(settings)
    }

    /// Every merged value with its origin, without secrets.
    pub(super) fn values(&self) -> Result<Vec<EffectiveValue>> {
        let merged = self.merged.clone().try_deserialize().map_err(Error::configuration)?;
        let secrets = SECRET_VARIABLES.map(|(_, key)| key);
        let not_urls: Vec<&str> = secrets.into_iter().filter(|key| !key.ends_with("url")).collect();
        Ok(effective::list(&merged, &self.origins, &not_urls))
    }
}

/// Variables named `AVAL__SECTION__KEY`.
fn long_variables(variables: &HashMap<String, String>) -> config::Environment {
    config::Environment::with_prefix("AVAL")
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
        .list_separator(",")
        .with_list_parse_key("instance.roles")
        .with_list_parse_key("server.trusted_proxies")
        .with_list_parse_key("cors.allowed_origins")
        .with_list_parse_key("webhook_delivery.pauses_ms")
        .with_list_parse_key("webhook_delivery.allowed_networks")
        .source(Some(variables.clone().into_iter().collect()))
}

/// The text as a boolean or a number if it is one.
fn plain(text: &str) -> config::Value {
    match (text.parse::<bool>(), text.parse::<i64>()) {
        (Ok(truth), _) => truth.into(),
        (_, Ok(number)) if number.to_string() == text => number.into(),
        _ => text.into(),
    }
}

/// Accepts only the prefix that Aval serves. If another prefix were ignored, clients that use it would get 404s.
fn check_api_prefix(prefix: Option<&str>) -> Result<()> {
    match prefix.map(|prefix| prefix.trim_matches('/')) {
        None | Some(API_PREFIX) => Ok(()),
        Some(other) => Err(Error::configuration(format_args!(
            "API_PREFIX is {other:?}, but Aval serves only /{API_PREFIX}, on which clients rely. A reverse proxy can add \
             another prefix"
        ))),
    }
}

fn config_dir(named: Option<&str>) -> Result<Option<PathBuf>> {
    match named {
        Some(dir) if Path::new(dir).is_dir() => Ok(Some(PathBuf::from(dir))),
        Some(dir) => Err(Error::configuration(format_args!("AVAL_CONFIG_DIR {dir:?} is not a directory"))),
        None => Ok(Some(PathBuf::from("config")).filter(|d| d.join("default.toml").exists())),
    }
}

fn read_file(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::configuration(format_args!("{}: {e}", path.display())))
}
