ALTER TABLE pending_jobs ADD COLUMN lane text NOT NULL DEFAULT '';
COMMENT ON COLUMN pending_jobs.lane IS
    'Which part of the queue it waits in: lanes are paused one by one, and none of them can delay another. Whoever queues a '
    'job chooses it; for process_credit_application it is the country''s code.';

ALTER TABLE pending_jobs ADD COLUMN first_claimed_at timestamptz;
COMMENT ON COLUMN pending_jobs.first_claimed_at IS
    'Since when it has been worked on, with pauses: what bounds how long a bureau may ask for patience. A job that waits '
    'in a paused lane is not worked on.';

UPDATE pending_jobs j SET lane = a.country::text FROM applications a WHERE a.id = j.application_id;

-- A claim looks into each lane that may run, and stops at as many jobs as it wants: what waits in a paused lane is never read.
CREATE INDEX pending_jobs_lanes_idx ON pending_jobs (lane, priority DESC, run_at) WHERE status = 'pending';
DROP INDEX pending_jobs_claimable_idx;
CREATE INDEX pending_jobs_waiting_lanes_idx ON pending_jobs (lane, run_at) WHERE status = 'waiting_external';
COMMENT ON INDEX pending_jobs_waiting_lanes_idx IS 'Finds the jobs whose bureau has let its time to answer pass';
DROP INDEX pending_jobs_waiting_idx;

-- Every job is inserted, claimed and deleted within moments, so that dead rows are as many as all jobs ever: they are
-- cleaned by number, however small the table is, and without pauses.
ALTER TABLE pending_jobs SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 2000);

CREATE TABLE paused_lanes (
    lane text PRIMARY KEY,
    reason text NOT NULL,
    paused_by text NOT NULL DEFAULT ('sql:' || session_user),
    paused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz
);

COMMENT ON TABLE paused_lanes IS
    'Lanes of the queue that operators have paused: no instance claims their jobs. A row that has expired counts as absent.';
COMMENT ON COLUMN paused_lanes.lane IS 'As in pending_jobs';
COMMENT ON COLUMN paused_lanes.expires_at IS 'By the database''s clock; null: until somebody ends it';

CREATE TABLE paused_lane_log (
    id uuid PRIMARY KEY DEFAULT uuid_v7_now(),
    lane text NOT NULL,
    paused boolean NOT NULL,
    reason text NOT NULL,
    changed_by text NOT NULL,
    request_id text,
    expires_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE paused_lane_log IS 'Who paused which lane and who let it run again; append-only';

CREATE INDEX paused_lane_log_lane_idx ON paused_lane_log (lane, id DESC);

CREATE TRIGGER paused_lane_log_append_only BEFORE UPDATE OR DELETE ON paused_lane_log
    FOR EACH ROW EXECUTE FUNCTION refuse_change('paused_lane_log_append_only');
CREATE TRIGGER paused_lane_log_no_truncate BEFORE TRUNCATE ON paused_lane_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('paused_lane_log_append_only');

CREATE FUNCTION announce_lanes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('aval_jobs', '');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION announce_lanes IS 'Has every instance look whether there is something to claim now';

CREATE TRIGGER paused_lanes_announce AFTER UPDATE OR DELETE ON paused_lanes
    FOR EACH STATEMENT EXECUTE FUNCTION announce_lanes();

CREATE FUNCTION enqueue_job(
    task text, application uuid, job_lane text, job_priority smallint, request text, trace text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pending_jobs (task_name, application_id, lane, job_args, priority, request_id, traceparent)
    VALUES (task, application, job_lane, jsonb_build_object('application_id', application), job_priority, request, trace)
    ON CONFLICT DO NOTHING;
    PERFORM pg_notify('aval_jobs', '');
END
$$;
COMMENT ON FUNCTION enqueue_job(text, uuid, text, smallint, text, text) IS
    'Queues a task for an application in a lane, unless one is already active';

-- Instances of the version before, which may still run while this one is rolled out, call it so.
CREATE OR REPLACE FUNCTION enqueue_job(task text, application uuid, job_priority smallint, request text, trace text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM enqueue_job(task, application,
        coalesce((SELECT a.country::text FROM applications a WHERE a.id = application), ''), job_priority, request, trace);
END
$$;

-- As it was, but for the lane.
CREATE OR REPLACE FUNCTION applications_after_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_logs (application_id, version, action, old_status, new_status, changed_by, change_reason,
                            change_request_id, change_id)
    VALUES (NEW.id, NEW.version, 'created', NULL, NEW.status, NEW.changed_by, NEW.change_reason,
            NEW.change_request_id, NEW.change_id);
    PERFORM append_event('application.created.v1', NEW, NULL);
    PERFORM enqueue_job('process_credit_application', NEW.id, NEW.country::text, 0::smallint,
                        NEW.change_request_id, NEW.change_traceparent);
    RETURN NULL;
END
$$;

-- As it was, but for the lane.
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
        PERFORM enqueue_job('process_credit_application', NEW.id, NEW.country::text, 0::smallint,
                            NEW.change_request_id, NEW.change_traceparent);
    END IF;
    IF OLD.status = 'UNDER_REVIEW' AND NEW.status <> 'UNDER_REVIEW' THEN
        DELETE FROM provider_retries WHERE application_id = NEW.id;
    END IF;
    RETURN NULL;
END
$$;
