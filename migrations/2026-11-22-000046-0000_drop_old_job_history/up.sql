-- The user that serves owns no table. This is the one way in which a month of finished jobs goes, and it can be bent to
-- nothing else: the partition must be the month's own, and its last job a week old. It waits for nobody: whoever queues
-- for the table behind it would wait as well.
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
    'Drops the finished jobs of a month that is long over; whether there were any. Fails rather than wait for a lock';
REVOKE EXECUTE ON FUNCTION drop_job_history_month(date) FROM PUBLIC;
