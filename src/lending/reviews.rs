//! The review queue: analysts list the applications under review, take the next one, and assign applications to
//! themselves. This prevents two analysts from working on the same application.
//!
//! While an application is assigned, only the assignee, webhooks and re-decisions can decide it. An assignment ends
//! when it is released, when it expires, or when the review ends. Events inform the consoles of other staff.

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;

use super::audit_views::{ViewAction, Viewed};
use super::{Caller, Lending};
use crate::actors::write_batcher::Written;
use crate::domain::account::Role;
use crate::domain::application::Country;
use crate::domain::ids::ApplicationId;
use crate::domain::status::Status;
use crate::error::{Error, Result};
use crate::storage::applications::{self, ListFilter};
use crate::storage::planner;
use crate::storage::reviews::{self, NewAssignment};
use crate::storage::transaction::{self, Abort};

pub use crate::storage::reviews::{Assignment, AssignmentFilter, Review, ReviewFilter};

/// An assignment writes events, but no jobs.
const WRITTEN: Written = Written { jobs: false, events: true };

impl Lending {
    /// Up to `limit` applications under review after the one with this time and identifier, oldest first. The page is
    /// read from the primary, because the caller must see its own assignments.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list_reviews(
        &self,
        caller: &Caller,
        filter: ReviewFilter,
        after: Option<(DateTime<Utc>, ApplicationId)>,
        limit: i64,
    ) -> Result<Vec<Review>> {
        let database = &self.resources.database;
        let timeout = self.resources.settings.lists.statement_timeout();
        let read = async |connection: &mut AsyncPgConnection| {
            transaction::begin_limited(connection, planner::BEGIN, timeout).await?;
            let page = reviews::list_page(connection, database.keys(), filter, after, limit).await;
            transaction::end(connection, page).await
        };
        let page = database.run(read).await?;
        let labels = page
            .iter()
            .flat_map(|review| [review.application.country.unknown(), review.application.status.unknown()]);
        self.resources.record_unknown("applications", labels.flatten());
        let listed = ListFilter {
            country: filter.country,
            status: Some(Status::UnderReview),
            ..ListFilter::default()
        };
        self.record_view(caller, Viewed::List(ViewAction::List, &listed));
        Ok(page)
    }

    /// Assigns the oldest unassigned application under review to the caller. Concurrent callers get different ones.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn next_review(&self, caller: &Caller, country: Option<Country>) -> Result<Option<Review>> {
        let database = &self.resources.database;
        let work = async |connection: &mut AsyncPgConnection| {
            let Some(id) = reviews::lock_next(connection, country).await? else { return Ok(None) };
            reviews::assign(connection, &self.assignment_of(caller, id)).await?;
            Ok(reviews::find(connection, database.keys(), id).await?)
        };
        let next = transaction::run(database, &self.resources.logger, "assign_next_review", work).await?;
        if let Some(review) = &next {
            (self.on_commit)(WRITTEN);
            self.record_view(
                caller,
                Viewed::One(ViewAction::Application, review.application.id, &review.owner),
            );
        }
        Ok(next)
    }

    /// The assignment of an application; `None` if there is none or it has expired. It is read from the primary, because
    /// the caller must see its own assignments.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the application does not exist or is not visible.
    pub async fn find_assignment(&self, caller: &Caller, id: ApplicationId) -> Result<Option<Assignment>> {
        let read = async |connection: &mut AsyncPgConnection| {
            require_visible(connection, caller, id).await?;
            reviews::find_assignment(connection, id).await
        };
        self.resources.database.run(read).await
    }

    /// Assigns an application to the caller, or extends the caller's assignment.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotUnderReview`], or [`Error::AssignedToAnother`].
    pub async fn assign_review(&self, caller: &Caller, id: ApplicationId) -> Result<Assignment> {
        let work = async |connection: &mut AsyncPgConnection| {
            applications::lock_review(connection, id, caller.account_id).await?;
            match reviews::assign(connection, &self.assignment_of(caller, id)).await? {
                Some(period) => Ok(period),
                None => {
                    require_visible(connection, caller, id).await?;
                    Err(Abort::Error(Error::NotUnderReview))
                }
            }
        };
        let Self { resources, .. } = self;
        let period = transaction::run(&resources.database, &resources.logger, "assign_review", work).await?;
        (self.on_commit)(WRITTEN);
        Ok(Assignment {
            assigned_to: caller.account_id,
            assigned_to_name: caller.account.clone(),
            assigned_at: period.assigned_at,
            expires_at: period.expires_at,
        })
    }

    /// Ends the assignment of an application, if there is one. Admins can end the assignments of other accounts.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::AssignedToAnother`].
    pub async fn release_review(&self, caller: &Caller, id: ApplicationId) -> Result<()> {
        let work = async |connection: &mut AsyncPgConnection| {
            if caller.role != Role::Admin {
                applications::lock_review(connection, id, caller.account_id).await?;
            }
            if !reviews::release(connection, id, &caller.request_id).await? {
                require_visible(connection, caller, id).await?;
            }
            Ok(())
        };
        let Self { resources, .. } = self;
        transaction::run(&resources.database, &resources.logger, "release_review", work).await?;
        (self.on_commit)(WRITTEN);
        Ok(())
    }

    fn assignment_of<'a>(&self, caller: &'a Caller, id: ApplicationId) -> NewAssignment<'a> {
        NewAssignment {
            application_id: id,
            assigned_to: caller.account_id,
            minutes: self.resources.settings.reviews.assignment_minutes,
            request_id: &caller.request_id,
        }
    }
}

async fn require_visible(
    connection: &mut AsyncPgConnection,
    caller: &Caller,
    id: ApplicationId,
) -> Result<()> {
    let is_visible = applications::is_visible(connection, id, &caller.may_see).await?;
    if is_visible { Ok(()) } else { Err(Error::NotFound("application")) }
}
