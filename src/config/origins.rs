//! Where each value of the configuration comes from, for `aval check-config` and for error messages.
//!
//! The `config` library merges the layers but records neither lines nor the names of variables. Therefore the files are
//! parsed a second time with positions. The message of a broken rule names its keys, and the origins of these keys are
//! appended to the message.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueOrigin {
    /// A line of `default.toml`, counted from 1.
    Default { file: String, line: usize },
    /// A line of a file that overrides `default.toml`.
    File { file: String, line: usize },
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default { file, line } | Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// The origins of all values, by key (`server.port`).
#[derive(Debug, Clone, Default)]
pub(super) struct Origins(BTreeMap<String, ValueOrigin>);

impl Origins {
    /// The origin of a key.
    pub(super) fn of(&self, key: &str) -> Option<&ValueOrigin> {
        self.0.get(key)
    }

    /// Records every value of a file. `path` is `None` for a file that is compiled into the binary.
    ///
    /// # Errors
    /// [`Error::Configuration`] with the file and line if the text is not TOML. The line itself is not quoted, because
    /// it may contain a secret.
    pub(super) fn add_file(&mut self, name: &str, path: Option<&Path>, text: &str) -> Result<()> {
        let file = path.map_or_else(|| format!("built-in {name}"), |path| path.display().to_string());
        let table = DeTable::parse(text).map_err(|error| {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            Error::configuration(format_args!("{file}:{line}: {}", error.message()))
        })?;
        let origin = |start| {
            let (file, line) = (file.clone(), line_of(text, start));
            if name == "default.toml" {
                ValueOrigin::Default { file, line }
            } else {
                ValueOrigin::File { file, line }
            }
        };
        self.add_table("", table.get_ref(), &origin);
        Ok(())
    }

    fn add_table(&mut self, prefix: &str, table: &DeTable<'_>, origin: &impl Fn(usize) -> ValueOrigin) {
        for (name, value) in table {
            let key = join(prefix, name.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) if !inner.is_empty() => self.add_table(&key, inner, origin),
                _ => drop(self.0.insert(key, origin(Spanned::span(name).start))),
            }
        }
    }

    /// Records a value from an environment variable.
    pub(super) fn add_variable(&mut self, key: impl Into<String>, variable: impl Into<String>) {
        self.0.insert(key.into(), ValueOrigin::Variable(variable.into()));
    }

    /// Appends the origins of the keys that a configuration error names. Origins in `default.toml` are omitted unless there
    /// are no others.
    pub(super) fn locate(&self, error: Error) -> Error {
        let Error::Configuration(message) = &error else { return error };
        let text = message.to_string();
        let is_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
        let words = text.split(|c| !is_key(c)).map(|word| word.trim_matches('.'));
        let mut named: Vec<(&str, &ValueOrigin)> = Vec::new();
        for word in words.filter(|word| word.contains('.')) {
            let inside = format!("{word}.");
            let found = self.0.iter().filter(|(key, _)| *key == word || key.starts_with(&inside));
            named.extend(found.map(|(key, origin)| (key.as_str(), origin)));
        }
        named.sort_unstable_by_key(|(key, _)| *key);
        named.dedup_by_key(|(key, _)| *key);
        if named.iter().any(|(_, origin)| !matches!(origin, ValueOrigin::Default { .. })) {
            named.retain(|(_, origin)| !matches!(origin, ValueOrigin::Default { .. }));
        }
        if named.is_empty() {
            return error;
        }
        let places: Vec<String> = named.iter().map(|(key, origin)| format!("{key} from {origin}")).collect();
        Error::configuration(format_args!("{text} ({})", places.join(", ")))
    }

    /// Converts an error of the deserializer to one with the full key and its origin.
    pub(super) fn explain(&self, error: &config::ConfigError) -> Error {
        let text = error.to_string();
        let unknown = text.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
        let table = key_of(error).unwrap_or_default();
        let Some((field, rest)) = unknown else {
            return match self.of(table) {
                Some(origin) => Error::configuration(format_args!("{table}: {text} ({origin})")),
                None => Error::configuration(text),
            };
        };
        // Depending on the nesting, the library's key ends with the table or with the field itself.
        let table = table.strip_suffix(field).unwrap_or(table).trim_end_matches('.');
        let key = join(table, field);
        let expected = rest.split(" for key ").next().unwrap_or_default();
        let inside = format!("{key}.");
        let origin = self.0.iter().find(|(known, _)| **known == key || known.starts_with(&inside));
        let place = origin.map(|(_, origin)| format!(" ({origin})")).unwrap_or_default();
        Error::configuration(format_args!("{key} is not a known key{place}{expected}"))
    }
}

fn key_of(error: &config::ConfigError) -> Option<&str> {
    match error {
        config::ConfigError::At { key, .. } | config::ConfigError::Type { key, .. } => key.as_deref(),
        _ => None,
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// The line of a byte position, counted from 1.
fn line_of(text: &str, start: usize) -> usize {
    let before = text.get(..start).unwrap_or(text);
    before.bytes().filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> Origins {
        let mut origins = Origins::default();
        let default =
            "[server]\nport = 1\n[jobs]\nlease_ms = 2\n# comment\nheartbeat_ms = 1\nrate = { burst = 3 }\n";
        origins.add_file("default.toml", None, default).unwrap();
        let path = Path::new("conf/production.toml");
        origins.add_file("production.toml", Some(path), "\n[jobs]\n\nlease_ms = 5\n").unwrap();
        origins.add_variable("server.port", "PORT");
        origins
    }

    #[test]
    fn the_last_layer_that_sets_a_key_is_its_origin() {
        let origins = origins();
        for (key, expected) in [
            ("server.port", "PORT"),
            ("jobs.lease_ms", "conf/production.toml:4"),
            ("jobs.heartbeat_ms", "built-in default.toml:6"),
            ("jobs.rate.burst", "built-in default.toml:7"),
        ] {
            assert_eq!(origins.of(key).unwrap().to_string(), expected, "{key}");
        }
        assert!(origins.of("jobs").is_none());
    }

    #[test]
    fn a_broken_rule_is_located_where_its_keys_are_set() {
        let origins = origins();
        let located = |text: &str| origins.locate(Error::configuration(text)).to_string();
        assert_eq!(
            located("jobs.heartbeat_ms must be at most half of jobs.lease_ms."),
            "configuration: jobs.heartbeat_ms must be at most half of jobs.lease_ms. (jobs.lease_ms from \
             conf/production.toml:4)"
        );
        assert!(
            located("jobs.heartbeat_ms is 0").ends_with("(jobs.heartbeat_ms from built-in default.toml:6)")
        );
        assert_eq!(located("no key at all"), "configuration: no key at all");
    }

    #[test]
    fn a_file_that_is_not_toml_is_reported_with_its_line_but_without_its_text() {
        let refused = Origins::default().add_file("x.toml", None, "[secrets]\njwt = hunter2\n").unwrap_err();
        let said = refused.to_string();
        assert!(said.contains("built-in x.toml:2:") && !said.contains("hunter2"), "{said}");
    }
}
