//! `GET /api/v1/admin/staff-views`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::ids::ApplicationId;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::keyset::{Page, page_size};
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::http::request::values::{any_text, application_id, check_period, period_end, period_start};
use crate::json::Refusal;
use crate::lending::audit_views::{StaffView, ViewAction, ViewFilter};
use crate::storage::seal::KeyRing;

const DEFAULT_PAGE_SIZE: i64 = 50;

request_query! {
    /// Filters and page of the list.
    pub struct StaffViewParameters {
        /// The account that viewed the data.
        #[param(example = "ana.garcia")]
        account: Option<String> = account,
        /// The kind of view: `application`, `application_status`, `application_audit`, `application_decision`,
        /// `application_list`, `application_search` or `application_export`.
        #[param(value_type = Option<crate::http::schemas::StaffViewAction>, example = "application")]
        action: Option<ViewAction> = action,
        /// The identifier of the application.
        #[param(value_type = Option<Uuid>)]
        application_id: Option<ApplicationId> = application_id,
        /// Viewed at or after this RFC 3339 time, or on or after this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-01")]
        from: Option<DateTime<Utc>> = period_start,
        /// Viewed before this RFC 3339 time, or on or before this date (UTC).
        #[param(value_type = Option<String>, example = "2026-01-31")]
        to: Option<DateTime<Utc>> = period_end,
        /// Views per page; the default is 50.
        #[param(minimum = 1, maximum = 100, example = 50)]
        page_size: Option<i64> = page_size,
        /// `next_cursor` of the previous page, with the same filters.
        cursor: Option<String> = any_text,
    }
}

/// A view by staff of data that belongs to other accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StaffViewEntry {
    /// The identifier.
    pub id: Uuid,
    /// The account that viewed the data.
    #[schema(example = "ana.garcia")]
    pub account: String,
    /// The kind of view.
    #[schema(value_type = crate::http::schemas::StaffViewAction, example = "application")]
    pub action: String,
    /// The identifier of the application; `null` for a list, a search or an export.
    pub application_id: Option<Uuid>,
    /// The filters of a list, search or export, without personal data.
    #[schema(value_type = Object)]
    pub filter: Value,
    /// The blind index of the document that was searched for. Equal documents have equal indexes; the document cannot
    /// be derived from its index.
    pub document_index: Option<String>,
    /// The request that returned the data.
    pub request_id: Option<String>,
    /// Time of the view.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub viewed_at: DateTime<Utc>,
}

impl From<StaffView> for StaffViewEntry {
    fn from(view: StaffView) -> Self {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            id: view.id,
            account: view.account,
            action: view.action,
            application_id: view.application_id,
            filter: view.filter,
            document_index: view.document_index.map(hex),
            request_id: view.request_id,
            viewed_at: view.viewed_at,
        }
    }
}

/// A page of views.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StaffViewPage {
    /// Maximum number of views per page.
    #[schema(example = 50)]
    pub page_size: i64,
    /// Cursor of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
    /// The views.
    pub views: Vec<StaffViewEntry>,
}

/// Lists the views of applications by staff, newest first.
///
/// A view is listed a moment after the response that contained the data.
#[utoipa::path(
    get,
    path = "/api/v1/admin/staff-views",
    operation_id = "list_staff_views",
    tag = "operations",
    params(StaffViewParameters),
    responses(
        (status = 200, description = "A page of the list", body = StaffViewPage),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter"),
    ),
)]
pub(in crate::http) async fn list(state: HttpState, query: Query) -> HandlerResult {
    let keys = state.keys();
    let (filter, page) = read(query, keys)?;
    let mut listed = state.lending.audit_views(&filter, page.before, page.limit()).await?;
    let next_cursor = page.cut(keys, &mut listed, |view| view.id);
    Ok(HttpResponse::Ok().json(StaffViewPage {
        page_size: page.size,
        next_cursor,
        views: listed.into_iter().map(StaffViewEntry::from).collect(),
    }))
}

fn read(mut query: Query, keys: &KeyRing) -> Result<(ViewFilter, Page)> {
    let sent = StaffViewParameters::take(&mut query);
    query.check("to", check_period(sent.from, sent.to));
    let filter = ViewFilter {
        account: sent.account,
        action: sent.action,
        application_id: sent.application_id.map(ApplicationId::as_uuid),
        from: sent.from,
        to: sent.to,
    };
    let size = sent.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
    let page = Page::new(keys, &mut query, format!("staff views {filter:?}"), size, sent.cursor);
    query.finish()?;
    Ok((filter, page))
}

/// Accepts any text that the database can store; a string that is not an account name simply matches nothing.
fn account(text: &str) -> Result<String, Refusal> {
    let safe = text.len() <= 128 && !text.chars().any(char::is_control);
    safe.then(|| text.to_owned()).ok_or_else(|| ("bad_account", "is not a valid account name".to_owned()))
}

fn action(text: &str) -> Result<ViewAction, Refusal> {
    let names = || ViewAction::ALL.map(ViewAction::as_str).join(", ");
    let found = ViewAction::ALL.into_iter().find(|action| action.as_str() == text);
    found.ok_or_else(|| ("unknown_action", format!("must be one of {}", names())))
}
