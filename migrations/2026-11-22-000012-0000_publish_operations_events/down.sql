DROP TRIGGER circuit_overrides_record ON circuit_overrides;
DROP FUNCTION record_circuit_override;

CREATE OR REPLACE FUNCTION users_record_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM record_security_event('account_created', NULL, NEW.username, jsonb_build_object('role', NEW.role));
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM record_security_event('account_deleted', NULL, OLD.username, jsonb_build_object('role', OLD.role));
    ELSE
        IF NEW.role <> OLD.role THEN
            PERFORM record_security_event('account_role_changed', NULL, NEW.username,
                jsonb_build_object('from', OLD.role, 'to', NEW.role));
        END IF;
        IF (NEW.disabled_at IS NULL) <> (OLD.disabled_at IS NULL) THEN
            PERFORM record_security_event(
                CASE WHEN NEW.disabled_at IS NULL THEN 'account_enabled' ELSE 'account_disabled' END,
                NULL, NEW.username, '{}');
        END IF;
        IF NEW.password_hash <> OLD.password_hash AND NOT is_same_password(NEW.id) THEN
            PERFORM record_security_event('password_changed', NULL, NEW.username, '{}');
        END IF;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION users_record_changes IS 'Records changes of accounts as security events, those of plain SQL too';

CREATE OR REPLACE FUNCTION api_keys_record_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM record_security_event('api_key_created', NULL, 'key:' || NEW.name, jsonb_build_object(
            'role', NEW.role, 'scopes', NEW.scopes, 'expires_at',
                to_char(NEW.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')));
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM record_security_event('api_key_deleted', NULL, 'key:' || OLD.name, '{}');
    ELSE
        IF NEW.revoked_at IS NOT NULL AND OLD.revoked_at IS NULL THEN
            PERFORM record_security_event('api_key_revoked', NULL, 'key:' || NEW.name, '{}');
        END IF;
        IF (NEW.key_hash, NEW.role, NEW.scopes, NEW.expires_at) IS DISTINCT FROM
           (OLD.key_hash, OLD.role, OLD.scopes, OLD.expires_at)
           OR (NEW.revoked_at IS NULL AND OLD.revoked_at IS NOT NULL)
        THEN
            PERFORM record_security_event('api_key_changed', NULL, 'key:' || NEW.name, jsonb_build_object(
                'role', NEW.role, 'scopes', NEW.scopes, 'expires_at',
                to_char(NEW.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')));
        END IF;
        IF NEW.last_used_at IS NOT NULL AND OLD.last_used_at IS NULL THEN
            PERFORM record_security_event('api_key_first_used', 'key:' || NEW.name, 'key:' || NEW.name, '{}');
        END IF;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION api_keys_record_changes IS 'Records changes of API keys as security events, those of plain SQL too';

DROP FUNCTION api_key_data;
DROP FUNCTION record_account_event;
DROP FUNCTION circuit_subject;
DROP FUNCTION record_event;

COMMENT ON COLUMN outbox.subject IS 'The application';
