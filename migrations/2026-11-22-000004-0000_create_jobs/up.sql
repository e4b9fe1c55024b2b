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
    CONSTRAINT pending_jobs_lease_is_whole CHECK (
        (status = 'processing') = (lease_token IS NOT NULL)
        AND (lease_token IS NULL) = (leased_until IS NULL)
        AND (lease_token IS NULL) = (leased_by IS NULL))
);

COMMENT ON TABLE pending_jobs IS
    'The queue: jobs that wait, run, or wait for somebody outside. A finished job moves to job_history, a dead one to '
    'failed_jobs, so that claiming costs the same whatever happened before.';
COMMENT ON COLUMN pending_jobs.task_name IS 'Chooses the actor';
COMMENT ON COLUMN pending_jobs.application_id IS 'The application that it is about; null for tasks without one';
COMMENT ON COLUMN pending_jobs.priority IS 'Higher runs first';
COMMENT ON COLUMN pending_jobs.attempt IS 'Counted at the claim, so that a job that kills its worker is counted too';
COMMENT ON COLUMN pending_jobs.run_at IS 'Not before; by the database''s clock, as are the leases';
COMMENT ON COLUMN pending_jobs.lease_token IS 'Fencing token of the worker that owns the job: every later change must name it';
COMMENT ON COLUMN pending_jobs.provider_reference IS 'What the bureau will call back with, while waiting_external';
COMMENT ON COLUMN pending_jobs.error_type IS 'Code of the last attempt''s error';

CREATE UNIQUE INDEX pending_jobs_one_per_application_idx ON pending_jobs (application_id, task_name)
    WHERE application_id IS NOT NULL;
CREATE INDEX pending_jobs_claimable_idx ON pending_jobs (priority DESC, run_at) WHERE status = 'pending';
CREATE INDEX pending_jobs_leases_idx ON pending_jobs (leased_until) WHERE status = 'processing';

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

COMMENT ON TABLE job_history IS 'Finished jobs, one partition a month of the job''s id';

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
    updated_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE failed_jobs IS 'Dead letters: jobs that failed for good, with what an operator needs to retry or ignore them';
COMMENT ON COLUMN failed_jobs.error_message IS 'For operators; without personal data';
COMMENT ON COLUMN failed_jobs.backtrace IS 'The chain of causes, where there is one';

CREATE INDEX failed_jobs_status_idx ON failed_jobs (status, id DESC);

CREATE TABLE provider_retries (
    application_id uuid PRIMARY KEY,
    country country NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE provider_retries IS
    'Applications that were decided without their bureau and wait to be decided again; the row goes when they are, or '
    'when a human decides first';
COMMENT ON COLUMN provider_retries.next_at IS 'Not queued again before; the pause doubles with each attempt';

CREATE INDEX provider_retries_due_idx ON provider_retries (country, next_at);
