//! `GET /api/v1/applications`

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::filter::{FilterParameters, after, list_name, take_filter};
use super::view::ListedView;
use crate::cache::Subject;
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::cursor;
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, digits, period_start};
use crate::lending::Caller;
use crate::lending::audit_views::{ViewAction, Viewed};
use crate::lending::list::{ListFilter, ListRequest, PageStart, Share, SortOrder};
use crate::storage::seal::KeyRing;

pub(super) const DEFAULT_PAGE_SIZE: i64 = 20;
pub(in crate::http) const MAX_PAGE_SIZE: i64 = 100;
/// Maximum number of applications that `page` may skip: the database reads them only to discard them.
const MAX_SKIPPED: i64 = 100_000;

request_query! {
    /// The requested page.
    pub struct PageParameters {
        /// Last changed at or after this RFC 3339 time, or on or after this date (UTC). The list is then in the order of
        /// the last changes. Can only be combined with `cursor`, not with `page` or `sort`. A change may become visible
        /// some seconds after its time. To follow the applications of an account, query from one minute before the
        /// newest known `updated_at`, and skip known changes by their `version`.
        #[param(value_type = Option<String>, example = "2026-01-31T12:00:00Z")]
        updated_since: Option<DateTime<Utc>> = period_start,
        /// The page number, starting at 1. The response then contains `total`. Cannot be combined with `cursor`.
        #[param(minimum = 1, example = 1)]
        page: Option<i64> = |text| digits(text, MAX_SKIPPED + 1),
        /// Applications per page; the default is 20.
        #[param(minimum = 1, maximum = 100, example = 20)]
        page_size: Option<i64> = |text| digits(text, MAX_PAGE_SIZE),
        /// `next_cursor` of the previous page, with the same filters and sort.
        cursor: Option<String> = any_text,
    }
}

/// A page of applications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApplicationPage {
    /// Number of applications in the whole list; only with `page`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 42)]
    pub total: Option<i64>,
    /// Whether `total` is exact; only with `page`. It is exact for lists that are only filtered by `country` and
    /// `status`, and for lists of at most 10,000 applications (`lists.exact_up_to`) before other filters are applied.
    /// Otherwise only that many of the newest applications were examined, and `total` is a lower bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = true)]
    pub total_is_exact: Option<bool>,
    /// The page number; only with `page`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    pub page: Option<i64>,
    /// Maximum number of applications per page.
    #[schema(example = 20)]
    pub page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
    /// The applications.
    pub applications: Vec<ListedView>,
}

/// Lists applications, newest first.
///
/// Archived applications are not listed and can only be read by identifier. Reading by `cursor` covers the whole list
/// even if applications are added meanwhile; reading by `page` provides `total`.
#[utoipa::path(
    get,
    path = "/api/v1/applications",
    operation_id = "list_applications",
    tag = "applications",
    params(FilterParameters, PageParameters),
    responses(
        (status = 200, description = "A page of the list", body = ApplicationPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, caller: Caller, query: Query) -> HandlerResult {
    let wanted = RequestedPage::read(query, state.keys())?;
    let load = async {
        let page = page(&state, Share::Account, &caller, &wanted).await?;
        Ok(Bytes::from(serde_json::to_vec(&page).map_err(Error::internal)?))
    };
    let page = state.cache.get(Subject::List, &caller.may_see, &wanted.name(), load).await?;
    state.lending.record_view(&caller, Viewed::List(ViewAction::List, &wanted.request.filter));
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(page))
}

/// The requested page of the list, restricted to the applications that the caller may see.
pub(super) async fn page(
    state: &HttpState,
    share: Share,
    caller: &Caller,
    wanted: &RequestedPage,
) -> Result<ApplicationPage> {
    let request = &wanted.request;
    let (total, mut listed) = state.lending.list(caller, share, request).await?;
    let page_length = usize::try_from(wanted.page_size).unwrap_or(usize::MAX);
    let has_more = listed.len() > page_length;
    listed.truncate(page_length);
    let last = listed.last().filter(|_| has_more);
    let name = list_name(request.order, &request.filter);
    Ok(ApplicationPage {
        total: total.map(|total| total.count),
        total_is_exact: total.map(|total| total.is_exact),
        page: wanted.page,
        page_size: wanted.page_size,
        next_cursor: last.map(|last| match request.order {
            SortOrder::LeastRecentlyUpdated => {
                cursor::encode_with_time(state.keys(), last.updated_at, last.id.as_uuid(), &name)
            }
            SortOrder::NewestFirst | SortOrder::OldestFirst => {
                cursor::encode(state.keys(), last.id.as_uuid(), &name)
            }
        }),
        applications: listed.into_iter().map(ListedView::from).collect(),
    })
}

/// A requested page of a list.
#[derive(Debug)]
pub(super) struct RequestedPage {
    pub(super) request: ListRequest,
    pub(super) page: Option<i64>,
    pub(super) page_size: i64,
}

impl RequestedPage {
    /// Requests one application more than the page size, to find out whether there is a next page.
    pub(super) fn new(
        filter: ListFilter,
        order: SortOrder,
        start: PageStart,
        page: Option<i64>,
        page_size: i64,
    ) -> Self {
        let with_total = page.is_some();
        Self {
            request: ListRequest { filter, order, start, with_total, limit: page_size + 1 },
            page,
            page_size,
        }
    }

    /// A text that identifies the page: the same for equal requests.
    fn name(&self) -> String {
        let Self { request: ListRequest { filter, order, start, .. }, page, page_size } = self;
        format!("{} {start:?} {page:?} {page_size}", list_name(*order, filter))
    }

    /// Reads a query.
    ///
    /// # Errors
    /// [`Error::Validation`] with all field errors of the query.
    fn read(mut query: Query, keys: &KeyRing) -> Result<Self> {
        let (mut filter, mut order) = take_filter(&mut query);
        let PageParameters { updated_since, page, page_size, cursor } = PageParameters::take(&mut query);
        filter.updated_since = updated_since;
        if filter.updated_since.is_some() {
            if query.was_sent("sort") {
                query.refuse("sort", "ambiguous", "cannot be combined with updated_since");
            }
            order = SortOrder::LeastRecentlyUpdated;
        }
        let page_size = page_size.unwrap_or(DEFAULT_PAGE_SIZE);
        let after = cursor.and_then(|text| query.check("cursor", after(&text, keys, order, &filter)));
        let start = match (page, after) {
            (Some(_), Some(_)) => {
                query.refuse("cursor", "ambiguous", "cannot be combined with page");
                PageStart::Beginning
            }
            (Some(_), None) if filter.updated_since.is_some() => {
                query.refuse("page", "ambiguous", "cannot be combined with updated_since");
                PageStart::Beginning
            }
            (Some(page), None) => {
                let skipped = (page - 1).checked_mul(page_size).filter(|skipped| *skipped <= MAX_SKIPPED);
                PageStart::Offset(skipped.unwrap_or_else(|| {
                    let last = MAX_SKIPPED / page_size + 1;
                    let detail = format!(
                        "must be at most {last} with this page_size; use next_cursor to read further"
                    );
                    query.refuse("page", "out_of_range", &detail);
                    0
                }))
            }
            (None, Some(start)) => start,
            (None, None) => PageStart::Beginning,
        };
        query.finish()?;
        Ok(Self::new(filter, order, start, page, page_size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    use crate::domain::application::Country;
    use crate::domain::decision::RiskBand;
    use crate::domain::ids::ApplicationId;
    use crate::domain::status::Status;
    use crate::http::cursor::tests::keys;

    fn read(query: &str) -> Result<RequestedPage, Vec<(String, &'static str)>> {
        RequestedPage::read(Query::parse(query).unwrap(), &keys(1)).map_err(|error| match error {
            Error::Validation(fields) => fields.into_iter().map(|f| (f.pointer, f.code)).collect(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_default_is_the_first_page_newest_first() {
        let wanted = read("").unwrap();
        assert_eq!((wanted.request.start, wanted.page, wanted.page_size), (PageStart::Beginning, None, 20));
        assert_eq!(wanted.request.order, SortOrder::NewestFirst);
        assert_eq!(read("country=&status=").unwrap().request.filter.country, None);
    }

    #[test]
    fn every_filter_is_read() {
        let wanted = read(
            "country=es&status=UNDER_REVIEW&from=2026-01-01&to=2026-01-31&min_amount=10.5&max_amount=20&\
             risk_band=high&sort=created_at&page=3&page_size=50",
        )
        .unwrap();
        let filter = &wanted.request.filter;
        assert_eq!((filter.country, filter.status), (Some(Country::Es), Some(Status::UnderReview)));
        assert_eq!(filter.from.unwrap().to_rfc3339(), "2026-01-01T00:00:00+00:00");
        assert_eq!(
            filter.to.unwrap().to_rfc3339(),
            "2026-02-01T00:00:00+00:00",
            "a date means its whole day"
        );
        assert_eq!(filter.min_amount.unwrap().to_string(), "10.50");
        assert_eq!(filter.risk_band, Some(RiskBand::High));
        assert_eq!(
            (wanted.request.order, wanted.request.start),
            (SortOrder::OldestFirst, PageStart::Offset(100))
        );
        let at = read("from=2026-01-01T10:00:00%2B02:00").unwrap().request.filter.from.unwrap();
        assert_eq!(at.to_rfc3339(), "2026-01-01T08:00:00+00:00");
    }

    #[test]
    fn an_invalid_parameter_is_refused_by_name() {
        for (query, name, code) in [
            ("country=FR", "?country", "unknown_country"),
            ("status=approved", "?status", "unknown_status"),
            ("risk_band=Low", "?risk_band", "unknown_risk_band"),
            ("sort=amount", "?sort", "unknown_sort"),
            ("from=yesterday", "?from", "bad_time"),
            ("from=9999999-01-01", "?from", "bad_time"),
            ("from=%2B9999999-01-01", "?from", "bad_time"),
            ("from=-00001-1-1", "?from", "bad_time"),
            ("from=2026-02-30", "?from", "bad_time"),
            ("to=99999-12-31T00:00:00Z", "?to", "bad_time"),
            ("from=2026-01-02&to=2026-01-01T00:00:00Z", "?to", "bad_range"),
            ("min_amount=-1", "?min_amount", "bad_amount"),
            ("min_amount=1e3", "?min_amount", "bad_amount"),
            ("min_amount=2&max_amount=1", "?max_amount", "bad_range"),
            ("page=0", "?page", "out_of_range"),
            ("page=-1", "?page", "out_of_range"),
            ("page=%2B1", "?page", "out_of_range"),
            ("page=1.0", "?page", "out_of_range"),
            ("page=9223372036854775807", "?page", "out_of_range"),
            ("page=99999999999999999999", "?page", "out_of_range"),
            ("page_size=0", "?page_size", "out_of_range"),
            ("page_size=101", "?page_size", "out_of_range"),
            ("cursor=AAAA", "?cursor", "bad_cursor"),
            ("country=ES&country=PT", "?country", "duplicate_parameter"),
            ("contry=ES", "?contry", "unknown_parameter"),
            ("updated_since=now", "?updated_since", "bad_time"),
            ("updated_since=2026-01-01&page=1", "?page", "ambiguous"),
            ("updated_since=2026-01-01&sort=created_at", "?sort", "ambiguous"),
        ] {
            assert_eq!(read(query).unwrap_err(), [(name.to_owned(), code)], "{query}");
        }
    }

    #[test]
    fn the_earliest_and_latest_times_are_accepted() {
        for query in ["from=0000-01-01&to=9999-12-31", "from=0000-01-01T00:00:00Z&to=9999-12-31T23:59:60Z"] {
            assert!(read(query).is_ok(), "{query}");
        }
    }

    #[test]
    fn a_cursor_is_only_valid_for_its_own_list() {
        let id = ApplicationId::new(Uuid::from_u128(7));
        let first = read("country=ES").unwrap();
        let cursor =
            cursor::encode(&keys(1), id.as_uuid(), &list_name(first.request.order, &first.request.filter));
        assert_eq!(read(&format!("country=es&cursor={cursor}")).unwrap().request.start, PageStart::After(id));
        let refused = [("?cursor".to_owned(), "bad_cursor")];
        assert_eq!(read(&format!("country=PT&cursor={cursor}")).unwrap_err(), refused);
        assert_eq!(read(&format!("country=ES&sort=created_at&cursor={cursor}")).unwrap_err(), refused);
        let both = read(&format!("country=ES&page=1&cursor={cursor}")).unwrap_err();
        assert_eq!(both, [("?cursor".to_owned(), "ambiguous")]);
    }

    proptest! {
        #[test]
        fn no_query_causes_a_panic(text in "((from|to|page|page_size|cursor|min_amount)=[0-9TZ:.+-]{0,24}&){0,4}") {
            let _ = Query::parse(&text).map(|query| RequestedPage::read(query, &keys(1)));
        }
    }
}
