-- Archived applications would be lost: attach their months first (aval archive attach).
DO $$
BEGIN
    IF EXISTS (SELECT FROM applications_archive) THEN
        RAISE EXCEPTION 'there are archived applications: attach their months first';
    END IF;
END
$$;
DROP FUNCTION place_archived_month, unarchive_month, archive_month, move_month, validate_month, bound_month,
    month_of_archivable_age, month_open_applications;
DROP TABLE decisions_archive, audit_logs_archive, applications_archive;
DROP FUNCTION drop_job_history_month, ensure_month_partitions;
