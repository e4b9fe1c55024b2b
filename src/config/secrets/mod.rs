//! `[secrets]`: what only this deployment may know.
//!
//! A secret comes from its short variable (`JWT_SECRET`), from a file that `<variable>_FILE` names, or from a
//! configuration file; none is ever printed, because every type here masks its `Debug` and has no `Display`. Production
//! refuses to boot without all of them, and with one that is short or that everybody knows. In development the missing
//! ones are made once and kept in the data directory ([`Secrets::complete`]): whoever deletes that file can no longer read
//! what was sealed with it.

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
use crate::error::{Error, Result};

/// Fewest characters of the secret that signs tokens: what HS256 is worth (RFC 7518, section 3.2).
const JWT_MIN_CHARS: usize = 32;
/// Fewest different characters of it: a key pressed for long is no secret.
const JWT_MIN_DIFFERENT: usize = 10;

/// The secrets as they stand in files and variables; an empty one is missing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsSection {
    /// Signs access tokens.
    pub jwt: SecretString,
    /// Keys that seal personal data, separated by commas.
    pub encryption: SecretString,
    /// Key of the blind index.
    pub index: SecretString,
    /// Webhook secrets of the countries without their own, separated by commas.
    pub webhook: SecretString,
    /// Webhook secrets of single countries.
    pub webhooks: WebhooksSection,
}

/// `[secrets.webhooks]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhooksSection {
    pub es: SecretString,
    pub pt: SecretString,
    pub it: SecretString,
    pub mx: SecretString,
    pub co: SecretString,
    pub br: SecretString,
}

impl WebhooksSection {
    const fn of(&self, country: Country) -> &SecretString {
        match country {
            Country::Es => &self.es,
            Country::Pt => &self.pt,
            Country::It => &self.it,
            Country::Mx => &self.mx,
            Country::Co => &self.co,
            Country::Br => &self.br,
        }
    }
}

/// The secrets, whole and checked.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Signs access tokens; at least 32 characters.
    pub jwt: SecretString,
    /// The keys of personal data: the first seals, all open. There is at least one.
    pub sealing: Vec<SealingKey>,
    /// The key of the blind index, and of what is derived from it.
    pub index: IndexKey,
    webhooks: Vec<(Country, Vec<WebhookSecret>)>,
}

impl Secrets {
    /// The live secrets of a country's bureau, the newest first: the first signs, all verify.
    pub fn webhooks(&self, country: Country) -> &[WebhookSecret] {
        self.webhooks.iter().find(|(of, _)| *of == country).map_or(&[], |(_, secrets)| secrets)
    }

    fn refuse_what_everybody_knows(&self) -> Result<()> {
        for (country, secrets) in &self.webhooks {
            if secrets.is_empty() || secrets.iter().any(WebhookSecret::is_published) {
                return Err(Error::configuration(format_args!(
                    "secrets.webhooks.{} (WEBHOOK_SECRET) must be a secret that nobody else knows",
                    country.code().to_lowercase()
                )));
            }
        }
        Ok(())
    }

    /// Reads what is configured; in development, what is missing is read from `data_dir` or made and kept there.
    ///
    /// # Errors
    /// [`Error::Configuration`] that names the secret, never its value.
    pub fn complete(
        section: &SecretsSection,
        environment: Environment,
        data_dir: &Path,
        clock: &Clock,
    ) -> Result<Self> {
        match environment {
            Environment::Development if section.is_incomplete() => {
                section.or(kept::read_or_make(data_dir, clock)?).parse()
            }
            Environment::Development | Environment::Production => section.parse(),
        }
    }
}

impl SecretsSection {
    /// Checks what is there, and in production that all is there.
    pub(super) fn validate(&self, environment: Environment) -> Result<()> {
        if environment == Environment::Production {
            for (name, value) in self.required() {
                if is_empty(value) {
                    return Err(Error::configuration(format_args!("{name} must be set in production")));
                }
            }
            return self.parse()?.refuse_what_everybody_knows();
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

    fn required(&self) -> impl Iterator<Item = (String, &SecretString)> {
        let own = |country: &Country| {
            let (name, own) =
                (format!("secrets.webhooks.{}", country.code().to_lowercase()), self.webhooks.of(*country));
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

    /// These secrets, and those of `other` where one is missing.
    fn or(&self, other: Self) -> Self {
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
        let own = self.webhooks.of(country);
        WebhookSecret::parse_all(if is_empty(own) { &self.webhook } else { own })
    }

    fn parse(&self) -> Result<Secrets> {
        check_jwt(&self.jwt)?;
        let webhooks = Country::ALL.iter().map(|country| Ok((*country, self.webhooks_of(*country)?)));
        let (sealing, index) = (key::sealing_keys(&self.encryption)?, IndexKey::parse(&self.index)?);
        if sealing.iter().any(|key| key.expose() == index.expose()) {
            return Err(Error::configuration(
                "INDEX_KEY must be a key of its own, not one of ENCRYPTION_KEY",
            ));
        }
        Ok(Secrets { jwt: self.jwt.clone(), sealing, index, webhooks: webhooks.collect::<Result<_>>()? })
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
