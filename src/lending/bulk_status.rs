//! Changes the status of many applications.
//!
//! The matching applications are read once and divided into those that the caller can change and those to skip. Each
//! change is then a separate transaction with the rules of [`Lending::change`]. It is conditional on the version that
//! was read, so an application that changed in between is skipped. A request stops after [`MAX_CHANGES`] changes, or
//! when half of the request timeout has passed, and reports how many are left. Repeating it is safe: applications that
//! already have the status are skipped.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use slog::warn;

use super::change::{Change, ChangeRequest, ExpectedVersion};
use super::list::ListFilter;
use super::{Caller, Lending};
use crate::domain::ids::ApplicationId;
use crate::domain::status::Status;
use crate::error::{Error, Result};
use crate::storage::applications::{self, Candidate};
use crate::storage::{reviews, transaction};

/// Maximum number of changes of one request.
pub const MAX_CHANGES: usize = 1000;
/// Maximum number of skipped applications in the result.
const MAX_SKIPPED: usize = 100;

/// The applications to change.
#[derive(Debug)]
pub enum BulkTarget {
    Filter(ListFilter),
    /// Sorted and distinct.
    Ids(Vec<ApplicationId>),
}

#[derive(Debug)]
pub struct BulkStatus {
    pub target: BulkTarget,
    pub status: Status,
    /// The reason in the audit trail of each application.
    pub reason: String,
    /// Whether to change nothing and only report what a request would do.
    pub dry_run: bool,
    /// If the number of matching applications differs from this one, a real run changes nothing.
    pub expected_count: Option<usize>,
}

/// The result of a bulk change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkOutcome {
    /// Number of matching applications.
    pub matched: usize,
    /// Number of matching applications that the caller can change.
    pub changeable: usize,
    /// Number of changed applications.
    pub changed: usize,
    /// The first skipped applications.
    pub skipped: Vec<Skipped>,
    /// Number of applications that can be changed but were not processed by this request.
    pub remaining: usize,
}

/// A skipped application, and the code of the problem that a change of it would cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    pub id: ApplicationId,
    pub code: &'static str,
}

/// The matching applications.
#[derive(Debug, Default)]
struct Matched {
    changeable: Vec<(ApplicationId, i64)>,
    skipped: Vec<Skipped>,
}

impl Lending {
    /// Changes the status of the matching applications that the caller can change, or reports what would be changed.
    ///
    /// # Errors
    /// [`Error::Validation`] if the filter matches too many applications; [`Error::CountChanged`]. An error that
    /// affects the service instead of one application ends the request; it is returned only if nothing was changed.
    pub async fn change_statuses(&self, caller: &Caller, request: &BulkStatus) -> Result<BulkOutcome> {
        let Matched { changeable, skipped } = self.matched(caller, request).await?;
        let mut outcome = BulkOutcome {
            matched: changeable.len() + skipped.len(),
            changeable: changeable.len(),
            changed: 0,
            skipped,
            remaining: changeable.len(),
        };
        if !request.dry_run {
            let is_expected = request.expected_count.is_none_or(|expected| expected == outcome.matched);
            if !is_expected {
                return Err(Error::CountChanged { matched: outcome.matched });
            }
            self.change_each(caller, request, &changeable, &mut outcome).await?;
        }
        outcome.skipped.truncate(MAX_SKIPPED);
        Ok(outcome)
    }

    async fn change_each(
        &self,
        caller: &Caller,
        request: &BulkStatus,
        changeable: &[(ApplicationId, i64)],
        outcome: &mut BulkOutcome,
    ) -> Result<()> {
        let clock = &self.resources.clock;
        let end = clock.monotonic() + self.bulk_time();
        for (id, version) in changeable.iter().take(MAX_CHANGES) {
            if clock.monotonic() > end {
                break;
            }
            let change = ChangeRequest {
                reason: Some(request.reason.clone()),
                expected: Some(ExpectedVersion::OneOf(vec![*version])),
                ..ChangeRequest::from(Change::Status(request.status))
            };
            match self.apply_change(caller, *id, &change, None).await {
                Ok(_) => outcome.changed += 1,
                Err(error) if concerns_the_application(&error) => {
                    outcome.skipped.push(Skipped { id: *id, code: error.code() });
                }
                Err(error) if outcome.changed == 0 => return Err(error),
                Err(error) => {
                    warn!(self.resources.logger, "a bulk change of status ended early"; "changed" => outcome.changed, error);
                    break;
                }
            }
            outcome.remaining -= 1;
        }
        Ok(())
    }

    /// How long a request may take to change applications: half of the request timeout.
    fn bulk_time(&self) -> Duration {
        self.resources.settings.server.request_timeout() / 2
    }

    async fn matched(&self, caller: &Caller, request: &BulkStatus) -> Result<Matched> {
        let mut matched = Matched::default();
        let (candidates, missing) = match &request.target {
            BulkTarget::Filter(filter) => (self.candidates(caller, filter).await?, Vec::new()),
            BulkTarget::Ids(ids) => {
                let read = async |connection: &mut AsyncPgConnection| {
                    transaction::single(connection, async |connection| {
                        applications::by_ids(connection, ids, &caller.may_change).await
                    })
                    .await
                };
                let found = self.resources.database.run(read).await?;
                let is_missing = |id: &&ApplicationId| !found.iter().any(|candidate| candidate.id == **id);
                let missing: Vec<ApplicationId> = ids.iter().filter(is_missing).copied().collect();
                (found, missing)
            }
        };
        let assigned = self.assigned_to_others(caller).await?;
        for candidate in candidates {
            match refusal(caller, request.status, &candidate, &assigned) {
                Some(code) => matched.skipped.push(Skipped { id: candidate.id, code }),
                None => matched.changeable.push((candidate.id, candidate.version)),
            }
        }
        matched.skipped.extend(self.describe_missing(caller, missing).await?);
        Ok(matched)
    }

    async fn candidates(&self, caller: &Caller, filter: &ListFilter) -> Result<Vec<Candidate>> {
        let lists = &self.resources.settings.lists;
        let limit = i64::from(lists.exact_up_to);
        let read = async |connection: &mut AsyncPgConnection| {
            transaction::begin_limited(connection, filter.begin(), lists.statement_timeout()).await?;
            let found = applications::by_filter(connection, filter, &caller.may_change, limit + 1).await;
            transaction::end(connection, found).await
        };
        let found = self.resources.database.run(read).await?;
        if found.len() > usize::try_from(limit).unwrap_or(usize::MAX) {
            let detail = format!("matches more than {limit} applications");
            return Err(Error::field("/filter", "too_many_rows", detail));
        }
        Ok(found)
    }

    async fn assigned_to_others(&self, caller: &Caller) -> Result<Vec<ApplicationId>> {
        let read = async |connection: &mut AsyncPgConnection| {
            transaction::single(connection, async |connection| {
                reviews::assigned_to_others_than(connection, caller.account_id).await
            })
            .await
        };
        self.resources.database.run(read).await
    }

    async fn describe_missing(&self, caller: &Caller, missing: Vec<ApplicationId>) -> Result<Vec<Skipped>> {
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let read = async |connection: &mut AsyncPgConnection| {
            applications::archived_of(connection, &missing, &caller.may_change).await
        };
        let archived = self.resources.database.run(read).await?;
        let error = |id| if archived.contains(id) { Error::Archived } else { Error::NotFound("application") };
        Ok(missing.iter().map(|id| Skipped { id: *id, code: error(id).code() }).collect())
    }
}

/// The code of the problem that a change of the application to `status` would cause; `None` if it can be changed.
fn refusal(
    caller: &Caller,
    status: Status,
    candidate: &Candidate,
    assigned_to_others: &[ApplicationId],
) -> Option<&'static str> {
    let Some(current) = candidate.status.known() else { return Some("unknown_label") };
    if !current.next_for(caller.initiator).any(|next| next == status) {
        return Some("illegal_transition");
    }
    let is_assigned = current == Status::UnderReview && assigned_to_others.contains(&candidate.id);
    is_assigned.then_some("assigned_to_another")
}

/// Whether the error affects only this application, so the others can still be changed.
fn concerns_the_application(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound(_)
            | Error::IllegalTransition { .. }
            | Error::AssignedToAnother { .. }
            | Error::Conflict(_)
            | Error::Archived
            | Error::StaleVersion
            | Error::UnknownLabel { .. }
    )
}
