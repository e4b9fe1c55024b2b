//! The database users of the private PostgreSQL: one owns the schema and runs migrations; the other reads and writes
//! rows for Aval.
//!
//! `config/roles.sql` defines both, as for an external server. The cluster's superuser is neither of them. It creates the
//! users and the database while Aval starts; afterwards `pg_hba.conf` rejects it until the next start.

use diesel::dsl::sql;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};

/// The superuser that `initdb` creates.
pub(super) const SUPERUSER: &str = "aval";
/// Owns the schema and runs migrations.
pub(super) const OWNER: &str = "aval_owner";
/// Reads and writes rows for Aval.
pub(super) const SERVER: &str = "aval_server";

/// Creates both users and grants their privileges.
const SCRIPT: &str = include_str!("../../config/roles.sql");

/// Creates the users in the application's database and grants their privileges, unless that has been done. Must run as the
/// superuser.
///
/// # Errors
/// If the server rejects a statement. Nothing has changed then.
pub(super) async fn prepare(connection: &mut AsyncPgConnection) -> diesel::result::QueryResult<()> {
    if is_prepared(connection).await? {
        return Ok(());
    }
    // The statements of one batch form one transaction.
    connection.batch_execute(SCRIPT).await
}

/// Whether a database has the default privileges of the script. A database that was dropped and recreated does not have
/// them, although the users exist.
const HAS_DEFAULT_PRIVILEGES: &str = "\
    3 = (SELECT count(DISTINCT d.defaclobjtype) FROM pg_default_acl d CROSS JOIN LATERAL aclexplode(d.defaclacl) a \
        WHERE d.defaclnamespace = 'public'::regnamespace AND d.defaclobjtype IN ('r', 'S', 'f') \
        AND pg_get_userbyid(d.defaclrole) = 'aval_owner' AND pg_get_userbyid(a.grantee) = 'aval_server')";

async fn is_prepared(connection: &mut AsyncPgConnection) -> diesel::result::QueryResult<bool> {
    let is_prepared = sql::<Bool>("2 = (SELECT count(*) FROM pg_roles WHERE rolname IN (")
        .bind::<Text, _>(OWNER)
        .sql(", ")
        .bind::<Text, _>(SERVER)
        .sql(&format!(")) AND {HAS_DEFAULT_PRIVILEGES}"));
    diesel::select(is_prepared).get_result(connection).await
}
