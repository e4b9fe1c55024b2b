//! Saved views: filters of the console's lists that people save under a name.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Accounts, Principal};
use crate::error::{Error, PublicMessage, Result};
use crate::storage::saved_views::{self, NewView, StoredView};
use crate::storage::transaction::{self, Abort};
use crate::storage::users;

/// The largest number of saved views of an account.
const MAX_VIEWS: i64 = 50;

/// A page of the console with a list that has filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ViewPage {
    Applications,
    Reviews,
}

impl ViewPage {
    pub const ALL: [Self; 2] = [Self::Applications, Self::Reviews];

    /// The name in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applications => "applications",
            Self::Reviews => "reviews",
        }
    }

    /// The page with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.as_str() == name)
    }
}

/// A saved view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedView {
    pub id: Uuid,
    pub page: ViewPage,
    pub name: String,
    /// The query parameters of the list.
    pub filters: BTreeMap<String, String>,
    pub created_at: DateTime<Utc>,
}

impl SavedView {
    /// `None` if a newer version stored it for a page unknown to this one.
    fn read(stored: StoredView) -> Option<Self> {
        let StoredView { id, page, name, filters, created_at } = stored;
        let (page, filters) = (ViewPage::parse(&page)?, serde_json::from_value(filters).ok()?);
        Some(Self { id, page, name, filters, created_at })
    }
}

/// A view to save.
#[derive(Debug, Clone)]
pub struct ViewToSave {
    pub page: ViewPage,
    pub name: String,
    /// Checked by the list that they belong to.
    pub filters: BTreeMap<String, String>,
}

/// The result of saving a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    Created(SavedView),
    /// The account has a view with this name for the same page.
    Duplicate,
}

impl Accounts {
    /// The caller's saved views, by page and name.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for an API key.
    pub async fn own_views(&self, principal: &Principal) -> Result<Vec<SavedView>> {
        let user_id = principal.user_id()?;
        let stored = saved_views::list(&mut *self.inner.database.get().await?, user_id).await?;
        Ok(stored.into_iter().filter_map(SavedView::read).collect())
    }

    /// Saves a view of the caller.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the account has too many; [`Error::Forbidden`] for an API key.
    pub async fn save_view(&self, principal: &Principal, view: &ViewToSave) -> Result<Saved> {
        let (inner, user_id) = (&self.inner, principal.user_id()?);
        let filters = serde_json::to_value(&view.filters).map_err(Error::internal)?;
        let (page, name) = (view.page.as_str(), view.name.as_str());
        let new = NewView { id: inner.clock.new_uuid(), user_id, page, name, filters: &filters };
        let saved = transaction::run(&inner.database, &inner.logger, "save_view", async |connection| {
            // The lock serializes two requests that would each save the last permitted view.
            users::lock_listed(connection, user_id).await?;
            if saved_views::count(connection, user_id).await? >= MAX_VIEWS {
                let text = format!("An account can have at most {MAX_VIEWS} saved views. Delete one first.");
                return Err(Abort::from(Error::Conflict(PublicMessage::new(text))));
            }
            Ok(saved_views::insert(connection, &new).await?)
        });
        let Some(stored) = saved.await? else { return Ok(Saved::Duplicate) };
        let view = SavedView::read(stored).ok_or_else(|| Error::internal("an unreadable new view"))?;
        Ok(Saved::Created(view))
    }

    /// Deletes a view of the caller.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has no such view; [`Error::Forbidden`] for an API key.
    pub async fn delete_view(&self, principal: &Principal, id: Uuid) -> Result<()> {
        let user_id = principal.user_id()?;
        let deleted = saved_views::delete(&mut *self.inner.database.get().await?, user_id, id).await?;
        if deleted { Ok(()) } else { Err(Error::NotFound("saved view")) }
    }
}
