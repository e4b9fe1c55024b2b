//! The list of disbursements.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::row::DisbursementRow;
use crate::domain::application::Country;
use crate::domain::disbursement::history::Disbursement;
use crate::domain::disbursement::workflow::State;
use crate::error::Result;
use crate::storage::schema::disbursements;
use crate::storage::types::PgCountry;
use crate::storage::visibility::Visibility;

/// Selects disbursements. A field that is `None` matches every disbursement.
#[derive(Debug, Clone, Default)]
pub struct DisbursementFilter {
    pub state: Option<State>,
    pub country: Option<Country>,
    pub application_id: Option<Uuid>,
}

/// One page of the disbursements that the caller may see, newest first, after the disbursement `after`.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    visibility: &Visibility,
    filter: &DisbursementFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Disbursement>> {
    let mut query = disbursements::table
        .select(DisbursementRow::as_select())
        .order(disbursements::id.desc())
        .limit(limit)
        .into_boxed();
    if let Visibility::OwnedBy(account) = visibility {
        query = query.filter(disbursements::owner.eq(account));
    }
    if let Some(state) = filter.state {
        query = query.filter(disbursements::state.eq(state.as_str()));
    }
    if let Some(country) = filter.country {
        query = query.filter(disbursements::country.eq(PgCountry(country)));
    }
    if let Some(application) = filter.application_id {
        query = query.filter(disbursements::application_id.eq(application));
    }
    if let Some(after) = after {
        query = query.filter(disbursements::id.lt(after));
    }
    let rows: Vec<DisbursementRow> = query.load(connection).await?;
    rows.into_iter().map(Disbursement::try_from).collect()
}
