//! The default bus: the outbox, tailed by each instance.
//!
//! Reading costs one index range scan a batch. It reaches as far back as the outbox is kept (`outbox.retention_hours`).

use futures_util::future::{BoxFuture, FutureExt as _};

use super::{EventBus, Extent};
use crate::domain::event::{Position, PublishedEvent};
use crate::error::Result;
use crate::storage::{Database, outbox, transaction};

/// The outbox as a bus.
#[derive(Debug, Clone)]
pub struct PostgresBus {
    database: Database,
}

impl PostgresBus {
    /// The bus in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl EventBus for PostgresBus {
    fn position(&self) -> BoxFuture<'_, Result<Position>> {
        async { outbox::position(&mut *self.database.get().await?).await }.boxed()
    }

    fn extent(&self) -> BoxFuture<'_, Result<Extent>> {
        async {
            let mut connection = self.database.get().await?;
            // The end first: what is published in between is then no gap.
            let end = outbox::position(&mut connection).await?;
            Ok(Extent { end, oldest_offset: outbox::oldest_offset(&mut connection).await? })
        }
        .boxed()
    }

    fn read_after(&self, after: Position, limit: u32) -> BoxFuture<'_, Result<Vec<PublishedEvent>>> {
        async move {
            let mut connection = self.database.get().await?;
            transaction::begin(&mut connection).await?;
            let events = outbox::read_after(&mut connection, after.offset, limit).await;
            transaction::end(&mut connection, events).await
        }
        .boxed()
    }
}
