//! `aval check-config`: checks whether the configuration is valid and shows where each value comes from.

use std::io::Write;

use clap::Args;
use serde::Serialize;

use super::lines::{write_line, write_text};
use crate::config::{Effective, EffectiveValue, Settings, ValueOrigin};
use crate::countries::Countries;
use crate::domain::application::Country;
use crate::error::{Error, Result};

/// Validates everything that `aval serve` reads at startup and prints every value with its origin. Secrets are masked.
#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Omit values that have not been changed from default.toml
    #[arg(long)]
    changed: bool,
}

#[derive(Serialize)]
struct Report<'r> {
    is_valid: bool,
    error: Option<String>,
    environment: Option<&'static str>,
    directory: Option<String>,
    warnings: &'r [String],
    notes: &'r [String],
    values: Vec<&'r EffectiveValue>,
}

/// Prints the configuration of this process, and then the error if it is invalid.
///
/// # Errors
/// [`Configuration`](crate::error::Error::Configuration), which names the key and where it is set.
pub fn run(args: CheckConfigArgs, mut output: impl Write) -> Result<()> {
    let effective = match Effective::load() {
        Ok(effective) => effective,
        Err(error) if args.json => {
            let report = Report {
                is_valid: false,
                error: Some(error.to_string()),
                environment: None,
                directory: None,
                warnings: &[],
                notes: &[],
                values: Vec::new(),
            };
            write_line(&mut output, &report)?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let checked = effective.settings.as_ref().map_err(Clone::clone).and_then(|settings| {
        Countries::load(settings.countries_dir.as_deref()).map(|countries| (settings, countries))
    });
    let is_listed = |value: &&EffectiveValue| {
        !args.changed || !matches!(value.origin, None | Some(ValueOrigin::Default { .. }))
    };
    let values: Vec<&EffectiveValue> = effective.values.iter().filter(is_listed).collect();
    if args.json {
        let settings = effective.settings.as_ref().ok();
        let report = Report {
            is_valid: checked.is_ok(),
            error: checked.as_ref().err().map(Error::to_string),
            environment: settings.map(|settings| settings.environment.name()),
            directory: effective.dir.as_ref().map(|dir| dir.display().to_string()),
            warnings: settings.map_or(&[], |settings| &settings.warnings),
            notes: &effective.notes,
            values,
        };
        write_line(&mut output, &report)?;
        return checked.map(drop);
    }
    write_text(&mut output, &table(&values).join("\n"))?;
    let (settings, countries) = checked?;
    let mut lines = summary(settings, &countries);
    lines.extend(settings.warnings.iter().map(|warning| format!("warning      {warning}")));
    lines.extend(effective.notes.iter().map(|note| format!("note         {note}")));
    lines.push("the configuration is valid".to_owned());
    write_text(&mut output, &lines.join("\n")).map(drop)
}

/// One line per value: the value as TOML and its origin as a comment. The lines without comments are valid TOML.
fn table(values: &[&EffectiveValue]) -> Vec<String> {
    let texts: Vec<(String, String)> = values
        .iter()
        .map(|value| {
            let origin = value.origin.as_ref().map(|origin| match origin {
                ValueOrigin::Default { .. } => format!("default, {origin}"),
                ValueOrigin::File { .. } | ValueOrigin::Variable(_) => origin.to_string(),
            });
            (format!("{} = {}", value.key, value.value), origin.unwrap_or_else(|| "default".to_owned()))
        })
        .collect();
    let width = texts.iter().map(|(setting, _)| setting.chars().count()).max().unwrap_or(0).min(60);
    texts.iter().map(|(setting, origin)| format!("{setting:<width$}  # {origin}")).collect()
}

fn summary(settings: &Settings, countries: &Countries) -> Vec<String> {
    let database = if settings.database.url.is_empty() { "private PostgreSQL" } else { "configured" };
    let mut lines = vec![
        String::new(),
        format!("environment  {}", settings.environment.name()),
        format!("listen       {}:{}", settings.server.host, settings.server.port),
        format!("database     {database}"),
        format!("slots        {}", settings.slots()),
    ];
    for country in Country::ALL {
        let is_simulated = settings.providers.of(country).base_url.is_none();
        let bureau = if is_simulated { "built-in simulator" } else { "bureau at base_url" };
        lines.push(format!("{country}           {}, {bureau}", countries.rules(country).rules_version()));
    }
    lines
}
