//! Authentication of a WebSocket session and expiry of its credential.
//!
//! A client can send another credential of the same account at any time, which extends the connection to the expiry of
//! that credential. Invalid credentials are charged to the client's address, as over HTTP.

use std::time::Duration;

use actix::prelude::*;
use actix_web_actors::ws::WebsocketContext;
use slog::warn;

use super::WsSession;
use crate::accounts::Principal;
use crate::actors::broadcaster::{Frame, Viewer};
use crate::domain::account::{Role, Scope};
use crate::error::{Error, Result};
use crate::http::client_address::ClientAddress;
use crate::http::limits::{LimitClass, RateLimiter, Requester};
use crate::http::ws::client_message::Credential;
use crate::http::ws::ending::Ending;

/// Number of consecutive invalid credentials after which an authenticated connection is closed.
const MAX_BAD_CREDENTIALS: u32 = 3;

/// Counts credentials tried from a client's address.
#[derive(Clone)]
pub(in crate::http::ws) struct Attempts {
    pub(in crate::http::ws) limiter: RateLimiter,
    pub(in crate::http::ws) address: ClientAddress,
}

impl Attempts {
    async fn count(&self) -> Result<()> {
        let check = self.limiter.check(LimitClass::Standard, Requester::Address(self.address)).await;
        match check.and_then(|check| check.retry_after) {
            Some(retry_after) => Err(Error::RateLimited { retry_after }),
            None => Ok(()),
        }
    }

    /// Charges the address for an invalid credential. This runs as a separate asynchronous task, because the session may
    /// end before it is done.
    fn charge(self) {
        actix_rt::spawn(async move { self.limiter.charge_failed_authentication(self.address).await });
    }
}

/// Whether `principal` may subscribe to the channel `operations`.
pub(super) fn may_see_operations(principal: &Principal) -> bool {
    principal.role == Role::Admin && principal.has_scope(Scope::OperationsRead)
}

fn viewer(principal: &Principal) -> Viewer {
    Viewer {
        account: principal.account.as_str().into(),
        applications: principal.visibility(),
        operations: may_see_operations(principal),
    }
}

impl WsSession {
    /// Authenticates a credential; no other message is read or sent meanwhile.
    pub(super) fn authenticate(&mut self, credential: Credential, ctx: &mut WebsocketContext<Self>) {
        let (accounts, attempts) = (self.realtime.accounts.clone(), self.attempts.clone());
        let authentication = async move {
            if let Some(attempts) = attempts {
                attempts.count().await?;
            }
            match credential {
                Credential::Token(token) => accounts.authenticate_token(&token).await,
                Credential::ApiKey(key) => accounts.authenticate_key(&key).await,
            }
        };
        ctx.wait(authentication.into_actor(self).map(|found, session, ctx| session.identify(found, ctx)));
    }

    fn identify(&mut self, found: Result<Principal>, ctx: &mut WebsocketContext<Self>) {
        match found {
            Ok(principal) if !principal.has_scope(Scope::ApplicationsRead) => {
                self.refuse_credential(Ending::MissingScope, Ending::MissingScope.reason(), ctx);
            }
            Ok(principal) => match &self.principal {
                None => self.admit(principal, ctx),
                Some(current) if current.account == principal.account => self.renew(principal, ctx),
                Some(_) => {
                    let detail = "this connection belongs to another account; open a new connection";
                    self.send(&Frame::error("another_account", detail), ctx);
                }
            },
            Err(Error::Unauthenticated(text)) => self.charge_and_refuse(&text.to_string(), ctx),
            Err(Error::Credential(fault)) => self.charge_and_refuse(fault.detail(), ctx),
            Err(Error::RateLimited { .. }) => {
                self.refuse_credential(Ending::RateLimited, Ending::RateLimited.reason(), ctx);
            }
            Err(error) => {
                warn!(self.realtime.logger, "a WebSocket client could not be authenticated"; error);
                self.refuse_credential(Ending::Unavailable, Ending::Unavailable.reason(), ctx);
            }
        }
    }

    fn charge_and_refuse(&mut self, detail: &str, ctx: &mut WebsocketContext<Self>) {
        if let Some(attempts) = self.attempts.clone() {
            attempts.charge();
        }
        self.refuse_credential(Ending::BadCredential, detail, ctx);
    }

    /// Closes a connection that is not authenticated. An authenticated connection keeps its credential and gets an
    /// `error` message.
    fn refuse_credential(&mut self, ending: Ending, detail: &str, ctx: &mut WebsocketContext<Self>) {
        if matches!(ending, Ending::BadCredential | Ending::MissingScope) {
            self.bad_credentials += 1;
        }
        if self.principal.is_none() || self.bad_credentials >= MAX_BAD_CREDENTIALS {
            return self.end_with_detail(ending, detail, ctx);
        }
        if let Some(code) = ending.error_code() {
            self.send(&Frame::error(code, detail), ctx);
        }
    }

    /// Accepts the principal until its credential expires or is revoked.
    pub(super) fn admit(&mut self, principal: Principal, ctx: &mut WebsocketContext<Self>) {
        if !self.membership.admit(viewer(&principal)) {
            return self.end(Ending::TooManyConnections, ctx);
        }
        self.renew(principal, ctx);
        ctx.run_interval(self.recheck_interval(), |session, ctx| {
            let checking = session.recheck();
            ctx.spawn(checking);
        });
    }

    /// Replaces the credential of the session.
    fn renew(&mut self, principal: Principal, ctx: &mut WebsocketContext<Self>) {
        self.checked_at = self.realtime.clock.monotonic();
        self.credentials += 1;
        self.bad_credentials = 0;
        self.membership.set_viewer(viewer(&principal));
        if let Some(timer) = self.expiry.take() {
            ctx.cancel_future(timer);
        }
        if let Some(until) = principal.valid_until {
            let left = (until - self.realtime.clock.now()).to_std().unwrap_or_default();
            self.expiry = Some(ctx.run_later(left, |session, ctx| session.end(Ending::Expired, ctx)));
        }
        let Principal { account, role, valid_until, .. } = &principal;
        self.send(&Frame::authenticated(account, *role, *valid_until), ctx);
        self.principal = Some(principal);
    }

    /// Checks whether the credential is still valid. If the database is unavailable, nothing changes and the
    /// credential's own expiry applies.
    pub(super) fn recheck(&self) -> impl ActorFuture<Self, Output = ()> + use<> {
        let (accounts, principal) = (self.realtime.accounts.clone(), self.principal.clone());
        let credentials = self.credentials;
        let checking = async move {
            match principal {
                Some(principal) => accounts.is_still_valid(&principal).await,
                None => Ok(true),
            }
        };
        checking.into_actor(self).map(move |is_valid, session, ctx: &mut WebsocketContext<Self>| {
            match is_valid {
                Ok(false) if session.credentials == credentials => session.end(Ending::Revoked, ctx),
                Ok(_) | Err(_) => {
                    session.checked_at = session.realtime.clock.monotonic();
                    session.forward(ctx);
                }
            }
        })
    }

    /// Whether the last check is so long ago that the actor must have been suspended.
    pub(super) fn must_check_before_sending(&self) -> bool {
        let checked = self.realtime.clock.monotonic().saturating_sub(self.checked_at);
        checked > self.recheck_interval() * 2
    }

    fn recheck_interval(&self) -> Duration {
        Duration::from_millis(self.realtime.settings.recheck_interval_ms)
    }
}
