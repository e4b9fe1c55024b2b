DROP TRIGGER api_keys_record_changes ON api_keys;
DROP TRIGGER users_record_changes ON users;
DROP FUNCTION delete_expired_staff_views, reseal_security_events, delete_expired_security_events,
    api_keys_record_changes, users_record_changes, record_security_event;
DROP TABLE staff_views, security_events;
