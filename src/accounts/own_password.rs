//! Changing one's own password.

use secrecy::SecretString;
use slog::info;

use super::password::Verification;
use super::principal::{Credential, Principal};
use super::{Accounts, ChangeOrigin, TokenPair};
use crate::domain::account::AccountName;
use crate::error::{CredentialFault, Error, PublicMessage, Result};
use crate::storage::refresh_tokens;
use crate::storage::transaction::{self, Abort};
use crate::storage::users::{self, UserChange};

impl Accounts {
    /// Changes the caller's password, ends all its sessions and begins a new one.
    ///
    /// Hashing takes time, during which an admin may disable the account or reset its password. Neither is overwritten.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if `current` is wrong; [`Error::Validation`] if `new` is not acceptable;
    /// [`Error::Credential`] if the account changed meanwhile.
    pub async fn change_own_password(
        &self,
        principal: &Principal,
        current: SecretString,
        new: SecretString,
        origin: &ChangeOrigin,
    ) -> Result<TokenPair> {
        let inner = &self.inner;
        let Credential::Token { user_id, .. } = principal.credential else {
            return Err(Error::Forbidden(PublicMessage::new("API keys have no password.")));
        };
        let name = AccountName::parse(&principal.account).ok_or(Error::NotFound("account"))?;
        inner.passwords.accept("/new_password", &new, &name).await?;
        let read = async |connection: &mut _| users::password_hash(connection, user_id).await;
        let hash = inner.database.run(read).await?;
        if inner.passwords.verify(current, Some(hash.clone())).await? == Verification::Wrong {
            return Err(Error::Forbidden(PublicMessage::new("The current password is incorrect.")));
        }
        let new_hash = inner.passwords.hash(new).await?;
        let change = UserChange { password_hash: Some(new_hash), ..UserChange::default() };
        let (fresh, family, now) =
            (self.generate_refresh_token(origin)?, inner.clock.new_uuid(), inner.clock.now());
        let changed =
            transaction::run(&inner.database, &inner.logger, "change_password", async |connection| {
                let (user, current_hash) = users::lock(connection, user_id).await?;
                self.begin_change(connection, origin).await?;
                if current_hash != hash {
                    return Err(Abort::from(Error::Credential(CredentialFault::Revoked)));
                }
                users::update(connection, &user.clone().into(), &change, now).await?;
                let user = users::get(connection, user_id).await?;
                refresh_tokens::insert(connection, &self.new_row(&fresh, family, user_id, now, now)).await?;
                Ok(user)
            });
        let user = changed.await?;
        self.forget();
        info!(inner.logger, "password changed");
        self.pair(&user, family, fresh.token, now)
    }
}
