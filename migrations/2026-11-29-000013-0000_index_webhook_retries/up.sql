-- At most one active job per webhook. The index also finds that job by the webhook's identifier.
CREATE UNIQUE INDEX CONCURRENTLY pending_jobs_one_per_webhook_event_idx
    ON pending_jobs ((job_args ->> 'webhook_event_id')) WHERE task_name = 'retry_webhook_event';
