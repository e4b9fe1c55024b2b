//! The effective configuration as an operator may see it: every value with its origin and without secrets.

use serde::Serialize;
use serde_json::Value;

use super::origins::{Origins, ValueOrigin};

/// The text that is shown instead of a secret.
const MASK: &str = "********";

/// One value of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveValue {
    /// The key, such as `server.port`.
    pub key: String,
    /// The value. Secrets and passwords are masked.
    pub value: Value,
    /// Where it comes from.
    pub origin: Option<ValueOrigin>,
}

impl Serialize for EffectiveValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'v> {
            key: &'v str,
            value: &'v Value,
            source: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            file: Option<&'v str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            line: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            variable: Option<&'v str>,
        }
        let (source, file, line, variable) = match &self.origin {
            Some(ValueOrigin::Default { file, line }) => ("default", Some(file.as_str()), Some(*line), None),
            Some(ValueOrigin::File { file, line }) => ("file", Some(file.as_str()), Some(*line), None),
            Some(ValueOrigin::Variable(name)) => ("variable", None, None, Some(name.as_str())),
            None => ("default", None, None, None),
        };
        Shown { key: &self.key, value: &self.value, source, file, line, variable }.serialize(serializer)
    }
}

/// Lists the merged values by key. `secrets` are keys outside `[secrets]` whose values are secret.
pub(super) fn list(merged: &Value, origins: &Origins, secrets: &[&str]) -> Vec<EffectiveValue> {
    let mut listed = Vec::new();
    flatten("", merged, &mut |key, value| {
        let origin = origins.of(key).cloned();
        listed.push(EffectiveValue { key: key.to_owned(), value: shown(key, value, secrets), origin });
    });
    listed.sort_by(|a, b| a.key.cmp(&b.key));
    listed
}

fn flatten(prefix: &str, value: &Value, found: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, member, found);
            }
        }
        leaf => found(prefix, leaf),
    }
}

fn shown(key: &str, value: &Value, secrets: &[&str]) -> Value {
    match value {
        Value::String(text) if text.is_empty() => value.clone(),
        Value::Array(items) => items.iter().map(|item| shown(key, item, secrets)).collect(),
        _ if key.starts_with("secrets.") || secrets.contains(&key) => MASK.into(),
        Value::String(text) if text.contains("://") || key.ends_with("url") => without_password(text).into(),
        other => other.clone(),
    }
}

/// A URL, or `key=value` pairs of libpq, with its passwords masked. If the text is malformed, more than the passwords may be
/// masked.
fn without_password(text: &str) -> String {
    let names_password = |key: &str| key.contains('%') || key.to_ascii_lowercase().contains("pass");
    let Some((scheme, rest)) = text.split_once("://") else {
        return if names_password(text) { MASK.to_owned() } else { text.to_owned() };
    };
    let rest = match rest.rsplit_once('@') {
        Some((credentials, host)) => {
            let user = credentials.split(':').next().unwrap_or_default();
            format!("{user}:{MASK}@{host}")
        }
        None => rest.to_owned(),
    };
    let Some((address, query)) = rest.split_once('?') else { return format!("{scheme}://{rest}") };
    let masked = |pair: &str| match pair.split_once('=') {
        Some((key, _)) if names_password(key) => format!("{key}={MASK}"),
        _ => pair.to_owned(),
    };
    let pairs: Vec<String> = query.split('&').map(masked).collect();
    format!("{scheme}://{address}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked() {
        for (text, expected) in [
            ("postgres://aval:p@ss:w/rd@db:5432/aval", "postgres://aval:********@db:5432/aval"),
            ("redis://:secret@cache/0", "redis://:********@cache/0"),
            ("postgres://db/aval?user=a&password=b", "postgres://db/aval?user=a&password=********"),
            ("unix:///run/redis.sock?pass=b", "unix:///run/redis.sock?pass=********"),
            ("postgres://db/aval?%70assword=b", "postgres://db/aval?%70assword=********"),
            ("host=db password=b", MASK),
            ("host=db user=a", "host=db user=a"),
            ("https://bureau.example/v1", "https://bureau.example/v1"),
        ] {
            assert_eq!(without_password(text), expected, "{text}");
        }
    }

    #[test]
    fn every_secret_is_masked_and_an_empty_one_is_visible() {
        assert_eq!(shown("secrets.webhooks.es", &"whsec_x".into(), &[]), MASK);
        assert_eq!(shown("secrets.jwt", &12345.into(), &[]), MASK);
        assert_eq!(shown("secrets.jwt", &"".into(), &[]), "");
        assert_eq!(shown("server.port", &8000.into(), &[]), 8000);
        let headers = "telemetry.otlp_headers";
        assert_eq!(shown(headers, &"authorization=x".into(), &[headers]), MASK);
    }
}
