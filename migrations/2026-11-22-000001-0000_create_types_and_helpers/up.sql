CREATE TYPE country AS ENUM ('ES', 'PT', 'IT', 'MX', 'CO', 'BR');
COMMENT ON TYPE country IS 'ISO 3166-1 alpha-2 codes of the countries that Aval lends in';

CREATE TYPE application_status AS ENUM
    ('PENDING', 'VALIDATING', 'APPROVED', 'REJECTED', 'UNDER_REVIEW', 'CANCELLED', 'COMPLETED');
COMMENT ON TYPE application_status IS 'The status of an application; a trigger enforces the permitted transitions';

CREATE SCHEMA partitions;
COMMENT ON SCHEMA partitions IS 'Monthly partitions, kept apart from the tables of the main schema';

CREATE FUNCTION uuid_v7_floor(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN encode(
        substring(int8send(floor(extract(epoch FROM moment) * 1000)::bigint) FROM 3)
            || decode('00000000000000000000', 'hex'),
        'hex')::uuid;
COMMENT ON FUNCTION uuid_v7_floor IS 'Lower bound of all version 7 UUIDs (RFC 9562) created at or after a time';

CREATE FUNCTION uuid_v7_time(id uuid) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN to_timestamp(
        ('x0000' || substr(replace(id::text, '-', ''), 1, 12))::bit(64)::bigint::numeric::double precision / 1000);
COMMENT ON FUNCTION uuid_v7_time IS 'The time inside a version 7 UUID, to the millisecond';

-- Generates identifiers for rows that triggers write. PostgreSQL itself has uuidv7() only since version 18.
CREATE FUNCTION uuid_v7_now() RETURNS uuid
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6),
            52, 1), 53, 1),
        'hex')::uuid;
COMMENT ON FUNCTION uuid_v7_now IS 'A new version 7 UUID (RFC 9562)';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is %', TG_TABLE_NAME, coalesce(TG_ARGV[1], 'append-only')
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_ARGV[0], TABLE = TG_TABLE_NAME;
END
$$;
COMMENT ON FUNCTION refuse_change IS 'Rejects every change of an append-only or read-only table';

CREATE FUNCTION refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% keeps what was recorded', TG_TABLE_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
END
$$;
COMMENT ON FUNCTION refuse_rewrite IS
    'Rejects changes of the recorded part of rows whose other columns may change; lock_append_only_tables leaves the '
    'privileges of such tables alone';

-- Privileges that are granted on all tables at once include the append-only ones. Aval calls this after every run of
-- migrations; config/roles.sql calls it too.
CREATE FUNCTION lock_append_only_tables() RETURNS void
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
COMMENT ON FUNCTION lock_append_only_tables IS
    'Revokes from everybody but the owner the privileges to change an append-only table or the list of migrations';

CREATE FUNCTION is_of_another_key(before bytea, after bytea) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT substring(after FOR 1) = '\x01' AND substring(after FOR 5) IS DISTINCT FROM substring(before FOR 5)
$$;
COMMENT ON FUNCTION is_of_another_key IS
    'Whether an envelope is of kind 1 and of another key than the one that it replaces: kind and key id are its first five '
    'bytes (storage/seal)';
