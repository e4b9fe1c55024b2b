//! What banks and bureaus post, and what operators see of it.
//!
//! The signature is the only key to this door: it is verified over the raw bytes before anything of them is read, and
//! whatever is wrong with it is answered alike. The verifying secret names the countries whose applications the message
//! may speak about. What happens then is `lending::confirm`.

pub mod list;
pub mod receive;
mod senders;

pub use self::senders::Senders;
use crate::lending::confirm::WebhookReceiver;

/// Where webhooks are posted to.
pub const PATH: &str = "/api/v1/webhooks/bank-confirmation";
/// The same under another name.
pub(super) const ALIAS: &str = "/api/v1/webhooks/provider";

/// Who verifies and takes webhooks. Cheap to clone.
#[derive(Clone)]
pub struct WebhookResources {
    /// Whose signatures verify.
    pub senders: Senders,
    /// Who stores and applies messages.
    pub receiver: WebhookReceiver,
}
