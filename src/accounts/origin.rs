//! Where a change of accounts and keys comes from, and whether it may still be made.
//!
//! A request is authorised before its body arrives, and may then wait: for its body, for a hash, for a connection. So
//! every transaction that changes an account or a key begins with [`Accounts::begin_change`], which looks at the actor
//! again and keeps its row from being changed until the transaction ends. Whoever disables an account or revokes a key
//! therefore does so before such a change, which then fails, or after it.

use std::net::IpAddr;

use diesel_async::AsyncPgConnection;
use uuid::Uuid;

use super::Accounts;
use super::principal::{Credential, Principal};
use crate::error::{CredentialFault, Error, Result};
use crate::storage::{api_keys, security_events, users};

/// Where an operation comes from, as security events record it.
#[derive(Debug, Clone)]
pub struct Origin {
    actor: Actor,
    address: Option<IpAddr>,
    request_id: Option<String>,
}

#[derive(Debug, Clone)]
enum Actor {
    /// A client that has not authenticated.
    Unknown,
    /// A part of the system, or an operator on the machine.
    System(&'static str),
    Account(Principal),
}

impl Origin {
    /// A part of the system, such as `system:operator`.
    pub fn system(name: &'static str) -> Self {
        Self { actor: Actor::System(name), address: None, request_id: None }
    }

    /// A request; `principal` is absent before the client has authenticated.
    pub fn request(principal: Option<Principal>, address: IpAddr, request_id: String) -> Self {
        let actor = principal.map_or(Actor::Unknown, Actor::Account);
        Self { actor, address: Some(address), request_id: Some(request_id) }
    }

    /// The actor's name as it is stored; `None` when it is not known.
    pub fn actor(&self) -> Option<&str> {
        match &self.actor {
            Actor::Unknown => None,
            Actor::System(name) => Some(name),
            Actor::Account(principal) => Some(&principal.account),
        }
    }

    /// The same for columns and log lines that need a name.
    pub fn by(&self) -> &str {
        self.actor().unwrap_or("unknown")
    }

    /// The client's address.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The person who acts.
    pub(super) fn person(&self) -> Option<Uuid> {
        match &self.actor {
            Actor::Account(Principal { credential: Credential::Token { user_id, .. }, .. }) => Some(*user_id),
            Actor::Unknown | Actor::System(_) | Actor::Account(_) => None,
        }
    }

    /// The API key that acts.
    pub(super) fn key(&self) -> Option<Uuid> {
        match &self.actor {
            Actor::Account(Principal { credential: Credential::ApiKey { key_id, .. }, .. }) => Some(*key_id),
            Actor::Unknown | Actor::System(_) | Actor::Account(_) => None,
        }
    }
}

impl Accounts {
    /// Begins a change in the caller's transaction: fails when the actor is not as it was when its request was authorised,
    /// keeps its row from being changed until the transaction ends, and has the transaction's events name it.
    ///
    /// # Errors
    /// [`Error::Credential`] when the account was disabled, has another role or its tokens have ended, or when the key was
    /// revoked or has expired; when the database fails.
    pub(super) async fn begin_change(
        &self,
        connection: &mut AsyncPgConnection,
        origin: &Origin,
    ) -> Result<()> {
        if let Actor::Account(principal) = &origin.actor {
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
                let user = users::find_unchanging(connection, *user_id).await?;
                user.is_some_and(|user| {
                    user.is_enabled() && user.token_version == *token_version && user.role == principal.role
                })
            }
            Credential::ApiKey { key_id, scopes, .. } => {
                let key = api_keys::find_unchanging(connection, *key_id).await?;
                key.is_some_and(|key| {
                    key.is_live(now)
                        && key.role.known() == Some(principal.role)
                        && key.scopes[..] == scopes[..]
                })
            }
        };
        if unchanged { Ok(()) } else { Err(Error::Credential(CredentialFault::Revoked)) }
    }

    /// Has the events of the caller's transaction name their origin.
    pub(super) async fn attribute(&self, connection: &mut AsyncPgConnection, origin: &Origin) -> Result<()> {
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
