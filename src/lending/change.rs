//! Changes to one application that a person requests: status, country data, deletion and restoration.
//!
//! A change can be conditional on a version ([`ExpectedVersion`]). The version is checked twice: first before the change,
//! so a wrong version is reported rather than another error, and again under the row lock, because another change may
//! have happened in between.

use diesel_async::AsyncPgConnection;

use super::audit_views::Viewed;
use super::{Caller, Lending};
use crate::actors::write_batcher::Written;
use crate::domain::application::{Application, Attribution, Country};
use crate::domain::ids::{ApplicationId, ChangeId};
use crate::error::{Error, PublicMessage, Result};
use crate::storage::applications;
use crate::storage::disbursements;
use crate::storage::idempotency::{self, Keyed, Once};
use crate::storage::transaction::Abort;

pub use crate::storage::applications::Change;

/// The maximum size of an application's country-specific data, in bytes of JSON.
pub const MAX_COUNTRY_DATA_BYTES: usize = 16 * 1024;

/// The versions that a change may apply to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// Any version; the application only has to exist.
    Any,
    OneOf(Vec<i64>),
}

impl ExpectedVersion {
    /// Whether an application with this version may be changed.
    pub fn allows(&self, version: i64) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(versions) => versions.contains(&version),
        }
    }
}

#[derive(Debug)]
pub struct ChangeRequest {
    pub change: Change,
    /// The reason in the audit trail.
    pub reason: Option<String>,
    /// A note in the audit trail that only staff can read.
    pub internal_note: Option<String>,
    /// `None` for an unconditional change.
    pub expected: Option<ExpectedVersion>,
}

impl From<Change> for ChangeRequest {
    fn from(change: Change) -> Self {
        Self { change, reason: None, internal_note: None, expected: None }
    }
}

impl ChangeRequest {
    fn check_version(&self, version: i64) -> Result<()> {
        let allowed = self.expected.as_ref().is_none_or(|expected| expected.allows(version));
        if allowed { Ok(()) } else { Err(Error::StaleVersion) }
    }
}

impl Lending {
    /// The country of an application that the caller may change, including deleted and archived ones.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn country_to_change(&self, caller: &Caller, id: ApplicationId) -> Result<Country> {
        let read = async |connection: &mut _| applications::country(connection, id, &caller.may_change).await;
        self.resources.database.run(read).await
    }

    /// Makes a change, at most once per idempotency key. Because the result contains the application, an audit view is
    /// recorded, except for a deletion.
    ///
    /// # Errors
    /// [`Error::StaleVersion`]; [`Error::Validation`] if the data would become too large; the errors of
    /// [`applications::change`] and [`idempotency::once`].
    pub async fn change(
        &self,
        caller: &Caller,
        id: ApplicationId,
        request: &ChangeRequest,
        keyed: Option<&Keyed<'_, Application>>,
    ) -> Result<Once<Application>> {
        let made = self.apply_change(caller, id, request, keyed).await?;
        if !matches!(request.change, Change::Delete) {
            match &made {
                Once::Made(changed) => self.record_view(caller, Viewed::Changed(id, &changed.created_by)),
                // A stored response does not contain the owner. The owner must be known, because views of an account's
                // own applications are not recorded.
                Once::Replayed(_) => {
                    let read = async |connection: &mut _| applications::owner(connection, id).await;
                    let owner = self.resources.database.run(read).await?;
                    self.record_view(caller, Viewed::Changed(id, &owner));
                }
            }
        }
        Ok(made)
    }

    /// Like [`Lending::change`], but records no audit view. For callers that do not return the application.
    ///
    /// # Errors
    /// As [`Lending::change`].
    pub(super) async fn apply_change(
        &self,
        caller: &Caller,
        id: ApplicationId,
        request: &ChangeRequest,
        keyed: Option<&Keyed<'_, Application>>,
    ) -> Result<Once<Application>> {
        let (database, clock) = (&self.resources.database, &self.resources.clock);
        let attribution = caller.attribution(ChangeId::new(clock.new_uuid()), request.reason.clone());
        let work = async |connection: &mut AsyncPgConnection| {
            self.change_in(connection, caller, id, request, &attribution).await
        };
        let made =
            idempotency::once(database, &self.resources.logger, "change_application", keyed, work).await?;
        if let Once::Made(changed) = &made {
            self.cache.record_change(id, changed.version, &changed.created_by);
        }
        (self.on_commit)(Written { jobs: matches!(request.change, Change::Restore), events: true });
        Ok(made)
    }

    async fn change_in(
        &self,
        connection: &mut AsyncPgConnection,
        caller: &Caller,
        id: ApplicationId,
        request: &ChangeRequest,
        attribution: &Attribution,
    ) -> Result<Application, Abort> {
        let keys = self.resources.database.keys();
        // `get` does not find deleted applications. A restoration is checked only under the row lock.
        if request.expected.is_some() && !matches!(request.change, Change::Restore) {
            let current = applications::get(connection, keys, id, &caller.may_change).await?;
            request.check_version(current.version)?;
        }
        if matches!(request.change, Change::Delete) {
            check_not_paid_out(connection, id).await?;
        }
        let changed = applications::change(
            connection,
            keys,
            id,
            &caller.may_change,
            caller.initiator,
            caller.account_id,
            &request.change,
            attribution,
            request.internal_note.as_deref(),
            caller.traceparent.as_deref(),
        )
        .await?;
        // The change locked the row, so no other change came in between, and the previous version is one less.
        request.check_version(changed.version - 1)?;
        check_size(&changed)?;
        Ok(changed)
    }
}

/// Refuses the deletion of an application that is being paid out: the payment could not be booked. A trigger refuses it too.
async fn check_not_paid_out(connection: &mut AsyncPgConnection, id: ApplicationId) -> Result<()> {
    if disbursements::is_in_progress(connection, id).await? {
        let text = "an application cannot be deleted while it is being paid out";
        return Err(Error::Conflict(PublicMessage::new(text)));
    }
    Ok(())
}

/// Checks the size of the whole data rather than of the change, because several small changes together may exceed it.
fn check_size(changed: &Application) -> Result<()> {
    let bytes = serde_json::to_vec(&changed.country_specific_data).map_err(Error::internal)?.len();
    let sealed = changed.personal_data.to_storage().map_or(0, |text| text.len());
    if bytes + sealed > MAX_COUNTRY_DATA_BYTES {
        let detail = format!("must not exceed {MAX_COUNTRY_DATA_BYTES} bytes of JSON in total");
        return Err(Error::field("/country_specific_data", "too_large", detail));
    }
    Ok(())
}
