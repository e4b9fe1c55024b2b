//! `aval check-config`: checks whether the configuration is valid.

use std::io::Write;

use super::lines::write_text;
use crate::config::{Environment, Need, Settings};
use crate::countries::Countries;
use crate::domain::application::Country;
use crate::error::Result;

/// Validates everything that `aval serve` reads at startup and prints a summary without secrets.
///
/// # Errors
/// [`Configuration`](crate::error::Error::Configuration), which names the key.
pub fn run(mut output: impl Write) -> Result<()> {
    let settings = Settings::load(Need::Everything)?;
    let countries = Countries::load(settings.countries_dir.as_deref())?;
    let environment = match settings.environment {
        Environment::Development => "development",
        Environment::Production => "production",
    };
    let database = if settings.database.url.is_empty() { "embedded PostgreSQL" } else { "configured" };
    let mut lines = vec![
        format!("environment  {environment}"),
        format!("listen       {}:{}", settings.server.host, settings.server.port),
        format!("database     {database}"),
        format!("job pool     {}", settings.actors.applications.pool_size),
        format!("write batchers {}", settings.actors.write_batchers),
    ];
    for country in Country::ALL {
        let bureau =
            settings.providers.of(country).base_url.unwrap_or_else(|| "built-in simulator".to_owned());
        lines.push(format!("{country}           {} at {bureau}", countries.rules(country).rules_version()));
    }
    lines.extend(settings.warnings.iter().map(|warning| format!("warning      {warning}")));
    lines.push("the configuration is valid".to_owned());
    write_text(&mut output, &lines.join("\n")).map(drop)
}
