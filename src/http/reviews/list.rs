//! `GET /api/v1/reviews`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::assignment_of::{AssignmentOf, assignment};
use super::view::ReviewView;
use crate::domain::application::Country;
use crate::domain::ids::ApplicationId;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::cursor;
use crate::http::keyset::{DEFAULT_PAGE_SIZE, page_size};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, country};
use crate::lending::Caller;
use crate::lending::reviews::ReviewFilter;
use crate::storage::seal::KeyRing;

request_query! {
    /// Filters and page of the queue.
    pub struct ReviewParameters {
        /// The country, as an ISO 3166-1 alpha-2 code; case is ignored.
        #[param(value_type = Option<crate::http::schemas::CountryCode>)]
        country: Option<Country> = country,
        /// `unassigned`, `mine` (assigned to the caller) or `others` (assigned to another account).
        #[param(value_type = Option<crate::http::schemas::AssignmentName>, example = "unassigned")]
        assignment: Option<AssignmentOf> = assignment,
        /// Applications per page; the default is 20.
        #[param(minimum = 1, maximum = 100, example = 20)]
        limit: Option<i64> = page_size,
        /// `next_cursor` of the previous page, with the same filters.
        cursor: Option<String> = any_text,
    }
}

/// A page of the review queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReviewPage {
    /// The applications under review, oldest `waiting_since` first.
    pub items: Vec<ReviewView>,
    /// Cursor of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
}

/// Lists the applications under review, those that have waited longest first.
#[utoipa::path(
    get,
    path = "/api/v1/reviews",
    operation_id = "list_reviews",
    tag = "reviews",
    params(ReviewParameters),
    responses(
        (status = 200, description = "A page of the queue", body = ReviewPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, caller: Caller, query: Query) -> HandlerResult {
    let keys = state.keys();
    let wanted = RequestedPage::read(query, keys, caller.account_id)?;
    let mut found = state.lending.list_reviews(&caller, wanted.filter, wanted.after, wanted.size + 1).await?;
    let size = usize::try_from(wanted.size).unwrap_or(usize::MAX);
    let has_more = found.len() > size;
    found.truncate(size);
    let last = found.last().filter(|_| has_more);
    let next_cursor = last.map(|last| {
        cursor::encode_with_time(keys, last.waiting_since, last.application.id.as_uuid(), &wanted.list_key)
    });
    let items = found.into_iter().map(ReviewView::from).collect();
    Ok(HttpResponse::Ok().json(ReviewPage { items, next_cursor }))
}

/// A requested page of the queue.
#[derive(Debug)]
struct RequestedPage {
    filter: ReviewFilter,
    /// Identifies the list and its filters.
    list_key: String,
    after: Option<(DateTime<Utc>, ApplicationId)>,
    size: i64,
}

impl RequestedPage {
    fn read(mut query: Query, keys: &KeyRing, account: Uuid) -> Result<Self> {
        let ReviewParameters { country, assignment, limit, cursor } = ReviewParameters::take(&mut query);
        let filter = ReviewFilter {
            country,
            assignment: assignment.map(|assignment| assignment.relative_to(account)),
        };
        let list_key = format!("reviews {filter:?}");
        let refusal = || ("bad_cursor", "is not a next_cursor of this list".to_owned());
        let start = |text: String| cursor::decode_with_time(keys, &text, &list_key).ok_or_else(refusal);
        let after = cursor.and_then(|text| query.check("cursor", start(text)));
        query.finish()?;
        let after = after.map(|(since, id)| (since, ApplicationId::new(id)));
        Ok(Self { filter, list_key, after, size: limit.unwrap_or(DEFAULT_PAGE_SIZE) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::http::cursor::tests::keys;
    use crate::lending::reviews::AssignmentFilter;

    const ME: Uuid = Uuid::from_u128(7);

    fn read(query: &str) -> Result<RequestedPage, Vec<(String, &'static str)>> {
        RequestedPage::read(Query::parse(query).unwrap(), &keys(1), ME).map_err(|error| match error {
            Error::Validation(fields) => fields.into_iter().map(|f| (f.pointer, f.code)).collect(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn assignments_are_relative_to_the_caller() {
        for (query, expected) in [
            ("", None),
            ("assignment=unassigned", Some(AssignmentFilter::Unassigned)),
            ("assignment=mine", Some(AssignmentFilter::To(ME))),
            ("assignment=others", Some(AssignmentFilter::ToOthersThan(ME))),
        ] {
            assert_eq!(read(query).unwrap().filter.assignment, expected, "{query}");
        }
        let wanted = read("country=es&limit=50").unwrap();
        assert_eq!((wanted.filter.country, wanted.size), (Some(Country::Es), 50));
    }

    #[test]
    fn an_invalid_parameter_is_refused_by_name() {
        for (query, name, code) in [
            ("country=FR", "?country", "unknown_country"),
            ("assignment=me", "?assignment", "unknown_value"),
            ("limit=0", "?limit", "out_of_range"),
            ("limit=101", "?limit", "out_of_range"),
            ("cursor=AAAA", "?cursor", "bad_cursor"),
            ("page_size=10", "?page_size", "unknown_parameter"),
        ] {
            assert_eq!(read(query).unwrap_err(), [(name.to_owned(), code)], "{query}");
        }
    }

    #[test]
    fn a_cursor_is_only_valid_for_its_own_filters() {
        let id = Uuid::from_u128(9);
        let list_key = read("country=ES").unwrap().list_key;
        let cursor = cursor::encode_with_time(&keys(1), DateTime::UNIX_EPOCH, id, &list_key);
        let after = read(&format!("country=ES&cursor={cursor}")).unwrap().after;
        assert_eq!(after, Some((DateTime::UNIX_EPOCH, ApplicationId::new(id))));
        for other in ["country=PT", "country=ES&assignment=mine"] {
            let refused = read(&format!("{other}&cursor={cursor}")).unwrap_err();
            assert_eq!(refused, [("?cursor".to_owned(), "bad_cursor")], "{other}");
        }
    }
}
