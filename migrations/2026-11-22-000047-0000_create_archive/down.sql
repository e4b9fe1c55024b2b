-- Months that are archived would be lost: bring them back first (aval archive attach).
DO $$
BEGIN
    IF EXISTS (SELECT FROM applications_archive) THEN
        RAISE EXCEPTION 'there are archived applications: attach their months first';
    END IF;
END
$$;
DROP TABLE decisions_archive, audit_logs_archive, applications_archive;

CREATE OR REPLACE FUNCTION lock_append_only_tables() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
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

CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_ARGV[0], TABLE = TG_TABLE_NAME;
END
$$;
