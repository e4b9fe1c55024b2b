//! Finding an application in the archive.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::ApplicationRow;
use crate::domain::ids::ApplicationId;
use crate::error::Result;

/// Searches the live and the archive tables in one statement, because the application's month may be moving between
/// them. The identifier limits the search to one partition of each.
pub(super) async fn find(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
) -> Result<Option<ApplicationRow>> {
    let query = "SELECT a.* FROM (SELECT * FROM applications UNION ALL SELECT * FROM applications_archive) a \
        WHERE a.id = $1";
    let row = diesel::sql_query(query).bind::<diesel::sql_types::Uuid, _>(id.as_uuid());
    Ok(row.get_result(connection).await.optional()?)
}
