//! Reads disbursements. Lists and details read the projection only.

use uuid::Uuid;

use super::{Approval, DisbursementFilter, StoredEvent};
use crate::domain::disbursement::history::Disbursement;
use crate::error::{Error, Result};
use crate::lending::{Caller, Lending};
use crate::storage::disbursements::{self, approvals, list};

impl Lending {
    /// A disbursement that the caller may see.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn disbursement(&self, caller: &Caller, id: Uuid) -> Result<Disbursement> {
        let read = async |connection: &mut _| disbursements::find(connection, id, &caller.may_see).await;
        self.resources.database.run(read).await?.ok_or(Error::NotFound("disbursement"))
    }

    /// The requests for a second person that concern a disbursement which the caller may see.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn approvals_of(&self, caller: &Caller, id: Uuid) -> Result<Vec<Approval>> {
        self.disbursement(caller, id).await?;
        let read = async |connection: &mut _| approvals::of_disbursement(connection, id).await;
        self.resources.database.run(read).await
    }

    /// The events of a disbursement that the caller may see, oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn disbursement_events(&self, caller: &Caller, id: Uuid) -> Result<Vec<StoredEvent>> {
        self.disbursement(caller, id).await?;
        let read = async |connection: &mut _| disbursements::events(connection, id).await;
        self.resources.database.run(read).await
    }

    /// One page of the disbursements that the caller may see, newest first.
    pub async fn disbursements(
        &self,
        caller: &Caller,
        filter: &DisbursementFilter,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Disbursement>> {
        let read = async |connection: &mut _| {
            list::list_page(connection, &caller.may_see, filter, after, limit).await
        };
        self.resources.database.run(read).await
    }
}
