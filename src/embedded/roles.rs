//! The users of the private database: one owns the schema and changes it, one serves and can only read and write rows.
//!
//! They are those of `config/roles.sql`, as on a server of one's own. The superuser of the cluster belongs to neither
//! migrations nor serving: it makes the users and the database while Aval starts, and `pg_hba.conf` then refuses it until
//! the next start. What it owned in a database of an earlier version, when there was no other user, goes to the owner.

use diesel::dsl::sql;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};

/// The superuser that `initdb` makes. It has the name of the only user of earlier versions.
pub(super) const SUPERUSER: &str = "aval";
/// Owns the schema; migrations run as this user.
pub(super) const OWNER: &str = "aval_owner";
/// Serves.
pub(super) const SERVER: &str = "aval_server";

/// Makes both users and gives them their privileges.
const SCRIPT: &str = include_str!("../../config/roles.sql");

/// Everything in the database that belongs to the superuser and to no extension, as `ALTER … OWNER TO` takes it. A
/// sequence of a column follows its table. `REASSIGN OWNED` refuses to work for the superuser of `initdb`.
const HELD_BY_SUPERUSER: &str = "\
    WITH me AS (SELECT oid FROM pg_roles WHERE rolname = current_user), \
    places AS (SELECT oid, nspname, nspowner FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'), \
    held AS ( \
        SELECT 'pg_namespace'::regclass AS class, oid, format('SCHEMA %I', nspname) AS name \
        FROM places WHERE nspname <> 'public' AND nspowner = (SELECT oid FROM me) \
        UNION ALL \
        SELECT 'pg_class'::regclass, oid, CASE relkind WHEN 'S' THEN 'SEQUENCE ' WHEN 'v' THEN 'VIEW ' \
               WHEN 'm' THEN 'MATERIALIZED VIEW ' WHEN 'f' THEN 'FOREIGN TABLE ' ELSE 'TABLE ' END || oid::regclass \
        FROM pg_class c WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relowner = (SELECT oid FROM me) \
        AND relnamespace IN (SELECT oid FROM places) \
        AND NOT (relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass \
                 AND d.objid = c.oid AND d.deptype IN ('a', 'i'))) \
        UNION ALL \
        SELECT 'pg_proc'::regclass, oid, 'ROUTINE ' || oid::regprocedure \
        FROM pg_proc WHERE proowner = (SELECT oid FROM me) AND pronamespace IN (SELECT oid FROM places) \
        UNION ALL \
        SELECT 'pg_type'::regclass, t.oid, 'TYPE ' || t.oid::regtype \
        FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid \
        WHERE (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c') AND t.typowner = (SELECT oid FROM me) \
        AND t.typnamespace IN (SELECT oid FROM places) \
        UNION ALL \
        SELECT 'pg_statistic_ext'::regclass, s.oid, format('STATISTICS %I.%I', n.nspname, s.stxname) \
        FROM pg_statistic_ext s JOIN places n ON n.oid = s.stxnamespace WHERE s.stxowner = (SELECT oid FROM me)) \
    SELECT name FROM held WHERE NOT EXISTS \
        (SELECT FROM pg_depend d WHERE d.classid = held.class AND d.objid = held.oid AND d.deptype = 'e')";

/// Makes the users in the application's database and hands them what they need, unless that was done before. To be called
/// as the superuser.
///
/// # Errors
/// When the server refuses a statement; then nothing has changed.
pub(super) async fn prepare(connection: &mut AsyncPgConnection) -> diesel::result::QueryResult<()> {
    if is_prepared(connection).await? {
        return Ok(());
    }
    // The statements of one batch are one transaction.
    let batch = format!(
        "{SCRIPT}\nDO $$ DECLARE thing text; BEGIN FOR thing IN {HELD_BY_SUPERUSER} LOOP \
         EXECUTE format('ALTER %s OWNER TO %I', thing, '{OWNER}'); END LOOP; END $$;"
    );
    connection.batch_execute(&batch).await
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
        .sql(&format!(")) AND {HAS_DEFAULT_PRIVILEGES} AND NOT EXISTS ({HELD_BY_SUPERUSER})"));
    diesel::select(made).get_result(connection).await
}
