//! `[secrets]`: the secrets of this deployment.
//!
//! A secret comes from its environment variable (`JWT_SECRET`), from the file in `<variable>_FILE`, or from a
//! configuration file. Secrets are never printed: their types mask `Debug` and have no `Display`. In production,
//! Aval refuses to start with a missing, weak or published secret. In development, it generates missing secrets
//! once and keeps them in the data directory ([`Secrets::complete`]); without that file, encrypted data is lost.

mod kept;
mod key;
mod strength;

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

pub use self::key::{IndexKey, SealingKey, WebhookSecret};
use super::Environment;
use crate::clock::Clock;
use crate::domain::application::Country;
use crate::domain::per_country::PerCountry;
use crate::error::{Error, Result};

/// The minimum length of the secret for signing tokens, in characters: HS256 needs a key of at least 256 bits (RFC 7518,
/// section 3.2).
const JWT_MIN_CHARS: usize = 32;
/// The minimum number of distinct characters in that secret.
const JWT_MIN_DIFFERENT: usize = 10;

/// The configured secrets. An empty secret is missing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsSection {
    /// Signs access tokens.
    pub jwt: SecretString,
    /// Keys that encrypt personal data, comma-separated.
    pub encryption: SecretString,
    /// The key of the blind index.
    pub index: SecretString,
    /// Webhook secrets of countries that have none of their own, comma-separated.
    pub webhook: SecretString,
    /// Webhook secrets per country.
    #[serde(default)]
    pub webhooks: PerCountry<SecretString>,
}

/// Complete and validated secrets.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Signs access tokens; at least 32 characters.
    pub jwt: SecretString,
    /// Keys for personal data: the first encrypts, all decrypt. Never empty.
    pub sealing: Vec<SealingKey>,
    /// The key of the blind index and of keys derived from it.
    pub index: IndexKey,
    webhooks: PerCountry<Vec<WebhookSecret>>,
}

impl Secrets {
    /// The secrets of a country's bureau, newest first: the first signs, all verify.
    pub fn webhooks(&self, country: Country) -> &[WebhookSecret] {
        self.webhooks.get(country)
    }

    fn refuse_published(&self) -> Result<()> {
        for country in Country::ALL {
            let secrets = self.webhooks(country);
            if secrets.is_empty() || secrets.iter().any(WebhookSecret::is_published) {
                return Err(Error::configuration(format_args!(
                    "secrets.webhooks.{} (WEBHOOK_SECRET) must be set to a secret that is not published",
                    country.lower_code()
                )));
            }
        }
        Ok(())
    }

    /// Parses the configured secrets. In development, missing secrets are read from a file in `data_dir`, which is generated
    /// first if it does not exist.
    pub fn complete(
        section: &SecretsSection,
        environment: Environment,
        data_dir: &Path,
        clock: &Clock,
    ) -> Result<Self> {
        match environment {
            Environment::Development | Environment::Test if section.is_incomplete() => {
                section.completed_from(kept::read_or_create(data_dir, clock)?).parse()
            }
            Environment::Development | Environment::Test | Environment::Production => section.parse(),
        }
    }
}

impl SecretsSection {
    /// Validates the secrets that are set. In production, all secrets must be set.
    pub(super) fn validate(&self, environment: Environment) -> Result<()> {
        if environment.is_production() {
            for (name, value) in self.required() {
                if is_empty(value) {
                    return Err(Error::configuration(format_args!("{name} must be set in production")));
                }
            }
            return self.parse()?.refuse_published();
        }
        if !is_empty(&self.jwt) {
            check_jwt(&self.jwt)?;
        }
        if !is_empty(&self.encryption) {
            key::sealing_keys(&self.encryption)?;
        }
        if !is_empty(&self.index) {
            IndexKey::parse(&self.index)?;
        }
        Country::ALL.iter().try_for_each(|country| self.webhooks_of(*country).map(drop))
    }

    /// Every secret that must be set, with its name. A country needs no webhook secret of its own if the common one is set.
    fn required(&self) -> impl Iterator<Item = (String, &SecretString)> {
        let own = |country: &Country| {
            let (name, own) =
                (format!("secrets.webhooks.{}", country.lower_code()), self.webhooks.get(*country));
            if is_empty(&self.webhook) { (name, own) } else { (name, &self.webhook) }
        };
        let three = [
            ("secrets.jwt (JWT_SECRET)", &self.jwt),
            ("secrets.encryption (ENCRYPTION_KEY)", &self.encryption),
            ("secrets.index (INDEX_KEY)", &self.index),
        ];
        three.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(Country::ALL.iter().map(own))
    }

    fn is_incomplete(&self) -> bool {
        self.required().any(|(_, value)| is_empty(value))
    }

    /// These secrets, with missing ones taken from `other`.
    fn completed_from(&self, other: Self) -> Self {
        let pick =
            |ours: &SecretString, theirs: SecretString| if is_empty(ours) { theirs } else { ours.clone() };
        Self {
            jwt: pick(&self.jwt, other.jwt),
            encryption: pick(&self.encryption, other.encryption),
            index: pick(&self.index, other.index),
            webhook: pick(&self.webhook, other.webhook),
            webhooks: self.webhooks.clone(),
        }
    }

    fn webhooks_of(&self, country: Country) -> Result<Vec<WebhookSecret>> {
        let own = self.webhooks.get(country);
        WebhookSecret::parse_all(if is_empty(own) { &self.webhook } else { own })
    }

    fn parse(&self) -> Result<Secrets> {
        check_jwt(&self.jwt)?;
        let webhooks = PerCountry::try_new(|country| self.webhooks_of(country))?;
        let (sealing, index) = (key::sealing_keys(&self.encryption)?, IndexKey::parse(&self.index)?);
        if sealing.iter().any(|key| key.expose() == index.expose()) {
            return Err(Error::configuration("INDEX_KEY must differ from every key in ENCRYPTION_KEY"));
        }
        Ok(Secrets { jwt: self.jwt.clone(), sealing, index, webhooks })
    }
}

fn is_empty(secret: &SecretString) -> bool {
    secret.expose_secret().is_empty()
}

fn check_jwt(secret: &SecretString) -> Result<()> {
    let text = secret.expose_secret();
    let refuse = |rule: &str| Err(Error::configuration(format_args!("secrets.jwt (JWT_SECRET) {rule}")));
    if text.chars().count() < JWT_MIN_CHARS {
        return refuse("must have at least 32 characters");
    }
    let mut different: Vec<char> = text.chars().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < JWT_MIN_DIFFERENT || strength::is_guessable(text) {
        return refuse("can be guessed; make one with: openssl rand -base64 48");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
