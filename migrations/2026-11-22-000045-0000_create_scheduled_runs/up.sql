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
    'Recurring work, one row a run. What is due next follows from these rows alone, so that neither a restart nor another '
    'leader misses or repeats any. Kept for housekeeping.run_retention_days, and the last scheduled run of each task for '
    'ever.';
COMMENT ON COLUMN scheduled_runs.id IS 'Version 7 UUID of the moment at which the row was made';
COMMENT ON COLUMN scheduled_runs.cause IS
    'schedule: its time has come; retry: the run before it failed or was abandoned; request: somebody asked for it';
COMMENT ON COLUMN scheduled_runs.due_at IS
    'When it was due. Whoever inserts it first runs it: two leaders cannot both';
COMMENT ON COLUMN scheduled_runs.outcome IS
    'requested: waits for the leader; abandoned: its instance died, or stopped leading, before it was over';
COMMENT ON COLUMN scheduled_runs.detail IS 'What it did, in figures';
COMMENT ON COLUMN scheduled_runs.error_message IS 'For operators; without personal data';
COMMENT ON COLUMN scheduled_runs.instance IS 'Who ran it';
COMMENT ON COLUMN scheduled_runs.requested_by IS 'The account that asked for it';

-- One at a time for each task, waiting or running.
CREATE UNIQUE INDEX scheduled_runs_requested_idx ON scheduled_runs (task) WHERE outcome = 'requested';
CREATE UNIQUE INDEX scheduled_runs_running_idx ON scheduled_runs (task) WHERE outcome = 'running';
-- The end of what the schedule has dealt with, and the list of one task.
CREATE INDEX scheduled_runs_schedule_idx ON scheduled_runs (task, due_at DESC) WHERE cause = 'schedule';
CREATE INDEX scheduled_runs_task_idx ON scheduled_runs (task, id DESC);
