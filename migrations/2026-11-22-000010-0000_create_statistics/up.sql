-- Statistics whose cost does not depend on the number of applications. Writes do not update counters: every change is an
-- event in the outbox, and the leading relay adds the events to these tables, in the order of their offsets and each
-- exactly once. Readers add the events that are not counted yet.

CREATE TABLE application_counts (
    owner text NOT NULL,
    country country NOT NULL,
    status application_status NOT NULL,
    applications bigint NOT NULL,
    requested_amount numeric NOT NULL,
    risk_low bigint NOT NULL,
    risk_medium bigint NOT NULL,
    risk_high bigint NOT NULL,
    risk_critical bigint NOT NULL,
    risk_sum numeric NOT NULL,
    PRIMARY KEY (owner, country, status)
) WITH (fillfactor = 50);

COMMENT ON TABLE application_counts IS 'Counts of the applications that lists show: neither deleted nor archived';
COMMENT ON COLUMN application_counts.owner IS 'The account that created them; empty for the total of all accounts';
COMMENT ON COLUMN application_counts.requested_amount IS 'Sum, in the country''s currency';
COMMENT ON COLUMN application_counts.risk_low IS
    'With a known risk score below 30. Scores are counted for APPROVED, REJECTED and COMPLETED, where they no longer '
    'change.';
COMMENT ON COLUMN application_counts.risk_sum IS 'Sum of the known risk scores';

CREATE TABLE application_days (
    owner text NOT NULL,
    day date NOT NULL,
    country country NOT NULL,
    created bigint NOT NULL,
    requested_amount numeric NOT NULL,
    approved bigint NOT NULL,
    rejected bigint NOT NULL,
    under_review bigint NOT NULL,
    cancelled bigint NOT NULL,
    approved_amount numeric NOT NULL,
    PRIMARY KEY (owner, day, country)
) WITH (fillfactor = 80);

COMMENT ON TABLE application_days IS
    'Activity per day (UTC), including applications that were deleted or archived since';
COMMENT ON COLUMN application_days.owner IS
    'The account that created the applications; empty for the total of all accounts';
COMMENT ON COLUMN application_days.requested_amount IS 'Requested by the applications created on the day';
COMMENT ON COLUMN application_days.approved_amount IS 'Requested by the applications approved on the day';

CREATE TABLE statistics_position (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    last_offset bigint NOT NULL
);

COMMENT ON TABLE statistics_position IS
    'The last event that is counted. Every change of the counters holds its row lock, so that nothing is counted '
    'twice.';

INSERT INTO statistics_position (last_offset) VALUES (0);

-- One row for the status that the application left, and one for its new status. An event with data of an unknown form
-- is not counted. An error would block the counting of all later events.
CREATE FUNCTION statistics_count_changes(type text, subject uuid, data jsonb)
RETURNS TABLE (
    owner text, country country, status application_status, applications bigint, requested_amount numeric,
    risk_low bigint, risk_medium bigint, risk_high bigint, risk_critical bigint, risk_sum numeric)
LANGUAGE sql STABLE AS $$
    SELECT data ->> 'created_by', (data ->> 'country')::country, m.status::application_status, m.sign,
        m.sign * coalesce((SELECT a.requested_amount FROM applications a WHERE a.id = subject), 0),
        CASE WHEN r.risk < 30 THEN m.sign ELSE 0 END,
        CASE WHEN r.risk >= 30 AND r.risk < 50 THEN m.sign ELSE 0 END,
        CASE WHEN r.risk >= 50 AND r.risk < 70 THEN m.sign ELSE 0 END,
        CASE WHEN r.risk >= 70 THEN m.sign ELSE 0 END,
        coalesce(m.sign * r.risk, 0)
    FROM (VALUES
        (data ->> 'previous_status', -1::bigint,
            type IN ('application.status_changed.v1', 'application.deleted.v1')),
        (data ->> 'status', 1::bigint,
            type IN ('application.created.v1', 'application.status_changed.v1', 'application.restored.v1'))
    ) AS m (status, sign, applies)
    CROSS JOIN LATERAL (SELECT CASE WHEN m.status IN ('APPROVED', 'REJECTED', 'COMPLETED')
        AND data ->> 'risk_score' ~ '^[0-9]{1,3}(\.[0-9]+)?$' THEN (data ->> 'risk_score')::numeric END) AS r (risk)
    WHERE m.applies
      AND data ->> 'country' = ANY (enum_range(NULL::country)::text[])
      AND m.status = ANY (enum_range(NULL::application_status)::text[])
      -- A transition is counted with both statuses or not at all. Otherwise the totals would be wrong.
      AND (type <> 'application.status_changed.v1'
          OR data ->> 'status' = ANY (enum_range(NULL::application_status)::text[])
          AND data ->> 'previous_status' = ANY (enum_range(NULL::application_status)::text[]))
$$;
COMMENT ON FUNCTION statistics_count_changes IS 'What an event adds to application_counts';

-- The time is taken from the audit row, which still exists after the event has been deleted.
CREATE FUNCTION statistics_day_changes(type text, subject uuid, data jsonb)
RETURNS TABLE (
    owner text, day date, country country, created bigint, requested_amount numeric, approved bigint, rejected bigint,
    under_review bigint, cancelled bigint, approved_amount numeric)
LANGUAGE sql STABLE AS $$
    SELECT data ->> 'created_by',
        (CASE WHEN e.became = 'PENDING' THEN uuid_v7_time(subject) ELSE coalesce((
            SELECT l.created_at FROM audit_logs l
            WHERE l.application_id = subject AND l.version =
                CASE WHEN data ->> 'version' ~ '^[0-9]{1,18}$' THEN (data ->> 'version')::bigint END),
            uuid_v7_time(subject)) END AT TIME ZONE 'UTC')::date,
        (data ->> 'country')::country,
        CASE WHEN e.became = 'PENDING' THEN 1 ELSE 0 END::bigint,
        CASE WHEN e.became = 'PENDING' THEN coalesce(e.amount, 0) ELSE 0 END,
        CASE WHEN e.became = 'APPROVED' THEN 1 ELSE 0 END::bigint,
        CASE WHEN e.became = 'REJECTED' THEN 1 ELSE 0 END::bigint,
        CASE WHEN e.became = 'UNDER_REVIEW' THEN 1 ELSE 0 END::bigint,
        CASE WHEN e.became = 'CANCELLED' THEN 1 ELSE 0 END::bigint,
        CASE WHEN e.became = 'APPROVED' THEN coalesce(e.amount, 0) ELSE 0 END
    FROM (SELECT data ->> 'status' AS became,
            CASE WHEN data ->> 'status' IN ('PENDING', 'APPROVED') THEN (
                SELECT a.requested_amount FROM applications a WHERE a.id = subject) END AS amount) AS e
    WHERE type IN ('application.created.v1', 'application.status_changed.v1')
      AND e.became IN ('PENDING', 'APPROVED', 'REJECTED', 'UNDER_REVIEW', 'CANCELLED')
      AND data ->> 'country' = ANY (enum_range(NULL::country)::text[])
      -- The day may be derived from the identifier. A UUID of another version contains no time.
      AND uuid_v7_time(subject) BETWEEN '2000-01-01' AND now() + interval '1 year'
$$;
COMMENT ON FUNCTION statistics_day_changes IS 'What an event adds to application_days';

CREATE FUNCTION project_statistics(batch integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    counted_to bigint;
    count_to bigint;
BEGIN
    -- Usually there is nothing to do. This check needs no lock.
    PERFORM FROM statistics_position p, outbox_position o WHERE o.last_offset > p.last_offset;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT p.last_offset INTO STRICT counted_to FROM statistics_position p FOR UPDATE;
    SELECT max(b.relay_offset) INTO count_to FROM (
        SELECT o.relay_offset FROM outbox o WHERE o.relay_offset > counted_to ORDER BY o.relay_offset LIMIT batch) b;
    IF count_to IS NULL THEN
        RETURN 0;
    END IF;

    INSERT INTO application_counts AS c
        SELECT coalesce(e.owner, ''), e.country, e.status, sum(e.applications), sum(e.requested_amount),
            sum(e.risk_low), sum(e.risk_medium), sum(e.risk_high), sum(e.risk_critical), sum(e.risk_sum)
        FROM outbox o CROSS JOIN LATERAL statistics_count_changes(o.type, o.subject, o.data) e
        WHERE o.relay_offset > counted_to AND o.relay_offset <= count_to
        GROUP BY GROUPING SETS ((e.owner, e.country, e.status), (e.country, e.status))
        HAVING grouping(e.owner) = 1 OR e.owner <> ''
    ON CONFLICT (owner, country, status) DO UPDATE SET
        applications = c.applications + excluded.applications,
        requested_amount = c.requested_amount + excluded.requested_amount,
        risk_low = c.risk_low + excluded.risk_low,
        risk_medium = c.risk_medium + excluded.risk_medium,
        risk_high = c.risk_high + excluded.risk_high,
        risk_critical = c.risk_critical + excluded.risk_critical,
        risk_sum = c.risk_sum + excluded.risk_sum;

    INSERT INTO application_days AS d
        SELECT coalesce(e.owner, ''), e.day, e.country, sum(e.created), sum(e.requested_amount), sum(e.approved),
            sum(e.rejected), sum(e.under_review), sum(e.cancelled), sum(e.approved_amount)
        FROM outbox o CROSS JOIN LATERAL statistics_day_changes(o.type, o.subject, o.data) e
        WHERE o.relay_offset > counted_to AND o.relay_offset <= count_to
        GROUP BY GROUPING SETS ((e.owner, e.day, e.country), (e.day, e.country))
        HAVING grouping(e.owner) = 1 OR e.owner <> ''
    ON CONFLICT (owner, day, country) DO UPDATE SET
        created = d.created + excluded.created,
        requested_amount = d.requested_amount + excluded.requested_amount,
        approved = d.approved + excluded.approved,
        rejected = d.rejected + excluded.rejected,
        under_review = d.under_review + excluded.under_review,
        cancelled = d.cancelled + excluded.cancelled,
        approved_amount = d.approved_amount + excluded.approved_amount;

    UPDATE statistics_position SET last_offset = count_to;
    RETURN count_to - counted_to;
END
$$;
COMMENT ON FUNCTION project_statistics IS
    'Counts up to the given number of published events that are not counted yet; returns how many it counted';

-- Aval's sessions disable sequential scans. The recounts read whole tables, so an index would only change the order in
-- which the rows are read.
CREATE FUNCTION recount_applications(part regclass)
RETURNS TABLE (
    owner text, country country, status application_status, applications bigint, requested_amount numeric,
    risk_low bigint, risk_medium bigint, risk_high bigint, risk_critical bigint, risk_sum numeric)
LANGUAGE plpgsql STABLE SET enable_seqscan = on AS $$
BEGIN
    RETURN QUERY EXECUTE format($query$
        SELECT coalesce(a.created_by, ''), a.country, a.status, count(*), sum(a.requested_amount),
            count(*) FILTER (WHERE r.risk < 30), count(*) FILTER (WHERE r.risk >= 30 AND r.risk < 50),
            count(*) FILTER (WHERE r.risk >= 50 AND r.risk < 70), count(*) FILTER (WHERE r.risk >= 70),
            coalesce(sum(r.risk), 0)
        FROM %s a CROSS JOIN LATERAL (SELECT CASE WHEN a.status IN ('APPROVED', 'REJECTED', 'COMPLETED')
            THEN a.risk_score END) AS r (risk)
        WHERE a.deleted_at IS NULL
        GROUP BY GROUPING SETS ((a.created_by, a.country, a.status), (a.country, a.status))
        HAVING grouping(a.created_by) = 1 OR a.created_by <> ''
    $query$, part);
END
$$;
COMMENT ON FUNCTION recount_applications IS
    'What application_counts should contain for the applications of a table or partition; reads all of it';

CREATE FUNCTION recount_application_days()
RETURNS TABLE (
    owner text, day date, country country, created bigint, requested_amount numeric, approved bigint, rejected bigint,
    under_review bigint, cancelled bigint, approved_amount numeric)
LANGUAGE sql STABLE SET enable_seqscan = on AS $$
    SELECT coalesce(e.owner, ''), e.day, e.country,
        count(*) FILTER (WHERE e.became = 'PENDING'),
        coalesce(sum(e.amount) FILTER (WHERE e.became = 'PENDING'), 0),
        count(*) FILTER (WHERE e.became = 'APPROVED'), count(*) FILTER (WHERE e.became = 'REJECTED'),
        count(*) FILTER (WHERE e.became = 'UNDER_REVIEW'), count(*) FILTER (WHERE e.became = 'CANCELLED'),
        coalesce(sum(e.amount) FILTER (WHERE e.became = 'APPROVED'), 0)
    FROM (
        SELECT a.created_by AS owner, (a.created_at AT TIME ZONE 'UTC')::date AS day, a.country,
            'PENDING'::application_status AS became, a.requested_amount AS amount
        FROM applications a
        UNION ALL
        SELECT a.created_by, (l.created_at AT TIME ZONE 'UTC')::date, a.country, l.new_status, a.requested_amount
        FROM audit_logs l JOIN applications a ON a.id = l.application_id
        WHERE l.action = 'status_changed' AND l.new_status IN ('APPROVED', 'REJECTED', 'UNDER_REVIEW', 'CANCELLED')
    ) AS e
    GROUP BY GROUPING SETS ((e.owner, e.day, e.country), (e.day, e.country))
    HAVING grouping(e.owner) = 1 OR e.owner <> ''
$$;
COMMENT ON FUNCTION recount_application_days IS
    'What application_days should contain for the applications that are not archived; reads all of them';

-- Archiving removes whole months from the lists, and restoring returns them. Neither causes events.
CREATE FUNCTION statistics_move_applications(part regclass, sign integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- The same lock order as project_statistics: the position, then applications.
    PERFORM FROM statistics_position FOR UPDATE;
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', part);
    INSERT INTO application_counts AS c
        SELECT r.owner, r.country, r.status, sign * r.applications, sign * r.requested_amount, sign * r.risk_low,
            sign * r.risk_medium, sign * r.risk_high, sign * r.risk_critical, sign * r.risk_sum
        FROM recount_applications(part) r
    ON CONFLICT (owner, country, status) DO UPDATE SET
        applications = c.applications + excluded.applications,
        requested_amount = c.requested_amount + excluded.requested_amount,
        risk_low = c.risk_low + excluded.risk_low,
        risk_medium = c.risk_medium + excluded.risk_medium,
        risk_high = c.risk_high + excluded.risk_high,
        risk_critical = c.risk_critical + excluded.risk_critical,
        risk_sum = c.risk_sum + excluded.risk_sum;
END
$$;
COMMENT ON FUNCTION statistics_move_applications IS
    'Adds the applications of a partition to application_counts, multiplied by sign, and blocks writes to it until the '
    'end of the transaction';

CREATE FUNCTION statistics_forget_applications(part regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    uncounted boolean;
BEGIN
    PERFORM statistics_move_applications(part, -1);
    -- Events that are counted later would read amounts and times from tables that no longer hold the month.
    EXECUTE format('SELECT EXISTS (SELECT FROM outbox o JOIN %1$s a ON a.id = o.subject WHERE o.relay_offset IS NULL) '
        'OR EXISTS (SELECT FROM outbox o JOIN %1$s a ON a.id = o.subject '
        'WHERE o.relay_offset > (SELECT p.last_offset FROM statistics_position p))', part)
        INTO uncounted;
    IF uncounted THEN
        RAISE EXCEPTION 'changes of % are not counted yet', part
            USING ERRCODE = 'object_in_use', HINT = 'Try again in a moment.';
    END IF;
END
$$;
COMMENT ON FUNCTION statistics_forget_applications IS
    'Removes the applications of a partition from application_counts, in the transaction that removes them from the '
    'lists and before that happens. Fails while events about them are not counted; the caller tries again. Daily '
    'figures keep them.';

CREATE FUNCTION statistics_readmit_applications(part regclass) RETURNS void LANGUAGE sql AS $$
    SELECT statistics_move_applications(part, 1)
$$;
COMMENT ON FUNCTION statistics_readmit_applications IS
    'Adds the applications of a partition to application_counts again, in the transaction that returns them to the '
    'lists';
