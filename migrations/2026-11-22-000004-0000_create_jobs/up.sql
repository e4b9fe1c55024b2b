CREATE TYPE job_status AS ENUM ('pending', 'processing', 'waiting_external');
COMMENT ON TYPE job_status IS 'The state of a job that is not finished; finished jobs leave the queue';

CREATE TYPE job_result AS ENUM ('completed', 'superseded', 'failed');
COMMENT ON TYPE job_result IS 'How a finished job ended; superseded: the application no longer needed it';

CREATE TYPE failed_job_status AS ENUM ('pending', 'reviewed', 'reprocessed', 'ignored');
COMMENT ON TYPE failed_job_status IS 'What operators did with a dead letter';

CREATE SEQUENCE job_lease_tokens;
COMMENT ON SEQUENCE job_lease_tokens IS 'Fencing tokens: a later claim always has a higher one';

CREATE TABLE pending_jobs (
    id uuid PRIMARY KEY DEFAULT uuid_v7_now(),
    task_name text NOT NULL,
    application_id uuid,
    job_args jsonb NOT NULL DEFAULT '{}',
    status job_status NOT NULL DEFAULT 'pending',
    priority smallint NOT NULL DEFAULT 0,
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    run_at timestamptz NOT NULL DEFAULT now(),
    lease_token bigint,
    leased_until timestamptz,
    leased_by text,
    provider_reference text,
    request_id text,
    traceparent text,
    error_type text,
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    lane text NOT NULL DEFAULT '',
    first_claimed_at timestamptz,
    CONSTRAINT pending_jobs_lease_is_whole CHECK (
        (status = 'processing') = (lease_token IS NOT NULL)
        AND (lease_token IS NULL) = (leased_until IS NULL)
        AND (lease_token IS NULL) = (leased_by IS NULL))
) WITH (
    -- Jobs are inserted, claimed and deleted within a short time, so there are far more dead rows than live ones.
    -- Autovacuum therefore starts at a fixed number of dead rows instead of a share of the table, and runs without
    -- pauses.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 2000
);

COMMENT ON TABLE pending_jobs IS
    'The queue: jobs that are pending, running, or waiting for an external answer. A finished job moves to '
    'job_history, a dead one to failed_jobs, so the cost of a claim does not grow with the history.';
COMMENT ON COLUMN pending_jobs.task_name IS 'Selects the code that runs it';
COMMENT ON COLUMN pending_jobs.application_id IS 'The application it concerns; null for tasks without one';
COMMENT ON COLUMN pending_jobs.priority IS 'Higher runs first';
COMMENT ON COLUMN pending_jobs.attempt IS 'Counted at the claim, so that a job that kills its worker is counted too';
COMMENT ON COLUMN pending_jobs.run_at IS 'Earliest start; by the database''s clock, as are the leases';
COMMENT ON COLUMN pending_jobs.lease_token IS
    'Fencing token of the worker that holds the job: every later change must present it';
COMMENT ON COLUMN pending_jobs.provider_reference IS
    'What the bureau refers to in its callback; a job that has one was answered 202 and does not call again';
COMMENT ON COLUMN pending_jobs.error_type IS 'Error code of the last attempt';
COMMENT ON COLUMN pending_jobs.lane IS
    'The part of the queue it belongs to. Lanes are paused separately and cannot delay each other. The code that '
    'queues a job chooses its lane; for process_credit_application it is the country''s code.';
COMMENT ON COLUMN pending_jobs.first_claimed_at IS
    'When it was first claimed: limits how long a bureau may delay its answer. Time spent in a paused lane before that does '
    'not count.';

CREATE UNIQUE INDEX pending_jobs_one_per_application_idx ON pending_jobs (application_id, task_name)
    WHERE application_id IS NOT NULL;
CREATE INDEX pending_jobs_leases_idx ON pending_jobs (leased_until) WHERE status = 'processing';
-- A claim reads each running lane up to the number of jobs it wants, and never reads the jobs of a paused lane.
CREATE INDEX pending_jobs_lanes_idx ON pending_jobs (lane, priority DESC, run_at) WHERE status = 'pending';
CREATE INDEX pending_jobs_waiting_lanes_idx ON pending_jobs (lane, run_at) WHERE status = 'waiting_external';
COMMENT ON INDEX pending_jobs_waiting_lanes_idx IS 'Finds jobs whose bureau has exceeded its time to answer';

CREATE TABLE job_history (
    id uuid PRIMARY KEY,
    task_name text NOT NULL,
    application_id uuid,
    result job_result NOT NULL,
    attempt integer NOT NULL,
    request_id text,
    traceparent text,
    error_type text,
    error_message text,
    created_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (id);

COMMENT ON TABLE job_history IS 'Finished jobs, one partition per month of the job''s id';

-- Old months are dropped as whole tables (drop_job_history_month).
CREATE TRIGGER job_history_append_only BEFORE UPDATE OR DELETE ON job_history
    FOR EACH ROW EXECUTE FUNCTION refuse_change('job_history_append_only');
CREATE TRIGGER job_history_no_truncate BEFORE TRUNCATE ON job_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('job_history_append_only');

CREATE TABLE failed_jobs (
    id uuid PRIMARY KEY DEFAULT uuid_v7_now(),
    job_id uuid NOT NULL UNIQUE,
    task_name text NOT NULL,
    application_id uuid,
    job_args jsonb NOT NULL,
    error_type text NOT NULL,
    error_message text NOT NULL,
    backtrace text,
    attempts integer NOT NULL,
    request_id text,
    traceparent text,
    status failed_job_status NOT NULL DEFAULT 'pending',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    lane text NOT NULL DEFAULT '',
    retried_as uuid
);

COMMENT ON TABLE failed_jobs IS
    'Dead letters: jobs that failed permanently, with what an operator needs to retry or ignore them';
COMMENT ON COLUMN failed_jobs.error_message IS 'For operators; without personal data';
COMMENT ON COLUMN failed_jobs.backtrace IS 'The chain of causes, if any';
COMMENT ON COLUMN failed_jobs.lane IS 'As in pending_jobs; a retry gets the same lane';
COMMENT ON COLUMN failed_jobs.retried_as IS 'The job that a retry queued in its place';

CREATE INDEX failed_jobs_status_idx ON failed_jobs (status, id DESC);
CREATE INDEX failed_jobs_lane_idx ON failed_jobs (lane, id DESC);
CREATE INDEX failed_jobs_error_type_idx ON failed_jobs (error_type, id DESC);
CREATE INDEX failed_jobs_application_idx ON failed_jobs (application_id, id DESC) WHERE application_id IS NOT NULL;

-- The status of a dead letter may change. The recorded data of the job may not.
CREATE TRIGGER failed_jobs_recorded BEFORE UPDATE ON failed_jobs FOR EACH ROW WHEN (
    (OLD.id, OLD.job_id, OLD.task_name, OLD.lane, OLD.application_id, OLD.job_args, OLD.error_type, OLD.error_message,
        OLD.backtrace, OLD.attempts, OLD.request_id, OLD.traceparent, OLD.created_at)
    IS DISTINCT FROM
    (NEW.id, NEW.job_id, NEW.task_name, NEW.lane, NEW.application_id, NEW.job_args, NEW.error_type, NEW.error_message,
        NEW.backtrace, NEW.attempts, NEW.request_id, NEW.traceparent, NEW.created_at))
    EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER failed_jobs_kept BEFORE DELETE ON failed_jobs
    FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();

CREATE TABLE failed_job_actions (
    id uuid PRIMARY KEY DEFAULT uuid_v7_now(),
    failed_job_id uuid NOT NULL,
    action text NOT NULL CHECK (action IN ('retry', 'ignore', 'review')),
    old_status failed_job_status NOT NULL,
    new_status failed_job_status NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    request_id text,
    job_id uuid,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE failed_job_actions IS 'What operators did with dead letters; append-only';
COMMENT ON COLUMN failed_job_actions.actor IS 'The account of the operator';
COMMENT ON COLUMN failed_job_actions.job_id IS 'The job that a retry queued';

CREATE INDEX failed_job_actions_letter_idx ON failed_job_actions (failed_job_id, id);

CREATE TRIGGER failed_job_actions_append_only BEFORE UPDATE OR DELETE ON failed_job_actions
    FOR EACH ROW EXECUTE FUNCTION refuse_change('failed_job_actions_append_only');
CREATE TRIGGER failed_job_actions_no_truncate BEFORE TRUNCATE ON failed_job_actions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('failed_job_actions_append_only');

CREATE TABLE paused_lanes (
    lane text PRIMARY KEY,
    reason text NOT NULL,
    paused_by text NOT NULL DEFAULT ('sql:' || session_user),
    paused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz
);

COMMENT ON TABLE paused_lanes IS
    'Lanes that operators have paused: no instance claims their jobs. An expired row has no effect.';
COMMENT ON COLUMN paused_lanes.lane IS 'As in pending_jobs';
COMMENT ON COLUMN paused_lanes.expires_at IS 'By the database''s clock; null: until it is ended';

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

COMMENT ON TABLE paused_lane_log IS 'Who paused and resumed which lane; append-only';

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
COMMENT ON FUNCTION announce_lanes IS 'Notifies every instance that jobs may have become claimable';

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
COMMENT ON FUNCTION enqueue_job IS
    'Queues a task for an application in a lane, unless the task is already active for it';

CREATE FUNCTION close_job(application uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH closed AS (DELETE FROM pending_jobs WHERE application_id = application RETURNING *)
    INSERT INTO job_history
        (id, task_name, application_id, result, attempt, request_id, traceparent, error_type, error_message, created_at)
    SELECT id, task_name, application_id, 'superseded', attempt, request_id, traceparent, error_type, error_message,
           created_at
    FROM closed;
END
$$;
COMMENT ON FUNCTION close_job IS 'Ends the active job of an application that no longer needs it';

CREATE TABLE scheduled_runs (
    id uuid PRIMARY KEY,
    task text NOT NULL CHECK (task ~ '^[a-z_]{1,64}$'),
    cause text NOT NULL CHECK (cause IN ('schedule', 'retry', 'request')),
    due_at timestamptz NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('requested', 'running', 'completed', 'failed', 'abandoned')),
    started_at timestamptz,
    finished_at timestamptz,
    detail jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(detail) = 'object'),
    error_type text,
    error_message text,
    instance text,
    requested_by text,
    CONSTRAINT scheduled_runs_once_for_each_due_time UNIQUE (task, due_at),
    CONSTRAINT scheduled_runs_started_when_begun CHECK ((started_at IS NULL) = (outcome = 'requested')),
    CONSTRAINT scheduled_runs_finished_when_over CHECK ((finished_at IS NULL) = (outcome IN ('requested', 'running'))),
    CONSTRAINT scheduled_runs_requested_by_somebody CHECK ((requested_by IS NULL) = (cause <> 'request'))
);

COMMENT ON TABLE scheduled_runs IS
    'Recurring work, one row per run. What is due next follows from these rows alone, so a restart or a change of '
    'leader neither misses nor repeats a run. Rows are kept for housekeeping.run_retention_days, and the last '
    'scheduled run of each task permanently.';
COMMENT ON COLUMN scheduled_runs.id IS 'Version 7 UUID of the time the row was created';
COMMENT ON COLUMN scheduled_runs.cause IS
    'schedule: its time has come; retry: the previous run failed or was abandoned; request: an account requested it';
COMMENT ON COLUMN scheduled_runs.due_at IS
    'When it was due. The leader that inserts the row runs it; a second leader cannot.';
COMMENT ON COLUMN scheduled_runs.outcome IS
    'requested: waits for the leader; abandoned: its instance died or lost leadership before it was over';
COMMENT ON COLUMN scheduled_runs.detail IS 'What it did, in figures';
COMMENT ON COLUMN scheduled_runs.error_message IS 'For operators; without personal data';
COMMENT ON COLUMN scheduled_runs.instance IS 'The instance that ran it';
COMMENT ON COLUMN scheduled_runs.requested_by IS 'The account that requested it';

-- At most one requested and one running run per task.
CREATE UNIQUE INDEX scheduled_runs_requested_idx ON scheduled_runs (task) WHERE outcome = 'requested';
CREATE UNIQUE INDEX scheduled_runs_running_idx ON scheduled_runs (task) WHERE outcome = 'running';
-- The last scheduled run of a task, and the list of its runs.
CREATE INDEX scheduled_runs_schedule_idx ON scheduled_runs (task, due_at DESC) WHERE cause = 'schedule';
CREATE INDEX scheduled_runs_task_idx ON scheduled_runs (task, id DESC);
