//! Lists of applications: filters, pages and totals.

use diesel_async::AsyncPgConnection;

use super::{Caller, Lending};
use crate::error::Result;
use crate::storage::applications::{TotalBounds, list_page, total};
use crate::storage::transaction;

pub use crate::storage::Share;
pub use crate::storage::applications::{ListFilter, ListedApplication, PageStart, SortOrder, Total};
pub use crate::storage::seal::BlindIndex;

/// A request for a page of a list.
#[derive(Debug)]
pub struct ListRequest {
    pub filter: ListFilter,
    pub order: SortOrder,
    pub start: PageStart,
    /// Whether to count the whole list.
    pub with_total: bool,
    /// The maximum number of applications.
    pub limit: i64,
}

impl Lending {
    /// A page of a list of the applications visible to the caller, and the total if requested. The read counts towards
    /// `share` of the pool.
    ///
    /// # Errors
    /// [`Error::Overloaded`](crate::error::Error::Overloaded) if the share is used up.
    pub async fn list(
        &self,
        caller: &Caller,
        share: Share,
        request: &ListRequest,
    ) -> Result<(Option<Total>, Vec<ListedApplication>)> {
        let database = &self.resources.database;
        let timeout = self.resources.settings.lists.statement_timeout();
        let read = async |connection: &mut AsyncPgConnection| {
            transaction::begin_limited(connection, request.filter.begin(), timeout).await?;
            let read = self.read_page(connection, caller, request).await;
            transaction::end(connection, read).await
        };
        let (total, listed) = database.read(share, read).await?;
        self.record_unknown(&listed);
        Ok((total, listed))
    }

    async fn read_page(
        &self,
        connection: &mut AsyncPgConnection,
        caller: &Caller,
        request: &ListRequest,
    ) -> Result<(Option<Total>, Vec<ListedApplication>)> {
        let ListRequest { filter, order, start, with_total, limit } = request;
        let total = match with_total {
            true => Some(total(connection, filter, &caller.may_see, self.total_bounds()).await?),
            false => None,
        };
        let keys = self.resources.database.keys();
        let listed = list_page(connection, keys, filter, &caller.may_see, *order, *start, *limit).await?;
        Ok((total, listed))
    }

    /// Limits on the work of counting a total.
    pub(super) fn total_bounds(&self) -> TotalBounds {
        let settings = &self.resources.settings;
        TotalBounds { examined: settings.lists.exact_up_to, uncounted: settings.statistics.max_uncounted }
    }

    /// Logs and counts the labels of a page that are unknown to this version.
    pub(super) fn record_unknown(&self, listed: &[ListedApplication]) {
        let labels = listed.iter().flat_map(|row| [row.country.unknown(), row.status.unknown()]);
        self.resources.record_unknown("applications", labels.flatten());
    }
}
