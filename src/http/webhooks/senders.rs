//! Whose signature a message carries.

use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use chrono::{DateTime, Utc};

use crate::config::{Secrets, WebhookSettings};
use crate::domain::application::Country;
use crate::providers::signature::{LegacySignature, Signature, SigningKey, StandardSignature};

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";
const LEGACY: &str = "x-webhook-signature";

/// Every live key, with the countries that it speaks for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Senders {
    keys: Arc<[(SigningKey, Vec<Country>)]>,
    settings: WebhookSettings,
}

impl Senders {
    /// The senders whose secrets are configured. A secret that several countries share is one key that speaks for them
    /// all.
    pub fn new(secrets: &Secrets, settings: &WebhookSettings) -> Self {
        let mut shared: Vec<(&[u8], Vec<Country>)> = Vec::new();
        for country in Country::ALL {
            for secret in secrets.webhooks(country).iter().map(|secret| secret.expose()) {
                match shared.iter_mut().find(|(key, _)| *key == secret) {
                    Some((_, countries)) if countries.contains(&country) => {}
                    Some((_, countries)) => countries.push(country),
                    None => shared.push((secret, vec![country])),
                }
            }
        }
        let keys = shared.into_iter().map(|(key, countries)| (SigningKey::new(key), countries));
        Self { keys: keys.collect(), settings: settings.clone() }
    }

    /// The countries that the signature of `body` may speak for: none when it is not a sender's, too old, or too far
    /// ahead. Every key is tried, whatever came of the others.
    pub(super) fn authenticate(
        &self,
        signature: &Signature,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Vec<Country> {
        let verifying = self.keys.iter().filter(|(key, _)| signature.verifies(key, body));
        let mut countries: Vec<Country> = verifying.flat_map(|(_, countries)| countries.clone()).collect();
        countries.sort_unstable();
        countries.dedup();
        if let Signature::Legacy(_) = signature {
            countries.retain(|country| self.settings.legacy(*country));
        }
        if !signature.is_timely(now, self.settings.tolerance()) {
            countries.clear();
        }
        countries
    }
}

/// The signature in the headers of a request. Whoever sends any header of Standard Webhooks is held to it: the weaker
/// scheme is no way round.
pub(super) fn signature(headers: &HeaderMap) -> Option<Signature> {
    if [ID, TIMESTAMP, SIGNATURE].iter().any(|name| headers.contains_key(*name)) {
        let (id, timestamp, list) =
            (only(headers, ID)?, only(headers, TIMESTAMP)?, only(headers, SIGNATURE)?);
        return StandardSignature::parse(id, timestamp, list).map(Signature::Standard);
    }
    LegacySignature::parse(only(headers, LEGACY)?).map(Signature::Legacy)
}

/// A header's text, unless it stands there twice or is no ASCII.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
