//! Who asks, once that is proven.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::account::{KeyLimits, Role, Scope};
use crate::domain::status::Initiator;
use crate::storage::applications::Visibility;

/// The account that a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The account's name, as it stands in rows and audit entries.
    pub account: String,
    /// What it may do.
    pub role: Role,
    /// What it proved itself with.
    pub credential: Credential,
    /// When that expires; never when absent.
    pub valid_until: Option<DateTime<Utc>>,
}

/// What an account proved itself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A person's access token.
    Token {
        /// The person's account.
        user_id: Uuid,
        /// The account's token version.
        token_version: i64,
        /// The session, when a login began one.
        session: Option<Uuid>,
    },
    /// A machine client's key.
    ApiKey {
        /// The key.
        key_id: Uuid,
        /// What it was made for.
        scopes: Arc<[Scope]>,
        /// How often it may be used.
        limits: KeyLimits,
    },
}

impl Principal {
    /// Whose applications it may see.
    pub fn visibility(&self) -> Visibility {
        match self.role {
            Role::User => Visibility::OwnedBy(self.account.clone()),
            Role::Analyst | Role::Admin => Visibility::All,
        }
    }

    /// Whose applications it may change: a key that was not made for reviewing has nothing to do with anybody else's.
    pub fn visibility_for_changes(&self) -> Visibility {
        match self.mover() {
            Initiator::Staff => Visibility::All,
            _ => Visibility::OwnedBy(self.account.clone()),
        }
    }

    /// As whom it asks for changes.
    pub fn mover(&self) -> Initiator {
        if self.role >= Role::Analyst && self.has_scope(Scope::ApplicationsReview) {
            Initiator::Staff
        } else {
            Initiator::Owner
        }
    }

    /// Whether it may do what `scope` is about, its role aside. People may do all that their role lets them.
    pub fn has_scope(&self, scope: Scope) -> bool {
        match &self.credential {
            Credential::Token { .. } => true,
            Credential::ApiKey { scopes, .. } => scopes.contains(&scope),
        }
    }

    /// Whether it is a person.
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
    fn a_user_sees_and_moves_its_own_and_staff_everything() {
        let token = || Credential::Token { user_id: Uuid::nil(), token_version: 0, session: None };
        let user = principal(Role::User, token());
        assert_eq!(user.visibility(), Visibility::OwnedBy("ana".to_owned()));
        assert_eq!(user.mover(), Initiator::Owner);
        for role in [Role::Analyst, Role::Admin] {
            let staff = principal(role, token());
            assert_eq!((staff.visibility(), staff.mover()), (Visibility::All, Initiator::Staff));
        }
    }

    #[test]
    fn a_key_of_staff_changes_what_is_not_its_own_only_when_it_was_made_for_reviewing() {
        for role in Role::ALL {
            for scope in Scope::ALL {
                let scopes = Arc::from([Scope::ApplicationsWrite, scope]);
                let key = principal(
                    role,
                    Credential::ApiKey { key_id: Uuid::nil(), scopes, limits: KeyLimits::default() },
                );
                let reviews = role != Role::User && scope == Scope::ApplicationsReview;
                assert_eq!(key.mover() == Initiator::Staff, reviews, "{role} {scope:?}");
                assert_eq!(key.visibility_for_changes() == Visibility::All, reviews, "{role} {scope:?}");
            }
        }
    }

    #[test]
    fn a_person_has_every_scope_and_a_key_those_that_it_was_given() {
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
