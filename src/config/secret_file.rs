//! Reads secrets from files and checks the files' permissions.
//!
//! The rule is PostgreSQL's rule for private keys ("Secure TCP/IP Connections with SSL"): a file owned by Aval's user
//! must be accessible to that user only; a file owned by another user, such as root, may also be readable by its group.
//! A file with more permissions is rejected in production. In development, Aval logs a warning.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::Uid;

use super::Environment;
use crate::error::{Error, Result};

/// Problems that are logged in development and rejected in production.
pub(super) type Warnings = Vec<String>;

/// The value of a variable, or the content of the file in `<variable>_FILE` without its trailing line break.
pub(super) fn value_of<'v>(
    variable: &str,
    environment: Environment,
    get: &impl Fn(&str) -> Option<&'v str>,
    warnings: &mut Warnings,
) -> Result<Option<String>> {
    let file_variable = format!("{variable}_FILE");
    match (get(variable), get(&file_variable)) {
        (Some(_), Some(_)) => Err(Error::configuration(format_args!(
            "{variable} and {file_variable} are both set: set only one"
        ))),
        (Some(value), None) => Ok(Some(value.to_owned())),
        (None, Some(path)) => {
            let text = fs::read_to_string(path)
                .map_err(|error| Error::configuration(format_args!("{file_variable}: {path}: {error}")))?;
            check_mode(&file_variable, Path::new(path), environment, warnings)?;
            Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
        (None, None) => Ok(None),
    }
}

/// Rejects a secret file that other users can read or change. In development, adds a warning instead. A missing file is
/// not an error here: reading it later fails.
pub(super) fn check_mode(
    key: &str,
    path: &Path,
    environment: Environment,
    warnings: &mut Warnings,
) -> Result<()> {
    let Some(mode) = too_open(path) else { return Ok(()) };
    let text = format!(
        "{key}: other users of this machine can read or change {path} (mode {mode:04o}): chmod 600 {path}",
        path = path.display()
    );
    match environment {
        Environment::Production => Err(Error::configuration(text)),
        Environment::Development | Environment::Test => {
            warnings.push(text);
            Ok(())
        }
    }
}

/// The file's mode if it grants more access than the rule allows.
fn too_open(path: &Path) -> Option<u32> {
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mode = found.mode() & 0o777;
    let refused = if found.uid() == Uid::effective().as_raw() { 0o077 } else { 0o027 };
    (mode & refused != 0).then_some(mode)
}

/// Whether a configuration file contains a secret or a URL with a password.
pub(super) fn holds_secret(text: &str) -> bool {
    let Ok(table) = toml::from_str::<toml::Table>(text) else { return false };
    let any_in = |section: &str, is_secret: fn(&str) -> bool| {
        table.get(section).is_some_and(|section| any_text(section, &is_secret))
    };
    let has_password = |text: &str| text.contains('@') || text.contains("password");
    any_in("secrets", |text| !text.is_empty())
        || any_in("database", has_password)
        || any_in("redis", has_password)
}

fn any_text(value: &toml::Value, is_secret: &impl Fn(&str) -> bool) -> bool {
    match value {
        toml::Value::String(text) => is_secret(text),
        toml::Value::Table(table) => table.values().any(|value| any_text(value, is_secret)),
        toml::Value::Array(values) => values.iter().any(|value| any_text(value, is_secret)),
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_that_others_can_read_is_rejected_in_production_and_a_warning_in_development() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, is_open) in [
            (0o600, false),
            (0o400, false),
            (0o700, false),
            (0o644, true),
            (0o640, true),
            (0o604, true),
            (0o620, true),
            (0o601, true),
        ] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            let mut warnings = Warnings::new();
            let refused = check_mode("KEY_FILE", file.path(), Environment::Production, &mut warnings);
            assert_eq!(refused.is_err(), is_open, "{mode:o}");
            check_mode("KEY_FILE", file.path(), Environment::Development, &mut warnings).unwrap();
            let is_warned =
                warnings.iter().any(|text| text.contains("KEY_FILE") && text.contains("chmod 600"));
            assert_eq!(is_warned, is_open, "{mode:o}");
        }
        let missing = Path::new("/nonexistent");
        check_mode("KEY_FILE", missing, Environment::Production, &mut Warnings::new()).unwrap();
    }

    #[test]
    fn a_configuration_file_with_a_secret_or_a_password_is_recognized() {
        for (text, expected) in [
            ("[secrets]\njwt = \"x\"", true),
            ("[secrets.webhooks]\nes = \"x\"", true),
            ("[database]\nurl = \"postgres://aval:x@db/aval\"", true),
            ("[database]\nread_url = \"host=db password=x\"", true),
            ("[redis]\nurl = \"rediss://:x@cache\"", true),
            ("[secrets]\njwt = \"\"\n[database]\nurl = \"postgres://db/aval\"", false),
            ("[server]\nport = 1", false),
        ] {
            assert_eq!(holds_secret(text), expected, "{text}");
        }
        assert!(!holds_secret(super::super::load::DEFAULT_TOML));
    }
}
