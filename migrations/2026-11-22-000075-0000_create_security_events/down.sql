DROP TRIGGER users_record_changes ON users;
DROP TRIGGER api_keys_record_changes ON api_keys;
DROP FUNCTION users_record_changes;
DROP FUNCTION api_keys_record_changes;
DROP FUNCTION is_same_password;
DROP FUNCTION record_security_event;
DROP FUNCTION delete_expired_security_events;
DROP FUNCTION reseal_security_events;
DROP TABLE security_events;
