-- As they were, but that an event of an unknown shape counts nothing: one that failed would stop the counting of all that
-- follow it, and they would never expire.
CREATE OR REPLACE FUNCTION statistics_count_changes(type text, subject uuid, data jsonb)
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
      -- A change is counted with both of its statuses or not at all: half of one would move the totals.
      AND (type <> 'application.status_changed.v1'
          OR data ->> 'status' = ANY (enum_range(NULL::application_status)::text[])
          AND data ->> 'previous_status' = ANY (enum_range(NULL::application_status)::text[]))
$$;

CREATE OR REPLACE FUNCTION statistics_day_changes(type text, subject uuid, data jsonb)
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
      -- The day is read from the identifier. One of another version holds no time.
      AND uuid_v7_time(subject) BETWEEN '2000-01-01' AND now() + interval '1 year'
$$;
