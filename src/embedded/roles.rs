//! The database users of the embedded PostgreSQL: one owns the schema and runs migrations; the other reads and writes
//! rows for Aval.
//!
//! `config/roles.sql` defines both, as for an external server. The cluster's superuser is used for neither: it creates
//! the users and the database while Aval starts, and `pg_hba.conf` then rejects it until the next start. In databases
//! of earlier versions, which had no other user, its objects are given to the owner.

use diesel::dsl::sql;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};

/// The superuser that `initdb` creates, named like the only user of earlier versions.
pub(super) const SUPERUSER: &str = "aval";
/// Owns the schema and runs migrations.
pub(super) const OWNER: &str = "aval_owner";
/// Reads and writes rows for Aval.
pub(super) const SERVER: &str = "aval_server";

/// Creates both users and grants their privileges.
const SCRIPT: &str = include_str!("../../config/roles.sql");

/// Objects of the superuser in the database, except those of extensions, in the syntax of `ALTER … OWNER TO`. A
/// column's sequence follows its table. `REASSIGN OWNED` does not work for the superuser that `initdb` created.
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

/// Creates the users and transfers ownership, unless that has been done. Must run as the superuser.
pub(super) async fn prepare(connection: &mut AsyncPgConnection) -> diesel::result::QueryResult<()> {
    if is_prepared(connection).await? {
        return Ok(());
    }
    // The statements of one batch form one transaction.
    let batch = format!(
        "{SCRIPT}\nDO $$ DECLARE thing text; BEGIN FOR thing IN {HELD_BY_SUPERUSER} LOOP \
         EXECUTE format('ALTER %s OWNER TO %I', thing, '{OWNER}'); END LOOP; END $$;"
    );
    connection.batch_execute(&batch).await
}

async fn is_prepared(connection: &mut AsyncPgConnection) -> diesel::result::QueryResult<bool> {
    let made = sql::<Bool>("2 = (SELECT count(*) FROM pg_roles WHERE rolname IN (")
        .bind::<Text, _>(OWNER)
        .sql(", ")
        .bind::<Text, _>(SERVER)
        .sql(&format!(")) AND NOT EXISTS ({HELD_BY_SUPERUSER})"));
    diesel::select(made).get_result(connection).await
}
