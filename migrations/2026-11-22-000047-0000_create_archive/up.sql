-- As it was, but that a table can say in its own words why it does not change.
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is %', TG_TABLE_NAME, coalesce(TG_ARGV[1], 'append-only')
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_ARGV[0], TABLE = TG_TABLE_NAME;
END
$$;

-- What a month's tables hang on while they are archived: the same columns and checks, and the index that reads by
-- identifier need. The other indexes of a month stay with it, unused, so that it can come back at once.
CREATE TABLE applications_archive
    (LIKE applications INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING COMMENTS, PRIMARY KEY (id))
    PARTITION BY RANGE (id);
CREATE TABLE audit_logs_archive
    (LIKE audit_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS, PRIMARY KEY (application_id, version))
    PARTITION BY RANGE (application_id);
CREATE TABLE decisions_archive
    (LIKE decisions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS, PRIMARY KEY (application_id, id))
    PARTITION BY RANGE (application_id);

COMMENT ON TABLE applications_archive IS
    'Months whose applications are all closed: found by identifier, and never changed. A column that applications gets, '
    'this gets too, or no month can go from one to the other.';
COMMENT ON TABLE audit_logs_archive IS 'The history of archived applications';
COMMENT ON TABLE decisions_archive IS 'The decisions on archived applications';

DO $$
DECLARE
    tree text;
BEGIN
    FOREACH tree IN ARRAY ARRAY['applications_archive', 'audit_logs_archive', 'decisions_archive'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW '
                       'EXECUTE FUNCTION refuse_change(%L, ''archived'')', tree || '_read_only', tree, tree || '_read_only');
        EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT '
                       'EXECUTE FUNCTION refuse_change(%L, ''archived'')', tree || '_no_truncate', tree, tree || '_read_only');
    END LOOP;
END
$$;

-- As it was, but that nothing is inserted into the archive either.
CREATE OR REPLACE FUNCTION lock_append_only_tables() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    held record;
    list oid := to_regclass('public.__diesel_schema_migrations');
    archive oid[] := ARRAY[to_regclass('public.applications_archive'), to_regclass('public.audit_logs_archive'),
                           to_regclass('public.decisions_archive')];
BEGIN
    FOR held IN
        SELECT DISTINCT c.oid::regclass AS guarded, c.oid = list OR c.oid = ANY (archive) AS is_closed,
               CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END AS holder
        FROM pg_class c
        CROSS JOIN LATERAL aclexplode(c.relacl) g
        WHERE g.grantee <> c.relowner AND g.privilege_type <> 'SELECT'
          AND (c.oid = list OR c.oid IN (SELECT tgrelid FROM pg_trigger WHERE tgfoid = 'public.refuse_change'::regproc))
    LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM %s', held.guarded, held.holder);
        IF held.is_closed THEN
            EXECUTE format('REVOKE INSERT ON %s FROM %s', held.guarded, held.holder);
        END IF;
    END LOOP;
END
$$;
