//! The default bus, which reads the outbox table.
//!
//! Each read is one index range scan. Events are available for as long as the outbox is kept
//! (`outbox.retention_hours`).

use futures_util::future::{BoxFuture, FutureExt as _};

use super::{EventBus, Extent};
use crate::domain::published::Position;
use crate::error::{Error, Result};
use crate::events::envelope::Envelope;
use crate::storage::{Database, outbox, transaction};

/// The outbox table as a bus.
#[derive(Debug, Clone)]
pub struct PostgresBus {
    database: Database,
}

impl PostgresBus {
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    async fn read_once(&self, after: Position, limit: u32) -> Result<Vec<Envelope>> {
        let mut connection = self.database.get().await?;
        transaction::begin(&mut connection).await?;
        let events = outbox::read_after(&mut connection, after.offset, limit).await;
        let events = transaction::end(&mut connection, events).await?;
        Ok(events.into_iter().map(Envelope::from).collect())
    }
}

impl EventBus for PostgresBus {
    fn position(&self) -> BoxFuture<'_, Result<Position>> {
        async { self.database.run(outbox::position).await }.boxed()
    }

    fn extent(&self) -> BoxFuture<'_, Result<Extent>> {
        async {
            // The end is read first, so events published in between are not mistaken for a gap.
            let end = self.database.run(outbox::position).await?;
            Ok(Extent { end, oldest_offset: self.database.run(outbox::oldest_offset).await? })
        }
        .boxed()
    }

    fn read_after(&self, after: Position, limit: u32) -> BoxFuture<'_, Result<Vec<Envelope>>> {
        async move {
            // A pooled connection may have been closed by the server, so the read is retried once with another one.
            match self.read_once(after, limit).await {
                Err(Error::Database { session_lost: true, .. }) => self.read_once(after, limit).await,
                events => events,
            }
        }
        .boxed()
    }
}
