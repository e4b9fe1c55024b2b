-- As they were before lanes.
CREATE OR REPLACE FUNCTION applications_after_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    what audit_action := CASE
        WHEN NEW.status <> OLD.status THEN 'status_changed'
        WHEN OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL THEN 'deleted'
        WHEN OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NULL THEN 'restored'
        WHEN NEW.banking_data IS DISTINCT FROM OLD.banking_data
            OR NEW.risk_score IS DISTINCT FROM OLD.risk_score THEN 'evaluated'
        ELSE 'data_changed'
    END;
BEGIN
    -- The trigger before gives every change a version, and only what was sealed again keeps its own.
    IF NEW.version = OLD.version THEN
        RETURN NULL;
    END IF;
    INSERT INTO audit_logs (application_id, version, action, old_status, new_status, changed_by, change_reason,
                            change_request_id, change_id)
    VALUES (NEW.id, NEW.version, what, OLD.status, NEW.status, NEW.changed_by, NEW.change_reason,
            NEW.change_request_id, NEW.change_id);
    PERFORM append_event('application.' || what || '.v1', NEW, OLD.status);

    IF NEW.status = 'CANCELLED' AND OLD.status <> 'CANCELLED'
        OR OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL THEN
        PERFORM close_job(NEW.id);
    ELSIF OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NULL AND NEW.status IN ('PENDING', 'VALIDATING') THEN
        PERFORM enqueue_job('process_credit_application', NEW.id, 0::smallint, NEW.change_request_id,
                            NEW.change_traceparent);
    END IF;
    IF OLD.status = 'UNDER_REVIEW' AND NEW.status <> 'UNDER_REVIEW' THEN
        DELETE FROM provider_retries WHERE application_id = NEW.id;
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION applications_after_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_logs (application_id, version, action, old_status, new_status, changed_by, change_reason,
                            change_request_id, change_id)
    VALUES (NEW.id, NEW.version, 'created', NULL, NEW.status, NEW.changed_by, NEW.change_reason,
            NEW.change_request_id, NEW.change_id);
    PERFORM append_event('application.created.v1', NEW, NULL);
    PERFORM enqueue_job('process_credit_application', NEW.id, 0::smallint, NEW.change_request_id,
                        NEW.change_traceparent);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION enqueue_job(task text, application uuid, job_priority smallint, request text, trace text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pending_jobs (task_name, application_id, job_args, priority, request_id, traceparent)
    VALUES (task, application, jsonb_build_object('application_id', application), job_priority, request, trace)
    ON CONFLICT DO NOTHING;
    PERFORM pg_notify('aval_jobs', '');
END
$$;

DROP FUNCTION enqueue_job(text, uuid, text, smallint, text, text);
DROP TRIGGER paused_lanes_announce ON paused_lanes;
DROP FUNCTION announce_lanes;
DROP TABLE paused_lane_log;
DROP TABLE paused_lanes;
ALTER TABLE pending_jobs RESET (
    autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay,
    autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
CREATE INDEX pending_jobs_waiting_idx ON pending_jobs (run_at) WHERE status = 'waiting_external';
COMMENT ON INDEX pending_jobs_waiting_idx IS 'Finds the jobs whose bureau has let its time to answer pass';
CREATE INDEX pending_jobs_claimable_idx ON pending_jobs (priority DESC, run_at) WHERE status = 'pending';
DROP INDEX pending_jobs_waiting_lanes_idx;
DROP INDEX pending_jobs_lanes_idx;
ALTER TABLE pending_jobs DROP COLUMN first_claimed_at, DROP COLUMN lane;
