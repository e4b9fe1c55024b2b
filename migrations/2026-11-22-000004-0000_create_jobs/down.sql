DROP TABLE provider_retries;
DROP TABLE failed_jobs;
DROP TABLE job_history;
DROP TABLE pending_jobs;
DROP SEQUENCE job_lease_tokens;
