//! What staff looked at: noting it, and reading the notes.
//!
//! A look is noted when it has been answered, without waiting: [`ViewLog`](crate::actors::view_recorder::ViewLog) writes
//! it soon. What an account sees of its own is its own affair, and a user sees nothing else.

pub mod list;

use serde_json::{Map, Value, json};

use super::HttpState;
use super::auth::Principal;
use super::extract::RequestContext;
use crate::domain::account::Role;
use crate::domain::ids::ApplicationId;
use crate::domain::timestamp;
use crate::storage::applications::ListFilter;
use crate::storage::staff_views::{StaffView, ViewAction};

/// What was looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Viewed<'a> {
    /// One application of this owner, in some respect.
    One(ViewAction, ApplicationId, &'a str),
    /// One application of this owner, as a change left it.
    Changed(ApplicationId, &'a str),
    /// Many, narrowed so.
    List(ViewAction, &'a ListFilter),
}

impl HttpState {
    /// Notes a look, if it was at something that is not the caller's own.
    pub(super) fn note_view(&self, principal: &Principal, context: &RequestContext, viewed: Viewed<'_>) {
        if principal.role < Role::Analyst {
            return;
        }
        let (action, application_id, document_index, filter) = match viewed {
            Viewed::One(_, _, owner) | Viewed::Changed(_, owner) if owner == principal.account => return,
            Viewed::One(action, id, _) => (action, Some(id.as_uuid()), None, json!({})),
            Viewed::Changed(id, _) => (ViewAction::Application, Some(id.as_uuid()), None, json!({})),
            Viewed::List(action, filter) => {
                let index = filter.document.map(|index| index.as_bytes().to_vec());
                (action, None, index, described(filter))
            }
        };
        let clock = &self.resources.clock;
        let viewed_at = clock.now();
        self.views.record(StaffView {
            id: clock.new_uuid(),
            account: principal.account.clone(),
            action: action.as_str().to_owned(),
            application_id,
            document_index,
            filter,
            request_id: Some(context.request_id.to_string()),
            viewed_at,
            keep_until: viewed_at + self.resources.settings.staff_views.retention(),
        });
    }
}

/// A filter without personal data: of free data it says only that they were looked for.
fn described(filter: &ListFilter) -> Value {
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
    let told = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(told.collect::<Map<_, _>>())
}
