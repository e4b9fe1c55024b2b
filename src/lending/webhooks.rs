//! Receives the webhooks of banks and bureaus, and lists them for operators. [`confirm`](super::confirm) applies the
//! messages.

use uuid::Uuid;

use super::Lending;
use super::confirm::{Receipt, VerifiedMessage, WebhookReceiver};
use crate::domain::ids::ApplicationId;
use crate::error::Result;
use crate::storage::{applications, webhooks};

pub use crate::storage::types::WebhookStatus;
pub use crate::storage::webhooks::{ListedEvent, WebhookFilter};

impl Lending {
    /// Stores a message and applies it.
    ///
    /// # Errors
    /// The errors of [`WebhookReceiver::receive`].
    pub async fn confirm(&self, receiver: &WebhookReceiver, message: &VerifiedMessage) -> Result<Receipt> {
        let receipt = receiver.receive(message).await?;
        if matches!(receipt, Receipt::Applied(..)) {
            // If this fails, the message is still applied, and its event updates the cache.
            let _ = self.record_applied(message.confirmation.application_id).await;
        }
        Ok(receipt)
    }

    /// Updates the cache's change log, so later reads through this instance reflect the applied message.
    async fn record_applied(&self, id: ApplicationId) -> Result<()> {
        let read = async |connection: &mut _| applications::owner_and_version(connection, id).await;
        let (owner, version) = self.resources.database.run(read).await?;
        self.cache.record_change(id, version, &owner);
        Ok(())
    }

    /// Up to `limit` messages received before the message `before`, newest first.
    pub async fn webhook_events(
        &self,
        filter: &WebhookFilter,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<ListedEvent>> {
        let mut connection = self.resources.database.get().await?;
        webhooks::list_page(&mut connection, filter, before, limit).await
    }
}
