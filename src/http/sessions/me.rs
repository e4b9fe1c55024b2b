//! `GET /api/v1/auth/me`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::account::{Role, Scope};
use crate::http::auth::{Credential, Principal};
use crate::http::problem::Answer;

/// What proved who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A person's access token.
    AccessToken,
    /// A machine client's API key.
    ApiKey,
}

/// Who asks.
#[derive(Serialize, ToSchema)]
pub struct Me {
    /// The account's name, as it stands in `created_by` and in audit entries.
    #[schema(example = "ana.lopez")]
    account: String,
    /// What it may do.
    #[schema(value_type = crate::http::schemas::RoleName)]
    role: Role,
    /// What proved it.
    credential: CredentialKind,
    /// What an API key was made for; people may do all that their role lets them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<crate::http::schemas::ScopeName>>)]
    scopes: Option<Vec<Scope>>,
    /// When the credential expires; `null`: never.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    valid_until: Option<DateTime<Utc>>,
}

/// Who asks, and what it may do.
#[utoipa::path(
    get,
    path = "/api/v1/auth/me",
    operation_id = "get_me",
    tag = "accounts",
    responses((status = 200, description = "The account behind the credential", body = Me)),
)]
pub(in crate::http) async fn me(principal: Principal) -> Answer {
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
