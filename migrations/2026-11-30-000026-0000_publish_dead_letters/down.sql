SET LOCAL lock_timeout = '2s';

DROP TRIGGER deferred_events_record_events ON deferred_events;
DROP TRIGGER failed_jobs_record_changes ON failed_jobs;
DROP TRIGGER failed_jobs_record_creation ON failed_jobs;
DROP FUNCTION deferred_events_record_events;
DROP FUNCTION failed_jobs_record_events;
DROP FUNCTION origin_request;
DROP FUNCTION record_dead_letter_event;
