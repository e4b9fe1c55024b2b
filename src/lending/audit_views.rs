//! Audit views: records of the applications and lists that staff have viewed.
//!
//! A view is queued when the data has been read. The response does not wait until the view is stored
//! ([`ViewLog`](crate::actors::view_recorder::ViewLog)). Views of an account's own applications are not recorded. Views
//! by users are never recorded, because users can only read their own applications.

use serde_json::{Map, Value, json};

use super::{Caller, Lending};
use crate::domain::account::Role;
use crate::domain::ids::ApplicationId;
use crate::domain::timestamp;
use crate::error::Result;
use crate::storage::applications::ListFilter;
use crate::storage::staff_views;
use uuid::Uuid;

pub use crate::storage::staff_views::{StaffView, ViewAction, ViewFilter};

/// What was viewed.
#[derive(Debug, Clone, Copy)]
pub enum Viewed<'a> {
    /// One application: the part that was viewed, the application and its owner.
    One(ViewAction, ApplicationId, &'a str),
    /// An application that was returned after a change, and its owner.
    Changed(ApplicationId, &'a str),
    /// A list and its filter.
    List(ViewAction, &'a ListFilter),
}

impl Lending {
    /// Records a view, unless the caller is a user or owns the application.
    pub fn record_view(&self, caller: &Caller, viewed: Viewed<'_>) {
        if caller.role < Role::Analyst {
            return;
        }
        let (action, application_id, document_index, filter) = match viewed {
            Viewed::One(_, _, owner) | Viewed::Changed(_, owner) if owner == caller.account => return,
            Viewed::One(action, id, _) => (action, Some(id.as_uuid()), None, json!({})),
            Viewed::Changed(id, _) => (ViewAction::Application, Some(id.as_uuid()), None, json!({})),
            Viewed::List(action, filter) => {
                let index = filter.document.map(|index| index.as_bytes().to_vec());
                (action, None, index, filter_summary(filter))
            }
        };
        let clock = &self.resources.clock;
        let viewed_at = clock.now();
        self.views.record(StaffView {
            id: clock.new_uuid(),
            account: caller.account.clone(),
            action: action.as_str().to_owned(),
            application_id,
            document_index,
            filter,
            request_id: Some(caller.request_id.to_string()),
            viewed_at,
            keep_until: viewed_at + self.resources.settings.staff_views.retention(),
        });
    }

    /// Up to `limit` audit views recorded before the view `before`, newest first.
    pub async fn audit_views(
        &self,
        filter: &ViewFilter,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<StaffView>> {
        let mut connection = self.resources.database.get().await?;
        staff_views::list_page(&mut connection, filter, before, limit).await
    }
}

/// The members of a filter, without personal data: for the document, the country data and the banking data it contains
/// `true` instead of the value.
fn filter_summary(filter: &ListFilter) -> Value {
    let members = [
        ("country", filter.country.map(|country| json!(country.code()))),
        ("status", filter.status.map(|status| json!(status.as_str()))),
        ("from", filter.from.map(|from| json!(timestamp::text(from)))),
        ("to", filter.to.map(|to| json!(timestamp::text(to)))),
        ("updated_since", filter.updated_since.map(|since| json!(timestamp::text(since)))),
        ("min_amount", filter.min_amount.map(|amount| json!(amount))),
        ("max_amount", filter.max_amount.map(|amount| json!(amount))),
        ("risk_band", filter.risk_band.map(|band| json!(band))),
        ("identity_document", filter.document.map(|_| json!(true))),
        ("country_specific_data", filter.country_data.as_ref().map(|_| json!(true))),
        ("banking_data", filter.banking_data.as_ref().map(|_| json!(true))),
    ];
    let present = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}
