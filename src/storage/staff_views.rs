//! Audit views: which staff account viewed which applications, when and in which request. The table is append-only. Each
//! row has its own expiry time.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{self, BigInt, Binary, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use super::schema::staff_views;
use super::statement::{Binder, FixedStatement, Prepared, rows};
use crate::error::{Error, Result};

/// What was viewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViewAction {
    Application,
    /// The status of one application.
    Status,
    /// The history of one application.
    Audit,
    /// The last decision of one application.
    Decision,
    /// A page of a list.
    List,
    /// A page of search results.
    Search,
    Export,
}

impl ViewAction {
    pub const ALL: [Self; 7] = [
        Self::Application,
        Self::Status,
        Self::Audit,
        Self::Decision,
        Self::List,
        Self::Search,
        Self::Export,
    ];

    /// The name in the table and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Status => "application_status",
            Self::Audit => "application_audit",
            Self::Decision => "application_decision",
            Self::List => "application_list",
            Self::Search => "application_search",
            Self::Export => "application_export",
        }
    }
}

/// One audit view.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = staff_views, check_for_backend(diesel::pg::Pg))]
pub struct StaffView {
    /// A version 7 UUID with the time of the view.
    pub id: Uuid,
    pub account: String,
    /// The name of a [`ViewAction`].
    pub action: String,
    /// `None` for lists, searches and exports.
    pub application_id: Option<Uuid>,
    /// The blind index of the document that was searched for.
    pub document_index: Option<Vec<u8>>,
    /// The filter of a list, without personal data.
    pub filter: Value,
    pub request_id: Option<String>,
    pub viewed_at: DateTime<Utc>,
    /// When the row expires.
    pub keep_until: DateTime<Utc>,
}

rows! {
    struct InsertViews of ViewRow {
        id: Uuid as sql_types::Uuid,
        account: String as Text,
        action: String as Text,
        application_id: Option<Uuid> as Nullable<sql_types::Uuid>,
        document_index: Option<Vec<u8>> as Nullable<Binary>,
        filter: Value as Jsonb,
        request_id: Option<String> as Nullable<Text>,
        viewed_at: DateTime<Utc> as Timestamptz,
        keep_until: DateTime<Utc> as Timestamptz,
    }
}

impl From<&StaffView> for ViewRow {
    fn from(view: &StaffView) -> Self {
        Self {
            id: view.id,
            account: view.account.clone(),
            action: view.action.clone(),
            application_id: view.application_id,
            document_index: view.document_index.clone(),
            filter: view.filter.clone(),
            request_id: view.request_id.clone(),
            viewed_at: view.viewed_at,
            keep_until: view.keep_until,
        }
    }
}

impl FixedStatement for InsertViews {
    const NAME: &'static str = "insert_views";
    /// A batch is written again if its result was lost. Identifiers are random, so a view can only conflict with itself.
    const SQL: &'static str = "\
        INSERT INTO staff_views (?) SELECT * FROM ? \
        ON CONFLICT (id) DO NOTHING";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.write_names(Self::NAMES);
        binder.bind_rows("v", self)
    }
}

/// Inserts views. Views that are already stored are ignored.
pub async fn insert(connection: &mut AsyncPgConnection, views: &[StaffView]) -> Result<()> {
    let insert: InsertViews = views.iter().map(ViewRow::from).collect();
    Prepared(insert).execute(connection).await?;
    Ok(())
}

/// Selects the views of a list. A field that is `None` matches every view.
#[derive(Debug, Clone, Default)]
pub struct ViewFilter {
    pub account: Option<String>,
    pub action: Option<ViewAction>,
    pub application_id: Option<Uuid>,
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
}

/// One page of the list, newest first, starting after the view `after`.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    filter: &ViewFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<StaffView>> {
    let mut query = staff_views::table
        .select(StaffView::as_select())
        .order(staff_views::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(account) = &filter.account {
        query = query.filter(staff_views::account.eq(account));
    }
    if let Some(action) = filter.action {
        query = query.filter(staff_views::action.eq(action.as_str()));
    }
    if let Some(id) = filter.application_id {
        query = query.filter(staff_views::application_id.eq(id));
    }
    if let Some(from) = filter.from {
        query = query.filter(staff_views::viewed_at.ge(from));
    }
    if let Some(to) = filter.to {
        query = query.filter(staff_views::viewed_at.lt(to));
    }
    if let Some(after) = after {
        query = query.filter(staff_views::id.lt(after));
    }
    Ok(query.load(connection).await?)
}

diesel::define_sql_function! {
    /// Deletes expired views and returns how many it deleted.
    fn delete_expired_staff_views(at_most: BigInt) -> BigInt;
}

/// Deletes up to `limit` views that have expired according to the database's clock and returns how many it deleted.
pub async fn delete_expired(connection: &mut AsyncPgConnection, limit: u32) -> Result<usize> {
    let deleted = diesel::select(delete_expired_staff_views(i64::from(limit)));
    let deleted: i64 = deleted.get_result(connection).await?;
    usize::try_from(deleted).map_err(Error::internal)
}
