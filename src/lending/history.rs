//! The history of an application: its latest decision and its audit trail.

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
    /// The latest decision on an application that is visible to the caller.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such application or no decision on it.
    pub async fn latest_decision(&self, caller: &Caller, id: ApplicationId) -> Result<StoredDecision> {
        let database = &self.resources.database;
        let mut connection = database.get().await?;
        let application = applications::get(&mut connection, database.keys(), id, &caller.may_see).await?;
        let stored = decisions::find_latest(&mut connection, application.id).await?;
        let stored = stored.ok_or(Error::NotFound("decision"))?;
        self.record_view(caller, Viewed::One(ViewAction::Decision, id, &application.created_by));
        Ok(stored)
    }

    /// All changes to an application that is visible to the caller, oldest first, with personal values masked.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn audit_trail(&self, caller: &Caller, id: ApplicationId) -> Result<Vec<AuditEntry>> {
        let database = &self.resources.database;
        let mut connection = database.get().await?;
        let application = applications::get(&mut connection, database.keys(), id, &caller.may_see).await?;
        let entries = audit::list(&mut connection, database.keys(), application.id, is_personal).await?;
        self.record_view(caller, Viewed::One(ViewAction::Audit, id, &application.created_by));
        Ok(entries)
    }
}
