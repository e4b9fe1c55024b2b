//! The filter `assignment` of the review queue.

use serde::Serialize;
use uuid::Uuid;

use crate::json::Refusal;
use crate::lending::reviews::AssignmentFilter;

/// Which assignments a list contains, relative to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum AssignmentOf {
    Unassigned,
    Mine,
    Others,
}

impl AssignmentOf {
    pub(in crate::http) const ALL: [Self; 3] = [Self::Unassigned, Self::Mine, Self::Others];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Unassigned => "unassigned",
            Self::Mine => "mine",
            Self::Others => "others",
        }
    }

    pub(super) const fn relative_to(self, account: Uuid) -> AssignmentFilter {
        match self {
            Self::Unassigned => AssignmentFilter::Unassigned,
            Self::Mine => AssignmentFilter::To(account),
            Self::Others => AssignmentFilter::ToOthersThan(account),
        }
    }
}

pub(in crate::http) fn assignment(text: &str) -> Result<AssignmentOf, Refusal> {
    let names = || AssignmentOf::ALL.map(AssignmentOf::as_str).join(", ");
    let found = AssignmentOf::ALL.into_iter().find(|of| of.as_str() == text);
    found.ok_or_else(|| ("unknown_value", format!("must be one of {}", names())))
}
