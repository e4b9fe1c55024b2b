//! Exports a whole list, page by page, at the speed at which the client reads.
//!
//! Each page is read by a separate statement, which starts after the last application of the previous page. Between pages,
//! no transaction stays open and no connection is held. The list as a whole is never in memory.

use diesel_async::AsyncPgConnection;
use slog::{Logger, info, o};

use super::audit_views::{ViewAction, Viewed};
use super::{Caller, Lending};
use crate::error::{Error, FieldError, Result};
use crate::storage::applications::{ListFilter, ListedApplication, PageStart, SortOrder, list_page, total};
use crate::storage::{Share, transaction};

/// An export in progress.
pub struct Export {
    lending: Lending,
    caller: Caller,
    filter: ListFilter,
    order: SortOrder,
    /// Where the next page starts; `None` after the last page.
    next: Option<PageStart>,
    rows_left: u32,
    max_rows: u32,
    logger: Logger,
}

/// One page of an export.
#[derive(Debug, Default)]
pub struct ExportPage {
    pub applications: Vec<ListedApplication>,
    /// The maximum number of rows in an export, if this page reaches it and the list is longer.
    pub truncated_after: Option<u32>,
}

impl Lending {
    /// Begins the export of a list of the applications visible to the caller.
    ///
    /// # Errors
    /// [`Error::Validation`] if the list is longer than `lists.export_max_rows`.
    pub async fn begin_export(
        &self,
        caller: &Caller,
        filter: ListFilter,
        order: SortOrder,
    ) -> Result<Export> {
        let max_rows = self.resources.settings.lists.export_max_rows;
        self.refuse_too_long(caller, &filter, max_rows).await?;
        Ok(Export {
            lending: self.clone(),
            caller: caller.clone(),
            filter,
            order,
            next: Some(PageStart::Beginning),
            rows_left: max_rows,
            max_rows,
            logger: self.resources.logger.new(o!("request_id" => caller.request_id.to_string())),
        })
    }

    async fn refuse_too_long(&self, caller: &Caller, filter: &ListFilter, max_rows: u32) -> Result<()> {
        let timeout = self.resources.settings.lists.statement_timeout();
        let read = async |connection: &mut AsyncPgConnection| {
            transaction::begin_limited(connection, filter.begin(), timeout).await?;
            let total = total(connection, filter, &caller.may_see, self.total_bounds()).await;
            transaction::end(connection, total).await
        };
        let total = self.resources.database.read(Share::Searches, read).await?;
        if total.count <= i64::from(max_rows) {
            return Ok(());
        }
        let detail = format!(
            "matches {} applications, but an export is limited to {max_rows}; narrow the filter",
            total.count
        );
        Err(Error::Validation(vec![FieldError::new("?", "too_many_rows", &detail)]))
    }
}

impl Export {
    /// Whether the last page has been read.
    pub fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// Records the export as an audit view.
    pub fn record_view(&self) {
        self.lending.record_view(&self.caller, Viewed::List(ViewAction::Export, &self.filter));
    }

    /// Reads the next page. The connection is back in the pool before the page is sent.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the share of the pool for searches is used up.
    pub async fn next_page(&mut self) -> Result<ExportPage> {
        let Some(start) = self.next.take() else { return Ok(ExportPage::default()) };
        let rows = self.lending.resources.settings.lists.export_page_rows.min(self.rows_left);
        // One extra row shows whether the list continues.
        let mut page = self.read_rows(start, i64::from(rows) + 1).await?;
        self.lending.record_unknown(&page);
        let rows_wanted = usize::try_from(rows).unwrap_or(usize::MAX);
        let has_more = page.len() > rows_wanted;
        page.truncate(rows_wanted);
        self.rows_left -= rows;
        self.next =
            page.last().filter(|_| has_more && self.rows_left > 0).map(|last| PageStart::After(last.id));
        let is_truncated = has_more && self.rows_left == 0;
        if is_truncated {
            info!(self.logger, "export truncated"; "rows" => self.max_rows);
        }
        Ok(ExportPage { applications: page, truncated_after: is_truncated.then_some(self.max_rows) })
    }

    async fn read_rows(&self, start: PageStart, limit: i64) -> Result<Vec<ListedApplication>> {
        let Self { lending, caller, filter, order, .. } = self;
        let (database, settings) = (&lending.resources.database, &lending.resources.settings.database);
        let read = async |connection: &mut AsyncPgConnection| {
            transaction::begin_limited(connection, filter.begin(), settings.statement_timeout()).await?;
            let rows =
                list_page(connection, database.keys(), filter, &caller.may_see, *order, start, limit).await;
            transaction::end(connection, rows).await
        };
        database.read(Share::Searches, read).await
    }
}
