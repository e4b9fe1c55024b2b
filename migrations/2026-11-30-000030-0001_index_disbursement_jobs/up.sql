-- At most one active job per disbursement. The index also finds that job by the disbursement's identifier.
CREATE UNIQUE INDEX CONCURRENTLY pending_jobs_one_per_disbursement_idx
    ON pending_jobs ((job_args ->> 'disbursement_id')) WHERE task_name = 'disbursement_step';
