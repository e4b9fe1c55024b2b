//! `POST /api/v1/applications/bulk-status`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::filter::{check_amounts, risk_band};
use crate::domain::application::Country;
use crate::domain::decision::RiskBand;
use crate::domain::ids::ApplicationId;
use crate::domain::money::Money;
use crate::domain::status::Status;
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::problem::HandlerResult;
use crate::http::request::values::{
    application_id, check_period, country, period_end, period_start, required_reason, status, text, whole,
};
use crate::http::request::{Refusals, request_body};
use crate::json::{bad_type, boolean, money, object};
use crate::lending::Caller;
use crate::lending::bulk_status::{BulkOutcome, BulkStatus, BulkTarget, MAX_CHANGES, Skipped};
use crate::lending::list::ListFilter;

/// The largest accepted `expected_count`.
const MAX_EXPECTED: i64 = 1_000_000;

request_body! {
    /// Filters. An application must match all that are given.
    pub struct BulkFilter {
        /// The country, as an ISO 3166-1 alpha-2 code; case is ignored.
        #[schema(value_type = Option<crate::http::schemas::CountryCode>)]
        country: Option<Country> = optional(text(country)),
        /// The current status.
        #[schema(value_type = Option<crate::http::schemas::ApplicationStatus>)]
        status: Option<Status> = optional(text(status)),
        /// The risk band of the latest decision.
        #[schema(value_type = Option<crate::http::schemas::RiskBandName>)]
        risk_band: Option<RiskBand> = optional(text(risk_band)),
        /// The minimum requested amount.
        #[schema(value_type = Option<crate::http::schemas::Amount>, example = "1000.00")]
        min_amount: Option<Money> = optional(money),
        /// The maximum requested amount.
        #[schema(value_type = Option<crate::http::schemas::Amount>, example = "20000.00")]
        max_amount: Option<Money> = optional(money) then(|max| check_amounts(min_amount, Some(max)).map(|()| max)),
        /// Created at or after this RFC 3339 time, or on or after this date (UTC).
        #[schema(value_type = Option<String>, example = "2026-01-01")]
        from: Option<DateTime<Utc>> = optional(text(period_start)),
        /// Created before this RFC 3339 time, or on or before this date (UTC).
        #[schema(value_type = Option<String>, example = "2026-01-31")]
        to: Option<DateTime<Utc>> = optional(text(period_end)) then(|to| check_period(from, Some(to)).map(|()| to)),
    }
}

request_body! {
    /// The applications to change, as a filter or as identifiers, and their new status.
    pub struct BulkStatusRequest {
        /// Selects applications by filter; at most 10,000 (`lists.exact_up_to`).
        filter: Option<BulkFilter> = optional(|raw| BulkFilter::read(object(raw)?)),
        /// Selects applications by identifier; at most 1000.
        #[schema(value_type = Option<Vec<uuid::Uuid>>, max_items = 1000)]
        ids: Option<Vec<ApplicationId>> = optional(ids),
        /// The new status.
        #[schema(value_type = crate::http::schemas::ApplicationStatus, example = "REJECTED")]
        status: Status = required(text(status)),
        /// The reason for the change. It is recorded in the audit trail of each application, where the owner may see
        /// it.
        #[schema(min_length = 1, max_length = 500, example = "The product was discontinued")]
        reason: String = required(required_reason),
        /// If `true`, nothing is changed; the response shows what the request would do.
        #[schema(example = true)]
        dry_run: bool = required(boolean),
        /// The value of `matched` in the dry run. If the number of matching applications has changed, nothing is changed.
        #[schema(minimum = 0, maximum = 1_000_000, example = 12)]
        expected_count: Option<i64> = optional(whole(0..=MAX_EXPECTED)),
    }
}

impl From<BulkFilter> for ListFilter {
    fn from(filter: BulkFilter) -> Self {
        let BulkFilter { country, status, risk_band, min_amount, max_amount, from, to } = filter;
        Self { country, status, risk_band, min_amount, max_amount, from, to, ..Self::default() }
    }
}

impl TryFrom<BulkStatusRequest> for BulkStatus {
    type Error = Error;

    fn try_from(request: BulkStatusRequest) -> Result<Self> {
        let target = match (request.filter, request.ids) {
            (Some(filter), None) => BulkTarget::Filter(filter.into()),
            (None, Some(ids)) => BulkTarget::Ids(ids),
            (Some(_), Some(_)) => {
                return Err(Error::field("/ids", "ambiguous", "cannot be combined with filter"));
            }
            (None, None) => return Err(Error::field("", "required", "must contain filter or ids")),
        };
        Ok(Self {
            target,
            status: request.status,
            reason: request.reason,
            dry_run: request.dry_run,
            expected_count: request.expected_count.and_then(|count| usize::try_from(count).ok()),
        })
    }
}

/// Reads identifiers, sorted and without repetitions.
fn ids(raw: &RawValue) -> Result<Vec<ApplicationId>, Refusals> {
    let texts: Vec<String> =
        serde_json::from_str(raw.get()).ok().ok_or_else(|| bad_type("an array of strings"))?;
    if texts.is_empty() || texts.len() > MAX_CHANGES {
        let code = if texts.is_empty() { "required" } else { "too_many" };
        return Err((code, format!("must contain 1 to {MAX_CHANGES} identifiers")).into());
    }
    let (mut ids, mut refusals) = (Vec::new(), Refusals::default());
    for (position, text) in texts.iter().enumerate() {
        match application_id(text) {
            Ok(id) => ids.push(id),
            Err(refusal) => refusals.add(format!("/{position}"), refusal),
        }
    }
    ids.sort_unstable();
    ids.dedup();
    refusals.into_result(ids)
}

/// The result of a bulk change of status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BulkStatusView {
    /// Number of matching applications; with `ids`, the number of distinct identifiers.
    #[schema(example = 12)]
    pub matched: usize,
    /// Number of matching applications whose status the caller can change.
    #[schema(example = 10)]
    pub changeable: usize,
    /// Number of changed applications; 0 in a dry run.
    #[schema(example = 0)]
    pub changed: usize,
    /// The first 100 applications that are skipped.
    pub skipped: Vec<SkippedView>,
    /// Number of changeable applications that this request has not tried to change, because it ended after 1000 changes
    /// or half of the request timeout. In a dry run, all of them.
    #[schema(example = 10)]
    pub remaining: usize,
}

/// An application that a bulk change skips.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SkippedView {
    /// The application.
    #[schema(value_type = uuid::Uuid)]
    pub application_id: ApplicationId,
    /// The code of the problem that a change of this application alone would cause, such as `illegal_transition`.
    #[schema(value_type = crate::http::schemas::ProblemCode, example = "illegal_transition")]
    pub code: &'static str,
}

impl From<BulkOutcome> for BulkStatusView {
    fn from(outcome: BulkOutcome) -> Self {
        let BulkOutcome { matched, changeable, changed, skipped, remaining } = outcome;
        let skipped =
            skipped.into_iter().map(|Skipped { id, code }| SkippedView { application_id: id, code });
        Self { matched, changeable, changed, skipped: skipped.collect(), remaining }
    }
}

/// Changes the status of many applications.
///
/// Each application is changed in its own transaction, with the same rules, audit rows and events as a single change.
/// Applications that cannot be changed are skipped. At most 1000 are changed per request; repeat the request while
/// `remaining` is above 0. A repeated request skips the applications that already have the status.
#[utoipa::path(
    post,
    path = "/api/v1/applications/bulk-status",
    operation_id = "set_status_of_many",
    tag = "applications",
    request_body(
        content = BulkStatusRequest,
        example = json!({"filter": {"country": "ES", "status": "UNDER_REVIEW", "risk_band": "critical"}, "status": "REJECTED",
            "reason": "The product was discontinued", "dry_run": true}),
    ),
    responses(
        (status = 200, description = "The result", body = BulkStatusView),
        (status = 409, description = "The number of matching applications differs from `expected_count` (`count_changed`)"),
        (status = 503, description = "The search for the applications took too long"),
    ),
)]
pub(in crate::http) async fn set_status(state: HttpState, caller: Caller, body: JsonObject) -> HandlerResult {
    let request = BulkStatus::try_from(BulkStatusRequest::read(body.members()?)?)?;
    let outcome = state.lending.change_statuses(&caller, &request).await?;
    Ok(HttpResponse::Ok().json(BulkStatusView::from(outcome)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::web::Bytes;

    fn read(json: &str) -> Result<BulkStatus, Vec<(String, &'static str)>> {
        let body = JsonObject::check(Bytes::copy_from_slice(json.as_bytes())).unwrap();
        let request = BulkStatusRequest::read(body.members().unwrap()).map_err(Error::from);
        request.and_then(TryInto::try_into).map_err(|error| match error {
            Error::Validation(fields) => fields.into_iter().map(|f| (f.pointer, f.code)).collect(),
            other => panic!("{other:?}"),
        })
    }

    const REST: &str = r#""status": "REJECTED", "reason": "x", "dry_run": false"#;

    #[test]
    fn applications_are_selected_by_filter_or_by_identifier() {
        let request = read(&format!(
            r#"{{"filter": {{"country": "es", "risk_band": "high"}}, "expected_count": 3, {REST}}}"#
        ))
        .unwrap();
        let BulkTarget::Filter(filter) = request.target else { panic!("no filter") };
        assert_eq!((filter.country, filter.risk_band), (Some(Country::Es), Some(RiskBand::High)));
        assert_eq!(request.expected_count, Some(3));
        let [one, two] = ["01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a8058"];
        let request = read(&format!(r#"{{"ids": ["{two}", "{one}", "{two}"], {REST}}}"#)).unwrap();
        let BulkTarget::Ids(ids) = request.target else { panic!("no identifiers") };
        assert_eq!(ids.iter().map(ToString::to_string).collect::<Vec<_>>(), [one, two]);
    }

    #[test]
    fn invalid_values_are_refused_with_their_pointers() {
        let many = vec![r#""01890a5d-ac96-774b-bcce-b302099a8057""#; 1001].join(",");
        for (members, pointer, code) in [
            ("", "", "required"),
            (r#""filter": {}, "ids": ["01890a5d-ac96-774b-bcce-b302099a8057"]"#, "/ids", "ambiguous"),
            (r#""ids": []"#, "/ids", "required"),
            (r#""ids": [1]"#, "/ids", "bad_type"),
            (r#""ids": ["x"]"#, "/ids/0", "bad_uuid"),
            (&format!(r#""ids": [{many}]"#), "/ids", "too_many"),
            (r#""filter": {"document": "x"}"#, "/filter/document", "unknown_field"),
            (r#""filter": {"country": "FR"}"#, "/filter/country", "unknown_country"),
            (r#""filter": {"min_amount": 2, "max_amount": 1}"#, "/filter/max_amount", "bad_range"),
            (r#""filter": {"from": "2026-01-02", "to": "2026-01-01T00:00:00Z"}"#, "/filter/to", "bad_range"),
            (r#""filter": {}, "expected_count": -1"#, "/expected_count", "out_of_range"),
        ] {
            let separator = if members.is_empty() { "" } else { ", " };
            let refused = read(&format!("{{{members}{separator}{REST}}}")).unwrap_err();
            assert_eq!(refused, [(pointer.to_owned(), code)], "{members:.60}");
        }
        let refused = read(r#"{"filter": {}, "reason": " "}"#).unwrap_err();
        let expected = [("/status", "required"), ("/reason", "bad_reason"), ("/dry_run", "required")];
        assert_eq!(refused, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
    }
}
