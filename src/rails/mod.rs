//! Payment rails: one adapter per rail, the validation of destinations, and the simulated rails.
//!
//! An adapter translates between the workflow and the messages of its rail: look up a destination, submit a payment,
//! inquire about a payment by its key. It does no I/O; [`gateway`] calls the rail behind a circuit breaker, a limit of
//! concurrent calls and a retry budget per rail.
//!
//! The key of a payment identifies it at the rail. A rail executes at most one payment per key, so a payment is only ever
//! sent again under the key of its first attempt.

mod call;
mod co_ach;
pub mod destinations;
pub mod gateway;
mod pix;
mod sepa;
pub mod simulator;
mod spei;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::domain::disbursement::destination::Destination;
use crate::domain::disbursement::rail::{DestinationAnswer, PaymentAnswer, Rail};
use crate::domain::money::Money;
use crate::domain::personal_data::FullName;

/// A payment to submit.
#[derive(Debug, Clone)]
pub struct Payment {
    /// Identifies the payment at the rail; the same in every attempt.
    pub key: Uuid,
    pub amount: Money,
    /// The ISO 4217 code.
    pub currency: &'static str,
    pub destination: Destination,
    /// When the payment was started. The same in every attempt, so the messages are equal.
    pub started_at: DateTime<Utc>,
}

/// A message to a rail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The media type of the body.
    pub content_type: &'static str,
    pub body: String,
}

/// Why an answer cannot be used. The text is for the log and contains no personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// The formats of one rail.
pub trait RailAdapter: Send + Sync {
    fn rail(&self) -> Rail;

    /// The message that looks up a destination.
    fn lookup(&self, destination: &Destination) -> Message;

    /// Reads the answer to a look-up.
    ///
    /// # Errors
    /// If the answer is not valid.
    fn read_lookup(&self, body: &str) -> Result<DestinationAnswer, Malformed>;

    /// The message that submits a payment.
    fn submit(&self, payment: &Payment) -> Message;

    /// Reads the status of a payment: the answer to a submission or an inquiry.
    ///
    /// # Errors
    /// If the answer is not valid or is about another payment.
    fn read_status(&self, key: Uuid, body: &str) -> Result<PaymentAnswer, Malformed>;
}

/// The adapter of a rail.
pub fn adapter(rail: Rail) -> &'static dyn RailAdapter {
    match rail {
        Rail::Sepa => &sepa::Sepa,
        Rail::Spei => &spei::Spei,
        Rail::Pix => &pix::Pix,
        Rail::CoAch => &co_ach::CoAch,
    }
}

/// A message in JSON. Serializing the types of the adapters cannot fail.
fn json(body: &impl Serialize) -> Message {
    let body = serde_json::to_string(body).unwrap_or_default();
    Message { content_type: "application/json", body }
}

fn read_json<T: DeserializeOwned>(body: &str) -> Result<T, Malformed> {
    serde_json::from_str(body).map_err(|_invalid| Malformed("not the expected JSON"))
}

/// The holder's name in an answer; `None` if it is missing or not a name.
fn holder(name: Option<String>) -> Option<FullName> {
    name.as_deref().and_then(FullName::parse)
}

/// The key as 32 hexadecimal digits. Message identifiers of ISO 20022 have at most 35 characters.
fn compact_key(key: Uuid) -> String {
    key.simple().to_string()
}

/// Checks that an answer names the payment that it was requested for.
fn check_key(key: Uuid, named: &str) -> Result<(), Malformed> {
    if named == compact_key(key) { Ok(()) } else { Err(Malformed("an answer about another payment")) }
}

#[cfg(test)]
mod tests;
