//! Reading security events.

use uuid::Uuid;

use super::Accounts;
use crate::error::Result;
use crate::storage::security_events;

pub use crate::storage::security_events::{EventFilter, RecordedEvent};

impl Accounts {
    /// Up to `limit` security events recorded before the event `before`, newest first.
    pub async fn security_events(
        &self,
        filter: &EventFilter,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<RecordedEvent>> {
        let mut connection = self.inner.database.get().await?;
        security_events::list_page(&mut connection, filter, before, limit).await
    }
}
