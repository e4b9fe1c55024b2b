//! `GET` and `DELETE /api/v1/auth/me/sessions`, `DELETE /api/v1/auth/me/sessions/{id}`

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::browser;
use crate::accounts::{ChangeOrigin, OpenSession};
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;

/// A session that can be renewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionView {
    /// The identifier.
    pub id: Uuid,
    /// Time of the sign-in.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub created_at: DateTime<Utc>,
    /// When the session began or was last renewed.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub last_used_at: DateTime<Utc>,
    /// When the session ends unless it is renewed before.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub expires_at: DateTime<Utc>,
    /// The IP address of the client that began or last renewed the session; `null` if it is not known.
    #[schema(example = "203.0.113.9")]
    pub address: Option<String>,
    /// The `User-Agent` of that client; `null` if it is not known.
    #[schema(example = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")]
    pub user_agent: Option<String>,
    /// Whether it is the session of the request.
    pub current: bool,
}

impl From<OpenSession> for SessionView {
    fn from(session: OpenSession) -> Self {
        Self {
            id: session.id,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
            address: session.address,
            user_agent: session.user_agent,
            current: session.is_current,
        }
    }
}

/// The open sessions of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionList {
    /// The sessions, the most recently used first; at most 100.
    pub items: Vec<SessionView>,
}

impl From<Vec<OpenSession>> for SessionList {
    fn from(sessions: Vec<OpenSession>) -> Self {
        Self { items: sessions.into_iter().map(SessionView::from).collect() }
    }
}

/// Lists the caller's open sessions.
///
/// Access tokens of `aval token` belong to no session.
#[utoipa::path(
    get,
    path = "/api/v1/auth/me/sessions",
    operation_id = "list_own_sessions",
    tag = "accounts",
    responses((status = 200, description = "The open sessions", body = SessionList)),
)]
pub(in crate::http) async fn list(state: HttpState, principal: Principal) -> HandlerResult {
    let sessions = state.accounts.own_sessions(&principal).await?;
    Ok(HttpResponse::Ok().json(SessionList::from(sessions)))
}

/// Ends one of the caller's sessions.
///
/// Immediately invalidates all access tokens of the account. Other sessions can get new access tokens with their refresh
/// tokens. WebSockets opened with an invalidated token are closed (4401).
#[utoipa::path(
    delete,
    path = "/api/v1/auth/me/sessions/{id}",
    operation_id = "end_own_session",
    tag = "accounts",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the session")),
    responses(
        (status = 204, description = "Session ended; the cookie of the browser is deleted if it was the caller's own session"),
        (status = 404, description = "The caller has no open session with this identifier"),
    ),
)]
pub(in crate::http) async fn end(
    state: HttpState,
    principal: Principal,
    origin: ChangeOrigin,
    IdPath(id): IdPath,
) -> HandlerResult {
    state.accounts.end_own_session(&principal, id, &origin).await?;
    if principal.session() == Some(id) {
        return Ok(browser::without_cookie());
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Signs out everywhere: ends all sessions of the caller.
///
/// Immediately invalidates all refresh tokens and access tokens of the account. WebSockets opened with one of them are
/// closed (4401). API keys stay valid.
#[utoipa::path(
    delete,
    path = "/api/v1/auth/me/sessions",
    operation_id = "sign_out_everywhere",
    tag = "accounts",
    responses(
        (status = 204, description = "All sessions ended",
            headers(("Set-Cookie" = String, description = "Deletes the refresh token of the browser"))),
    ),
)]
pub(in crate::http) async fn end_all(
    state: HttpState,
    principal: Principal,
    origin: ChangeOrigin,
) -> HandlerResult {
    state.accounts.sign_out_everywhere(&principal, &origin).await?;
    Ok(browser::without_cookie())
}
