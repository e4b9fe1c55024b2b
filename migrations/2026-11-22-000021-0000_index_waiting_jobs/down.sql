COMMENT ON COLUMN pending_jobs.provider_reference IS 'What the bureau will call back with, while waiting_external';
DROP INDEX pending_jobs_waiting_idx;
