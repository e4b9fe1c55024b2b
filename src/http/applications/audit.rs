//! `GET /api/v1/applications/{id}/audit`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::ids::ApplicationId;
use crate::domain::status::Status;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::extract::{ApplicationPath, RequestContext};
use crate::http::problem::Answer;
use crate::http::staff_views::Viewed;
use crate::storage::staff_views::ViewAction;
use crate::storage::types::AuditAction;
use crate::storage::{applications, audit as trail};

/// The history of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditTrail {
    /// The application.
    #[schema(value_type = Uuid, example = "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21")]
    pub application_id: ApplicationId,
    /// Every change, oldest first.
    pub entries: Vec<AuditEntryView>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditEntryView {
    /// The identifier.
    pub id: Uuid,
    /// The application's version after the change.
    #[schema(example = 2)]
    pub version: i64,
    /// What kind of change.
    pub action: AuditAction,
    /// The status before; `null` for the creation.
    #[schema(value_type = Option<crate::http::schemas::ApplicationStatus>)]
    pub old_status: Option<Status>,
    /// The status after.
    #[schema(value_type = crate::http::schemas::ApplicationStatus)]
    pub new_status: Status,
    /// The account, the part of the system (`system:…`) or the database user (`sql:…`).
    #[schema(example = "system:application-actor")]
    pub changed_by: String,
    /// Why, when somebody said so.
    pub reason: Option<String>,
    /// The request that led to it.
    pub request_id: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl From<trail::AuditEntry> for AuditEntryView {
    fn from(entry: trail::AuditEntry) -> Self {
        Self {
            id: entry.id,
            version: entry.version,
            action: entry.action,
            old_status: entry.old_status,
            new_status: entry.new_status,
            changed_by: entry.changed_by,
            reason: entry.change_reason,
            request_id: entry.request_id,
            created_at: entry.created_at,
        }
    }
}

/// Every change of an application: who, what, why, and on which request.
#[utoipa::path(
    get,
    path = "/api/v1/applications/{id}/audit",
    operation_id = "get_application_audit",
    tag = "applications",
    params(
        ("id" = uuid::Uuid, Path, description = "The application"),
    ),
    responses(
        (status = 200, description = "The history, oldest first", body = AuditTrail),
        (status = 404, description = "There is none, or not for this caller"),
    ),
)]
pub(in crate::http) async fn audit(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    ApplicationPath(id): ApplicationPath,
) -> Answer {
    let mut connection = state.resources.database.get().await?;
    let application =
        applications::get(&mut connection, state.resources.database.keys(), id, &principal.visibility())
            .await?;
    let entries = trail::list(&mut connection, application.id).await?;
    state.note_view(&principal, &context, Viewed::One(ViewAction::Audit, id, &application.created_by));
    let entries = entries.into_iter().map(AuditEntryView::from).collect();
    Ok(HttpResponse::Ok().json(AuditTrail { application_id: id, entries }))
}
