//! The cursor of a list of applications: bound to its order and its filters.

use crate::domain::ids::ApplicationId;
use crate::http::cursor;
use crate::storage::applications::{ListFilter, SortOrder};

/// Writes the cursor that continues after `last`.
pub(super) fn encode(last: ApplicationId, order: SortOrder, filter: &ListFilter) -> String {
    cursor::encode(last.as_uuid(), &name(order, filter))
}

/// Reads a cursor; `None` unless it was made for this order and these filters.
pub(super) fn decode(text: &str, order: SortOrder, filter: &ListFilter) -> Option<ApplicationId> {
    cursor::decode(text, &name(order, filter)).map(ApplicationId::new)
}

/// The list with its order and filters as text, the same for the same list.
fn name(order: SortOrder, filter: &ListFilter) -> String {
    let ListFilter { country, status, from, to, min_amount, max_amount, risk_band } = filter;
    format!(
        "applications {order:?} {country:?} {status:?} {from:?} {to:?} {min_amount:?} {max_amount:?} {risk_band:?}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::application::Country;
    use uuid::Uuid;

    #[test]
    fn a_cursor_serves_the_list_with_its_own_order_and_filters_alone() {
        let id = ApplicationId::new(Uuid::from_u128(7));
        let spain = ListFilter { country: Some(Country::Es), ..ListFilter::default() };
        for (order, other) in [
            (SortOrder::NewestFirst, SortOrder::OldestFirst),
            (SortOrder::OldestFirst, SortOrder::NewestFirst),
        ] {
            let cursor = encode(id, order, &spain);
            assert_eq!(decode(&cursor, order, &spain), Some(id));
            assert_eq!(decode(&cursor, other, &spain), None);
            assert_eq!(decode(&cursor, order, &ListFilter::default()), None);
        }
    }
}
