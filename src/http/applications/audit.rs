//! `GET /api/v1/applications/{id}/audit`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::ids::ApplicationId;
use crate::domain::label::Label;
use crate::domain::status::Status;
use crate::http::HttpState;
use crate::http::extract::ApplicationPath;
use crate::http::problem::HandlerResult;
use crate::lending::history::{AuditAction, AuditEntry, ValueChange};
use crate::lending::{Caller, Visibility};

/// The history of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditTrail {
    /// The identifier of the application.
    #[schema(value_type = Uuid, example = "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21")]
    pub application_id: ApplicationId,
    /// Every change, oldest first.
    pub entries: Vec<AuditEntryView>,
}

/// One change to an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditEntryView {
    /// The identifier.
    pub id: Uuid,
    /// The application's version after the change.
    #[schema(example = 2)]
    pub version: i64,
    /// The kind of change.
    #[schema(value_type = AuditAction)]
    pub action: Label<AuditAction>,
    /// The previous status; `null` for the creation.
    #[schema(value_type = Option<crate::http::schemas::ApplicationStatus>)]
    pub old_status: Option<Label<Status>>,
    /// The new status.
    #[schema(value_type = crate::http::schemas::ApplicationStatus)]
    pub new_status: Label<Status>,
    /// The account, system component (`system:…`) or database user (`sql:…`) that made the change. Owners see their
    /// own account, `staff` or `system`.
    #[schema(example = "system:application-actor")]
    pub changed_by: String,
    /// The reason for the change, if one was given and the caller may read it.
    pub reason: Option<String>,
    /// An internal note by staff; absent if there is none, and for owners.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Called the employer on 12 May")]
    pub internal_note: Option<String>,
    /// The values that changed; absent if there are none, and for owners.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ValueChangeView>,
    /// The request that caused the change; `null` for owners unless it was their own request.
    pub request_id: Option<String>,
    /// The trace of the change (W3C Trace Context); `null` under the same conditions as `request_id`.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    pub trace_id: Option<String>,
    /// Time of the change.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub created_at: DateTime<Utc>,
}

/// A value before and after a change. Personal values are masked except for their first and last characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ValueChangeView {
    /// The member of the application, as a JSON pointer.
    #[schema(example = "/country_specific_data/employer")]
    pub pointer: String,
    /// The old value; `null` if there was none.
    pub old: Option<Value>,
    /// The new value; `null` if there is none.
    pub new: Option<Value>,
}

/// Shown to owners instead of the name of a staff account.
const STAFF: &str = "staff";
/// Shown to owners instead of the name of a system component.
const SYSTEM: &str = "system";

impl AuditEntryView {
    /// The entry as the owner with this account sees it. The owner's own changes are shown in full. Other
    /// entries have no name, request or note, and show a reason only if staff marked it as public.
    fn for_owner(entry: AuditEntry, account: &str) -> Self {
        let is_own = entry.changed_by == account;
        let is_system = entry.changed_by.starts_with("system:");
        let shows_reason = is_own || !is_system && entry.reason_is_public;
        let whole = Self::from(entry);
        Self {
            changed_by: match (is_own, is_system) {
                (true, _) => whole.changed_by,
                (false, true) => SYSTEM.to_owned(),
                (false, false) => STAFF.to_owned(),
            },
            reason: whole.reason.filter(|_| shows_reason),
            internal_note: None,
            changes: Vec::new(),
            request_id: whole.request_id.filter(|_| is_own),
            trace_id: whole.trace_id.filter(|_| is_own),
            ..whole
        }
    }
}

impl From<AuditEntry> for AuditEntryView {
    fn from(entry: AuditEntry) -> Self {
        let change = |change: ValueChange| ValueChangeView {
            pointer: change.pointer,
            old: change.old,
            new: change.new,
        };
        Self {
            internal_note: entry.internal_note,
            changes: entry.changes.into_iter().map(change).collect(),
            id: entry.id,
            version: entry.version,
            action: entry.action,
            old_status: entry.old_status,
            new_status: entry.new_status,
            changed_by: entry.changed_by,
            reason: entry.change_reason,
            request_id: entry.request_id,
            trace_id: entry.traceparent.as_deref().and_then(trace_id).map(str::to_owned),
            created_at: entry.created_at,
        }
    }
}

/// The trace ID in a `traceparent`.
fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
}

/// Returns the change history of an application: who changed what, why and with which request.
///
/// Staff see everything, including old and new values. Owners see `staff` and `system` instead of names, only the
/// public reasons, and no internal notes.
#[utoipa::path(
    get,
    path = "/api/v1/applications/{id}/audit",
    operation_id = "get_application_audit",
    tag = "applications",
    params(
        ("id" = uuid::Uuid, Path, description = "Identifier of the application"),
    ),
    responses(
        (status = 200, description = "The history, oldest first", body = AuditTrail),
        (status = 404, description = "Application not found, or not visible to the caller"),
    ),
)]
pub(in crate::http) async fn audit(
    state: HttpState,
    caller: Caller,
    ApplicationPath(id): ApplicationPath,
) -> HandlerResult {
    let entries = state.lending.audit_trail(&caller, id).await?;
    let view = |entry| match &caller.may_see {
        Visibility::All => AuditEntryView::from(entry),
        Visibility::OwnedBy(account) => AuditEntryView::for_owner(entry, account),
    };
    let entries = entries.into_iter().map(view).collect();
    Ok(HttpResponse::Ok().json(AuditTrail { application_id: id, entries }))
}
