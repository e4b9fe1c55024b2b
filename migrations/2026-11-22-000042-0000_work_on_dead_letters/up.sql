ALTER TABLE failed_jobs
    ADD COLUMN lane text NOT NULL DEFAULT '',
    ADD COLUMN retried_as uuid;
COMMENT ON COLUMN failed_jobs.lane IS 'As in pending_jobs: where the job waited, and where a retry of it will';
COMMENT ON COLUMN failed_jobs.retried_as IS 'The job that was queued in its place, when it was reprocessed';

UPDATE failed_jobs f SET lane = a.country::text FROM applications a WHERE a.id = f.application_id;

CREATE INDEX failed_jobs_lane_idx ON failed_jobs (lane, id DESC);
CREATE INDEX failed_jobs_error_type_idx ON failed_jobs (error_type, id DESC);
CREATE INDEX failed_jobs_application_idx ON failed_jobs (application_id, id DESC) WHERE application_id IS NOT NULL;

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

COMMENT ON TABLE failed_job_actions IS 'What operators did to dead letters, and who; append-only';
COMMENT ON COLUMN failed_job_actions.actor IS 'The account';
COMMENT ON COLUMN failed_job_actions.job_id IS 'The job that a retry queued';

CREATE INDEX failed_job_actions_letter_idx ON failed_job_actions (failed_job_id, id);

CREATE TRIGGER failed_job_actions_append_only BEFORE UPDATE OR DELETE ON failed_job_actions
    FOR EACH ROW EXECUTE FUNCTION refuse_change('failed_job_actions_append_only');
CREATE TRIGGER failed_job_actions_no_truncate BEFORE TRUNCATE ON failed_job_actions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('failed_job_actions_append_only');

COMMENT ON COLUMN provider_retries.next_at IS
    'Not queued again before; the pause doubles with each attempt. Infinity: an operator''s retry is deciding it again, and '
    'nothing else will unless that finds the bureau gone';
