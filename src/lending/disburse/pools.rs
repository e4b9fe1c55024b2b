//! The funding pools: levels and deposits.

use diesel_async::AsyncPgConnection;

use super::PoolLevel;
use crate::domain::application::Country;
use crate::domain::money::Money;
use crate::error::Result;
use crate::lending::{Caller, Lending};
use crate::storage::disbursements::pools::{self, Entry};
use crate::storage::idempotency::{self, Keyed, Once};

impl Lending {
    /// The funds of every country.
    pub async fn pool_levels(&self) -> Result<Vec<PoolLevel>> {
        let read = async |connection: &mut _| pools::levels(connection).await;
        self.resources.database.run(read).await
    }

    /// Adds an amount to the pool of a country, at most once per idempotency key, and returns the levels of all pools.
    ///
    /// # Errors
    /// The errors of [`idempotency::once`].
    pub async fn deposit(
        &self,
        caller: &Caller,
        country: Country,
        amount: Money,
        keyed: Option<&Keyed<'_, Vec<PoolLevel>>>,
    ) -> Result<Once<Vec<PoolLevel>>> {
        let id = self.resources.clock.new_uuid();
        let entry = Entry { id, country, actor: &caller.account };
        let work = async |connection: &mut AsyncPgConnection| {
            pools::deposit(connection, &entry, amount).await?;
            Ok(pools::levels(connection).await?)
        };
        let (database, logger) = (&self.resources.database, &self.resources.logger);
        idempotency::once(database, logger, "deposit_funds", keyed, work).await
    }
}
