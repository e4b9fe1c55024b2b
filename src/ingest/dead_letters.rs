//! Refused events that are kept: listing, retrying and discarding them.

use bytes::Bytes;
use uuid::Uuid;

use super::batch::Batch;
use super::{Ingest, Receipt};
use crate::error::{Error, Result};
use crate::storage::ingest::dead_letters;
pub use crate::storage::ingest::dead_letters::{IngestDeadLetter, IngestDeadLetterFilter};
use crate::storage::transaction;

impl Ingest {
    /// One page of the dead letters, newest first, starting after the dead letter `after`.
    ///
    /// # Errors
    /// The database's error.
    pub async fn list_dead_letters(
        &self,
        filter: &IngestDeadLetterFilter,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<IngestDeadLetter>> {
        let read = async |connection: &mut _| dead_letters::list_page(connection, filter, after, limit).await;
        self.resources.database.run(read).await
    }

    /// A dead letter with the event as it was sent.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the database's error.
    pub async fn get_dead_letter(&self, id: Uuid) -> Result<(IngestDeadLetter, String)> {
        let read = async |connection: &mut _| dead_letters::get(connection, id).await;
        self.resources.database.run(read).await
    }

    /// Checks a kept event again, now, and stores it. Then the dead letter is deleted. A retry that fails in between can be
    /// repeated: the event is then a duplicate.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Validation`] if the event is still not valid; or as [`Ingest::store`].
    pub async fn retry_dead_letter(&self, id: Uuid) -> Result<Receipt> {
        let (letter, event) = self.get_dead_letter(id).await?;
        let body = Bytes::from(event);
        let reservation = self.reserve(body.len())?;
        let batch = Batch::of_event(&body, self.now())?;
        if let Some(refusal) = batch.refusal() {
            return Err(refusal);
        }
        let receipt = self.store(&letter.account, batch, reservation).await?;
        self.delete_dead_letter(id).await?;
        Ok(receipt)
    }

    /// Deletes a dead letter without storing its event.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the database's error.
    pub async fn discard_dead_letter(&self, id: Uuid) -> Result<()> {
        if self.delete_dead_letter(id).await? { Ok(()) } else { Err(Error::NotFound("dead letter")) }
    }

    async fn delete_dead_letter(&self, id: Uuid) -> Result<bool> {
        let delete = async |connection: &mut _| dead_letters::delete(connection, id).await;
        transaction::single(&mut *self.resources.database.get().await?, delete).await
    }
}
