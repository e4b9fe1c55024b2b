DROP FUNCTION statistics_readmit_applications, statistics_forget_applications, statistics_move_applications,
    recount_application_days, recount_applications, project_statistics, statistics_day_changes,
    statistics_count_changes;
DROP TABLE statistics_position, application_days, application_counts;
