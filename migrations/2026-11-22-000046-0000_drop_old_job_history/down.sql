DROP FUNCTION drop_job_history_month;
