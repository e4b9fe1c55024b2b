//! Response types for saved views.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::{SavedView, ViewPage};

/// Filters of a list under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SavedViewItem {
    /// The identifier.
    pub id: Uuid,
    /// The page of the console with the list.
    #[schema(value_type = crate::http::schemas::ViewPageName)]
    pub page: ViewPage,
    /// The name, unique among the views of the account for this page.
    #[schema(example = "Large amounts in Spain")]
    pub name: String,
    /// The query parameters of the list.
    #[schema(example = json!({"country": "ES", "min_amount": "20000.00"}))]
    pub filters: BTreeMap<String, String>,
    /// Time of creation.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub created_at: DateTime<Utc>,
}

impl From<SavedView> for SavedViewItem {
    fn from(view: SavedView) -> Self {
        let SavedView { id, page, name, filters, created_at } = view;
        Self { id, page, name, filters, created_at }
    }
}
