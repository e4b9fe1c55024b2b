-- The user that serves needs no more than to read and write rows. Making a month's partitions is the one change of the
-- schema that cannot wait for an operator: it runs as the owner, with a search path that no caller can bend.
ALTER FUNCTION ensure_month_partitions(date, integer) SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp;
REVOKE EXECUTE ON FUNCTION ensure_month_partitions(date, integer) FROM PUBLIC;

-- What refuse_change guards, nobody but the owner could change anyway, if it were not for privileges that were given for
-- all tables at once. It runs after every migration, and config/roles.sql runs it too.
CREATE FUNCTION lock_append_only_tables() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    held record;
    list oid := to_regclass('public.__diesel_schema_migrations');
BEGIN
    FOR held IN
        SELECT DISTINCT c.oid::regclass AS guarded, c.oid = list AS is_list, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END AS holder
        FROM pg_class c
        CROSS JOIN LATERAL aclexplode(c.relacl) g
        WHERE g.grantee <> c.relowner AND g.privilege_type <> 'SELECT'
          AND (c.oid = list OR c.oid IN (SELECT tgrelid FROM pg_trigger WHERE tgfoid = 'public.refuse_change'::regproc))
    LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM %s', held.guarded, held.holder);
        IF held.is_list THEN
            EXECUTE format('REVOKE INSERT ON %s FROM %s', held.guarded, held.holder);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION lock_append_only_tables IS
    'Takes from everybody but the owner what could change an append-only table or the list of migrations';
