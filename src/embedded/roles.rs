//! The users of the private database: one owns the schema and changes it, one serves and can only read and write rows.
//!
//! They are those of `config/roles.sql`, as on a server of one's own. The superuser of the cluster belongs to neither
//! migrations nor serving: it makes the users and the database while Aval starts, and `pg_hba.conf` then refuses it until
//! the next start.

use diesel::dsl::sql;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};

/// The superuser that `initdb` makes.
pub(super) const SUPERUSER: &str = "aval";
/// Owns the schema; migrations run as this user.
pub(super) const OWNER: &str = "aval_owner";
/// Serves.
pub(super) const SERVER: &str = "aval_server";

/// Makes both users and gives them their privileges.
const SCRIPT: &str = include_str!("../../config/roles.sql");

/// Makes the users in the application's database and grants them what they need, unless that was done before. To be called
/// as the superuser.
///
/// # Errors
/// When the server refuses a statement; then nothing has changed.
pub(super) async fn prepare(connection: &mut AsyncPgConnection) -> diesel::result::QueryResult<()> {
    if is_prepared(connection).await? {
        return Ok(());
    }
    // The statements of one batch are one transaction.
    connection.batch_execute(SCRIPT).await
}

/// Whether a database has the default privileges of the script: one that was dropped and made anew has not, although the
/// users are there.
const HAS_DEFAULT_PRIVILEGES: &str = "\
    3 = (SELECT count(DISTINCT d.defaclobjtype) FROM pg_default_acl d CROSS JOIN LATERAL aclexplode(d.defaclacl) a \
        WHERE d.defaclnamespace = 'public'::regnamespace AND d.defaclobjtype IN ('r', 'S', 'f') \
        AND pg_get_userbyid(d.defaclrole) = 'aval_owner' AND pg_get_userbyid(a.grantee) = 'aval_server')";

async fn is_prepared(connection: &mut AsyncPgConnection) -> diesel::result::QueryResult<bool> {
    let made = sql::<Bool>("2 = (SELECT count(*) FROM pg_roles WHERE rolname IN (")
        .bind::<Text, _>(OWNER)
        .sql(", ")
        .bind::<Text, _>(SERVER)
        .sql(&format!(")) AND {HAS_DEFAULT_PRIVILEGES}"));
    diesel::select(made).get_result(connection).await
}
