//! Limits how many connections of the pool each account, and all searches together, may use.
//!
//! A request runs [on behalf of](Shares::on_behalf_of) its account. Each connection that it takes needs a permit from
//! the account's share. A connection for a search needs two more: one from the account's share of searches, and one
//! from the share of all searches. Therefore neither an account nor all searches together can exhaust the pool. Work
//! without an account (actors, leaders, health checks, sign-ins) needs no permits from an account.
//!
//! A request that holds one connection must not take another. If the account's share is one connection, it would wait for
//! itself.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::config::DatabaseSettings;
use crate::error::{Error, Result};

/// How long a client should wait if a share is used up.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The number of known accounts at which accounts without requests are dropped.
const SWEEP_AT: usize = 1024;

tokio::task_local! {
    /// The account that the current asynchronous task takes connections for.
    static CURRENT_SHARE: Arc<AccountShare>;
}

/// The permits of one account.
#[derive(Debug)]
struct AccountShare {
    connections: Arc<Semaphore>,
    searches: Arc<Semaphore>,
}

/// The shares of all accounts, and the share of all searches.
#[derive(Debug)]
pub struct Shares {
    /// Accounts with requests in progress.
    accounts: Mutex<HashMap<String, Weak<AccountShare>>>,
    searches: Arc<Semaphore>,
    per_account: usize,
    searches_per_account: usize,
    acquire_timeout: Duration,
}

/// The permits of a connection.
#[derive(Debug, Default)]
pub(super) struct Permits {
    _permits: Vec<OwnedSemaphorePermit>,
    /// Kept as long as its permits, because a new share for the same account would start with all permits free.
    _account: Option<Arc<AccountShare>>,
}

impl Shares {
    pub(super) fn new(settings: &DatabaseSettings) -> Self {
        let searches = part(settings.pool_size, settings.search_share_percent);
        Self {
            accounts: Mutex::default(),
            searches: Arc::new(Semaphore::new(searches)),
            per_account: part(settings.pool_size, settings.account_share_percent),
            searches_per_account: (searches / 2).max(1),
            acquire_timeout: settings.acquire_timeout(),
        }
    }

    /// Runs `work`, counting its connections towards `account`.
    pub async fn on_behalf_of<F: Future>(&self, account: &str, work: F) -> F::Output {
        CURRENT_SHARE.scope(self.share_of(account), work).await
    }

    fn share_of(&self, account: &str) -> Arc<AccountShare> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = accounts.get(account).and_then(Weak::upgrade) {
            return known;
        }
        if accounts.len() >= SWEEP_AT {
            accounts.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(AccountShare {
            connections: Arc::new(Semaphore::new(self.per_account)),
            searches: Arc::new(Semaphore::new(self.searches_per_account)),
        });
        accounts.insert(account.to_owned(), Arc::downgrade(&share));
        share
    }

    /// Takes the permits of one connection.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the account's share stays used up.
    pub(super) async fn take(&self) -> Result<Permits> {
        let Ok(account) = CURRENT_SHARE.try_with(Arc::clone) else { return Ok(Permits::default()) };
        let permits = vec![self.acquire(&account.connections, "the account's share of connections").await?];
        Ok(Permits { _permits: permits, _account: Some(account) })
    }

    /// Takes the permits of one connection for a search. The account's share of searches comes first, so a task that waits
    /// for it holds no other permits.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if a share stays used up.
    pub(super) async fn take_for_search(&self) -> Result<Permits> {
        let account = CURRENT_SHARE.try_with(Arc::clone).ok();
        let mut permits = Vec::with_capacity(3);
        if let Some(account) = &account {
            permits.push(self.acquire(&account.searches, "the account's share of searches").await?);
            permits.push(self.acquire(&account.connections, "the account's share of connections").await?);
        }
        permits.push(self.acquire(&self.searches, "searches").await?);
        Ok(Permits { _permits: permits, _account: account })
    }

    async fn acquire(&self, semaphore: &Arc<Semaphore>, what: &'static str) -> Result<OwnedSemaphorePermit> {
        match timeout(self.acquire_timeout, Arc::clone(semaphore).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(closed)) => Err(Error::internal(closed)),
            Err(_elapsed) => Err(Error::Overloaded { what, retry_after: RETRY_AFTER }),
        }
    }
}

/// The number of connections in a share of `percent` of the pool, at least one.
fn part(pool_size: u32, percent: u32) -> usize {
    usize::try_from(pool_size * percent / 100).unwrap_or(usize::MAX).max(1)
}

/// A connection with its permits.
pub struct Shared<C> {
    connection: C,
    _permits: Permits,
}

impl<C> Shared<C> {
    pub(super) fn new(connection: C, permits: Permits) -> Self {
        Self { connection, _permits: permits }
    }
}

impl<C> Deref for Shared<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.connection
    }
}

impl<C> DerefMut for Shared<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.connection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares() -> Shares {
        Shares {
            accounts: Mutex::default(),
            searches: Arc::new(Semaphore::new(3)),
            per_account: 2,
            searches_per_account: 1,
            acquire_timeout: Duration::from_millis(1),
        }
    }

    fn is_refused(taken: &Result<Permits>) -> bool {
        matches!(taken, Err(Error::Overloaded { .. }))
    }

    #[tokio::test]
    async fn an_account_cannot_exceed_its_share_and_others_keep_theirs() {
        let shares = shares();
        let first = shares.on_behalf_of("ana", shares.take()).await.unwrap();
        let second = shares.on_behalf_of("ana", shares.take()).await.unwrap();
        assert!(is_refused(&shares.on_behalf_of("ana", shares.take()).await));
        assert!(is_refused(&shares.on_behalf_of("ana", shares.take_for_search()).await));
        assert!(shares.on_behalf_of("bea", shares.take()).await.is_ok());
        assert!(shares.take().await.is_ok(), "work without an account is not limited");
        drop(first);
        let third = shares.on_behalf_of("ana", shares.take()).await;
        assert!(third.is_ok());
        drop((second, third));
    }

    #[tokio::test]
    async fn searches_are_limited_together_and_per_account() {
        let shares = shares();
        let mut held = Vec::new();
        for account in ["ana", "bea", "cleo"] {
            held.push(shares.on_behalf_of(account, shares.take_for_search()).await.unwrap());
            assert!(is_refused(&shares.on_behalf_of(account, shares.take_for_search()).await), "{account}");
            assert!(shares.on_behalf_of(account, shares.take()).await.is_ok(), "{account}");
        }
        assert!(is_refused(&shares.on_behalf_of("dora", shares.take_for_search()).await));
        held.pop();
        assert!(shares.on_behalf_of("dora", shares.take_for_search()).await.is_ok());
    }

    #[tokio::test]
    async fn accounts_without_requests_are_dropped() {
        let shares = shares();
        let held = shares.on_behalf_of("held", shares.take()).await.unwrap();
        for number in 0..2 * SWEEP_AT {
            shares.on_behalf_of(&number.to_string(), async {}).await;
        }
        assert!(shares.accounts.lock().unwrap().len() <= SWEEP_AT + 1);
        let again = shares.on_behalf_of("held", async { shares.take().await }).await;
        let more = shares.on_behalf_of("held", shares.take()).await;
        assert!(again.is_ok() && is_refused(&more), "held permits must stay counted");
        drop(held);
    }

    #[test]
    fn a_share_has_at_least_one_connection() {
        assert_eq!([part(16, 25), part(6, 25), part(2, 1)], [4, 1, 1]);
    }
}
