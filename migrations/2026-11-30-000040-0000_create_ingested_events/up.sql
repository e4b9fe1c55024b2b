-- Event ingestion: the events that clients send at volume, and the refused ones that are kept for operators.
SET LOCAL lock_timeout = '2s';

CREATE TABLE ingested_events (
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    properties text COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, occurred_at, id)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE ingested_events IS
    'Events of clients (POST /api/v1/ingest/events): a partition per day (UTC) of occurred_at, each split by hash of user_id '
    'into 16 tables. Never changed; ingest.retention_days later, the day is dropped. Has no triggers and no checks: rows are '
    'validated before they are inserted, and every check costs time for each row.';
COMMENT ON COLUMN ingested_events.occurred_at IS 'When it happened, according to the client; to the microsecond';
COMMENT ON COLUMN ingested_events.user_id IS 'The user of the client''s system that the event is about';
COMMENT ON COLUMN ingested_events.id IS 'The identifier that the client gave the event';
COMMENT ON COLUMN ingested_events.properties IS
    'A JSON object as it was sent, which can be cast to jsonb. Stored as text, which is smaller and needs no parsing.';

-- SECURITY DEFINER: see ensure_month_partitions.
CREATE FUNCTION ensure_ingest_days(first_day date, days integer) RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    day date;
    child text;
    made integer := 0;
BEGIN
    -- One caller at a time, so that two instances do not create the same partition.
    PERFORM pg_advisory_xact_lock(hashtext('aval.ingest_days'));
    FOR n IN 0 .. days - 1 LOOP
        day := first_day + n;
        child := 'ingested_events_' || to_char(day, 'YYYY_MM_DD');
        CONTINUE WHEN to_regclass(format('partitions.%I', child)) IS NOT NULL;
        EXECUTE format('CREATE TABLE partitions.%I (LIKE ingested_events INCLUDING DEFAULTS) PARTITION BY HASH (user_id)',
            child);
        FOR leaf IN 0 .. 15 LOOP
            EXECUTE format('CREATE TABLE partitions.%I PARTITION OF partitions.%I '
                           'FOR VALUES WITH (MODULUS 16, REMAINDER %s)', child || to_char(leaf, '"_"FM00'), child, leaf);
        END LOOP;
        -- ATTACH PARTITION takes a weaker lock on the parent than CREATE TABLE … PARTITION OF, which would block inserts.
        EXECUTE format('ALTER TABLE ingested_events ATTACH PARTITION partitions.%I FOR VALUES FROM (%L) TO (%L)', child,
            day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ensure_ingest_days IS
    'Creates the missing partitions of ingested_events for a number of days from the given one on; returns how many days it '
    'created';
REVOKE EXECUTE ON FUNCTION ensure_ingest_days(date, integer) FROM PUBLIC;

-- SECURITY DEFINER: see drop_job_history_month. DETACH PARTITION … CONCURRENTLY cannot run in a function, so this needs an
-- exclusive lock on the parent for the few milliseconds until its commit. It does not wait long for it, because every
-- insert would wait behind it; the caller tries again.
CREATE FUNCTION drop_ingest_day(day date) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    child text := 'ingested_events_' || to_char(day, 'YYYY_MM_DD');
    bounds text := format('FOR VALUES FROM (%L) TO (%L)',
        day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
BEGIN
    -- Events of the last seven days are still accepted.
    IF (day + 1)::timestamp AT TIME ZONE 'UTC' > now() - interval '8 days' THEN
        RAISE EXCEPTION 'the events of % are not eight days old', day
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ingested_events_are_kept', TABLE = 'ingested_events';
    END IF;
    IF to_regclass(format('partitions.%I', child)) IS NULL THEN
        RETURN false;
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.ingested_events'::regclass AND c.oid = to_regclass(format('partitions.%I', child))
          AND pg_get_expr(c.relpartbound, c.oid) = bounds)
    THEN
        RAISE EXCEPTION '% is not the partition of its day', child
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ingested_events_day', TABLE = 'ingested_events';
    END IF;
    -- The lock on the parent comes first, as in an insert; otherwise the two could deadlock.
    LOCK TABLE ONLY ingested_events IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('DROP TABLE partitions.%I', child);
    RETURN true;
END
$$;
COMMENT ON FUNCTION drop_ingest_day IS
    'Drops the ingested events of a day that ended at least eight days ago; returns whether there was a partition. Fails '
    'rather than wait for a lock.';
REVOKE EXECUTE ON FUNCTION drop_ingest_day(date) FROM PUBLIC;

CREATE TABLE ingest_dead_letters (
    id uuid PRIMARY KEY DEFAULT uuid_v7_now(),
    account text NOT NULL,
    code text NOT NULL,
    detail text NOT NULL,
    event text NOT NULL CHECK (octet_length(event) <= 16384),
    received_at timestamptz NOT NULL
);

COMMENT ON TABLE ingest_dead_letters IS
    'Refused events, if ingest.keep_rejected is above 0: the newest ones, at most that many';
COMMENT ON COLUMN ingest_dead_letters.account IS 'The name of the account or API key that sent the event';
COMMENT ON COLUMN ingest_dead_letters.code IS 'Why it was refused: a code of docs/errors.md';
COMMENT ON COLUMN ingest_dead_letters.event IS 'The event as it was sent; larger ones are not kept';

CREATE INDEX ingest_dead_letters_code_idx ON ingest_dead_letters (code, id DESC);
CREATE INDEX ingest_dead_letters_account_idx ON ingest_dead_letters (account, id DESC);
CREATE INDEX ingest_dead_letters_expiry_idx ON ingest_dead_letters (received_at);
