//! Saved views: named filters of the console's lists. Each belongs to one account.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use super::schema::saved_views;
use crate::error::Result;

/// A saved view, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = saved_views, check_for_backend(diesel::pg::Pg))]
pub struct StoredView {
    pub id: Uuid,
    /// The list that the filters belong to.
    pub page: String,
    pub name: String,
    /// Text by the name of the filter.
    pub filters: Value,
    pub created_at: DateTime<Utc>,
}

/// A view to insert.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = saved_views, check_for_backend(diesel::pg::Pg))]
pub struct NewView<'a> {
    pub id: Uuid,
    pub user_id: Uuid,
    pub page: &'a str,
    pub name: &'a str,
    pub filters: &'a Value,
}

/// The views of an account, in the order of their names.
pub async fn list(connection: &mut AsyncPgConnection, user_id: Uuid) -> Result<Vec<StoredView>> {
    let query = saved_views::table
        .select(StoredView::as_select())
        .filter(saved_views::user_id.eq(user_id))
        .order((saved_views::page, saved_views::name));
    Ok(query.load(connection).await?)
}

/// The number of views of an account.
pub async fn count(connection: &mut AsyncPgConnection, user_id: Uuid) -> Result<i64> {
    let query = saved_views::table.filter(saved_views::user_id.eq(user_id)).count();
    Ok(query.get_result(connection).await?)
}

/// Inserts a view; `None` if the account has one with this name for the same page.
pub async fn insert(connection: &mut AsyncPgConnection, view: &NewView<'_>) -> Result<Option<StoredView>> {
    Ok(diesel::insert_into(saved_views::table)
        .values(view)
        .on_conflict((saved_views::user_id, saved_views::page, saved_views::name))
        .do_nothing()
        .returning(StoredView::as_returning())
        .get_result(connection)
        .await
        .optional()?)
}

/// Deletes a view of an account and returns whether it existed.
pub async fn delete(connection: &mut AsyncPgConnection, user_id: Uuid, id: Uuid) -> Result<bool> {
    let view = saved_views::table.find(id).filter(saved_views::user_id.eq(user_id));
    Ok(diesel::delete(view).execute(connection).await? > 0)
}
