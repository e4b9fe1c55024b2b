//! Adapters for the credit bureaus, one per country. Each bureau has a file with its adapter and a file with its
//! simulation. `bureau_of` registers both.
//!
//! An adapter translates between [`BankingData`] and the bureau's wire format: it builds a [`BureauRequest`] and parses
//! a report. It does no I/O: sending, timeouts, retries and circuit breaking belong to the provider gateway
//! (`actors::provider_gateway`).
#![deny(clippy::as_conversions, clippy::float_arithmetic)]

use std::fmt;

use crate::domain::application::Country;
use crate::domain::banking::BankingData;
use crate::domain::personal_data::{FullName, IdentityDocument};
use simulator::bureau::SimulatedBureau;

pub mod acceptance;
mod asnef_cirbe;
mod banco_de_portugal;
mod buro_de_credito;
mod crif;
mod datacredito;
mod report_body;
pub mod retry_after;
mod score_scale;
mod serasa;
pub mod signature;
pub mod simulator;
#[cfg(test)]
mod tests;

/// The bureau of one country.
pub(crate) struct Bureau {
    adapter: &'static dyn BureauAdapter,
    simulated: &'static SimulatedBureau,
    /// Reports for the tests of all adapters.
    #[cfg(test)]
    samples: tests::Samples,
}

fn bureau_of(country: Country) -> &'static Bureau {
    match country {
        Country::Es => &asnef_cirbe::BUREAU,
        Country::Pt => &banco_de_portugal::BUREAU,
        Country::It => &crif::BUREAU,
        Country::Mx => &buro_de_credito::BUREAU,
        Country::Co => &datacredito::BUREAU,
        Country::Br => &serasa::BUREAU,
    }
}

/// The adapter for the bureau of `country`.
pub fn provider_for(country: Country) -> &'static dyn BureauAdapter {
    bureau_of(country).adapter
}

/// The person that a report is requested about.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The person's name, which is sent to the bureau together with the document.
    pub full_name: FullName,
    /// The person's document, normalized.
    pub identity_document: IdentityDocument,
}

/// A request in the bureau's format. The host is configured separately. URLs never contain documents.
#[derive(Clone, PartialEq, Eq)]
pub struct BureauRequest {
    /// The path below the bureau's `base_url`, with a leading slash. Requests are always `POST`.
    pub path: &'static str,
    /// MIME type of `body`.
    pub content_type: &'static str,
    /// The value of the `Accept` header: the MIME type of the report.
    pub accept: &'static str,
    /// The body, in the bureau's format.
    pub body: Vec<u8>,
}

impl fmt::Debug for BureauRequest {
    /// Omits the body, which contains personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BureauRequest").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A body that violates the bureau's format. The text is for the log: it names the position but never quotes a value,
/// which could be personal data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed report: {0}")]
pub struct MalformedReport(pub String);

/// Translates between [`BankingData`] and the format of one bureau.
pub trait BureauAdapter: Send + Sync {
    /// The bureau's name in reports and logs.
    fn name(&self) -> &'static str;

    /// The bureau's label in metrics: lower-case letters and underscores.
    fn label(&self) -> &'static str;

    /// The country that the bureau belongs to.
    fn country(&self) -> Country;

    /// Builds the request for a report on `subject`.
    fn request(&self, subject: &Subject) -> BureauRequest;

    /// Parses the body of a 200 response and maps the score to 300-850.
    ///
    /// # Errors
    /// [`MalformedReport`] if the body violates the format or contains a value out of range.
    fn parse(&self, body: &[u8]) -> Result<BankingData, MalformedReport>;
}
