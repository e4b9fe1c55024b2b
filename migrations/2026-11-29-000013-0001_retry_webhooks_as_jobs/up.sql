-- A job of the task retry_webhook_event retries a failed webhook. Its run_at replaces next_attempt_at.
SET LOCAL lock_timeout = '2s';

INSERT INTO pending_jobs (task_name, lane, job_args, run_at, request_id, traceparent)
SELECT 'retry_webhook_event', 'webhooks', jsonb_build_object('webhook_event_id', id), next_attempt_at, request_id,
       traceparent
FROM webhook_events WHERE next_attempt_at IS NOT NULL;

DROP TRIGGER webhook_events_settled ON webhook_events;
ALTER TABLE webhook_events DROP COLUMN next_attempt_at;

-- The result of an applied or ignored message is final.
CREATE TRIGGER webhook_events_settled BEFORE UPDATE ON webhook_events FOR EACH ROW WHEN (
    OLD.settled_at IS NOT NULL
    AND (OLD.status, OLD.attempts, OLD.error_type, OLD.error_message, OLD.settled_at)
    IS DISTINCT FROM (NEW.status, NEW.attempts, NEW.error_type, NEW.error_message, NEW.settled_at))
    EXECUTE FUNCTION refuse_rewrite();

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
            'UNION SELECT e.application_id FROM webhook_events e JOIN pending_jobs j '
            'ON j.task_name = ''retry_webhook_event'' AND j.job_args ->> ''webhook_event_id'' = e.id::text '
            'WHERE e.application_id >= $1 AND e.application_id < $2) AS in_work' INTO open USING low, high;
    RETURN open;
END
$$;
