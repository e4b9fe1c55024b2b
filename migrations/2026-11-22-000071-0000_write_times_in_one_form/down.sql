CREATE OR REPLACE FUNCTION append_event(event text, app applications, previous application_status)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (type, subject, request_id, traceparent, data)
    VALUES (event, app.id, app.change_request_id, app.change_traceparent, jsonb_build_object(
        'id', app.id,
        'country', app.country,
        'status', app.status,
        'previous_status', previous,
        'risk_score', app.risk_score::text,
        'version', app.version,
        'created_by', app.created_by,
        'updated_at', app.updated_at));
    PERFORM pg_notify('aval_outbox', '');
END
$$;
