//! Webhooks from banks and bureaus, and the operators' view of them.
//!
//! A webhook is authenticated only by its signature, which is verified over the raw body before any parsing. All
//! signature errors get the same response. The secret that the signature was made with determines the countries whose
//! applications the message may affect. Processing is in `lending::confirm`.

pub mod list;
pub mod receive;
pub(super) mod senders;

pub use self::senders::Senders;
use crate::lending::confirm::WebhookReceiver;

pub const PATH: &str = "/api/v1/webhooks/bank-confirmation";
/// An alias of [`PATH`].
pub(super) const ALIAS: &str = "/api/v1/webhooks/provider";

/// The dependencies of webhook handlers. Cheap to clone.
#[derive(Clone)]
pub struct WebhookResources {
    pub senders: Senders,
    /// Stores and applies messages.
    pub receiver: WebhookReceiver,
}
