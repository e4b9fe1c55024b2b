//! Finding an application that is not among the living.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::ApplicationRow;
use crate::domain::ids::ApplicationId;
use crate::error::Result;

/// Looks into both trees, in one statement: an application whose month moves at this moment is in one of them. The
/// identifier leaves one partition to look into.
pub(super) async fn find(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
) -> Result<Option<ApplicationRow>> {
    let query = "SELECT a.* FROM (SELECT * FROM applications UNION ALL SELECT * FROM applications_archive) a \
        WHERE a.id = $1";
    let row = diesel::sql_query(query).bind::<diesel::sql_types::Uuid, _>(id.as_uuid());
    Ok(row.get_result(connection).await.optional()?)
}
