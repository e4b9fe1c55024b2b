//! Authentication of webhook senders.

use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use chrono::{DateTime, Utc};

use crate::config::{Secrets, WebhookSettings};
use crate::domain::application::Country;
use crate::error::{Error, PublicMessage};
use crate::providers::signature::{LegacySignature, Signature, SigningKey, StandardSignature};

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";
const LEGACY: &str = "x-webhook-signature";

/// The same error for every invalid signature, which does not reveal what is wrong with it.
pub(in crate::http) fn unauthenticated() -> Error {
    let text = "The signature is missing or invalid, or its timestamp is too far in the past or future.";
    Error::Unauthenticated(PublicMessage::new(text))
}

/// All active keys with the countries they are valid for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Senders {
    keys: Arc<[(SigningKey, Vec<Country>)]>,
    settings: WebhookSettings,
}

impl Senders {
    /// The senders with configured secrets. A secret shared by several countries becomes one key that is valid for all
    /// of them.
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

    /// The countries that the signature of `body` is valid for; empty if no key verifies it, or if it is too old or too
    /// far in the future. All keys are tried, even after a match.
    pub(in crate::http) fn authenticate(
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

/// The signature in the request headers. If any Standard Webhooks header is present, the legacy header is ignored, so
/// that a sender cannot bypass the stronger scheme.
pub(in crate::http) fn signature(headers: &HeaderMap) -> Option<Signature> {
    if [ID, TIMESTAMP, SIGNATURE].iter().any(|name| headers.contains_key(*name)) {
        let (id, timestamp, list) = (
            single_value(headers, ID)?,
            single_value(headers, TIMESTAMP)?,
            single_value(headers, SIGNATURE)?,
        );
        return StandardSignature::parse(id, timestamp, list).map(Signature::Standard);
    }
    LegacySignature::parse(single_value(headers, LEGACY)?).map(Signature::Legacy)
}

/// The text of a header; `None` if the header is repeated or is not ASCII.
fn single_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
