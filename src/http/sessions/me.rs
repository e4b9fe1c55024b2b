//! `GET /api/v1/auth/me`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::account::{Role, Scope};
use crate::http::auth::{Credential, Principal};
use crate::http::problem::HandlerResult;

/// The kind of credential that authenticated the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// An access token of a user.
    AccessToken,
    /// An API key of a machine client.
    ApiKey,
}

/// The authenticated account and its permissions.
#[derive(Serialize, ToSchema)]
pub struct Me {
    /// The name of the account, as used in `created_by` and audit entries.
    #[schema(example = "ana.lopez")]
    account: String,
    /// The role of the account.
    #[schema(value_type = crate::http::schemas::RoleName)]
    role: Role,
    /// The kind of credential.
    credential: CredentialKind,
    /// The scopes of the API key; absent for users, who have all permissions of their role.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<crate::http::schemas::ScopeName>>)]
    scopes: Option<Vec<Scope>>,
    /// When the credential expires; `null` if it does not expire.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    valid_until: Option<DateTime<Utc>>,
}

/// Returns the authenticated account and its permissions.
#[utoipa::path(
    get,
    path = "/api/v1/auth/me",
    operation_id = "get_me",
    tag = "accounts",
    responses((status = 200, description = "The authenticated account", body = Me)),
)]
pub(in crate::http) async fn me(principal: Principal) -> HandlerResult {
    let (credential, scopes) = match &principal.credential {
        Credential::Token { .. } => (CredentialKind::AccessToken, None),
        Credential::ApiKey { scopes, .. } => (CredentialKind::ApiKey, Some(scopes.to_vec())),
    };
    Ok(HttpResponse::Ok().json(Me {
        account: principal.account,
        role: principal.role,
        credential,
        scopes,
        valid_until: principal.valid_until,
    }))
}
