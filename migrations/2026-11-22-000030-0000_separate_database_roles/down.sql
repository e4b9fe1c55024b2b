DROP FUNCTION lock_append_only_tables;
GRANT EXECUTE ON FUNCTION ensure_month_partitions(date, integer) TO PUBLIC;
ALTER FUNCTION ensure_month_partitions(date, integer) SECURITY INVOKER RESET search_path;
