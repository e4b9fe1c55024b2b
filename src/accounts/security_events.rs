//! Reading security events, and recording changes of the log level.

use serde_json::Value;
use uuid::Uuid;

use super::{Accounts, ChangeOrigin};
use crate::error::Result;
use crate::storage::security_events::{self, SecurityEvent};
use crate::storage::transaction::{self, Abort};

pub use crate::storage::security_events::{EventFilter, RecordedEvent};

impl Accounts {
    /// Records that an operator changed the log level of this instance.
    ///
    /// # Errors
    /// [`Error::Credential`](crate::error::Error::Credential) if the actor may no longer act, or a database error.
    pub async fn record_log_level(&self, origin: &ChangeOrigin, detail: &Value) -> Result<()> {
        let inner = &self.inner;
        transaction::run(&inner.database, &inner.logger, "record_log_level", async |connection| {
            self.begin_change(connection, origin).await?;
            let event = SecurityEvent::LogLevelChanged;
            security_events::record(connection, event, origin.actor(), None, detail.clone()).await?;
            Ok::<_, Abort>(())
        })
        .await
    }

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
