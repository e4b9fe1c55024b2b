//! `GET /api/v1/applications`

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use bytes::Bytes;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use diesel_async::AsyncPgConnection;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::view::ListedView;
use crate::cache::Subject;
use crate::domain::application::{Country, UnknownCountry};
use crate::domain::decision::RiskBand;
use crate::domain::ids::ApplicationId;
use crate::domain::members::Refusal;
use crate::domain::money::{Money, MoneyError};
use crate::domain::status::{Status, UnknownStatus};
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::cursor;
use crate::http::extract::RequestContext;
use crate::http::problem::Answer;
use crate::http::query::Query;
use crate::http::staff_views::Viewed;
use crate::storage::applications::{
    ListFilter, ListedApplication, PageStart, SortOrder, Total, TotalBounds, Visibility, list_page, total,
};
use crate::storage::seal::KeyRing;
use crate::storage::staff_views::ViewAction;
use crate::storage::{Share, transaction};

pub(super) const DEFAULT_PAGE_SIZE: i64 = 20;
pub(in crate::http) const MAX_PAGE_SIZE: i64 = 100;
/// Most applications that a page may skip: they are read for nothing.
const MAX_SKIPPED: i64 = 100_000;

/// What a list is narrowed to, and its order.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read parameter by parameter; this is its schema")]
pub struct FilterParameters {
    /// One country, in either case.
    #[param(value_type = Option<crate::http::schemas::CountryCode>)]
    country: Option<String>,
    /// One status.
    #[param(value_type = Option<crate::http::schemas::ApplicationStatus>)]
    status: Option<String>,
    /// Made at or after this RFC 3339 time, or on or after this date (UTC).
    #[param(example = "2026-01-01")]
    from: Option<String>,
    /// Made before this RFC 3339 time, or on or before this date (UTC).
    #[param(example = "2026-01-31")]
    to: Option<String>,
    /// At least this much asked for.
    #[param(example = "1000.00")]
    min_amount: Option<String>,
    /// At most this much asked for.
    #[param(example = "20000.00")]
    max_amount: Option<String>,
    /// One band of the last decision's risk.
    #[param(value_type = Option<crate::http::schemas::RiskBandName>)]
    risk_band: Option<String>,
    /// `-created_at` (newest first, the default) or `created_at`. Not together with `updated_since`.
    #[param(value_type = Option<crate::http::schemas::SortName>, example = "-created_at")]
    sort: Option<String>,
}

/// Which part of a list is wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read parameter by parameter; this is its schema")]
pub struct PartParameters {
    /// Last changed at or after this RFC 3339 time, or on or after this date (UTC), in the order of the changes; read by
    /// `cursor` alone. A change may become visible some seconds after its time: to follow an account's applications, ask
    /// again from a minute before the newest `updated_at`, and recognise known ones by `version`.
    #[param(example = "2026-01-31T12:00:00Z")]
    updated_since: Option<String>,
    /// Which page, from 1; gives `total` and excludes `cursor`.
    #[param(minimum = 1, example = 1)]
    page: Option<i64>,
    /// Applications of a page; 20 when absent.
    #[param(minimum = 1, maximum = 100, example = 20)]
    page_size: Option<i64>,
    /// The `next_cursor` of the page before, with the same filters and sort.
    cursor: Option<String>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApplicationPage {
    /// Applications in the whole list; only with `page`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 42)]
    pub total: Option<i64>,
    /// Whether `total` is exact; only with `page`. It is for a list that is narrowed by nothing but `country` and `status`,
    /// and for every list of up to 10,000 applications (`lists.exact_up_to`) before other filters. Otherwise only so many
    /// applications were looked at, the newest, and there are `total` or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = true)]
    pub total_is_exact: Option<bool>,
    /// Which page this is; only with `page`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    pub page: Option<i64>,
    /// Most applications of a page.
    #[schema(example = 20)]
    pub page_size: i64,
    /// Continues the list; `null` when it ends here.
    pub next_cursor: Option<String>,
    /// The applications.
    pub applications: Vec<ListedView>,
}

/// Applications, newest first.
///
/// Archived applications are in no list: they are found by their identifiers alone.
/// By cursor a list is read to its end whatever is added meanwhile; by `page` it has a `total`.
#[utoipa::path(
    get,
    path = "/api/v1/applications",
    operation_id = "list_applications",
    tag = "applications",
    params(FilterParameters, PartParameters),
    responses(
        (status = 200, description = "A part of the list", body = ApplicationPage),
        (status = 400, description = "The query is not percent-encoded UTF-8"),
        (status = 422, description = "A parameter is not acceptable"),
    ),
)]
pub(in crate::http) async fn list(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    query: Query,
) -> Answer {
    let wanted = Wanted::read(query, state.keys())?;
    let load = async {
        let page = page(&state, Share::Account, &principal, &wanted).await?;
        Ok(Bytes::from(serde_json::to_vec(&page).map_err(Error::internal)?))
    };
    let page = state.cache.get(Subject::List, &principal.visibility(), &wanted.name(), load).await?;
    state.note_view(&principal, &context, Viewed::List(ViewAction::List, &wanted.filter));
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(page))
}

/// The part of the list that is wanted, as far as the caller may see it.
pub(super) async fn page(
    state: &HttpState,
    share: Share,
    principal: &Principal,
    wanted: &Wanted,
) -> Result<ApplicationPage> {
    let longest = state.resources.settings.lists.statement_timeout();
    let visibility = principal.visibility();
    let read = async |connection: &mut AsyncPgConnection| {
        transaction::begin_limited(connection, wanted.filter.begin(), longest).await?;
        let read = read_page(state, connection, &visibility, wanted).await;
        transaction::end(connection, read).await
    };
    let (total, mut listed) = state.resources.database.read(share, read).await?;
    note_unknown(state, &listed);
    let page_length = usize::try_from(wanted.page_size).unwrap_or(usize::MAX);
    let goes_on = listed.len() > page_length;
    listed.truncate(page_length);
    let last = listed.last().filter(|_| goes_on);
    let name = list_name(wanted.order, &wanted.filter);
    Ok(ApplicationPage {
        total: total.map(|total| total.count),
        total_is_exact: total.map(|total| total.is_exact),
        page: wanted.page,
        page_size: wanted.page_size,
        next_cursor: last.map(|last| match wanted.order {
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

/// The total, if the list has one, and one application more than asked for, if there is one: it tells whether the list goes on.
async fn read_page(
    state: &HttpState,
    connection: &mut AsyncPgConnection,
    visibility: &Visibility,
    wanted: &Wanted,
) -> Result<(Option<Total>, Vec<ListedApplication>)> {
    let keys = state.resources.database.keys();
    let total = match wanted.page {
        Some(_) => Some(total(connection, &wanted.filter, visibility, total_bounds(state)).await?),
        None => None,
    };
    let limit = wanted.page_size + 1;
    let listed =
        list_page(connection, keys, &wanted.filter, visibility, wanted.order, wanted.start, limit).await?;
    Ok((total, listed))
}

/// Notes what of a page this version does not know.
pub(super) fn note_unknown(state: &HttpState, listed: &[ListedApplication]) {
    let labels = listed.iter().flat_map(|row| [row.country.unknown(), row.status.unknown()]);
    state.note_unknown("applications", labels.flatten());
}

/// How much is looked at for a total.
pub(super) fn total_bounds(state: &HttpState) -> TotalBounds {
    let settings = &state.resources.settings;
    TotalBounds { examined: settings.lists.exact_up_to, uncounted: settings.statistics.max_uncounted }
}

/// The list as text, the same for the same list.
pub(super) fn list_name(order: SortOrder, filter: &ListFilter) -> String {
    let ListFilter { country, status, from, to, updated_since, min_amount, max_amount, risk_band, .. } =
        filter;
    let document = filter.document.as_ref().map(|index| index.as_bytes());
    let (country_data, banking_data) = (&filter.country_data, &filter.banking_data);
    format!(
        "applications {order:?} {country:?} {status:?} {from:?} {to:?} {updated_since:?} {min_amount:?} {max_amount:?} {risk_band:?} \
         {document:?} {country_data:?} {banking_data:?}"
    )
}

/// A list that a client asks for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) filter: ListFilter,
    pub(super) order: SortOrder,
    pub(super) start: PageStart,
    pub(super) page: Option<i64>,
    pub(super) page_size: i64,
}

impl Wanted {
    /// The part of the list as text, the same for the same part.
    fn name(&self) -> String {
        let Self { filter, order, start, page, page_size } = self;
        format!("{} {start:?} {page:?} {page_size}", list_name(*order, filter))
    }

    /// Reads a query.
    ///
    /// # Errors
    /// [`Error::Validation`] with everything that is wrong with it.
    fn read(mut query: Query, keys: &KeyRing) -> Result<Self> {
        let (mut filter, mut order) = take_filter(&mut query);
        filter.updated_since = query.take("updated_since", |text| moment(text, Edge::Start));
        if filter.updated_since.is_some() {
            if query.was_sent("sort") {
                query.refuse("sort", "ambiguous", "cannot stand together with updated_since");
            }
            order = SortOrder::LeastRecentlyUpdated;
        }
        let page = query.take("page", |text| whole(text, MAX_SKIPPED + 1));
        let page_size =
            query.take("page_size", |text| whole(text, MAX_PAGE_SIZE)).unwrap_or(DEFAULT_PAGE_SIZE);
        let after = query.take("cursor", |text| after(text, keys, order, &filter));
        let start = match (page, after) {
            (Some(_), Some(_)) => {
                query.refuse("cursor", "ambiguous", "cannot stand together with page");
                PageStart::Beginning
            }
            (Some(_), None) if filter.updated_since.is_some() => {
                query.refuse("page", "ambiguous", "cannot stand together with updated_since");
                PageStart::Beginning
            }
            (Some(page), None) => {
                let skipped = (page - 1).checked_mul(page_size).filter(|skipped| *skipped <= MAX_SKIPPED);
                PageStart::Offset(skipped.unwrap_or_else(|| {
                    let last = MAX_SKIPPED / page_size + 1;
                    let detail =
                        format!("must be at most {last} with this page_size: read on by next_cursor instead");
                    query.refuse("page", "out_of_range", &detail);
                    0
                }))
            }
            (None, Some(start)) => start,
            (None, None) => PageStart::Beginning,
        };
        query.finish()?;
        Ok(Self { filter, order, start, page, page_size })
    }
}

/// Takes the filter and the order out of the query of a list.
pub(super) fn take_filter(query: &mut Query) -> (ListFilter, SortOrder) {
    let filter = ListFilter {
        country: query.take("country", country),
        status: query.take("status", status),
        from: query.take("from", |text| moment(text, Edge::Start)),
        to: query.take("to", |text| moment(text, Edge::End)),
        min_amount: query.take("min_amount", amount),
        max_amount: query.take("max_amount", amount),
        risk_band: query.take("risk_band", risk_band),
        ..ListFilter::default()
    };
    for (name, detail) in bad_ranges(&filter) {
        query.refuse(name, "bad_range", detail);
    }
    (filter, query.take("sort", order).unwrap_or_default())
}

/// Where the page after a cursor of this list starts.
pub(super) fn after(
    text: &str,
    keys: &KeyRing,
    order: SortOrder,
    filter: &ListFilter,
) -> Result<PageStart, Refusal> {
    let refusal = || ("bad_cursor", "is not a next_cursor of this list".to_owned());
    let list = list_name(order, filter);
    let start = match order {
        SortOrder::LeastRecentlyUpdated => cursor::decode_with_time(keys, text, &list)
            .map(|(at, last)| PageStart::AfterUpdate(at, ApplicationId::new(last))),
        SortOrder::NewestFirst | SortOrder::OldestFirst => {
            cursor::decode(keys, text, &list).map(|last| PageStart::After(ApplicationId::new(last)))
        }
    };
    start.ok_or_else(refusal)
}

/// The ends of ranges that lie before their beginning, with what is wrong with them.
pub(super) fn bad_ranges(filter: &ListFilter) -> impl Iterator<Item = (&'static str, &'static str)> {
    let times = filter.from.zip(filter.to).is_some_and(|(from, to)| from > to);
    let amounts = filter.min_amount.zip(filter.max_amount).is_some_and(|(min, max)| min > max);
    let times = times.then_some(("to", "must not be before from"));
    times.into_iter().chain(amounts.then_some(("max_amount", "must not be below min_amount")))
}

fn country(text: &str) -> Result<Country, Refusal> {
    text.parse().map_err(|error: UnknownCountry| ("unknown_country", format!("is {error}")))
}

pub(super) fn status(text: &str) -> Result<Status, Refusal> {
    let refusal = |UnknownStatus| {
        ("unknown_status", format!("must be one of {}", Status::ALL.map(Status::as_str).join(", ")))
    };
    text.parse().map_err(refusal)
}

pub(super) fn risk_band(text: &str) -> Result<RiskBand, Refusal> {
    let names = || RiskBand::ALL.map(RiskBand::as_str).join(", ");
    let found = RiskBand::ALL.into_iter().find(|band| band.as_str() == text);
    found.ok_or_else(|| ("unknown_risk_band", format!("must be one of {}", names())))
}

pub(super) fn order(text: &str) -> Result<SortOrder, Refusal> {
    match text {
        "-created_at" => Ok(SortOrder::NewestFirst),
        "created_at" => Ok(SortOrder::OldestFirst),
        _ => Err(("unknown_sort", "must be created_at or -created_at".to_owned())),
    }
}

fn amount(text: &str) -> Result<Money, Refusal> {
    Money::parse(text).map_err(|error: MoneyError| (error.code(), error.to_string()))
}

pub(in crate::http) fn whole(text: &str, max: i64) -> Result<i64, Refusal> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && (1..=max).contains(number));
    number.ok_or_else(|| ("out_of_range", format!("must be a whole number from 1 to {max}")))
}

/// Which end of a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Edge {
    Start,
    End,
}

/// An RFC 3339 time, or a date, which stands for its whole day in UTC.
pub(in crate::http) fn moment(text: &str, edge: Edge) -> Result<DateTime<Utc>, Refusal> {
    let refusal =
        || ("bad_time", "must be an RFC 3339 time or a date such as 2026-01-31; write + as %2B".to_owned());
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let well_formed = text.len() == 10 && text.starts_with(|c: char| c.is_ascii_digit());
    let date = text.parse::<NaiveDate>().ok().filter(|_| well_formed).ok_or_else(refusal)?;
    let midnight = match edge {
        Edge::Start => Some(date),
        Edge::End => date.checked_add_days(Days::new(1)),
    };
    Ok(midnight.ok_or_else(refusal)?.and_time(NaiveTime::MIN).and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    use crate::http::cursor::tests::keys;

    fn read(query: &str) -> Result<Wanted, Vec<(String, &'static str)>> {
        Wanted::read(Query::parse(query).unwrap(), &keys(1)).map_err(|error| match error {
            Error::Validation(fields) => fields.into_iter().map(|f| (f.pointer, f.code)).collect(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn without_parameters_it_is_the_newest_first_page() {
        let wanted = read("").unwrap();
        assert_eq!((wanted.start, wanted.page, wanted.page_size), (PageStart::Beginning, None, 20));
        assert_eq!(wanted.order, SortOrder::NewestFirst);
        assert_eq!(read("country=&status=").unwrap().filter.country, None);
    }

    #[test]
    fn every_filter_is_read() {
        let wanted = read(
            "country=es&status=UNDER_REVIEW&from=2026-01-01&to=2026-01-31&min_amount=10.5&max_amount=20&\
             risk_band=high&sort=created_at&page=3&page_size=50",
        )
        .unwrap();
        let filter = &wanted.filter;
        assert_eq!((filter.country, filter.status), (Some(Country::Es), Some(Status::UnderReview)));
        assert_eq!(filter.from.unwrap().to_rfc3339(), "2026-01-01T00:00:00+00:00");
        assert_eq!(
            filter.to.unwrap().to_rfc3339(),
            "2026-02-01T00:00:00+00:00",
            "a date means its whole day"
        );
        assert_eq!(filter.min_amount.unwrap().to_string(), "10.50");
        assert_eq!(filter.risk_band, Some(RiskBand::High));
        assert_eq!((wanted.order, wanted.start), (SortOrder::OldestFirst, PageStart::Offset(100)));
        let at = read("from=2026-01-01T10:00:00%2B02:00").unwrap().filter.from.unwrap();
        assert_eq!(at.to_rfc3339(), "2026-01-01T08:00:00+00:00");
    }

    #[test]
    fn a_parameter_that_cannot_be_is_refused_by_name() {
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
    fn the_ends_of_time_are_within_bounds() {
        for query in ["from=0000-01-01&to=9999-12-31", "from=0000-01-01T00:00:00Z&to=9999-12-31T23:59:60Z"] {
            assert!(read(query).is_ok(), "{query}");
        }
    }

    #[test]
    fn a_cursor_continues_its_own_list_and_no_other() {
        let id = ApplicationId::new(Uuid::from_u128(7));
        let first = read("country=ES").unwrap();
        let cursor = cursor::encode(&keys(1), id.as_uuid(), &list_name(first.order, &first.filter));
        assert_eq!(read(&format!("country=es&cursor={cursor}")).unwrap().start, PageStart::After(id));
        let refused = [("?cursor".to_owned(), "bad_cursor")];
        assert_eq!(read(&format!("country=PT&cursor={cursor}")).unwrap_err(), refused);
        assert_eq!(read(&format!("country=ES&sort=created_at&cursor={cursor}")).unwrap_err(), refused);
        let both = read(&format!("country=ES&page=1&cursor={cursor}")).unwrap_err();
        assert_eq!(both, [("?cursor".to_owned(), "ambiguous")]);
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(text in "((from|to|page|page_size|cursor|min_amount)=[0-9TZ:.+-]{0,24}&){0,4}") {
            let _ = Query::parse(&text).map(|query| Wanted::read(query, &keys(1)));
        }
    }
}
