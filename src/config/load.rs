//! Reads the layers of the configuration: files, environment variables and secret files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use config::{File, FileFormat};

use super::secret_file::{self, Warnings};
use super::{Environment, Need, Settings};
use crate::error::{Error, Result};

pub(super) const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// Variables with a secret, and their keys. `<variable>_FILE` names a file with the secret instead.
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

/// Reads, merges and validates the configuration that a command needs, with `variables` as the environment.
pub(super) fn settings(need: Need, variables: &HashMap<String, String>) -> Result<Settings> {
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
        ("OTEL_SERVICE_NAME", "telemetry.service_name"),
        ("OTEL_TRACES_EXPORTER", "telemetry.traces"),
        ("OTEL_TRACES_SAMPLER", "telemetry.sampler"),
        ("OTEL_TRACES_SAMPLER_ARG", "telemetry.sampler_ratio"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "telemetry.export_timeout_ms"),
    ] {
        builder = builder.set_override_option(key, get(variable)).map_err(Error::configuration)?;
    }
    for (variable, key) in SECRET_VARIABLES.into_iter().filter(|(_, key)| need.uses(key)) {
        let value = secret_file::value_of(variable, environment, &get, &mut warnings)?;
        builder = builder.set_override_option(key, value).map_err(Error::configuration)?;
    }
    let mut settings: Settings =
        builder.build().and_then(config::Config::try_deserialize).map_err(Error::configuration)?;
    settings.environment = environment;
    settings.countries_dir = dir.map(|d| d.join("countries")).filter(|d| d.is_dir());
    settings.validate()?;
    settings.validate_for(need, get("AVAL_ENV").is_some(), &mut warnings)?;
    settings.warnings = warnings;
    Ok(settings)
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
