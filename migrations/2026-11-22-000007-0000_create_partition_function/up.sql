CREATE FUNCTION ensure_month_partitions(first_month date, months integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    child text;
    month date;
    made integer := 0;
BEGIN
    -- One maker at a time, so that two instances do not both find a month missing.
    PERFORM pg_advisory_xact_lock(hashtext('aval.partitions'));
    FOR n IN 0 .. months - 1 LOOP
        month := (date_trunc('month', first_month::timestamp) + make_interval(months => n))::date;
        FOREACH parent IN ARRAY ARRAY['applications', 'audit_logs', 'decisions', 'job_history'] LOOP
            child := parent || '_' || to_char(month, 'YYYY_MM');
            CONTINUE WHEN to_regclass(format('partitions.%I', child)) IS NOT NULL;
            -- Attaching takes a weaker lock on the parent than CREATE TABLE … PARTITION OF: inserts go on.
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
    'Makes the partitions of some months from the given one on, where they are missing; returns how many it made';
