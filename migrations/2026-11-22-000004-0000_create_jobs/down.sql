DROP FUNCTION close_job, enqueue_job;
DROP TABLE scheduled_runs, paused_lane_log, paused_lanes, failed_job_actions, failed_jobs, job_history, pending_jobs;
DROP FUNCTION announce_lanes;
DROP SEQUENCE job_lease_tokens;
DROP TYPE failed_job_status, job_result, job_status;
