//! Reading one application.

use super::{Caller, Lending};
use crate::domain::application::Application;
use crate::domain::ids::ApplicationId;
use crate::error::Result;
use crate::storage::Database;
use crate::storage::applications::{self, Visibility};

impl Lending {
    /// Gets an application that is visible to the caller.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound) if it does not exist or is not visible.
    pub async fn get(&self, caller: &Caller, id: ApplicationId) -> Result<Application> {
        let database = &self.resources.database;
        let read = async |connection: &mut _| {
            applications::get(connection, database.keys(), id, &caller.may_see).await
        };
        database.run(read).await
    }
}

/// Whether an application exists and is visible.
pub async fn is_visible(database: &Database, id: ApplicationId, visibility: &Visibility) -> Result<bool> {
    applications::is_visible(&mut *database.get().await?, id, visibility).await
}
