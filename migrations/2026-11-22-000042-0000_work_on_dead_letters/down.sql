COMMENT ON COLUMN provider_retries.next_at IS 'Not queued again before; the pause doubles with each attempt';
DROP TABLE failed_job_actions;
DROP INDEX failed_jobs_application_idx;
DROP INDEX failed_jobs_error_type_idx;
DROP INDEX failed_jobs_lane_idx;
ALTER TABLE failed_jobs DROP COLUMN retried_as, DROP COLUMN lane;
