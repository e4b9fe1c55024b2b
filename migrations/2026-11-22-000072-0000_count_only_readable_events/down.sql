CREATE OR REPLACE FUNCTION statistics_day_changes(type text, subject uuid, data jsonb)
RETURNS TABLE (
    owner text, day date, country country, created bigint, requested_amount numeric, approved bigint, rejected bigint,
    under_review bigint, cancelled bigint, approved_amount numeric)
LANGUAGE sql STABLE AS $$
    SELECT data ->> 'created_by',
        (CASE WHEN e.became = 'PENDING' THEN uuid_v7_time(subject) ELSE (
            SELECT l.created_at FROM audit_logs l
            WHERE l.application_id = subject AND l.version = (data ->> 'version')::bigint) END AT TIME ZONE 'UTC')::date,
        (data ->> 'country')::country,
        CASE WHEN e.became = 'PENDING' THEN 1 ELSE 0 END::bigint,
        CASE WHEN e.became = 'PENDING' THEN e.amount ELSE 0 END,
        CASE WHEN e.became = 'APPROVED' THEN 1 ELSE 0 END::bigint,
        CASE WHEN e.became = 'REJECTED' THEN 1 ELSE 0 END::bigint,
        CASE WHEN e.became = 'UNDER_REVIEW' THEN 1 ELSE 0 END::bigint,
        CASE WHEN e.became = 'CANCELLED' THEN 1 ELSE 0 END::bigint,
        CASE WHEN e.became = 'APPROVED' THEN e.amount ELSE 0 END
    FROM (SELECT data ->> 'status' AS became,
            CASE WHEN data ->> 'status' IN ('PENDING', 'APPROVED') THEN (
                SELECT a.requested_amount FROM applications a WHERE a.id = subject) END AS amount) AS e
    WHERE type IN ('application.created.v1', 'application.status_changed.v1')
      AND e.became IN ('PENDING', 'APPROVED', 'REJECTED', 'UNDER_REVIEW', 'CANCELLED')
$$;

CREATE OR REPLACE FUNCTION statistics_count_changes(type text, subject uuid, data jsonb)
RETURNS TABLE (
    owner text, country country, status application_status, applications bigint, requested_amount numeric,
    risk_low bigint, risk_medium bigint, risk_high bigint, risk_critical bigint, risk_sum numeric)
LANGUAGE sql STABLE AS $$
    SELECT data ->> 'created_by', (data ->> 'country')::country, m.status::application_status, m.sign,
        m.sign * (SELECT a.requested_amount FROM applications a WHERE a.id = subject),
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
        THEN (data ->> 'risk_score')::numeric END) AS r (risk)
    WHERE m.applies
$$;
