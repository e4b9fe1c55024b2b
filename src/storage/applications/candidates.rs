//! The applications that a bulk change may apply to, with only the columns that determine whether it does.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::Visibility;
use super::list::{ListFilter, narrow};
use crate::domain::ids::ApplicationId;
use crate::domain::label::Label;
use crate::domain::status::Status;
use crate::error::Result;
use crate::storage::schema::{applications, applications_archive};
use crate::storage::types::PgLabel;

/// An application that is not deleted and not archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub id: ApplicationId,
    pub status: Label<Status>,
    pub version: i64,
}

type Row = (Uuid, PgLabel<Status>, i64);

fn read(rows: Vec<Row>) -> Vec<Candidate> {
    let read =
        |(id, status, version): Row| Candidate { id: ApplicationId::new(id), status: status.0, version };
    rows.into_iter().map(read).collect()
}

/// Up to `limit` applications that match a filter, oldest first.
pub async fn by_filter(
    connection: &mut AsyncPgConnection,
    filter: &ListFilter,
    visibility: &Visibility,
    limit: i64,
) -> Result<Vec<Candidate>> {
    let columns = (applications::id, applications::status, applications::version);
    let query = narrow(applications::table.select(columns).into_boxed(), filter, visibility);
    Ok(read(query.order(applications::id.asc()).limit(limit).load(connection).await?))
}

/// The applications with these identifiers that are visible to the caller, oldest first.
pub async fn by_ids(
    connection: &mut AsyncPgConnection,
    ids: &[ApplicationId],
    visibility: &Visibility,
) -> Result<Vec<Candidate>> {
    let ids: Vec<Uuid> = ids.iter().copied().map(ApplicationId::as_uuid).collect();
    let columns = (applications::id, applications::status, applications::version);
    let query = narrow(applications::table.select(columns).into_boxed(), &ListFilter::default(), visibility);
    Ok(read(query.filter(applications::id.eq_any(ids)).order(applications::id.asc()).load(connection).await?))
}

/// The archived applications among these identifiers that are visible to the caller and not deleted.
pub async fn archived_of(
    connection: &mut AsyncPgConnection,
    ids: &[ApplicationId],
    visibility: &Visibility,
) -> Result<Vec<ApplicationId>> {
    let ids: Vec<Uuid> = ids.iter().copied().map(ApplicationId::as_uuid).collect();
    let rows: Vec<(Uuid, String)> = applications_archive::table
        .select((applications_archive::id, applications_archive::created_by))
        .filter(applications_archive::id.eq_any(ids))
        .filter(applications_archive::deleted_at.is_null())
        .load(connection)
        .await?;
    let visible = rows.into_iter().filter(|(_, owner)| visibility.includes(owner));
    Ok(visible.map(|(id, _)| ApplicationId::new(id)).collect())
}
