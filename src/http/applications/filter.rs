//! Filters of application lists, from query parameters or from the body of a search.

use chrono::{DateTime, Utc};

use crate::countries::DocumentVerdict;
use crate::domain::application::Country;
use crate::domain::decision::RiskBand;
use crate::domain::ids::ApplicationId;
use crate::domain::money::Money;
use crate::domain::personal_data::IdentityDocument;
use crate::domain::status::Status;
use crate::http::cursor;
use crate::http::query::Query;
use crate::http::request::values::{check_period, country, period_end, period_start, status};
use crate::http::request::{Refusals, request_query};
use crate::json::{Refusal, refuse_amount};
use crate::lending::list::{ListFilter, PageStart, SortOrder};
use crate::storage::seal::KeyRing;

request_query! {
    /// Filters and order of a list.
    pub struct FilterParameters {
        /// The country, as an ISO 3166-1 alpha-2 code; case is ignored.
        #[param(value_type = Option<crate::http::schemas::CountryCode>)]
        country: Option<Country> = country,
        /// The status.
        #[param(value_type = Option<crate::http::schemas::ApplicationStatus>)]
        status: Option<Status> = status,
        /// Created at or after this RFC 3339 time, or on or after this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-01")]
        from: Option<DateTime<Utc>> = period_start,
        /// Created before this RFC 3339 time, or on or before this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-31")]
        to: Option<DateTime<Utc>> = period_end,
        /// The minimum requested amount.
        #[param(value_type = Option<String>, example = "1000.00")]
        min_amount: Option<Money> = amount,
        /// The maximum requested amount.
        #[param(value_type = Option<String>, example = "20000.00")]
        max_amount: Option<Money> = amount,
        /// The risk band of the latest decision.
        #[param(value_type = Option<crate::http::schemas::RiskBandName>)]
        risk_band: Option<RiskBand> = risk_band,
        /// `-created_at` (newest first, the default) or `created_at`. Cannot be combined with `updated_since`.
        #[param(value_type = Option<crate::http::schemas::SortName>, example = "-created_at")]
        sort: Option<SortOrder> = order,
    }
}

/// A string that identifies the list: the same for equal filters and order.
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

/// Takes the filters and the order from a query.
pub(in crate::http) fn take_filter(query: &mut Query) -> (ListFilter, SortOrder) {
    let sent = FilterParameters::take(query);
    let filter = ListFilter {
        country: sent.country,
        status: sent.status,
        from: sent.from,
        to: sent.to,
        min_amount: sent.min_amount,
        max_amount: sent.max_amount,
        risk_band: sent.risk_band,
        ..ListFilter::default()
    };
    query.check("to", check_period(filter.from, filter.to));
    query.check("max_amount", check_amounts(filter.min_amount, filter.max_amount));
    (filter, sent.sort.unwrap_or_default())
}

/// The position after which a page starts, from a cursor of this list.
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

/// Refuses a maximum below the minimum.
pub(super) fn check_amounts(min: Option<Money>, max: Option<Money>) -> Result<(), Refusal> {
    let is_reversed = min.zip(max).is_some_and(|(min, max)| min > max);
    if is_reversed { Err(("bad_range", "must not be below min_amount".to_owned())) } else { Ok(()) }
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
    Money::parse(text).map_err(refuse_amount)
}

/// The normalized document of a verdict.
///
/// # Errors
/// All reasons why the document is invalid.
pub(super) fn valid_document(verdict: &DocumentVerdict) -> Result<IdentityDocument, Refusals> {
    let mut refusals = Refusals::default();
    for reason in &verdict.reasons {
        refusals.add(String::new(), (reason.as_str(), reason.detail().to_owned()));
    }
    let document = verdict.normalized.clone().map(IdentityDocument::from_normalized);
    refusals.into_result(document)?.ok_or_else(Refusals::default)
}
