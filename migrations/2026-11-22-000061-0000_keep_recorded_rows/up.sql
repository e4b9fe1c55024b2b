-- What the serving user has recorded it cannot rewrite: decisions and finished jobs not at all, webhooks and dead letters but
-- for what became of them. Months of decisions and finished jobs move and go as whole tables, by the owner's functions.
CREATE TRIGGER decisions_append_only BEFORE UPDATE OR DELETE ON decisions
    FOR EACH ROW EXECUTE FUNCTION refuse_change('decisions_append_only');
CREATE TRIGGER decisions_no_truncate BEFORE TRUNCATE ON decisions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('decisions_append_only');
CREATE TRIGGER job_history_append_only BEFORE UPDATE OR DELETE ON job_history
    FOR EACH ROW EXECUTE FUNCTION refuse_change('job_history_append_only');
CREATE TRIGGER job_history_no_truncate BEFORE TRUNCATE ON job_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('job_history_append_only');

CREATE FUNCTION refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% keeps what was recorded', TG_TABLE_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
END
$$;
COMMENT ON FUNCTION refuse_rewrite IS
    'Keeps the recorded part of rows that change otherwise; lock_append_only_tables leaves their privileges alone';

-- A message as it came. The payload is sealed anew with another key; its fingerprint tells whether it is still the same.
CREATE TRIGGER webhook_events_recorded BEFORE UPDATE ON webhook_events FOR EACH ROW WHEN (
    (OLD.id, OLD.idempotency_key, OLD.provider, OLD.country, OLD.application_id, OLD.provider_reference, OLD.outcome,
        OLD.fingerprint, OLD.request_id, OLD.traceparent, OLD.occurred_at, OLD.received_at)
    IS DISTINCT FROM
    (NEW.id, NEW.idempotency_key, NEW.provider, NEW.country, NEW.application_id, NEW.provider_reference, NEW.outcome,
        NEW.fingerprint, NEW.request_id, NEW.traceparent, NEW.occurred_at, NEW.received_at))
    EXECUTE FUNCTION refuse_rewrite();
-- What became of a message that was applied or ignored does not change.
CREATE TRIGGER webhook_events_settled BEFORE UPDATE ON webhook_events FOR EACH ROW WHEN (
    OLD.settled_at IS NOT NULL
    AND (OLD.status, OLD.attempts, OLD.error_type, OLD.error_message, OLD.settled_at, OLD.next_attempt_at)
    IS DISTINCT FROM (NEW.status, NEW.attempts, NEW.error_type, NEW.error_message, NEW.settled_at, NEW.next_attempt_at))
    EXECUTE FUNCTION refuse_rewrite();
-- A legacy message is accepted for 29 days and known for that long (webhooks.retention_days is at least 30).
CREATE TRIGGER webhook_events_kept BEFORE DELETE ON webhook_events FOR EACH ROW WHEN (
    OLD.received_at > now() - interval '29 days')
    EXECUTE FUNCTION refuse_rewrite();

CREATE TRIGGER failed_jobs_recorded BEFORE UPDATE ON failed_jobs FOR EACH ROW WHEN (
    (OLD.id, OLD.job_id, OLD.task_name, OLD.lane, OLD.application_id, OLD.job_args, OLD.error_type, OLD.error_message,
        OLD.backtrace, OLD.attempts, OLD.request_id, OLD.traceparent, OLD.created_at)
    IS DISTINCT FROM
    (NEW.id, NEW.job_id, NEW.task_name, NEW.lane, NEW.application_id, NEW.job_args, NEW.error_type, NEW.error_message,
        NEW.backtrace, NEW.attempts, NEW.request_id, NEW.traceparent, NEW.created_at))
    EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER failed_jobs_kept BEFORE DELETE ON failed_jobs
    FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
