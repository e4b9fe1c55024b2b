-- SECURITY DEFINER: the serving user may not change the schema. Creating partitions cannot wait for an operator, so it
-- runs as the owner, with a fixed search path.
CREATE FUNCTION ensure_month_partitions(first_month date, months integer) RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    parent text;
    child text;
    month date;
    made integer := 0;
BEGIN
    -- One caller at a time, so that two instances do not create the same partition.
    PERFORM pg_advisory_xact_lock(hashtext('aval.partitions'));
    FOR n IN 0 .. months - 1 LOOP
        month := (date_trunc('month', first_month::timestamp) + make_interval(months => n))::date;
        FOREACH parent IN ARRAY ARRAY['applications', 'audit_logs', 'decisions', 'job_history'] LOOP
            child := parent || '_' || to_char(month, 'YYYY_MM');
            CONTINUE WHEN to_regclass(format('partitions.%I', child)) IS NOT NULL;
            -- ATTACH PARTITION takes a weaker lock on the parent than CREATE TABLE … PARTITION OF, which would block
            -- inserts.
            EXECUTE format('CREATE TABLE partitions.%I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS '
                           'INCLUDING GENERATED)', child, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION partitions.%I FOR VALUES FROM (%L) TO (%L)',
                parent, child,
                uuid_v7_floor(month::timestamp AT TIME ZONE 'UTC'),
                uuid_v7_floor((month + interval '1 month')::timestamp AT TIME ZONE 'UTC'));
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ensure_month_partitions IS
    'Creates the missing partitions of a number of months from the given one on; returns how many it created';
REVOKE EXECUTE ON FUNCTION ensure_month_partitions(date, integer) FROM PUBLIC;

-- The serving user owns no tables and can drop old months of finished jobs only with this function. It requires that
-- the partition belongs to the month and that the month ended at least a week ago. It does not wait long for a lock,
-- because every later query of the table would wait behind it.
CREATE FUNCTION drop_job_history_month(month date) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    first date := date_trunc('month', month::timestamp)::date;
    after date := (date_trunc('month', month::timestamp) + interval '1 month')::date;
    child text := 'job_history_' || to_char(first, 'YYYY_MM');
    bounds text := format('FOR VALUES FROM (%L) TO (%L)',
        uuid_v7_floor(first::timestamp AT TIME ZONE 'UTC'), uuid_v7_floor(after::timestamp AT TIME ZONE 'UTC'));
BEGIN
    IF after::timestamp AT TIME ZONE 'UTC' > now() - interval '7 days' THEN
        RAISE EXCEPTION 'the jobs of % are not a week old', to_char(first, 'YYYY-MM')
            USING ERRCODE = 'check_violation', CONSTRAINT = 'job_history_is_kept', TABLE = 'job_history';
    END IF;
    IF to_regclass(format('partitions.%I', child)) IS NULL THEN
        RETURN false;
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.job_history'::regclass AND c.oid = to_regclass(format('partitions.%I', child))
          AND pg_get_expr(c.relpartbound, c.oid) = bounds)
    THEN
        RAISE EXCEPTION '% is not the partition of its month', child
            USING ERRCODE = 'check_violation', CONSTRAINT = 'job_history_month', TABLE = 'job_history';
    END IF;
    EXECUTE format('DROP TABLE partitions.%I', child);
    RETURN true;
END
$$;
COMMENT ON FUNCTION drop_job_history_month IS
    'Drops the finished jobs of a month that ended at least a week ago; returns whether there were any. Fails rather '
    'than wait for a lock.';
REVOKE EXECUTE ON FUNCTION drop_job_history_month(date) FROM PUBLIC;

-- The parents of a month's tables while it is archived: the same columns and checks, and the primary key for reads by
-- identifier. The other indexes of a month stay on its tables, unused, so that it can be moved back at once.
CREATE TABLE applications_archive
    (LIKE applications INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING COMMENTS, PRIMARY KEY (id))
    PARTITION BY RANGE (id);

COMMENT ON TABLE applications_archive IS
    'Months whose applications are all closed: read by identifier and never changed. Every column that applications '
    'gets must be added here too, or no month can move between the two.';

CREATE TABLE audit_logs_archive
    (LIKE audit_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS, PRIMARY KEY (application_id, version))
    PARTITION BY RANGE (application_id);

COMMENT ON TABLE audit_logs_archive IS 'The history of archived applications';

CREATE TABLE decisions_archive
    (LIKE decisions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS, PRIMARY KEY (application_id, id))
    PARTITION BY RANGE (application_id);

COMMENT ON TABLE decisions_archive IS 'The decisions on archived applications';

CREATE TRIGGER applications_archive_read_only BEFORE INSERT OR UPDATE OR DELETE ON applications_archive
    FOR EACH ROW EXECUTE FUNCTION refuse_change('applications_archive_read_only', 'archived');
CREATE TRIGGER applications_archive_no_truncate BEFORE TRUNCATE ON applications_archive
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('applications_archive_read_only', 'archived');
CREATE TRIGGER audit_logs_archive_read_only BEFORE INSERT OR UPDATE OR DELETE ON audit_logs_archive
    FOR EACH ROW EXECUTE FUNCTION refuse_change('audit_logs_archive_read_only', 'archived');
CREATE TRIGGER audit_logs_archive_no_truncate BEFORE TRUNCATE ON audit_logs_archive
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('audit_logs_archive_read_only', 'archived');
CREATE TRIGGER decisions_archive_read_only BEFORE INSERT OR UPDATE OR DELETE ON decisions_archive
    FOR EACH ROW EXECUTE FUNCTION refuse_change('decisions_archive_read_only', 'archived');
CREATE TRIGGER decisions_archive_no_truncate BEFORE TRUNCATE ON decisions_archive
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('decisions_archive_read_only', 'archived');

-- The serving user moves months between applications and its archive only through these functions. A move is one short
-- transaction that locks whole tables. It does not wait long for a lock, because all other queries would wait behind
-- it. It fails instead, and its caller tries again.
CREATE FUNCTION month_open_applications(month date) RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    low uuid := uuid_v7_floor(date_trunc('month', month::timestamp) AT TIME ZONE 'UTC');
    high uuid := uuid_v7_floor((date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC');
    open bigint;
BEGIN
    EXECUTE 'SELECT count(*) FROM ('
            'SELECT id FROM applications WHERE id >= $1 AND id < $2 AND deleted_at IS NULL '
            'AND status IN (''PENDING'', ''VALIDATING'', ''UNDER_REVIEW'') '
            'UNION SELECT application_id FROM pending_jobs WHERE application_id >= $1 AND application_id < $2 '
            'UNION SELECT application_id FROM webhook_events WHERE application_id >= $1 AND application_id < $2 '
            'AND next_attempt_at IS NOT NULL) AS in_work' INTO open USING low, high;
    RETURN open;
END
$$;
COMMENT ON FUNCTION month_open_applications IS
    'Number of applications of a month that are still in progress: undecided, with a job, or with a webhook to be '
    'tried again. Approved ones are not: nothing happens to them while there is no disbursement.';

CREATE FUNCTION month_of_archivable_age(month date) RETURNS date LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    first date := date_trunc('month', month::timestamp)::date;
BEGIN
    IF (first + interval '2 months')::timestamp AT TIME ZONE 'UTC' > now() THEN
        RAISE EXCEPTION '% has not been over for a month', to_char(first, 'YYYY-MM')
            USING ERRCODE = 'check_violation', CONSTRAINT = 'archive_month_is_over', TABLE = 'applications';
    END IF;
    RETURN first;
END
$$;
COMMENT ON FUNCTION month_of_archivable_age IS
    'The first day of a month that may be archived; fails for a more recent one';

CREATE FUNCTION bound_month(month date) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    first date := month_of_archivable_age(month);
    tree record;
    child text;
BEGIN
    FOR tree IN SELECT * FROM (VALUES ('applications', 'id'), ('audit_logs', 'application_id'),
                                      ('decisions', 'application_id')) AS t (name, key) LOOP
        child := tree.name || '_' || to_char(first, 'YYYY_MM');
        CONTINUE WHEN EXISTS (SELECT FROM pg_constraint WHERE conname = child || '_month'
                              AND conrelid = to_regclass(format('partitions.%I', child)));
        EXECUTE format('ALTER TABLE partitions.%I ADD CONSTRAINT %I CHECK (%I >= %L AND %I < %L) NOT VALID',
            child, child || '_month',
            tree.key, uuid_v7_floor(first::timestamp AT TIME ZONE 'UTC'),
            tree.key, uuid_v7_floor((first + interval '1 month')::timestamp AT TIME ZONE 'UTC'));
    END LOOP;
END
$$;
COMMENT ON FUNCTION bound_month IS
    'Adds the bounds of a month to its tables as constraints for validate_month to check; attaching the tables then '
    'reads no row';

CREATE FUNCTION validate_month(month date) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    first date := month_of_archivable_age(month);
    name text;
    child text;
BEGIN
    FOREACH name IN ARRAY ARRAY['applications', 'audit_logs', 'decisions'] LOOP
        child := name || '_' || to_char(first, 'YYYY_MM');
        EXECUTE format('ALTER TABLE partitions.%I VALIDATE CONSTRAINT %I', child, child || '_month');
    END LOOP;
END
$$;
COMMENT ON FUNCTION validate_month IS
    'Checks that every row of a month is within its bounds; blocks neither reads nor writes, however long it takes';

CREATE FUNCTION move_month(first date, from_suffix text, to_suffix text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    name text;
    child text;
BEGIN
    FOREACH name IN ARRAY ARRAY['applications', 'audit_logs', 'decisions'] LOOP
        child := name || '_' || to_char(first, 'YYYY_MM');
        EXECUTE format('ALTER TABLE %I DETACH PARTITION partitions.%I', name || from_suffix, child);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION partitions.%I FOR VALUES FROM (%L) TO (%L)',
            name || to_suffix, child,
            uuid_v7_floor(first::timestamp AT TIME ZONE 'UTC'),
            uuid_v7_floor((first + interval '1 month')::timestamp AT TIME ZONE 'UTC'));
    END LOOP;
END
$$;
COMMENT ON FUNCTION move_month IS 'Moves the three tables of a month to other parents';

CREATE FUNCTION archive_month(month date) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    first date := month_of_archivable_age(month);
    part regclass := to_regclass('partitions.applications_' || to_char(first, 'YYYY_MM'));
    open bigint;
BEGIN
    -- The month is removed from the counts of lists in the same transaction. Counting blocks only writers of the month,
    -- so it is done before taking the locks that block all queries.
    PERFORM statistics_forget_applications(part);
    -- The same lock order as everywhere else. A writer that has locked the parent may wait for the month that is being
    -- counted, while this statement waits for that writer. lock_timeout ends that wait, and the caller tries again.
    LOCK TABLE ONLY applications, audit_logs, decisions IN ACCESS EXCLUSIVE MODE;
    open := month_open_applications(first);
    IF open > 0 THEN
        RAISE EXCEPTION '% applications of % are not closed', open, to_char(first, 'YYYY-MM')
            USING ERRCODE = 'check_violation', CONSTRAINT = 'archive_month_is_closed', TABLE = 'applications';
    END IF;
    PERFORM move_month(first, '', '_archive');
END
$$;
COMMENT ON FUNCTION archive_month IS
    'Moves a month whose applications are all closed, with their history and decisions, to the archive';

CREATE FUNCTION unarchive_month(month date) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    first date := month_of_archivable_age(month);
BEGIN
    PERFORM statistics_readmit_applications(to_regclass('partitions.applications_' || to_char(first, 'YYYY_MM')));
    -- The same order as queries of both trees: the live tables first.
    LOCK TABLE ONLY applications, audit_logs, decisions IN SHARE UPDATE EXCLUSIVE MODE;
    LOCK TABLE ONLY applications_archive, audit_logs_archive, decisions_archive IN ACCESS EXCLUSIVE MODE;
    PERFORM move_month(first, '_archive', '');
END
$$;
COMMENT ON FUNCTION unarchive_month IS 'Moves an archived month back as a whole';

CREATE FUNCTION place_archived_month(month date, tablespace name) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    first date := month_of_archivable_age(month);
    part record;
    moved boolean := false;
BEGIN
    FOR part IN
        SELECT c.oid::regclass AS name, x.relkind
        FROM (VALUES ('applications'), ('audit_logs'), ('decisions')) AS t (tree)
        JOIN pg_inherits i ON i.inhparent = to_regclass(format('public.%I', t.tree || '_archive'))
        JOIN pg_class p ON p.oid = i.inhrelid AND p.relname = t.tree || '_' || to_char(first, 'YYYY_MM')
        CROSS JOIN LATERAL (SELECT p.oid, 'r'::"char" AS relkind
                            UNION ALL SELECT indexrelid, 'i' FROM pg_index WHERE indrelid = p.oid) x
        JOIN pg_class c ON c.oid = x.oid
        LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
        WHERE s.spcname IS DISTINCT FROM tablespace
        ORDER BY c.oid
    LOOP
        EXECUTE format('ALTER %s %s SET TABLESPACE %I',
            CASE part.relkind WHEN 'i' THEN 'INDEX' ELSE 'TABLE' END, part.name, tablespace);
        moved := true;
    END LOOP;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION place_archived_month IS
    'Copies an archived month to a tablespace; returns whether it had to. Blocks reads of that month only.';
REVOKE EXECUTE ON FUNCTION month_open_applications(date), month_of_archivable_age(date), bound_month(date),
    validate_month(date), move_month(date, text, text), archive_month(date), unarchive_month(date),
    place_archived_month(date, name) FROM PUBLIC;
