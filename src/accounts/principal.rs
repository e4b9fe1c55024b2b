//! The authenticated caller of a request.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::account::{KeyLimits, Role, Scope};
use crate::domain::status::Initiator;
use crate::error::{Error, PublicMessage, Result};
use crate::storage::applications::Visibility;

/// The account that sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The account's name, as stored in rows and audit entries.
    pub account: String,
    pub role: Role,
    pub credential: Credential,
    /// When the credential expires; `None` if it does not.
    pub valid_until: Option<DateTime<Utc>>,
}

/// How an account authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user's access token.
    Token {
        user_id: Uuid,
        token_version: i64,
        /// `None` for tokens that an operator created.
        session: Option<Uuid>,
    },
    /// A machine client's API key.
    ApiKey { key_id: Uuid, scopes: Arc<[Scope]>, limits: KeyLimits },
}

impl Credential {
    /// The identifier of the user or the API key.
    pub fn id(&self) -> Uuid {
        match self {
            Self::Token { user_id, .. } => *user_id,
            Self::ApiKey { key_id, .. } => *key_id,
        }
    }
}

impl Principal {
    /// The applications that the account may see.
    pub fn visibility(&self) -> Visibility {
        match self.role {
            Role::User => Visibility::OwnedBy(self.account.clone()),
            Role::Analyst | Role::Admin => Visibility::All,
        }
    }

    /// The applications that the account may change. A key without the review scope can only change its own.
    pub fn visibility_for_changes(&self) -> Visibility {
        match self.initiator() {
            Initiator::Staff => Visibility::All,
            _ => Visibility::OwnedBy(self.account.clone()),
        }
    }

    /// The initiator of the account's changes.
    pub fn initiator(&self) -> Initiator {
        if self.role >= Role::Analyst && self.has_scope(Scope::ApplicationsReview) {
            Initiator::Staff
        } else {
            Initiator::Owner
        }
    }

    /// Whether the account has `scope`, regardless of its role. Users have all scopes.
    pub fn has_scope(&self, scope: Scope) -> bool {
        match &self.credential {
            Credential::Token { .. } => true,
            Credential::ApiKey { scopes, .. } => scopes.contains(&scope),
        }
    }

    /// The session of the credential. API keys and tokens that an operator created have none.
    pub fn session(&self) -> Option<Uuid> {
        match self.credential {
            Credential::Token { session, .. } => session,
            Credential::ApiKey { .. } => None,
        }
    }

    /// The user of an access token.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for an API key.
    pub fn user_id(&self) -> Result<Uuid> {
        match self.credential {
            Credential::Token { user_id, .. } => Ok(user_id),
            Credential::ApiKey { .. } => Err(Error::Forbidden(PublicMessage::new(
                "API keys have no sessions, settings or saved views.",
            ))),
        }
    }

    pub fn is_person(&self) -> bool {
        matches!(self.credential, Credential::Token { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(role: Role, credential: Credential) -> Principal {
        Principal { account: "ana".to_owned(), role, credential, valid_until: None }
    }

    #[test]
    fn users_see_and_change_their_own_applications_and_staff_all() {
        let token = || Credential::Token { user_id: Uuid::nil(), token_version: 0, session: None };
        let user = principal(Role::User, token());
        assert_eq!(user.visibility(), Visibility::OwnedBy("ana".to_owned()));
        assert_eq!(user.initiator(), Initiator::Owner);
        for role in [Role::Analyst, Role::Admin] {
            let staff = principal(role, token());
            assert_eq!((staff.visibility(), staff.initiator()), (Visibility::All, Initiator::Staff));
        }
    }

    #[test]
    fn a_staff_key_changes_others_applications_only_with_the_review_scope() {
        for role in Role::ALL {
            for scope in Scope::ALL {
                let scopes = Arc::from([Scope::ApplicationsWrite, scope]);
                let key = principal(
                    role,
                    Credential::ApiKey { key_id: Uuid::nil(), scopes, limits: KeyLimits::default() },
                );
                let reviews = role != Role::User && scope == Scope::ApplicationsReview;
                assert_eq!(key.initiator() == Initiator::Staff, reviews, "{role} {scope:?}");
                assert_eq!(key.visibility_for_changes() == Visibility::All, reviews, "{role} {scope:?}");
            }
        }
    }

    #[test]
    fn a_user_has_all_scopes_and_a_key_only_its_own() {
        let token = Credential::Token { user_id: Uuid::nil(), token_version: 0, session: None };
        let person = principal(Role::User, token);
        let scopes = Arc::from([Scope::ApplicationsRead]);
        let key = principal(
            Role::User,
            Credential::ApiKey { key_id: Uuid::nil(), scopes, limits: KeyLimits::default() },
        );
        for scope in Scope::ALL {
            assert!(person.has_scope(scope));
            assert_eq!(key.has_scope(scope), scope == Scope::ApplicationsRead);
        }
        assert!(person.is_person() && !key.is_person());
    }
}
