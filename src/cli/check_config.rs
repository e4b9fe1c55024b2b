//! `aval check-config`: would it start?

use std::io::Write;

use super::lines::write_text;
use crate::config::{Environment, Need, Settings};
use crate::countries::Countries;
use crate::domain::application::Country;
use crate::error::Result;

/// Reads everything that a start reads, and says what it found, without secrets.
///
/// # Errors
/// [`Configuration`](crate::error::Error::Configuration) that names the key.
pub fn run(mut output: impl Write) -> Result<()> {
    let settings = Settings::load(Need::Everything)?;
    let countries = Countries::load(settings.countries_dir.as_deref())?;
    let environment = match settings.environment {
        Environment::Development => "development",
        Environment::Production => "production",
    };
    let database = if settings.database.url.is_empty() { "private PostgreSQL" } else { "configured" };
    let mut lines = vec![
        format!("environment  {environment}"),
        format!("listen       {}:{}", settings.server.host, settings.server.port),
        format!("database     {database}"),
        format!("job pool     {}", settings.actors.applications.pool_size),
        format!("write_batchers    {}", settings.actors.write_batchers),
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
