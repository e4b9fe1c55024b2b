//! The settings of user accounts for the console: at most one row per account.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::schema::account_settings;
use crate::error::Result;

/// The settings of an account, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = account_settings, check_for_backend(diesel::pg::Pg), treat_none_as_null = true)]
pub struct StoredSettings {
    pub language: Option<String>,
    /// An IANA name.
    pub time_zone: Option<String>,
    pub theme: String,
}

/// The settings of an account; `None` if it has never changed them.
pub async fn find(connection: &mut AsyncPgConnection, user_id: Uuid) -> Result<Option<StoredSettings>> {
    let query = account_settings::table.select(StoredSettings::as_select()).find(user_id);
    Ok(query.first(connection).await.optional()?)
}

/// Replaces the settings of an account.
pub async fn set(connection: &mut AsyncPgConnection, user_id: Uuid, settings: &StoredSettings) -> Result<()> {
    diesel::insert_into(account_settings::table)
        .values((account_settings::user_id.eq(user_id), settings))
        .on_conflict(account_settings::user_id)
        .do_update()
        .set((settings, account_settings::updated_at.eq(diesel::dsl::now)))
        .execute(connection)
        .await?;
    Ok(())
}
