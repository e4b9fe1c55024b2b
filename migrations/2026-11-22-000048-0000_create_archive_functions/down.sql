DROP FUNCTION place_archived_month, unarchive_month, archive_month, move_month, validate_month, bound_month,
    month_of_archivable_age, month_open_applications;
