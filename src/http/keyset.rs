//! Lists that can only be read by cursor, newest first: accounts, API keys, webhook events, audit views and others.

use uuid::Uuid;

use super::cursor;
use super::query::Query;
use super::request::request_query;
use super::request::values::{any_text, digits};
use crate::error::Result;
use crate::json::Refusal;
use crate::storage::seal::KeyRing;

/// The default number of entries per page.
pub(super) const DEFAULT_PAGE_SIZE: i64 = 20;
const MAX_PAGE_SIZE: i64 = 100;

request_query! {
    /// The requested page.
    pub struct PageParameters {
        /// Entries per page; the default is 20.
        #[param(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = page_size,
        /// `next_cursor` of the previous page.
        cursor: Option<String> = any_text,
    }
}

/// A requested page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    list: String,
    pub(super) size: i64,
    /// The page contains entries created before this one.
    pub(super) before: Option<Uuid>,
}

impl Page {
    /// Reads the query of a list without filters.
    ///
    /// # Errors
    /// [`Error::Validation`](crate::error::Error::Validation) with all field errors of the query.
    pub(super) fn read(keys: &KeyRing, mut query: Query, list: &str) -> Result<Self> {
        let PageParameters { page_size, cursor } = PageParameters::take(&mut query);
        let size = page_size.unwrap_or(DEFAULT_PAGE_SIZE);
        let page = Self::new(keys, &mut query, list.to_owned(), size, cursor);
        query.finish()?;
        Ok(page)
    }

    /// A page of `size` entries. `list` identifies the list and its filters; cursors of other lists are refused.
    pub(super) fn new(
        keys: &KeyRing,
        query: &mut Query,
        list: String,
        size: i64,
        cursor: Option<String>,
    ) -> Self {
        let refusal = || ("bad_cursor", "is not a next_cursor of this list".to_owned());
        let start = |text: String| cursor::decode(keys, &text, &list).ok_or_else(refusal);
        let before = cursor.and_then(|text| query.check("cursor", start(text)));
        Self { list, size, before }
    }

    /// The number of entries to query: one more than the page size, to find out whether there is a next page.
    pub(super) fn limit(&self) -> i64 {
        self.size + 1
    }

    /// Truncates the entries to the page and returns the cursor of the next page, if there is one.
    pub(super) fn cut<T>(
        &self,
        keys: &KeyRing,
        found: &mut Vec<T>,
        id: impl Fn(&T) -> Uuid,
    ) -> Option<String> {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let has_more = found.len() > size;
        found.truncate(size);
        found.last().filter(|_| has_more).map(|last| cursor::encode(keys, id(last), &self.list))
    }
}

/// Reads the page size.
pub(super) fn page_size(text: &str) -> Result<i64, Refusal> {
    digits(text, MAX_PAGE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::cursor::tests::keys;

    fn read(query: &str) -> Result<Page> {
        Page::read(&keys(1), Query::parse(query).unwrap(), "users")
    }

    #[test]
    fn a_page_has_twenty_entries_or_the_requested_number() {
        assert_eq!(read("").unwrap(), Page { list: "users".to_owned(), size: 20, before: None });
        assert_eq!(read("page_size=100").unwrap().limit(), 101);
        for bad in ["page_size=0", "page_size=101", "page_size=%2B1", "cursor=x", "page=1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_page_but_the_last_has_a_cursor_of_the_next_page() {
        let page = read("page_size=2").unwrap();
        let ids = [3, 2, 1].map(Uuid::from_u128);
        let mut found = ids.to_vec();
        let cursor = page.cut(&keys(1), &mut found, |id| *id).unwrap();
        assert_eq!(found, ids[..2]);
        assert_eq!(read(&format!("cursor={cursor}")).unwrap().before, Some(ids[1]));
        assert_eq!(page.cut(&keys(1), &mut ids[1..].to_vec(), |id| *id), None);
    }
}
