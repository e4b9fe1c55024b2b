//! `GET`, `PUT` and `DELETE /api/v1/applications/{id}/assignment`

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::ReviewAssignmentView;
use crate::domain::ids::ApplicationId;
use crate::http::HttpState;
use crate::http::extract::ApplicationPath;
use crate::http::problem::HandlerResult;
use crate::lending::Caller;

/// An application and its assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AssignedView {
    /// The application.
    #[schema(value_type = uuid::Uuid, example = "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21")]
    pub application_id: ApplicationId,
    /// The assignment.
    #[serde(flatten)]
    pub assignment: ReviewAssignmentView,
}

/// An application and its assignment, if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AssignmentStateView {
    /// The application.
    #[schema(value_type = uuid::Uuid, example = "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21")]
    pub application_id: ApplicationId,
    /// The assignment; `null` if there is none or it has expired.
    pub assignment: Option<ReviewAssignmentView>,
}

/// The assignment of an application.
#[utoipa::path(
    get,
    path = "/api/v1/applications/{id}/assignment",
    operation_id = "get_assignment",
    tag = "reviews",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the application")),
    responses(
        (status = 200, description = "The assignment", body = AssignmentStateView),
        (status = 404, description = "Application not found"),
    ),
)]
pub(in crate::http) async fn get(
    state: HttpState,
    caller: Caller,
    ApplicationPath(application_id): ApplicationPath,
) -> HandlerResult {
    let assignment = state.lending.find_assignment(&caller, application_id).await?;
    let assignment = assignment.map(ReviewAssignmentView::from);
    Ok(HttpResponse::Ok().json(AssignmentStateView { application_id, assignment }))
}

/// Assigns an application under review to the caller, or extends the caller's assignment.
///
/// Until the assignment ends, no other account can decide the application. It ends when it is released, after
/// `reviews.assignment_minutes`, or when the application is no longer under review.
#[utoipa::path(
    put,
    path = "/api/v1/applications/{id}/assignment",
    operation_id = "assign_application",
    tag = "reviews",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the application")),
    responses(
        (status = 200, description = "The assignment", body = AssignedView),
        (status = 404, description = "Application not found"),
        (
            status = 409,
            description = "The application is assigned to another account (`assigned_to_another`) or is not under review \
                (`not_under_review`)",
        ),
    ),
)]
pub(in crate::http) async fn assign(
    state: HttpState,
    caller: Caller,
    ApplicationPath(application_id): ApplicationPath,
) -> HandlerResult {
    let assignment = state.lending.assign_review(&caller, application_id).await?.into();
    Ok(HttpResponse::Ok().json(AssignedView { application_id, assignment }))
}

/// Ends the assignment of an application, if there is one.
///
/// Analysts can release their own assignments, admins those of any account.
#[utoipa::path(
    delete,
    path = "/api/v1/applications/{id}/assignment",
    operation_id = "release_application",
    tag = "reviews",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the application")),
    responses(
        (status = 204, description = "The application is not assigned"),
        (status = 404, description = "Application not found"),
        (status = 409, description = "The application is assigned to another account (`assigned_to_another`)"),
    ),
)]
pub(in crate::http) async fn release(
    state: HttpState,
    caller: Caller,
    ApplicationPath(id): ApplicationPath,
) -> HandlerResult {
    state.lending.release_review(&caller, id).await?;
    Ok(HttpResponse::NoContent().finish())
}
