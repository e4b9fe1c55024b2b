//! Bureaus: one adapter each, and which country asks which.
//!
//! An adapter is a pure translator between Aval's [`BankingData`] and its bureau's own wire format: it builds a
//! [`BureauRequest`] and reads a body, and never touches the network itself. Sending, time-outs, retries and
//! circuit breaking are the provider gateway's (`actors::provider_gateway`).
#![deny(clippy::as_conversions, clippy::float_arithmetic)]

use std::fmt;

use crate::domain::application::Country;
use crate::domain::banking::BankingData;
use crate::domain::personal_data::{FullName, IdentityDocument};

pub mod acceptance;
pub mod asnef_cirbe;
pub mod banco_de_portugal;
pub mod buro_de_credito;
pub mod crif;
pub mod datacredito;
mod report_body;
pub mod retry_after;
mod score_scale;
pub mod serasa;
pub mod signature;
pub mod simulator;
#[cfg(test)]
mod tests;

/// The bureau that `country` asks.
pub fn provider_for(country: Country) -> &'static dyn BankingProvider {
    match country {
        Country::Es => &asnef_cirbe::AsnefCirbe,
        Country::Pt => &banco_de_portugal::BancoDePortugal,
        Country::It => &crif::Crif,
        Country::Mx => &buro_de_credito::BuroDeCredito,
        Country::Co => &datacredito::DataCredito,
        Country::Br => &serasa::Serasa,
    }
}

/// Whom a bureau is asked about.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The person's name.
    pub full_name: FullName,
    /// The person's document, normalised.
    pub identity_document: IdentityDocument,
}

/// A request in a bureau's own format. It has no host: that is configuration. Documents never stand in a URL.
#[derive(Clone, PartialEq, Eq)]
pub struct BureauRequest {
    /// The path below the bureau's `base_url`, starting with a slash. Always sent by `POST`.
    pub path: &'static str,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The `Accept`.
    pub accept: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl fmt::Debug for BureauRequest {
    /// Without the body: it names the person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BureauRequest").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A body that is not what the bureau promises. The text is for the log: it says where, never what, so that no
/// personal data is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed report: {0}")]
pub struct MalformedReport(pub String);

/// One bureau's wire format.
pub trait BankingProvider: Send + Sync {
    /// The bureau's name, as it stands in reports, metrics and logs.
    fn name(&self) -> &'static str;

    /// The country that asks it.
    fn country(&self) -> Country;

    /// Writes the question about `subject`.
    fn request(&self, subject: &Subject) -> BureauRequest;

    /// Reads the body of a 200 answer, mapping the bureau's score to 300-850.
    ///
    /// # Errors
    /// [`MalformedReport`] when the body is not in the bureau's format or holds a value out of its range.
    fn parse(&self, body: &[u8]) -> Result<BankingData, MalformedReport>;
}
