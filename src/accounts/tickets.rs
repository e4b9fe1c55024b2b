//! Tickets for WebSockets. A web page cannot set headers when it opens a WebSocket, and an access token must not be
//! part of a URL, which proxies and browsers log. A ticket is valid for a few seconds and opens a single WebSocket.

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};

use super::principal::{Credential, Principal};
use super::{Accounts, secret};
use crate::error::{CredentialFault, Error, Result};
use crate::storage::ws_tickets::{self, WsTicket};

impl Accounts {
    /// Creates a ticket for the principal and returns it with its expiry.
    pub async fn issue_ticket(&self, principal: &Principal) -> Result<(SecretString, DateTime<Utc>)> {
        let ticket = secret::generate(&self.inner.clock);
        let digest = secret::digest(ticket.expose_secret())
            .ok_or_else(|| Error::internal("a generated secret has no digest"))?;
        let ttl = TimeDelta::from_std(self.inner.settings.ticket_ttl()).map_err(Error::internal)?;
        let expires_at = self.inner.clock.now() + ttl;
        let (user_id, token_version, api_key_id) = match &principal.credential {
            Credential::Token { user_id, token_version, .. } => (Some(*user_id), Some(*token_version), None),
            Credential::ApiKey { key_id, .. } => (None, None, Some(*key_id)),
        };
        let row = WsTicket {
            ticket_hash: digest.to_vec(),
            user_id,
            token_version,
            api_key_id,
            session_until: principal.valid_until,
            expires_at,
        };
        self.inner.database.run(async |connection| ws_tickets::insert(connection, &row).await).await?;
        Ok((ticket, expires_at))
    }

    /// Redeems a ticket and returns its principal.
    ///
    /// # Errors
    /// [`Error::Credential`] for an invalid ticket.
    pub async fn redeem_ticket(&self, ticket: &str) -> Result<Principal> {
        let digest = secret::digest(ticket).ok_or(Error::Credential(CredentialFault::Malformed))?;
        let take = async |connection: &mut _| ws_tickets::take(connection, &digest).await;
        let taken = self.inner.database.run(take).await?;
        // Used tickets have been deleted.
        let ticket = taken.ok_or(Error::Credential(CredentialFault::Unproven))?;
        if self.inner.clock.now() >= ticket.expires_at {
            return Err(Error::Credential(CredentialFault::Expired));
        }
        let live = match (ticket.user_id, ticket.token_version, ticket.api_key_id) {
            (Some(user_id), Some(token_version), _) => {
                let credential = Credential::Token { user_id, token_version, session: None };
                self.live_user(credential, ticket.session_until).await?
            }
            (_, _, Some(key_id)) => self.live_key(key_id).await?,
            _ => None,
        };
        live.ok_or(Error::Credential(CredentialFault::Revoked))
    }
}
