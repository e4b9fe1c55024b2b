//! The origin of a change to accounts or keys, and the check that its actor may still make it.
//!
//! A request is authorized before its body arrives, and may then wait for the body, a hash or a connection. Therefore
//! every transaction that changes an account or key begins with [`Accounts::begin_change`], which verifies the actor
//! again and locks its row until the transaction ends. Disabling an account or revoking a key thus happens either
//! before such a change, which then fails, or after it.

use std::net::IpAddr;

use diesel_async::AsyncPgConnection;
use uuid::Uuid;

use super::Accounts;
use super::principal::{Credential, Principal};
use crate::error::{CredentialFault, Error, Result};
use crate::storage::{api_keys, security_events, users};

/// The origin of an operation, as recorded in security events.
#[derive(Debug, Clone)]
pub struct ChangeOrigin {
    actor: Initiator,
    address: Option<IpAddr>,
    request_id: Option<String>,
    user_agent: Option<String>,
}

#[derive(Debug, Clone)]
enum Initiator {
    /// A client that has not authenticated.
    Unknown,
    /// A component of the system, or an operator on the machine.
    System(&'static str),
    Account(Principal),
}

impl ChangeOrigin {
    /// A component of the system, such as `system:operator`.
    pub fn system(name: &'static str) -> Self {
        Self { actor: Initiator::System(name), address: None, request_id: None, user_agent: None }
    }

    /// A request. `principal` is `None` before the client has authenticated.
    pub fn request(
        principal: Option<Principal>,
        address: IpAddr,
        request_id: String,
        user_agent: Option<String>,
    ) -> Self {
        let actor = principal.map_or(Initiator::Unknown, Initiator::Account);
        Self { actor, address: Some(address), request_id: Some(request_id), user_agent }
    }

    /// The name of the actor as stored; `None` if unauthenticated.
    pub fn actor(&self) -> Option<&str> {
        match &self.actor {
            Initiator::Unknown => None,
            Initiator::System(name) => Some(name),
            Initiator::Account(principal) => Some(&principal.account),
        }
    }

    /// The name of the actor for columns and log lines that require one.
    pub fn by(&self) -> &str {
        self.actor().unwrap_or("unknown")
    }

    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The `User-Agent` of the client.
    pub(super) fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    /// The identifier of the user or the API key that acts.
    pub(crate) fn account_id(&self) -> Option<Uuid> {
        self.person().or(self.key())
    }

    /// The user who acts.
    pub(super) fn person(&self) -> Option<Uuid> {
        match &self.actor {
            Initiator::Account(Principal { credential: Credential::Token { user_id, .. }, .. }) => {
                Some(*user_id)
            }
            Initiator::Unknown | Initiator::System(_) | Initiator::Account(_) => None,
        }
    }

    /// The API key that acts.
    pub(super) fn key(&self) -> Option<Uuid> {
        match &self.actor {
            Initiator::Account(Principal { credential: Credential::ApiKey { key_id, .. }, .. }) => {
                Some(*key_id)
            }
            Initiator::Unknown | Initiator::System(_) | Initiator::Account(_) => None,
        }
    }
}

impl Accounts {
    /// Begins a change in the caller's transaction: verifies that the actor is unchanged since its request was
    /// authorized, locks its row until the transaction ends, and sets it as the origin of the transaction's events.
    ///
    /// # Errors
    /// [`Error::Credential`] if the account was disabled, its role changed or its tokens ended, or if the key was
    /// revoked or has expired.
    pub(crate) async fn begin_change(
        &self,
        connection: &mut AsyncPgConnection,
        origin: &ChangeOrigin,
    ) -> Result<()> {
        if let Initiator::Account(principal) = &origin.actor {
            self.lock_actor(connection, principal).await?;
        }
        self.attribute(connection, origin).await
    }

    async fn lock_actor(&self, connection: &mut AsyncPgConnection, principal: &Principal) -> Result<()> {
        let now = self.inner.clock.now();
        if principal.valid_until.is_some_and(|until| now >= until) {
            return Err(Error::Credential(CredentialFault::Expired));
        }
        let unchanged = match &principal.credential {
            Credential::Token { user_id, token_version, .. } => {
                let user = users::find_and_share_lock(connection, *user_id).await?;
                user.is_some_and(|user| {
                    user.is_enabled() && user.token_version == *token_version && user.role == principal.role
                })
            }
            Credential::ApiKey { key_id, scopes, .. } => {
                let key = api_keys::find_and_share_lock(connection, *key_id).await?;
                key.is_some_and(|key| {
                    key.is_live(now)
                        && key.role.known() == Some(principal.role)
                        && key.scopes[..] == scopes[..]
                })
            }
        };
        if unchanged { Ok(()) } else { Err(Error::Credential(CredentialFault::Revoked)) }
    }

    /// Sets the origin of the events of the caller's transaction.
    pub(super) async fn attribute(
        &self,
        connection: &mut AsyncPgConnection,
        origin: &ChangeOrigin,
    ) -> Result<()> {
        let address = origin.address.map(|address| address.to_string());
        security_events::set_origin(
            connection,
            self.inner.database.keys(),
            self.inner.clock.new_uuid(),
            origin.actor(),
            address.as_deref(),
            origin.request_id.as_deref(),
        )
        .await
    }
}
