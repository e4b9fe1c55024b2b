DROP FUNCTION is_of_another_key, lock_append_only_tables, refuse_rewrite, refuse_change, uuid_v7_now, uuid_v7_time, uuid_v7_floor;
DROP SCHEMA partitions;
DROP TYPE application_status, country;
