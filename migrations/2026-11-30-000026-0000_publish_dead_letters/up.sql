-- Events about dead letters of jobs and of consumers.
SET LOCAL lock_timeout = '2s';

CREATE FUNCTION record_dead_letter_event(
    change text, letter uuid, kind text, name text, event_type text, error_type text, attempts integer, request text
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- If events about dead letters could become dead letters with events of their own, one consumer or endpoint that
    -- always fails would produce them without end.
    IF event_type LIKE 'dead\_letter.%' THEN
        RETURN;
    END IF;
    PERFORM record_event(uuid_v7_now(), 'dead_letter.' || change || '.v1', letter, request, jsonb_build_object(
        'dead_letter_id', letter, 'kind', kind, 'name', name, 'event_type', event_type,
        'error_type', coalesce(error_type, ''), 'attempts', attempts));
END
$$;
COMMENT ON FUNCTION record_dead_letter_event IS
    'Writes an event about a dead letter, unless the dead letter is itself about such an event. The data holds neither '
    'the error message nor arguments.';

CREATE FUNCTION origin_request() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('aval.origin', true), '')::jsonb ->> 'request_id'
$$;
COMMENT ON FUNCTION origin_request IS 'The request that the transaction has set as its origin, if any';

CREATE FUNCTION failed_jobs_record_events() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    request text := NEW.request_id;
    event_type text;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- The operator's action of the same transaction; null for plain SQL.
        request := (SELECT a.request_id FROM failed_job_actions a
            WHERE a.failed_job_id = NEW.id AND a.created_at >= now() ORDER BY a.id DESC LIMIT 1);
    END IF;
    IF NEW.task_name = 'deliver_webhook' THEN
        event_type := (SELECT d.event_type FROM webhook_deliveries d
            WHERE d.id = (NEW.job_args ->> 'delivery_id')::uuid);
    END IF;
    PERFORM record_dead_letter_event(CASE TG_OP WHEN 'INSERT' THEN 'created' ELSE NEW.status::text END,
        NEW.id, 'job', NEW.task_name, event_type, NEW.error_type, NEW.attempts, request);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION failed_jobs_record_events IS
    'Writes an event when a job becomes a dead letter and when its status changes, with plain SQL too';

CREATE TRIGGER failed_jobs_record_creation AFTER INSERT ON failed_jobs
    FOR EACH ROW EXECUTE FUNCTION failed_jobs_record_events();
CREATE TRIGGER failed_jobs_record_changes AFTER UPDATE OF status ON failed_jobs
    FOR EACH ROW WHEN (OLD.status <> NEW.status AND NEW.status <> 'pending')
    EXECUTE FUNCTION failed_jobs_record_events();

CREATE FUNCTION deferred_events_record_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.dead_since IS NOT NULL THEN
        PERFORM record_dead_letter_event('created', NEW.id, 'event', NEW.consumer, NEW.type, NEW.error_type,
            NEW.attempts, NEW.request_id);
    ELSE
        PERFORM record_dead_letter_event('replayed', NEW.id, 'event', NEW.consumer, NEW.type, NEW.error_type,
            OLD.attempts, origin_request());
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION deferred_events_record_events IS
    'Writes an event when a deferred event becomes a dead letter and when it is replayed. The statement that skips dead '
    'letters writes its events itself, because a row is also deleted when it expires.';

CREATE TRIGGER deferred_events_record_events AFTER UPDATE OF dead_since ON deferred_events
    FOR EACH ROW WHEN ((OLD.dead_since IS NULL) <> (NEW.dead_since IS NULL))
    EXECUTE FUNCTION deferred_events_record_events();
