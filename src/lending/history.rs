//! How an application came to where it is: its last decision and its audit trail.

use super::audit_views::{ViewAction, Viewed};
use super::{Caller, Lending};
use crate::countries::is_personal;
use crate::domain::decision::StoredDecision;
use crate::domain::ids::ApplicationId;
use crate::error::{Error, Result};
use crate::storage::{applications, audit, decisions};

pub use crate::storage::audit::{AuditEntry, ValueChange};
pub use crate::storage::types::AuditAction;

impl Lending {
    /// The last decision on an application that the caller may see.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the application or the decision, or when the database fails.
    pub async fn latest_decision(&self, caller: &Caller, id: ApplicationId) -> Result<StoredDecision> {
        let database = &self.resources.database;
        let mut connection = database.get().await?;
        let application = applications::get(&mut connection, database.keys(), id, &caller.may_see).await?;
        let stored = decisions::find_latest(&mut connection, application.id).await?;
        let stored = stored.ok_or(Error::NotFound("decision"))?;
        self.note_view(caller, Viewed::One(ViewAction::Decision, id, &application.created_by));
        Ok(stored)
    }

    /// Every change of an application that the caller may see, oldest first. Personal values are masked.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database fails.
    pub async fn audit_trail(&self, caller: &Caller, id: ApplicationId) -> Result<Vec<AuditEntry>> {
        let database = &self.resources.database;
        let mut connection = database.get().await?;
        let application = applications::get(&mut connection, database.keys(), id, &caller.may_see).await?;
        let entries = audit::list(&mut connection, database.keys(), application.id, is_personal).await?;
        self.note_view(caller, Viewed::One(ViewAction::Audit, id, &application.created_by));
        Ok(entries)
    }
}
