CREATE OR REPLACE FUNCTION month_open_applications(month date) RETURNS bigint LANGUAGE plpgsql STABLE
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

DROP TRIGGER webhook_events_settled ON webhook_events;
ALTER TABLE webhook_events ADD COLUMN next_attempt_at timestamptz;
COMMENT ON COLUMN webhook_events.next_attempt_at IS
    'When a failed one is tried again; null when Aval has given up and only the sender can try again';

WITH ended AS (DELETE FROM pending_jobs WHERE task_name = 'retry_webhook_event' RETURNING job_args, run_at)
UPDATE webhook_events e SET next_attempt_at = ended.run_at FROM ended
WHERE e.id::text = ended.job_args ->> 'webhook_event_id' AND e.status = 'failed';

ALTER TABLE webhook_events
    ADD CONSTRAINT webhook_events_only_failed_ones_wait CHECK (next_attempt_at IS NULL OR status = 'failed');
CREATE INDEX webhook_events_due_idx ON webhook_events (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE TRIGGER webhook_events_settled BEFORE UPDATE ON webhook_events FOR EACH ROW WHEN (
    OLD.settled_at IS NOT NULL
    AND (OLD.status, OLD.attempts, OLD.error_type, OLD.error_message, OLD.settled_at, OLD.next_attempt_at)
    IS DISTINCT FROM (NEW.status, NEW.attempts, NEW.error_type, NEW.error_message, NEW.settled_at, NEW.next_attempt_at))
    EXECUTE FUNCTION refuse_rewrite();
