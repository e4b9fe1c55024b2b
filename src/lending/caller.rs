//! The account that calls a use case, independent of HTTP.

use uuid::Uuid;

use crate::domain::account::Role;
use crate::domain::application::Attribution;
use crate::domain::ids::{ChangeId, RequestId};
use crate::domain::status::Initiator;
use crate::storage::applications::Visibility;

/// The account that calls a use case, and its request.
#[derive(Debug, Clone)]
pub struct Caller {
    pub account: String,
    /// The identifier of the user account or the API key.
    pub account_id: Uuid,
    pub role: Role,
    /// The initiator of the status changes that the account makes.
    pub initiator: Initiator,
    /// The applications that the account may read.
    pub may_see: Visibility,
    /// The applications that the account may change.
    pub may_change: Visibility,
    pub request_id: RequestId,
    pub traceparent: Option<String>,
}

impl Caller {
    /// The attribution of a change by this caller.
    pub(super) fn attribution(&self, change_id: ChangeId, reason: Option<String>) -> Attribution {
        Attribution {
            change_id,
            changed_by: self.account.clone(),
            reason,
            request_id: Some(self.request_id.clone()),
        }
    }
}
