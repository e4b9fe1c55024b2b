//! The open sessions of an account. The account itself, or an admin, can list and end them.
//!
//! Ending a session also ends all access tokens of the account, as a sign-out does. Its other sessions get new ones with
//! their refresh tokens.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use slog::info;
use uuid::Uuid;

use super::principal::Principal;
use super::{Accounts, ChangeOrigin};
use crate::error::{Error, Result};
use crate::storage::refresh_tokens;
use crate::storage::security_events::{self, SecurityEvent};
use crate::storage::transaction::{self, Abort};
use crate::storage::users;

/// The largest number of sessions in a list.
const MAX_LISTED: i64 = 100;

/// A session that can be renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSession {
    pub id: Uuid,
    pub created_at: DateTime<Utc>,
    /// When it began or was last renewed.
    pub last_used_at: DateTime<Utc>,
    /// When it ends unless it is renewed before.
    pub expires_at: DateTime<Utc>,
    /// The address of the client that began or last renewed it.
    pub address: Option<String>,
    /// The `User-Agent` of that client.
    pub user_agent: Option<String>,
    /// Whether it is the session of the caller.
    pub is_current: bool,
}

impl Accounts {
    /// The caller's open sessions, the most recently used first, at most 100.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for an API key.
    pub async fn own_sessions(&self, principal: &Principal) -> Result<Vec<OpenSession>> {
        self.list_sessions(principal.user_id()?, principal).await
    }

    /// The open sessions of an account, as seen by `viewer`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account does not exist.
    pub async fn sessions_of(&self, id: Uuid, viewer: &Principal) -> Result<Vec<OpenSession>> {
        self.user(id).await?;
        self.list_sessions(id, viewer).await
    }

    async fn list_sessions(&self, id: Uuid, viewer: &Principal) -> Result<Vec<OpenSession>> {
        let (database, now) = (&self.inner.database, self.inner.clock.now());
        let open = refresh_tokens::open_sessions(&mut *database.get().await?, id, now, MAX_LISTED).await?;
        let shown = |session: refresh_tokens::OpenSession| OpenSession {
            id: session.family,
            created_at: session.session_started_at,
            last_used_at: session.issued_at,
            expires_at: session.expires_at,
            address: session.open_address(database.keys()),
            is_current: viewer.session() == Some(session.family),
            user_agent: session.user_agent,
        };
        Ok(open.into_iter().map(shown).collect())
    }

    /// Ends one of the caller's sessions and all access tokens of the account.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has no such session; [`Error::Forbidden`] for an API key; those of
    /// [`Accounts::begin_change`].
    pub async fn end_own_session(
        &self,
        principal: &Principal,
        session: Uuid,
        origin: &ChangeOrigin,
    ) -> Result<()> {
        self.end_sessions(principal.user_id()?, Some(session), origin).await
    }

    /// Ends all sessions and access tokens of the caller.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for an API key; those of [`Accounts::begin_change`].
    pub async fn sign_out_everywhere(&self, principal: &Principal, origin: &ChangeOrigin) -> Result<()> {
        self.end_sessions(principal.user_id()?, None, origin).await
    }

    /// Ends all sessions and access tokens of an account.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account does not exist; those of [`Accounts::begin_change`].
    pub async fn end_sessions_of(&self, id: Uuid, origin: &ChangeOrigin) -> Result<()> {
        self.end_sessions(id, None, origin).await
    }

    async fn end_sessions(&self, id: Uuid, session: Option<Uuid>, origin: &ChangeOrigin) -> Result<()> {
        let (inner, now) = (&self.inner, self.inner.clock.now());
        let detail: Value = session.map_or_else(|| json!({}), |session| json!({ "session": session }));
        transaction::run(&inner.database, &inner.logger, "end_sessions", async |connection| {
            // The account is locked before its tokens, as in `refresh`.
            let user = users::lock_listed(connection, id).await?;
            self.begin_change(connection, origin).await?;
            let revoked = refresh_tokens::revoke_of_account(connection, id, session, now).await?;
            if session.is_some() && revoked == 0 {
                return Err(Abort::from(Error::NotFound("session")));
            }
            users::end_tokens(connection, id).await?;
            let (event, subject) = (SecurityEvent::SessionsEnded, Some(user.username.as_str()));
            security_events::record(connection, event, None, subject, detail.clone()).await?;
            Ok(())
        })
        .await?;
        self.forget();
        info!(inner.logger, "sessions ended"; "user_id" => %id, "all" => session.is_none());
        Ok(())
    }
}
