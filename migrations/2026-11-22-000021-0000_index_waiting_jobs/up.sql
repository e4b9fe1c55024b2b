CREATE INDEX pending_jobs_waiting_idx ON pending_jobs (run_at) WHERE status = 'waiting_external';
COMMENT ON INDEX pending_jobs_waiting_idx IS 'Finds the jobs whose bureau has let its time to answer pass';
COMMENT ON COLUMN pending_jobs.provider_reference IS
    'What the bureau calls back with; a job that has one was answered 202 and does not ask again';
