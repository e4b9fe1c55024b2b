-- At most one active job per delivery. The index also finds that job by the delivery's identifier.
CREATE UNIQUE INDEX CONCURRENTLY pending_jobs_one_per_webhook_delivery_idx
    ON pending_jobs ((job_args ->> 'delivery_id')) WHERE task_name = 'deliver_webhook';
